"""A study as TOML: there and back, and every mistake in a file in one clear line."""

from pathlib import Path

import pytest

from evenflow import Network, SpecError, Study, read_study
from evenflow.spec.files import study_to_text

SMALL = """
name = "small"
seeds = [3, 5]

[network]
depth = 2
width = 8

[training]
steps = 20

[grid]
activation = ["relu", ["relu", "sigmoid"]]
width = [4, [4, 8]]
learning_rate = [0.01, 0.001]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "my.toml"
    path.write_text(text)
    return path


def test_a_file_says_what_python_says(tmp_path: Path) -> None:
    study = read_study(written(tmp_path, SMALL))
    assert study.network == Network(depth=2, width=8)
    assert study.seed_list == (3, 5)
    cells = study.cells()
    assert len(cells) == 2 * 2 * 2 * 2
    assert cells[0].network.activation == "relu"
    assert cells[-1].network.widths == (4, 8)
    assert cells[-1].network.activation == ("relu", "sigmoid")
    assert cells[-1].training.learning_rate == 0.001
    assert [cell.seed for cell in cells[:4]] == [3, 5, 3, 5]


def test_there_and_back(tmp_path: Path) -> None:
    study = read_study(written(tmp_path, SMALL))
    again = read_study(written(tmp_path, study_to_text(study)))
    assert [cell.key for cell in again.cells()] == [cell.key for cell in study.cells()]


def test_the_defaults_of_an_empty_file(tmp_path: Path) -> None:
    assert read_study(written(tmp_path, "")) == Study()


def test_a_data_path_begins_at_the_file(tmp_path: Path) -> None:
    study = read_study(written(tmp_path, '[data]\nname = "npz"\npath = "here.npz"\n'))
    assert study.data.path == str(tmp_path / "here.npz")


def test_a_module_registers_its_activation_before_the_names_are_checked(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import evenflow as ef\nef.register_activation('squared_relu_of_file', lambda z: (z > 0) * z**2)\n"
    )
    text = 'modules = ["mine.py"]\n[network]\nactivation = "squared_relu_of_file"\n'
    assert read_study(written(tmp_path, text)).network.activations[0](3.0) == 9.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("depth = ", "my.toml: not TOML: "),
        (
            "[network]\ndept = 3",
            'my.toml, [network]: "dept" is not a key here; did you mean "depth"?; known: ',
        ),
        (
            "learning_rate = 0.1",
            'my.toml: "learning_rate" is not a key here; "learning_rate" belongs to [training]',
        ),
        ("network = 3", "my.toml: network is a table; write [network] and its keys below it"),
        ("[network]\ndepth = 0", "my.toml, [network]: depth = 0: a network has at least 1 hidden layer"),
        ('[network]\ndepth = "three"', "my.toml, [network]: depth: expected `int | null`, got `str`"),
        ('[network]\nactivation = "rellu"', 'my.toml, [network]: activation "rellu" is not known'),
        (
            '[training]\noptimiser = "adm"',
            "my.toml, [training]: optimiser: invalid enum value 'adm'; known: sgd, momentum, adam, adamw",
        ),
        (
            "[training]\nlearning_rate = -1.0",
            "my.toml, [training]: learning_rate = -1: it is a finite number above 0",
        ),
        ('[data]\nname = "mnist"', 'my.toml, [data]: data set "mnist" is not known; did you mean "mnist1d"?'),
        ("[grid]\nactivation = []", "my.toml: grid, activation: the list is empty; give at least one value"),
        (
            "[grid]\nactivatoin = ['relu']",
            'my.toml: grid: "activatoin" is not a field of network, data or training',
        ),
        (
            "[grid]\ndepth = [2, 0]",
            "my.toml: grid (depth = 0): depth = 0: a network has at least 1 hidden layer",
        ),
        (
            "[grid]\ndepth = 2",
            "my.toml, [grid]: depth = 2 is one value; a grid lists values: depth = [2]",
        ),
        ("seeds = 0", "my.toml: seeds: at least 1 seed is needed"),
        ("seeds = [1, 1]", "my.toml: seeds = [1, 1]: a seed stands twice"),
        ('name = "a/b"', 'my.toml: name = "a/b": it names a folder; use letters, digits, "-" and "_"'),
        ("record_every = 0", "my.toml: record_every = 0: at least 1 step lies between two records"),
        ("evaluate_every = 15", "my.toml: evaluate_every = 15: it is a multiple of record_every = 10"),
        ("evaluate_every = 0", "my.toml: evaluate_every = 0: it is a multiple of record_every = 10"),
        ('modules = ["none.py"]', 'my.toml, modules: no Python file "'),
        (
            '[network]\nnormalisation = "batch"\n[training]\nbatch = 1',
            'my.toml: normalisation = "batch" needs batches of at least 2 samples, but batch = 1',
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_study(written(tmp_path, text)).cells()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(
        SpecError, match=r"no such file; 'evenflow study --show > .*' writes one to start from"
    ):
        read_study(tmp_path / "none.toml")


def test_a_repeated_combination_is_refused() -> None:
    with pytest.raises(SpecError, match="stands twice"):
        Study(grid={"learning_rate": (0.1, 0.1)}).cells()
