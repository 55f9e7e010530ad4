"""Normalisations in front of what they serve, in place of behind the sum, in torch's Transformer layers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from evenflow.prescribe.operation import Operation, written
from evenflow.prescribe.placing import blocked, home, runs
from evenflow.prescribe.prescription import Prescription, Remedy, View
from evenflow.prescribe.reasons import answered, because
from evenflow.wording import plural

_LAYERS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
_STACKS = (nn.TransformerEncoder, nn.TransformerDecoder)


def forms(view: View) -> Sequence[Prescription]:
    """One, where layers normalise behind the sum."""
    if why_not(view):
        return ()
    model = view.training.patient.model
    layers = _post_norm(model)
    lines = [
        "for layer in model.modules():",
        "    if isinstance(layer, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):",
        "        layer.norm_first = True",
    ]
    bare = []
    for name, one in model.named_modules():
        first = next(one.layers.children(), None) if isinstance(one, _STACKS) and one.norm is None else None
        if isinstance(first, _LAYERS):
            bare.append((name, first.norm1.normalized_shape[0]))
    for width in dict.fromkeys(width for _, width in bare):
        names = [name for name, each in bare if each == width]
        lines += [
            f"for name in {written(names)}:  # the sum itself is not normalised any more",
            f"    model.get_submodule(name).norm = nn.LayerNorm({width}){home(model)}",
        ]
    operation = Operation("\n".join(lines) + "\n")
    if not runs(view, operation):
        return ()
    return (
        Prescription(
            remedy=REMEDY.name,
            choice="",
            title=f"Normalise in front of attention and feed-forward, in {plural(len(layers), 'layer')}",
            why=because(
                answered(view, REMEDY.answers),
                f"the gradient passes by {2 * len(layers)} branches without a normalisation on its way",
            ),
            sign="gradient_ratio",
            change=operation,
            code=operation.code,
            size=1,
        ),
    )


def _post_norm(model: nn.Module) -> list[nn.Module]:
    return [one for one in model.modules() if isinstance(one, _LAYERS) and not one.norm_first]


def why_not(view: View) -> str:
    """Why no normalisation can be moved."""
    model = view.training.patient.model
    reason = blocked(model)
    if reason:
        return reason
    if not any(isinstance(one, _LAYERS) for one in model.modules()):
        return "the model has no Transformer layer of torch's; where blocks are lines of code, move the norm there"
    if not _post_norm(model):
        return "the Transformer layers normalise in front already"
    return ""


REMEDY = Remedy(
    name="pre_norm",
    title="normalisation in front of a Transformer's branches",
    answers=("vanishing_gradient", "exploding_gradient", "lr_too_high", "correlation_collapse"),
    forms=forms,
    why_not=why_not,
    explanation=(
        "Behind every sum a normalisation divides the skip connection too, so that a deep stack needs a warm-up to "
        "train; in front of attention and feed-forward it leaves the skip alone (Xiong et al. 2020). The same weights "
        "then mean something else: for a trained model it is another start."
    ),
)
