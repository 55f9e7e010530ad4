"""ReLU's slope at z = 0: 0, 0.5 or 1, in networks with random weights and behind a layer that starts at zero."""

from __future__ import annotations

from typing import Any

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.experiments.start import data
from evenflow.claims.experiments.trainings import accuracy, plainly
from evenflow.claims.figure import Figures, sampled, within
from evenflow.claims.verdict import Verdict, case, weigh

_SLOPES = (0.0, 0.5, 1.0)
_SAME = 0.02  # of accuracy


def experiment(settings: Settings, slopes: tuple[float, float, float] = _SLOPES) -> Figures:
    """Digits: accuracy with each slope at zero minus that with the first, from equal starts on equal batches."""
    seeds, steps, figures = settings.seeds(5, 10), settings.choose(150, 600), {}
    for start in ("random", "zero"):
        found = {slope: [_trained(slope, start == "zero", steps, seed) for seed in seeds] for slope in slopes}
        for slope in slopes[1:]:
            differences = [b - a for (a, _), (b, _) in zip(found[slopes[0]], found[slope], strict=True)]
            figures[f"{start} {slope:g}"] = sampled(
                f"{start} start, slope {slope:g} against {slopes[0]:g}: accuracy", differences
            )
        figures[f"{start} zeros"] = sampled(
            f"{start} start: share of z that is exactly 0", [zeros for _, zeros in found[slopes[0]]]
        )
    return figures


def _trained(slope: float, from_zero: bool, steps: int, seed: int) -> tuple[float, float]:
    """Accuracy of 64-64-64-10 units after training, and the share of first pre-activations that are exactly 0."""
    import torch
    from torch import nn

    class Rectify(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, z: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(z)
            return z.clamp(min=0)

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
            (z,) = ctx.saved_tensors
            slopes = torch.where(z > 0, 1.0, torch.where(z == 0, slope, 0.0))
            return gradients[0] * slopes

    class Rectifier(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            outputs = Rectify.apply(z)
            assert isinstance(outputs, torch.Tensor)
            return outputs

    torch.manual_seed(seed)
    digits = data()
    middle = nn.Linear(64, 64)
    model = nn.Sequential(nn.Linear(64, 64), Rectifier(), middle, Rectifier(), nn.Linear(64, digits.classes))
    if from_zero:
        nn.init.zeros_(middle.weight)
        nn.init.zeros_(middle.bias)
    with torch.no_grad():
        zeros = float((model[:3](torch.from_numpy(digits.train_inputs)) == 0).double().mean())
    plainly(model, torch.optim.Adam(model.parameters()), steps, seed)
    return accuracy(model), zeros


def judge(figures: Figures) -> Verdict:
    """No matter: the mean accuracy differs by less than two points."""

    texts = {"random": "with random weights", "zero": "behind a layer whose weights and biases start at 0"}
    return weigh(
        *(
            case(
                f"{text}, slope {slope:g} instead of 0",
                within(figures[f"{start} {slope:g}"], -_SAME, _SAME),
                figures[f"{start} {slope:g}"],
                figures[f"{start} zeros"],
            )
            for start, text in texts.items()
            for slope in _SLOPES[1:]
        )
    )


CLAIM = Claim(
    name="slope_at_zero",
    sentence="The slope that ReLU is given at z = 0 does not matter: 0, 0.5 and 1 train alike.",
    source="lecture notes and question-and-answer pages",
    true_if="The accuracy differs by less than two points from equal starts.",
    false_if="It differs, because z is exactly 0 where a layer starts at zero.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
