"""Plain PyTorch measurements of a case, for the published detectors and for the truth of symptoms.

Nothing here is Evenflow's: forward hooks on modules, the parameters' gradients, and norms. Every one of the first
five steps is measured, then every tenth; an epoch is 25 steps, and the last batches are kept for validation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

from .models import Exponential, weights
from .recipe import Case, Training
from .trial import _right, built

EPOCH = 25
HELD = 3
UNBOUNDED = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Softplus, Exponential)
RELU = (nn.ReLU, Exponential)
BOUNDED = {nn.Tanh: 9.4999, nn.Sigmoid: 17.0, nn.Hardtanh: 1.0, nn.Hardsigmoid: 3.0, nn.Softsign: 9.4999}
"""SageMaker's bounds, derived from a gradient of 1e-7, and the corners of the piecewise ones."""


@dataclass(frozen=True)
class Weight:
    """One weight matrix at one step: its gradient, itself, and its update."""

    grad_norm: float
    grad_mean: float
    grad_mean_abs: float
    grad_zeros: float
    grad_spread: float  # from the 5th to the 95th percentile
    mean: float
    variance: float
    norm: float
    update: float
    size: int


@dataclass(frozen=True)
class Output:
    """One module's output at one step; shares are of the batch's entries or of units."""

    kind: str  # "relu", "bounded", "smooth", "linear"
    mean: float
    std: float
    not_positive: float
    beyond_five: float  # pre-activations, of bounded activations
    silent_units: float  # active for less than 1 % of samples
    faint_units: float  # 95th percentile below 1e-5
    flat_units: float  # beyond the bound for 99 % of samples
    extreme_units: float  # mean distance from the centre beyond 0.85 of the range


@dataclass(frozen=True)
class Snapshot:
    """One measured step."""

    step: int
    loss: float
    weights: dict[str, Weight]
    outputs: dict[str, Output]


@dataclass(frozen=True)
class Epoch:
    """The end of an epoch: losses and accuracies (NaN for real targets) of training and validation."""

    step: int
    loss: float
    accuracy: float
    held_loss: float
    held_accuracy: float


@dataclass
class Record:
    """All that was measured of one case."""

    classes: int
    loss_kind: str
    last_module: str
    dropout: float
    linear_chain: bool
    rate: float
    input_low: float
    input_high: float
    input_mean: float
    input_std: float
    inputs_finite: bool
    inputs_real: bool
    target_low: float
    target_high: float
    imbalance: float
    output_low: float = math.nan
    output_high: float = math.nan
    fans: dict[str, tuple[int, int]] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)

    def until(self, steps: int) -> Record:
        """What was known after so many steps."""
        found = Record(**vars(self))
        found.losses = self.losses[:steps]
        found.snapshots = [one for one in self.snapshots if one.step < steps]
        found.epochs = [one for one in self.epochs if one.step <= steps]
        return found


def record(case: Case, steps: int = 200, training: Training | None = None) -> Record:
    """Train the case, or what somebody has made of it, and measure it."""
    training = training or built(case)
    served = training.batches[:-HELD] if len(training.batches) > 2 * HELD else training.batches
    found = _begin(training, case)
    outputs: dict[str, Output] = {}
    for place in range(steps):
        measured = place < 5 or place % 10 == 0 or place % EPOCH == EPOCH - 1
        hooks = _hooks(training.model, outputs) if measured else []
        before = {name: one.detach().clone() for name, one in weights(training.model)} if measured else {}
        training.model.train()
        inputs, targets = served[place % len(served)]
        training.optimiser.zero_grad()
        output = training.model(inputs)
        for hook in hooks:
            hook.remove()
        loss = training.loss(output, targets)
        if loss.requires_grad:
            loss.backward()
        if place == 0:
            found.output_low, found.output_high = float(output.detach().min()), float(output.detach().max())
        if training.clip_norm is not None:
            nn.utils.clip_grad_norm_(training.model.parameters(), training.clip_norm)
        training.optimiser.step()
        if training.scheduler is not None:
            training.scheduler.step()
        value = float(loss.detach())
        found.losses.append(value)
        if measured:
            now = {name: _weight(one, before[name]) for name, one in weights(training.model)}
            found.snapshots.append(Snapshot(place, value, now, dict(outputs)))
        if (place + 1) % EPOCH == 0:
            found.epochs.append(_epoch(training, served, place + 1))
        if not math.isfinite(value) and place >= 5 and not math.isfinite(found.losses[-3]):
            break
    return found


