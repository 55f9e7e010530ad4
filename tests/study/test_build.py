"""Networks built from a specification, against hand-written PyTorch."""

import msgspec
import pytest
import torch
from torch import nn

from evenflow import Network, activation_names, build
from evenflow.study.elementwise import activation_module
from evenflow.study.flops import flops_per_step

X = torch.linspace(-2, 2, 7 * 5).reshape(7, 5)


def test_a_plain_network_is_what_a_user_would_write() -> None:
    model = build(Network(depth=2, width=4, activation="tanh"), 5, 3)
    assert [type(layer) for layer in model.children()] == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]
    assert [name for name, _ in model.named_children()][-1] == "output"


@pytest.mark.parametrize("name", activation_names())
def test_every_module_computes_what_the_catalogue_says(name: str) -> None:
    function = Network(activation=name).activations[0]
    z = torch.linspace(-8, 8, 4 * 9).reshape(9, 4).requires_grad_()
    values = activation_module(function, 4)(z)
    torch.testing.assert_close(values, function(z), atol=1e-6, rtol=1e-5)
    values.sum().backward()
    assert z.grad is not None
    torch.testing.assert_close(z.grad, function.derivative(z.detach()), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("normalisation", ["none", "batch", "layer", "rms"])
@pytest.mark.parametrize("position", ["before", "after"])
def test_where_the_normalisation_stands(normalisation: str, position: str) -> None:
    network = msgspec.convert(
        {
            "depth": 1,
            "width": 4,
            "activation": "tanh",
            "normalisation": normalisation,
            "normalisation_position": position,
        },
        Network,
    )
    model = build(network, 5, 3)
    hidden, output = model.get_submodule("hidden_1"), model.get_submodule("output")
    norm = {
        "none": lambda z: z,
        "batch": lambda z: (z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt(),
        "layer": lambda z: (
            (z - z.mean(1, keepdim=True)) / (z.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
        ),
        "rms": lambda z: z / (z.square().mean(1, keepdim=True) + torch.finfo(z.dtype).eps).sqrt(),
    }[normalisation]
    z = hidden(X)
    expected = output(torch.tanh(norm(z)) if position == "before" else norm(torch.tanh(z)))
    torch.testing.assert_close(model(X), expected, atol=1e-5, rtol=1e-4)


def test_a_pre_activation_block_leaves_the_skip_untouched() -> None:
    model = build(Network(depth=3, width=4, activation="relu", residual="pre", residual_scale=0.5), 5, 3)
    w1, w2, w3, out = (model.get_submodule(name) for name in ("hidden_1", "hidden_2", "hidden_3", "output"))
    x = w1(X)
    x = x + 0.5 * w2(torch.relu(x))
    x = x + 0.5 * w3(torch.relu(x))
    torch.testing.assert_close(model(X), out(torch.relu(x)))


def test_a_post_activation_block_normalises_and_activates_the_sum() -> None:
    network = Network(depth=2, width=4, activation="relu", residual="post", normalisation="layer")
    model = build(network, 5, 3)
    w1, w2, out = (model.get_submodule(name) for name in ("hidden_1", "hidden_2", "output"))
    x = torch.relu(nn.functional.layer_norm(w1(X), (4,)))
    x = torch.relu(nn.functional.layer_norm(x + w2(x), (4,)))
    torch.testing.assert_close(model(X), out(x))


def test_dropout_stands_behind_the_activation() -> None:
    model = build(Network(depth=1, width=400, dropout=0.5), 5, 3)
    model.train()
    assert isinstance(model.get_submodule("dropout_1"), nn.Dropout)
    hidden = nn.Sequential(*list(model.children())[:3])
    assert 0.6 < (hidden(X) == 0).float().mean() < 0.9


def test_a_learned_slope_per_channel() -> None:
    model = build(Network(depth=1, width=4, activation="prelu"), 5, 3)
    slope = model.get_parameter("activation_1.weight")
    assert slope.tolist() == [0.25] * 4


@pytest.mark.parametrize("widths", [(4,), (8, 16, 4)])
def test_floating_point_operations_as_torch_counts_them(widths: tuple[int, ...]) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network = Network(width=widths)
    model = build(network, 5, 3)
    with FlopCounterMode(display=False) as counter:
        model(X).sum().backward()
    assert flops_per_step(network, 5, 3, len(X)) == counter.get_total_flops()
