"""Trainings that look ailing and are not: each change here does no harm, or is meant."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from .models import Network, weights
from .recipe import Mechanism, Training
from .surgery import behind_head, each_bias, hidden_names, inputs_through, layers, recipe_with


def _sparse_table(model: nn.Module, dose: float) -> nn.Module:
    """A table of many words that never come."""
    assert isinstance(model, Network)
    assert model.stem is not None
    old = model.stem.words
    assert isinstance(old, nn.Embedding)
    model.stem.words = nn.Embedding(int(dose), old.embedding_dim)
    return model


def _open_gates(model: nn.Module, dose: float) -> nn.Module:
    """Forget gates that begin near 1."""
    for one in model.modules():
        if isinstance(one, nn.LSTM):
            for name, bias in one.named_parameters():
                if "bias_ih" in name:
                    nn.init.constant_(bias[one.hidden_size : 2 * one.hidden_size], dose)
    return model


def _zero_head(model: nn.Module, _dose: float) -> nn.Module:
    nn.init.zeros_(weights(model)[-1][1])
    return model


def _zero_branches(model: nn.Module, _dose: float) -> nn.Module:
    """Blocks that begin as the identity."""
    for one in layers(model):
        if one.norm is not None and one.residual:
            assert isinstance(one.norm.weight, Tensor)
            nn.init.zeros_(one.norm.weight)
    for name, one in model.named_parameters():
        if "project.weight" in name or "down.weight" in name:
            nn.init.zeros_(one)
    return model


def _frozen_backbone(model: nn.Module, _dose: float) -> nn.Module:
    """All but the last layer, before the optimiser is made."""
    hidden = hidden_names(model)
    for name, one in model.named_parameters():
        one.requires_grad_(name not in hidden)
    return model


def _half_frozen(model: nn.Module, _dose: float) -> nn.Module:
    """The first layer keeps its start."""
    name = weights(model)[0][0].rsplit(".", 1)[0]
    for full, one in model.named_parameters():
        if full.startswith(f"{name}."):
            one.requires_grad_(False)
    return model


def _trained_before(training: Training, dose: float) -> Training:
    """Nearly at its end: `dose` steps are behind it."""
    training.model.train()
    for step in range(int(dose)):
        inputs, targets = training.batches[step % len(training.batches)]
        training.optimiser.zero_grad()
        training.loss(training.model(inputs), targets).backward()
        training.optimiser.step()
    training.optimiser.zero_grad()
    return training


def _warm_up(training: Training, dose: float) -> Training:
    found = torch.optim.lr_scheduler.LambdaLR(training.optimiser, lambda step: min(1.0, (step + 1) / dose))
    return replace(training, scheduler=found)


def _cosine(training: Training, dose: float) -> Training:
    return replace(
        training, scheduler=torch.optim.lr_scheduler.CosineAnnealingLR(training.optimiser, int(dose))
    )


def _clip(training: Training, dose: float) -> Training:
    return replace(training, clip_norm=dose)


def _wide_loss(training: Training, dose: float) -> Training:
    """Adam does not mind the size of the loss."""
    plain = training.loss
    return replace(training, loss=lambda output, target: plain(output, target) * dose)


def _layer_rates(training: Training, dose: float) -> Training:
    """Early layers learn more slowly, each layer `dose` times its successor's rate."""
    optimiser = training.optimiser
    rate = optimiser.param_groups[0]["lr"]
    parameters = list(training.model.named_parameters())
    depth = {name.rsplit(".", 1)[0]: None for name, _ in parameters}
    places = {name: len(depth) - 1 - place for place, name in enumerate(depth)}
    groups = [
        {"params": [one], "lr": rate * dose ** places[name.rsplit(".", 1)[0]]} for name, one in parameters
    ]
    return replace(training, optimiser=type(optimiser)(groups))  # type: ignore[call-arg]


class _Unused(nn.Module):
    """A model with a second head that nothing calls."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.second = model, nn.Linear(8, 8)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.model(inputs)


def _unused(model: nn.Module, _dose: float) -> nn.Module:
    return _Unused(model)


class _LogChances(nn.Module):
    """−log p of what a model's softmax gives: right, if not the best way."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return -torch.log(output[torch.arange(len(target)), target] + 1e-9).mean()


def _log_chances(training: Training, _dose: float) -> Training:
    return replace(training, loss=_LogChances())


def _one_hot_square(training: Training, _dose: float) -> Training:
    """Mean square against one-hot targets."""
    return replace(
        training,
        loss=lambda output, target: 10 * F.mse_loss(output, F.one_hot(target, output.shape[1]).float()),
    )


def _smoothed(training: Training, dose: float) -> Training:
    return replace(training, loss=nn.CrossEntropyLoss(label_smoothing=dose))


def _penalised(training: Training, dose: float) -> Training:
    """A second term beside the fit."""
    plain, model = training.loss, training.model

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return (
            plain(output, target)
            + dose * torch.stack([one.square().sum() for one in model.parameters()]).sum()
        )

    return replace(training, loss=loss)


