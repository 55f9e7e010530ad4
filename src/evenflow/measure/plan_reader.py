"""Read a torch model that is a chain of known layers into a plan, from which theory predicts.

One forward pass shows in which order the modules run and whether each takes exactly what the one before it put
out: a function between two modules, a skip connection or a second branch break the chain and are named.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from evenflow.errors import SpecError
from evenflow.measure.slopes import known_activation
from evenflow.spec.activation import Activation, activation
from evenflow.spec.plan import Normalisation, Plan, PlanLayer

_SKIPPED = (nn.Identity, nn.Flatten)
_ORTHOGONAL = 1e-3  # of WᵀW from a multiple of the identity


@dataclass(frozen=True)
class _Call:
    name: str
    module: nn.Module
    inputs: Tensor
    outputs: Tensor


def read_plan(model: nn.Module, inputs: Tensor) -> Plan:
    """The plan of a freshly initialised model.

    Args:
        model: linear maps, activations, layer, RMS or batch normalisations, dropout and flattening, one behind
            the other, in any nesting of modules; a linear map comes last.
        inputs: a batch; it is passed through the model once, without a gradient.

    Raises:
        SpecError: a module is not known, the modules are no chain, a linear map is used twice, or its weights
            are not a draw of mean 0. The message names the module.
    """
    calls = _calls(model, inputs)
    layers: list[PlanLayer] = []
    seen: set[int] = set()
    for call in calls:
        module = call.module
        if isinstance(module, _SKIPPED) or _passes(module):
            continue
        if isinstance(module, nn.Linear):
            if id(module.weight) in seen:
                raise SpecError(
                    f'"{call.name}" shares its weights with an earlier layer; theory takes them as new'
                )
            seen.add(id(module.weight))
            if layers and layers[-1].activation is None:
                layers[-1] = replace(layers[-1], shaped=layers[-1].name, activation=activation("identity"))
            layers.append(_linear(call.name, module))
            continue
        if not layers:
            raise SpecError(
                f'"{call.name}" ({type(module).__name__}) stands in front of the first linear map; '
                "apply it to the batch and leave it out of the model"
            )
        layers[-1] = _behind(layers[-1], call)
    if not layers or layers[-1].activation is not None:
        what = (
            f'ends with "{calls[-1].name}" ({type(calls[-1].module).__name__})' if calls else "has no layers"
        )
        raise SpecError(f"the model {what}; a linear map has to come last, whose outputs the loss takes")
    return Plan(tuple(layers))


def _calls(model: nn.Module, inputs: Tensor) -> list[_Call]:
    names = {module: name or type(module).__name__ for name, module in model.named_modules()}
    calls: list[_Call] = []
    modes = {module: module.training for module in model.modules()}

    def keep(module: nn.Module, arguments: tuple, outputs: object) -> None:
        if len(arguments) != 1 or not isinstance(arguments[0], Tensor) or not isinstance(outputs, Tensor):
            raise SpecError(
                f'"{names[module]}" ({type(module).__name__}) does not map one tensor to one tensor'
            )
        calls.append(_Call(names[module], module, arguments[0], outputs))

    leaves = [module for module in model.modules() if not list(module.children())]
    handles = [module.register_forward_hook(keep) for module in leaves]
    parameter = next(model.parameters(), inputs)
    given = inputs.detach().to(parameter.device, parameter.dtype)
    try:
        for module in leaves:
            module.eval()  # not the rest, so that a dropout without a module shows itself
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            result = model(given)
    except SpecError:
        raise
    except Exception as error:  # whatever a model of the user's raises
        first = str(error).strip().partition("\n")[0]
        raise SpecError(f"the model does not take a batch of shape {tuple(inputs.shape)}: {first}") from error
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    if calls and not _same(given, calls[0].inputs):
        raise SpecError(
            f'in front of "{calls[0].name}" something happens to the batch outside the modules; do it to the batch '
            "before it is given, and leave it out of the model"
        )
    for before, call in pairwise(calls):
        if not _same(before.outputs, call.inputs):
            raise SpecError(
                f'between "{before.name}" and "{call.name}" something happens outside the modules: a function '
                "such as torch.relu, a skip connection or another branch; theory reads chains of modules only"
            )
    last = calls[-1].outputs if calls else result
    if not (isinstance(result, Tensor) and _same(last, result) and last.shape == result.shape):
        raise SpecError(f'what the model returns is not the output of its last module, "{calls[-1].name}"')
    return calls


def _same(outputs: Tensor, inputs: Tensor) -> bool:
    """Whether one is the other, or its flattened view."""
    return outputs.data_ptr() == inputs.data_ptr() and outputs.numel() == inputs.numel()


def _linear(name: str, module: nn.Linear) -> PlanLayer:
    if module.weight.is_meta:
        raise SpecError(f'the weights of "{name}" have no values yet: the model is on the meta device')
    weight = module.weight.detach().double()
    power, mean = float(weight.square().mean()), float(weight.mean())
    if not math.isfinite(power):
        raise SpecError(f'the weights of "{name}" are not finite')
    if power == 0:
        raise SpecError(f'the weights of "{name}" are all 0: nothing passes it, forwards or backwards')
    if abs(mean) > 6 * math.sqrt(power / weight.numel()) + 0.1 * math.sqrt(power):
        raise SpecError(
            f'the weights of "{name}" have mean {mean:.3g} and root mean square {math.sqrt(power):.3g}; '
            "theory is about fresh weights, drawn around 0"
        )
    square = weight.T @ weight if weight.shape[0] >= weight.shape[1] else weight @ weight.T
    scale = float(square.diagonal().mean())
    eye = torch.eye(len(square), dtype=square.dtype, device=square.device)
    orthogonal = len(square) > 1 and float((square / scale - eye).abs().max()) < _ORTHOGONAL
    bias = 0.0 if module.bias is None else _bias_variance(name, module.bias.detach().double())
    return PlanLayer(
        name=name,
        shaped="",
        fan_in=module.in_features,
        fan_out=module.out_features,
        weight_variance=power,
        bias_variance=bias,
        orthogonal=orthogonal,
        bias=module.bias is not None,
    )


def _bias_variance(name: str, bias: Tensor) -> float:
    power, mean = float(bias.square().mean()), float(bias.mean())
    constant = float(bias.std(correction=0)) < 0.01 * abs(mean)
    far = abs(mean) > 6 * math.sqrt(power / bias.numel()) + 0.1 * math.sqrt(power)
    if bias.numel() > 1 and (constant or far):
        raise SpecError(
            f'the bias of "{name}" has mean {mean:.3g} and root mean square {math.sqrt(power):.3g}; theory is about '
            "fresh biases, drawn around 0"
        )
    return power


def _passes(module: nn.Module) -> bool:
    """Whether a module changes nothing: a dropout or a fresh batch normalisation in evaluation mode."""
    if isinstance(module, nn.Dropout):
        return not module.training or module.p == 0
    if isinstance(module, nn.BatchNorm1d) and not module.training and module.running_mean is not None:
        assert module.running_var is not None
        return not bool(module.running_mean.any()) and bool((module.running_var == 1).all())
    return False


def _behind(layer: PlanLayer, call: _Call) -> PlanLayer:
    """The layer with one more module behind it."""
    module = call.module
    if isinstance(module, nn.Dropout):
        if module.p >= 1:
            raise SpecError(f'"{call.name}" drops everything; no signal passes it')
        if layer.activation is None:
            raise SpecError(
                f'"{call.name}" drops pre-activations; theory knows dropout behind an activation only'
            )
        return replace(layer, dropout=1 - (1 - layer.dropout) * (1 - module.p))
    kind = _normalisation(call)
    if kind == "batch" and not module.training:
        raise SpecError(
            f'"{call.name}" is in evaluation mode with statistics of its own; a prediction is for train()'
        )
    if kind is not None:
        if layer.normalisation != "none" or layer.dropout:
            raise SpecError(f'"{call.name}" is a second normalisation, or stands behind a dropout')
        return replace(layer, normalisation=kind, after=layer.activation is not None)
    if layer.activation is not None:
        raise SpecError(f'"{call.name}" is a second activation behind "{layer.name}"')
    return replace(layer, shaped=call.name, activation=_function(call))


def _normalisation(call: _Call) -> Normalisation | None:
    module = call.module
    kinds: tuple[tuple[type[nn.Module], Normalisation], ...] = (
        (nn.BatchNorm1d, "batch"),
        (nn.LayerNorm, "layer"),
        (nn.RMSNorm, "rms"),
    )
    for known, kind in kinds:
        if isinstance(module, known):
            if module.weight is not None and not bool((module.weight == 1).all()):
                raise SpecError(f'"{call.name}" has been trained: its scale is not 1 everywhere')
            return kind
    return None


def _function(call: _Call) -> Activation:
    module = call.module
    function = known_activation(module)
    if function is not None:
        return function
    if next(module.parameters(), None) is None:
        return _own(call)
    raise SpecError(
        f'"{call.name}" is a {type(module).__name__}, which theory does not know; it reads Linear, activations, '
        "LayerNorm, RMSNorm, BatchNorm1d, Dropout and Flatten"
    )


def _own(call: _Call) -> Activation:
    """Any other module without parameters, if it acts on every number alone."""
    from evenflow.spec.activation import elementwise

    name = type(call.module).__name__
    try:
        return elementwise(name, call.module)
    except SpecError as error:
        raise SpecError(
            f'"{call.name}" is a {name}, which is no activation that theory can read: {error}'
        ) from error
