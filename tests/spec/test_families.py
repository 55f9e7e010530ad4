"""The families of networks as data: wrong values in one clear line, what samples they read, TOML there and back."""

import pickle

import pytest

from evenflow import ConvolutionalNetwork, Network, RecurrentNetwork, SpecError, Study, TransformerNetwork
from evenflow.spec.data import Data
from evenflow.spec.families import FAMILIES, changed_network, family_of
from evenflow.spec.files import study_from_text, study_to_text
from evenflow.spec.remedies import remedied, why_not
from evenflow.spec.specification import GRID_KEYS, Specification


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (ConvolutionalNetwork, {"depth": 0}, "depth = 0: a network has at least 1 convolution"),
        (ConvolutionalNetwork, {"kernel": 4}, "kernel = 4: an odd number, so that the image keeps its size"),
        (ConvolutionalNetwork, {"pooling": -1}, "pooling = -1: it is a number of layers, at least 0"),
        (
            ConvolutionalNetwork,
            {"normalisation": "rms"},
            'normalisation = "rms" has no customary form for images; take batch or layer',
        ),
        (
            ConvolutionalNetwork,
            {"width": (8, 4), "residual": "pre"},
            'residual = "pre" needs convolutions of equal width, but width = [8, 4]; give one number, '
            'or residual = "none"',
        ),
        (
            ConvolutionalNetwork,
            {"activation": "rellu"},
            'activation "rellu" is not known; did you mean "relu"?',
        ),
        (RecurrentNetwork, {"width": ()}, "width = []: the list is empty; give one number a recurrent layer"),
        (
            RecurrentNetwork,
            {"activation": "relu"},
            'activation = "relu": the cell lstm has tanh, and sigmoid for its gates; leave activation out, or take '
            'cell = "rnn"',
        ),
        (
            RecurrentNetwork,
            {"cell": "rnn", "activation": "gelu"},
            'activation = "gelu": the cell rnn has tanh or relu, as torch.nn.RNN has',
        ),
        (
            RecurrentNetwork,
            {"cell": "rnn", "forget_bias": 1.0},
            "forget_bias = 1: the cell rnn has no gate that keeps its state; take cell",
        ),
        (
            RecurrentNetwork,
            {"initialisation": "gain"},
            'initialisation = "gain": it is made for one activation',
        ),
        (
            RecurrentNetwork,
            {"recurrent_initialisation": "ortogonal"},
            'recurrent_initialisation "ortogonal" is not known; did you mean "orthogonal"?',
        ),
        (RecurrentNetwork, {"forget_bias": float("nan")}, "forget_bias = nan: it is a finite number"),
        (
            RecurrentNetwork,
            {"normalisation": "batch"},
            'normalisation = "batch": the statistics of a batch differ',
        ),
        (RecurrentNetwork, {"dropout": 1.0}, "dropout = 1: it is a share, at least 0 and below 1"),
        (
            TransformerNetwork,
            {"heads": 5},
            "heads = 5: the width, 64, is divided among them, so that it has to be a",
        ),
        (TransformerNetwork, {"expansion": 0}, "expansion = 0: it is a whole number, at least 1"),
        (
            TransformerNetwork,
            {"normalisation": "batch"},
            'normalisation = "batch": a Transformer normalises each',
        ),
        (TransformerNetwork, {"clip": "norm:0"}, 'clip "norm:0": the bound is above 0'),
    ],
)
def test_a_wrong_value_is_one_clear_line(kind, fields, message):
    with pytest.raises(SpecError) as caught:
        kind(**fields)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_of_a_sample_is_a_step_and_what_a_channel():
    assert ConvolutionalNetwork().sample((40,)) == (1, 40)
    assert ConvolutionalNetwork().sample((8, 6)) == (1, 8, 6)
    assert ConvolutionalNetwork().sample((8, 6, 3)) == (3, 8, 6)
    for kind in (RecurrentNetwork, TransformerNetwork):
        assert kind().sample((8, 6)) == (8, 6)
        assert kind(read="pixels").sample((8, 6)) == (48, 1)
        assert kind().sample((8, 6, 3)) == (8, 18)
        assert kind(read="pixels").sample((8, 6, 3)) == (48, 3)
        assert kind().sample((40,)) == (40, 1)
    with pytest.raises(SpecError, match=r"but these have shape \(2, 2, 2, 2\)"):
        ConvolutionalNetwork().sample((2, 2, 2, 2))


def test_pooling_halves_but_never_behind_the_last_convolution():
    network = ConvolutionalNetwork(depth=4, pooling=2)
    assert [network.pools_after(layer) for layer in range(1, 5)] == [False, True, False, False]
    assert ConvolutionalNetwork(depth=3, pooling=1).sides((7, 9)) == ((7, 9), (3, 4), (1, 2))


