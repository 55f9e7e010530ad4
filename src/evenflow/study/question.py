"""What theory is asked about: a network, a batch and a loss, brought from what people have into what it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import SpecError
from evenflow.spec.content import content_hash
from evenflow.spec.convolutional import ConvolutionalNetwork
from evenflow.spec.data import Data
from evenflow.spec.families import AnyNetwork, family_of
from evenflow.spec.network import Network
from evenflow.spec.plan import Plan, plan_of
from evenflow.spec.recurrent import RecurrentNetwork
from evenflow.theory.losses import Gradient, loss_gradient

if TYPE_CHECKING:
    from torch import nn

    from evenflow.study.data import DataSet

Array = NDArray[np.float64]
Loss = str | Callable[..., Any]

MOST = 256
"""Samples of a batch that a prediction carries; the first of a larger one stand for it."""


@dataclass(frozen=True, eq=False)
class Question:
    """What theory is asked about.

    Args:
        plan: the network.
        inputs: the batch, shape (samples, features).
        gradient: of the loss with respect to the logits.
        window: the samples among which dead units are sought.
        fields, key: of the run in the table.
        whole: samples of the batch, of which `inputs` may hold the first only.
    """

    plan: Plan
    inputs: Array
    gradient: Gradient
    window: Array
    fields: dict[str, object]
    key: str
    whole: int


def question(
    network: AnyNetwork | nn.Module,
    data: Data | Sequence[Any] | None,
    loss: Loss | None,
    *,
    batch: int,
    seed: int,
) -> Question:
    """Bring a network, its data and its loss into the form that theory takes; arguments as of `predict`.

    Raises:
        SpecError: the network is of a family that theory does not predict layer by layer, or something does not fit.
    """
    if isinstance(network, AnyNetwork):
        network = predictable(network)
        if not (data is None or isinstance(data, Data)):
            raise SpecError(
                "a specification is predicted on a data set, Data(name=...); a batch goes with a torch model"
            )
        chosen = data or Data()
        samples = load_data(chosen)
        inputs, labels = first_batch(samples, batch, seed)
        whole, inputs, labels = len(inputs), inputs[:MOST], labels[:MOST]
        return Question(
            plan_of(network, samples.train_inputs.shape[1], samples.classes),
            inputs,
            _gradient(loss, labels, samples.classes),
            samples.train_inputs.astype(np.float64),
            {**network.plain, "data": chosen.name},
            content_hash([network.hash, chosen, str(loss), batch, seed]),
            whole,
        )
    plan, inputs, gradient, whole = _from_model(network, data, loss)
    key = content_hash([plan.widths, [layer.name for layer in plan.layers], len(inputs), seed])
    return Question(plan, inputs, gradient, inputs, {"model": type(network).__name__}, key, whole)


def predictable(network: AnyNetwork) -> Network:
    """The specification itself, where theory predicts it layer by layer.

    Raises:
        SpecError: it is of another family, of which theory knows no more than how much a stack of its blocks grows.
    """
    if isinstance(network, Network):
        return network
    if isinstance(network, ConvolutionalNetwork):
        instead = "convolution_stack knows a stack without pooling, skips and normalisation"
    elif isinstance(network, RecurrentNetwork):
        instead = "rnn, lstm and gru know the gradient through the time steps of one layer"
    else:
        instead = "transformer_stack knows the growth over its blocks"
    raise SpecError(
        f"theory predicts fully connected networks layer by layer, and no {family_of(network)} one; "
        f"evenflow.theory.blocks.{instead}"
    )


def load_data(data: Data) -> DataSet:
    """The data set, whose readers are imported when they are wanted."""
    from evenflow.study.data import load

    return load(data)


def first_batch(samples: DataSet, batch: int, seed: int) -> tuple[Array, NDArray[np.int64]]:
    """Inputs and labels of the batch of step 0.

    Raises:
        SpecError: the batch is empty.
    """
    from evenflow.study.draws import batch_indices

    if batch < 1:
        raise SpecError(f"batch = {batch}: a batch has 1 sample or more")
    chosen = batch_indices(0, len(samples.train_inputs), batch, seed)
    return samples.train_inputs[chosen].astype(np.float64), samples.train_labels[chosen]


def _gradient(loss: Loss | None, labels: NDArray[np.int64], outputs: int) -> Gradient:
    if loss is None or isinstance(loss, str):
        return loss_gradient(loss or "cross_entropy", labels, outputs)
    import torch

    return _torch_gradient(loss, torch.from_numpy(labels))


def _torch_gradient(loss: Loss, targets: Any) -> Gradient:
    """The gradient of a loss written for torch, one draw of the logits at a time."""
    import torch

    def gradient(logits: Array) -> Array:
        found = np.empty_like(logits)
        for place, one in enumerate(logits):
            with torch.inference_mode(False), torch.enable_grad():
                leaf = torch.tensor(one, dtype=torch.float64, requires_grad=True)
                value = torch_loss(loss, leaf, targets)
                if not value.requires_grad:
                    raise SpecError("the loss does not depend on the logits: it has no gradient")
                found[place] = torch.autograd.grad(value, leaf)[0].numpy()
        return found

    return gradient


def torch_loss(loss: Loss | None, logits: Any, targets: Any) -> Any:
    """The loss of a batch as a scalar tensor.

    Raises:
        SpecError: the loss is not known, or does not return a scalar tensor.
    """
    import torch

    if loss is None or loss == "cross_entropy":
        return torch.nn.functional.cross_entropy(logits, targets)
    if loss == "mse":
        wanted = torch.nn.functional.one_hot(targets, logits.shape[1]).to(logits.dtype)
        return torch.nn.functional.mse_loss(logits, wanted)
    if isinstance(loss, str):
        loss_gradient(loss, np.zeros(1, dtype=np.int64), 1)  # says which losses are known
    assert callable(loss)
    # in single precision, as the user's own tensors inside the loss are
    logits = logits.float()
    if isinstance(targets, torch.Tensor) and targets.is_floating_point():
        targets = targets.float()
    try:
        value = loss(logits, targets)
    except Exception as error:  # whatever a loss of the user's raises
        first = str(error).strip().partition("\n")[0]
        raise SpecError(
            f"the loss does not take logits of shape {tuple(logits.shape)} and these targets: {first}"
        ) from error
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        got = (
            f"a tensor of shape {tuple(value.shape)}"
            if isinstance(value, torch.Tensor)
            else type(value).__name__
        )
        raise SpecError(f"the loss returned {got}, but a scalar tensor is needed: its mean over the batch")
    return value.reshape(())


def _from_model(model: Any, data: Any, loss: Loss | None) -> tuple[Plan, Array, Gradient, int]:
    import torch

    from evenflow.measure.plan_reader import read_plan

    if not isinstance(model, torch.nn.Module):
        raise SpecError(f"predict takes a Network or a torch model, not a {type(model).__name__}")
    if not (isinstance(data, Sequence) and len(data) == 2):
        raise SpecError(
            "a torch model is predicted on a batch: give (inputs, targets) as the second argument"
        )
    inputs, targets = (torch.as_tensor(one) for one in data)
    if inputs.ndim < 2 or not inputs.numel():
        raise SpecError(f"a batch has inputs of shape (samples, …), not of shape {tuple(inputs.shape)}")
    if not targets.ndim or len(targets) != len(inputs):
        raise SpecError(f"the batch has {len(inputs)} inputs, but targets of shape {tuple(targets.shape)}")
    whole, inputs, targets = len(inputs), inputs[:MOST], targets[:MOST]
    plan = read_plan(model, inputs)
    if isinstance(loss, str) or loss is None:
        if targets.is_floating_point() or targets.ndim != 1 or len(targets) != len(inputs):
            raise SpecError(
                f"{loss or 'cross_entropy'} takes one class number a sample as targets; give a loss of your own, "
                "such as torch.nn.MSELoss(), for others"
            )
        outputs = plan.layers[-1].fan_out
        if int(targets.min()) < 0 or int(targets.max()) >= outputs:
            raise SpecError(f"targets run to class {int(targets.max())}, but the model has {outputs} outputs")
        gradient = loss_gradient(loss or "cross_entropy", targets.numpy(), outputs)
    else:
        gradient = _torch_gradient(loss, targets)
    flat = inputs.detach().reshape(len(inputs), -1).double().numpy()
    return plan, flat, gradient, whole