def _begin(training: Training, case: Case) -> Record:
    inputs = torch.cat([one for one, _ in training.batches]).float()
    targets = torch.cat([one for _, one in training.batches])
    classes = 0 if training.score == "explained" else max(2, int(targets.max()) + 1)
    counts = targets.flatten().long().bincount() if classes else torch.ones(1)
    kinds = [one for one in training.model.modules() if not list(one.children())]
    mapped = [isinstance(one, nn.Linear | nn.Conv2d) for one in kinds]
    recipe = case.recipe
    if case.mechanism and case.mechanism.recipe:
        recipe = case.mechanism.recipe(recipe, case.dose)
    finite = inputs[torch.isfinite(inputs)]
    return Record(
        classes=classes,
        loss_kind=recipe.loss,
        last_module=type(kinds[-1]).__name__,
        dropout=max((one.p for one in kinds if isinstance(one, nn.Dropout)), default=0.0),
        linear_chain=any(a and b for a, b in pairwise(mapped)) and recipe.family in ("mlp", "cnn"),
        rate=training.optimiser.param_groups[0]["lr"],
        input_low=float(finite.min()),
        input_high=float(finite.max()),
        input_mean=float(finite.mean()),
        input_std=float(finite.std()),
        inputs_finite=len(finite) == inputs.numel(),
        inputs_real=training.batches[0][0].is_floating_point(),
        target_low=float(targets.min()),
        target_high=float(targets.max()),
        imbalance=float(counts.max() / counts.clamp(min=1).min()),
        fans={name: nn.init._calculate_fan_in_and_fan_out(one) for name, one in weights(training.model)},
    )


@torch.no_grad()
def _weight(weight: nn.Parameter, before: Tensor) -> Weight:
    grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
    ordered = grad.flatten()[:1000].float().sort().values
    figures = (
        grad.norm(),
        grad.mean(),
        grad.abs().mean(),
        (grad == 0).float().mean(),
        ordered[int(0.95 * (len(ordered) - 1))] - ordered[int(0.05 * (len(ordered) - 1))],
        weight.mean(),
        weight.var(),
        before.norm(),
        (weight - before).norm(),
    )
    values = torch.stack([one.float() for one in figures]).tolist()
    return Weight(*values, size=weight.numel())


def _hooks(model: nn.Module, outputs: dict[str, Output]) -> list:
    outputs.clear()
    hooks = []
    for name, module in model.named_modules():
        known = isinstance(module, (*UNBOUNDED, *BOUNDED, nn.Linear, nn.Conv2d))
        if known:
            hooks.append(module.register_forward_hook(_hook(name, outputs)))
    return hooks


def _hook(name: str, outputs: dict[str, Output]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    @torch.no_grad()
    def hook(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        key = name if name not in outputs else f"{name}+"
        outputs[key] = _output(module, given[0].float(), output.float())

    return hook


def _by_unit(values: Tensor) -> Tensor:
    """Of shape (samples or places, units), 256 rows at most."""
    rows = values.flatten(2).transpose(1, 2).flatten(0, 1) if values.dim() == 4 else values.flatten(0, -2)
    return rows[:: max(1, len(rows) // 256)]


def _output(module: nn.Module, given: Tensor, output: Tensor) -> Output:
    bound = next((value for kind, value in BOUNDED.items() if isinstance(module, kind)), None)
    relu = isinstance(module, RELU)
    kind = "relu" if relu else "bounded" if bound else "smooth" if isinstance(module, UNBOUNDED) else "linear"
    zero = torch.zeros(())
    silent = faint = flat = extreme = beyond = not_positive = zero
    units = _by_unit(output)
    if kind != "linear":
        not_positive = torch.le(units, 0).float().mean()
        faint = (
            torch.lt(units.abs().kthvalue(max(1, int(0.95 * len(units))), dim=0).values, 1e-5).float().mean()
        )
    if kind == "relu":
        silent = ((units > 0).float().mean(0) < 0.01).float().mean()
    if bound is not None:
        before = _by_unit(given)
        flat = ((before.abs() > bound).float().mean(0) > 0.99).float().mean()
        beyond = (before.abs() >= 5).float().mean()
        centre, reach = (0.5, 0.5) if isinstance(module, nn.Sigmoid | nn.Hardsigmoid) else (0.0, 1.0)
        extreme = (((units - centre) / reach).abs().mean(0) > 0.85).float().mean()
    figures = (output.mean(), output.std(), not_positive, beyond, silent, faint, flat, extreme)
    return Output(kind, *torch.stack(figures).tolist())


@torch.no_grad()
def _epoch(training: Training, served: list, step: int) -> Epoch:
    training.model.eval()
    figures = []
    for some in (served[:6], training.batches[-HELD:]):
        losses, right = [], []
        for inputs, targets in some:
            output = training.model(inputs)
            losses.append(float(training.loss(output, targets)))
            if training.score == "accuracy":
                right.append(float(_right(output, targets).float().mean()))
        figures += [sum(losses) / len(losses), sum(right) / len(right) if right else math.nan]
    return Epoch(step, *figures)
