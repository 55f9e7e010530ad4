"""What a convolutional network is: plain data, as `network.Network` is of a fully connected one."""

from __future__ import annotations

from typing import Literal

from evenflow.errors import SpecError
from evenflow.spec.layered import Layered
from evenflow.spec.network_checks import check_common, check_equal_widths, layer_widths, listed

FAMILY = "convolutional"


class ConvolutionalNetwork(
    Layered, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="family", tag=FAMILY
):
    """Convolutions that keep the size of the image, the mean over the image, and a linear output layer.

    A layer is *convolution, [normalisation], activation, [dropout], [pooling]*. An image of one channel is a sample of
    shape (height, width), of several one of shape (height, width, channels); a signal of shape (length,) is convolved
    along its length.

    Args:
        depth: number of convolutions, at least 1. When it is left out: the entries of `width` where that is a list,
            else 6.
        width: channels of every layer, or a list with one number a layer.
        kernel: side of the kernels, an odd number; the border is filled with zeros.
        pooling: after every so many layers each side is halved by the largest of two neighbours; 0 for never.
        activation: a name from `evenflow activations`, or a list that alternates.
        initialisation: as of `Network`; inputs of a unit are channels × kernel area (He et al. 2015, section 2.2).
        bias_initialisation: as of `Network`.
        normalisation: `none`; `batch`, of a channel over samples and places; or `layer`, of a sample over channels and
            places, which is group normalisation with one group (Wu & He 2018).
        normalisation_position: `before` or `after` the activation.
        residual: `none`, `pre` or `post`, as of `Network`, with a convolution for W; all layers then have one width.
        residual_scale: the factor s on the branch.
        dropout: share of activations set to 0 while training.
        clip: `none`, `norm:MAX` or `value:MAX`.

    Raises:
        SpecError: a field is out of its range, a name is not known, or two fields do not fit.

    >>> ConvolutionalNetwork(depth=4, width=8, pooling=2).sides((8, 8))
    ((8, 8), (8, 8), (4, 4), (4, 4))
    """

    depth: int | None = None
    width: int | tuple[int, ...] = 16
    kernel: int = 3
    pooling: int = 0
    activation: str | tuple[str, ...] = "relu"
    initialisation: str = "torch"
    bias_initialisation: str = "auto"
    normalisation: Literal["none", "batch", "layer", "rms"] = "none"
    normalisation_position: Literal["before", "after"] = "before"
    residual: Literal["none", "pre", "post"] = "none"
    residual_scale: float = 1.0
    dropout: float = 0.0
    clip: str = "none"

    def __post_init__(self) -> None:
        check_common(
            widths=self.widths,
            activations=listed(self.activation),
            initialisation=self.initialisation,
            bias_initialisation=self.bias_initialisation,
            residual_scale=self.residual_scale,
            dropout=self.dropout,
            clip=self.clip,
        )
        check_equal_widths(self.residual, self.widths, "convolutions")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise SpecError(f"kernel = {self.kernel}: an odd number, so that the image keeps its size")
        if self.pooling < 0:
            raise SpecError(f"pooling = {self.pooling}: it is a number of layers, at least 0")
        if self.normalisation == "rms":
            raise SpecError('normalisation = "rms" has no customary form for images; take batch or layer')

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of every layer."""
        return layer_widths(self.depth, self.width, 6, "a convolution")

    def sample(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """What a sample of this shape is to the network: (channels, length) or (channels, height, width).

        Raises:
            SpecError: it is neither a signal nor an image, or too small to be halved so often.

        >>> ConvolutionalNetwork().sample((8, 8)), ConvolutionalNetwork().sample((32, 16, 3))
        ((1, 8, 8), (3, 32, 16))
        """
        if len(shape) > 3:
            raise SpecError(
                f"a convolutional network takes samples of shape (length,), (height, width) or (height, width, "
                f"channels), but these have shape {shape}"
            )
        seen = (shape[-1], *shape[:-1]) if len(shape) == 3 else (1, *shape)
        if min(self.sides(seen[1:])[-1]) < 1:
            raise SpecError(
                f"pooling = {self.pooling} halves samples of {' × '.join(map(str, seen[1:]))} "
                f"{(self.layers - 1) // self.pooling} times, which leaves nothing; pool after more layers"
            )
        return seen

    def sides(self, sides: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Length, or height and width, of what each convolution sees, from those of the sample.

        The last convolution is never followed by a pooling: the mean over the image is.
        """
        found = [sides]
        for layer in range(1, self.layers):
            halved = self.pools_after(layer)
            found.append(tuple(side // 2 for side in found[-1]) if halved else found[-1])
        return tuple(found)

    def pools_after(self, layer: int) -> bool:
        """Whether a layer, counted from 1, is followed by a pooling."""
        return self.pooling > 0 and layer % self.pooling == 0 and layer < self.layers