def _constant_columns(inputs: Tensor, dose: float) -> Tensor:
    found = inputs.clone()
    found[:, :: int(dose)] = 0
    return found


def _counts(batches: list, dose: float) -> list:
    """Targets that cannot be negative."""
    return [(inputs, (targets + dose).relu()) for inputs, targets in batches]


def _between(batches: list, dose: float) -> list:
    """Targets between 0 and 1."""
    return [(inputs, torch.sigmoid(dose * targets)) for inputs, targets in batches]


def _few_of_one(batches: list, dose: float) -> list:
    """A tenth of class 1, the rest class 0."""
    inputs = torch.cat([one for one, _ in batches])
    targets = torch.cat([one for _, one in batches])
    kept = (targets == 0) | (torch.arange(len(targets)) % int(dose) == 0)
    size = len(batches[0][0])
    inputs, targets = inputs[kept], targets[kept]
    count = len(inputs) // size
    return [(inputs[i * size : (i + 1) * size], targets[i * size : (i + 1) * size]) for i in range(count)]


def _bfloat(training: Training, _dose: float) -> Training:
    """Arithmetic in bfloat16, weights in float32."""
    model = _Autocast(training.model)
    return replace(training, model=model)


class _Autocast(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = self.model(inputs)
        return output.float()


def _tied(model: nn.Module, _dose: float) -> nn.Module:
    """One table for words at both ends."""
    assert isinstance(model, Network)
    assert model.stem is not None
    assert isinstance(model.stem.words, nn.Embedding)
    assert isinstance(model.head, nn.Linear)
    nn.init.normal_(model.stem.words.weight, 0, 0.3)
    model.head.weight = model.stem.words.weight
    return model


MECHANISMS = (
    Mechanism("sparse_table", "", doses=(400, 2000), model=_sparse_table),
    Mechanism("bias_before_norm", "", recipe=recipe_with(normalisation="batch")),
    Mechanism("open_gates", "", doses=(3, 5), model=_open_gates),
    Mechanism("zero_head", "", model=_zero_head),
    Mechanism("zero_branches", "", model=_zero_branches),
    Mechanism("frozen_backbone", "", model=_frozen_backbone),
    Mechanism("half_frozen", "", model=_half_frozen),
    Mechanism("trained_before", "", doses=(400, 800), training=_trained_before),
    Mechanism("warm_up", "", doses=(50, 100), training=_warm_up),
    Mechanism("cosine_rate", "", doses=(400,), training=_cosine),
    Mechanism("half_dropped", "", doses=(0.5, 0.3), recipe=recipe_with(dropout="DOSE")),
    Mechanism(
        "small_batches",
        "",
        doses=(4, 8),
        recipe=lambda recipe, dose: replace(recipe, batch=int(dose), rate=recipe.rate / 2),
    ),
    Mechanism("summed_loss", "", recipe=recipe_with(loss="summed_cross_entropy")),
    Mechanism("wide_loss", "", doses=(1000.0, 1e-3), training=_wide_loss),
    Mechanism(
        "weight_decay", "", doses=(0.01, 0.1), recipe=recipe_with(weight_decay="DOSE", optimiser="adamw")
    ),
    Mechanism("seldom_clipped", "", doses=(2.0, 5.0), training=_clip),
    Mechanism("always_clipped", "", doses=(0.5, 1.0), training=_clip),
    Mechanism("sparse_units", "", doses=(0.5, 0.3), model=each_bias(lambda bias, dose: bias.sub_(dose))),
    Mechanism("layer_rates", "", doses=(0.7, 0.5), training=_layer_rates),
    Mechanism("unused_head", "", model=_unused),
    Mechanism(
        "log_softmax_and_nll",
        "",
        recipe=recipe_with(loss="nll"),
        model=behind_head(lambda: nn.LogSoftmax(dim=-1)),
    ),
    Mechanism("log_of_chances", "", model=behind_head(lambda: nn.Softmax(dim=-1)), training=_log_chances),
    Mechanism("sigmoid_and_bce", "", recipe=recipe_with(loss="bce"), model=behind_head(nn.Sigmoid)),
    Mechanism("one_hot_square", "", training=_one_hot_square),
    Mechanism("smoothed_labels", "", doses=(0.1, 0.2), training=_smoothed),
    Mechanism("penalised", "", doses=(1e-4, 1e-3), training=_penalised),
    Mechanism("constant_columns", "", doses=(2, 3), data=inputs_through(_constant_columns)),
    Mechanism("counts_behind_relu", "", doses=(1.5, 2.5), data=_counts, model=behind_head(nn.Softplus)),
    Mechanism("shares_behind_sigmoid", "", doses=(1.0, 2.0), data=_between, model=behind_head(nn.Sigmoid)),
    Mechanism("few_of_one", "", doses=(6, 10), data=_few_of_one),
    Mechanism("autocast", "", training=_bfloat),
    Mechanism("tied_words", "", model=_tied),
)