def test_another_family_takes_its_own_defaults_and_keeps_what_was_chosen():
    chosen = Network(depth=3, width=32, initialisation="he", normalisation="rms")
    assert changed_network(chosen, {"family": "transformer"}) == TransformerNetwork(
        depth=3, width=32, initialisation="he", normalisation="rms"
    )
    assert changed_network(
        TransformerNetwork(heads=2), {"family": "recurrent", "cell": "gru"}
    ) == RecurrentNetwork(cell="gru")
    assert changed_network(Network(depth=2), {"family": "dense", "width": 5}) == Network(depth=2, width=5)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_pickled_hashed_and_written(name, tmp_path):
    network = FAMILIES[name]()
    assert family_of(network) == name
    assert pickle.loads(pickle.dumps(network)) == network
    study = Study(network=network, grid={"dropout": (0.0, 0.1)})
    assert study_from_text(study_to_text(study), "again", tmp_path) == study
    first, second = (
        cell.network.hash for cell in Study(network=network, seeds=1, grid={"dropout": (0.0, 0.1)}).cells()
    )
    assert first != second
    fields = study.cells()[0].fields
    assert fields.get("family", "dense") == name  # what stores hold of dense networks stays the same
    assert set(fields) <= set(GRID_KEYS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[network]\nfamily = "lstm"',
            'my.toml, [network]: family = "lstm": this is a cell; write family = "recurrent" ',
        ),
        (
            '[network]\nfamily = "transfomer"',
            'my.toml, [network]: family = "transfomer" is not known; did you mean "transformer"?; known: dense, conv',
        ),
        (
            "[network]\nheads = 2",
            'my.toml, [network]: "heads" is not a key here; "heads" belongs to [network] with family = "transformer"; '
            "known: family, depth, width",
        ),
        (
            '[network]\nfamily = "recurrent"\n[grid]\nnormalisation_position = ["after"]',
            'my.toml: grid (normalisation_position = after): "normalisation_position" is no field of a recurrent '
            "network; it is of: dense, convolutional",
        ),
        (
            '[network]\nfamily = "recurrent"\n[grid]\nactivation = ["tanh", "relu"]',
            'my.toml: grid (activation = relu): activation = "relu": the cell lstm has tanh',
        ),
        (
            "[grid]\nkernal = [3]",
            'grid: "kernal" is not a field of network, data or training; did you mean "kernel"?',
        ),
        (
            '[network]\nfamily = "recurrent"\ndepth = "2"',
            "my.toml, [network]: depth: expected `int | null`, got `str`",
        ),
        (
            "[data]\nlength = 5",
            'my.toml, [data]: length = 5: data set "digits28" has a length of its own; leave length',
        ),
    ],
)
def test_a_wrong_file_says_where_and_what(text, message, tmp_path):
    with pytest.raises(SpecError) as caught:
        study_from_text(text, "my.toml", tmp_path)
    assert message in str(caught.value)


def test_what_is_remembered_is_remembered_over_two_steps():
    with pytest.raises(SpecError, match="length = 1: a symbol is remembered over at least 2 time steps"):
        Data(name="first_symbol", length=1)
    assert "length" not in Data().plain  # keys of what was trained before there was one stay the same
    assert Data(name="first_symbol", length=5).plain["length"] == 5


@pytest.mark.parametrize(
    ("network", "name", "changes"),
    [
        (
            RecurrentNetwork(cell="rnn", activation="relu"),
            "replace_recurrence:gru",
            {"cell": "gru", "activation": "tanh", "forget_bias": 1.0},
        ),
        (RecurrentNetwork(), "open_forget_gates:1", {"forget_bias": 1.0}),
        (RecurrentNetwork(), "reinitialise:orthogonal", {"initialisation": "orthogonal"}),
        (RecurrentNetwork(), "add_normalisation:layer", {"normalisation": "layer"}),
        (TransformerNetwork(residual="post"), "pre_norm", {"residual": "pre"}),
        # two branches a block: 1/√(2·2·2)
        (TransformerNetwork(), "scale_residual_branches:scaled", {"residual_scale": 0.3536}),
        (
            ConvolutionalNetwork(depth=3),
            "add_skip_connections:scaled",
            {"residual": "pre", "residual_scale": 0.5},
        ),
        (ConvolutionalNetwork(), "reinitialise:orthogonal", {"initialisation": "orthogonal:1.41421"}),
    ],
)
def test_remedies_change_what_they_say(network, name, changes):
    original = Specification(network=network)
    before, after = original.fields, remedied(original, name).fields
    assert {key: after[key] for key in after if after[key] != before[key]} == changes


@pytest.mark.parametrize(
    ("network", "name", "reason"),
    [
        (RecurrentNetwork(), "replace_recurrence:gru", "its cells have gates already: lstm"),
        (RecurrentNetwork(forget_bias=1.0), "open_forget_gates:1", "the bias of its gates is 1 already"),
        (RecurrentNetwork(), "open_forget_gates:length", "forget_bias is one number for all units"),
        (RecurrentNetwork(), "change_activation:relu", "the cell lstm has tanh"),
        (RecurrentNetwork(), "add_normalisation:batch", "differ from time step to time step"),
        (TransformerNetwork(), "replace_recurrence:lstm", "it has no recurrent layer"),
        (Network(), "open_forget_gates:1", "it has no gates"),
        (ConvolutionalNetwork(), "add_normalisation:rms", "no customary form for images"),
    ],
)
def test_what_does_not_fit_says_why(network, name, reason):
    assert reason in why_not(Specification(network=network), name)
