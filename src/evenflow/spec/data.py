"""Which data a network is trained on. Plain data; `study.data` loads it."""

from __future__ import annotations

import math

import msgspec

from evenflow.errors import SpecError, suggest

# What each name needs and understands beyond the fields that all have.
DATA_SETS = {
    "digits": "scikit-learn's handwritten digits, 8 × 8",
    "digits28": "the same digits, upsampled to 28 × 28",
    "mnist1d": "one-dimensional digits, generated (Greydanus & Kobak 2020)",
    "spirals": "arms of a spiral in the plane, generated",
    "blobs": "Gaussian blobs in the plane, generated",
    "first_symbol": "sequences of symbols, to be told apart by the first alone, generated",
    "idx": "MNIST or Fashion-MNIST, IDX files in the folder `path`",
    "npz": "arrays x_train, y_train, x_test, y_test (or x, y) in the file `path`",
}


_GENERATED = ("mnist1d", "spirals", "blobs", "first_symbol")


class Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A classification data set with a fixed split into training and test part.

    Args:
        name: `digits`, `digits28`, `mnist1d`, `spirals`, `blobs`, `first_symbol`; from the disk `idx` or `npz`.
        path: folder (`idx`) or file (`npz`).
        standardise: bring every feature to mean 0 and variance 1, as measured on the training part.
        imbalance: size of the largest class over that of the smallest in the training part, at least 1; class k of
            K ends with m·imbalance^(-k/(K-1)) samples (Cui et al. 2019), so the last is the minority.
        samples: number of generated training and test samples together (`mnist1d`, `spirals`, `blobs`,
            `first_symbol`).
        noise: standard deviation of the generated noise; when left out, the generator's own default.
        classes: number of generated classes; when left out, the generator's own default.
        length: time steps of `first_symbol`, 20 when left out.
        test_fraction: share of samples held back for the test where the data have no split of their own.

    Raises:
        SpecError: a field is out of its range, or a path is missing or not wanted.
    """

    name: str = "digits28"
    path: str | None = None
    standardise: bool = True
    imbalance: float = 1.0
    samples: int = 5000
    noise: float | None = None
    classes: int | None = None
    length: int | None = None
    test_fraction: float = 0.2

    def __post_init__(self) -> None:
        if self.name not in DATA_SETS:
            raise SpecError(
                f'data set "{self.name}" is not known{suggest(self.name, DATA_SETS)}; known: {", ".join(DATA_SETS)}'
            )
        reads_disk = self.name in ("idx", "npz")
        if reads_disk and not self.path:
            raise SpecError(f'data set "{self.name}" needs a path: {DATA_SETS[self.name]}')
        if self.path and not reads_disk:
            raise SpecError(f'path = "{self.path}": data set "{self.name}" reads no file; leave path out')
        if not 1 <= self.imbalance < math.inf:
            raise SpecError(
                f"imbalance = {self.imbalance:g}: it is largest class over smallest class, at least 1"
            )
        for field in ("noise", "classes"):
            value = getattr(self, field)
            if value is not None and self.name not in _GENERATED:
                raise SpecError(
                    f'{field} = {value:g}: data set "{self.name}" is not generated; leave {field} out'
                )
        if self.samples < 1:
            raise SpecError(f"samples = {self.samples}: at least 1 sample is needed")
        if self.noise is not None and not 0 <= self.noise < math.inf:
            raise SpecError(f"noise = {self.noise:g}: it is a standard deviation, at least 0")
        if self.classes is not None and self.classes < 2:
            raise SpecError(f"classes = {self.classes}: at least 2 classes are needed")
        if self.length is not None and self.name != "first_symbol":
            raise SpecError(
                f'length = {self.length}: data set "{self.name}" has a length of its own; leave length out'
            )
        if self.length is not None and self.length < 2:
            raise SpecError(f"length = {self.length}: a symbol is remembered over at least 2 time steps")
        if not 0 < self.test_fraction < 1:
            raise SpecError(f"test_fraction = {self.test_fraction:g}: it is a share between 0 and 1")

    @property
    def plain(self) -> dict[str, object]:
        """Every field as plain data, without a length that was left out."""
        return {
            name: value
            for name, value in msgspec.to_builtins(self).items()
            if (name, value) != ("length", None)
        }
