"""Look-up, registration of the user's own, and the words of every refusal."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import torch

from evenflow.errors import EvenflowError, SpecError, UnavailableError
from evenflow.spec import activation as activation_module
from evenflow.spec.activation import Activation, activation, activation_names, register_activation
from evenflow.spec.files import import_module

Z = np.random.default_rng(3).normal(scale=2.0, size=64)


@pytest.fixture(autouse=True)
def _forget_custom(monkeypatch):
    monkeypatch.setattr(activation_module, "_custom", {})


def refusal(call, *arguments, error: type[EvenflowError] = SpecError, **options):
    with pytest.raises(error) as caught:
        call(*arguments, **options)
    return str(caught.value)


# --- look-up


def test_the_catalogue():
    assert activation_names() == (
        "sigmoid", "tanh", "relu", "leaky_relu", "prelu", "elu", "selu", "gelu", "gelu_tanh", "silu",
        "softplus", "mish", "hardswish", "softsign", "identity",
    )  # fmt: skip
    for name in activation_names():
        one = activation(name)
        assert (one.name, one.custom, one.learned) == (name, False, name == "prelu")
        assert one.title
        assert one.formula
        assert one.derivative_formula
        assert one.reference or name == "identity"


def test_one_name_gives_one_object():
    assert activation("swish") is activation("silu")
    assert activation("leaky_relu:0.01") is activation("leaky_relu")
    assert activation("elu:2") is activation("elu:2.0")
    assert activation(activation("relu")) is activation("relu")


def test_parameters():
    leaky, prelu, elu = activation("leaky_relu:0.2"), activation("prelu"), activation("elu:0.5")
    assert (leaky.name, leaky.title, leaky.parameter) == ("leaky_relu:0.2", "Leaky ReLU (0.2)", 0.2)
    assert (leaky(-1.0), leaky.derivative(-1.0)) == (-0.2, 0.2)
    assert (prelu.parameter, prelu.learned, prelu(-1.0)) == (0.25, True, -0.25)
    assert elu.derivative(0.0) == 0.5
    assert activation("tanh").parameter is None
    assert repr(leaky) == 'activation("leaky_relu:0.2")'


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "rellu",
            'activation "rellu" is not known; did you mean "relu"? \'evenflow activations\' lists all 15.',
        ),
        (
            "ReLU",
            'activation "ReLU" is not known; did you mean "relu"? \'evenflow activations\' lists all 15.',
        ),
        ("zzz", "activation \"zzz\" is not known; 'evenflow activations' lists all 15."),
        ("relu:0.2", 'activation "relu:0.2" takes no number; write "relu"'),
        (
            "elu:x",
            'activation "elu:x": "x" is not a finite number; write one, such as elu:0.2',
        ),
        ("elu:inf", 'activation "elu:inf": "inf" is not a finite number; write one, such as elu:0.2'),
        ("elu:", 'activation "elu:": "" is not a finite number; write one, such as elu:0.2'),
        (3, 'an activation is given by its name, such as "relu", not by a int'),
    ],
)
def test_a_wrong_name_says_what_to_do(name, message):
    assert refusal(activation, name) == message


def test_a_wrong_argument_says_what_to_do():
    message = refusal(activation("relu"), "3")
    assert (
        message
        == 'activation "relu": cannot be applied to a str; give a number or an array of NumPy, torch or JAX'
    )


def test_numbers_lists_and_arrays():
    relu = activation("relu")
    assert relu([-1, 2]).tolist() == [0.0, 2.0]
    assert relu(2) == 2.0
    assert type(relu(np.float32(2))) is float


def test_fingerprint_sees_values():
    prints = [activation(name).fingerprint for name in (*activation_names(), "leaky_relu:0.2", "elu:2")]
    assert all(len(one) == 12 and set(one) <= set("0123456789abcdef") for one in prints)
    assert len(set(prints)) == len(prints)
    register_activation("my_relu", lambda z: np.where(z > 0, z, 0.0))
    assert activation("my_relu").fingerprint == activation("relu").fingerprint


# --- the user's own

ROOT_LIKE = {
    "operators": lambda z: z * (1 + z * z) ** -0.5,
    "numpy": lambda z: z / np.sqrt(1 + np.square(z)),
    "torch": lambda z: z / torch.sqrt(1 + torch.square(z)),
    "namespace": lambda z, xp: z / xp.sqrt(1 + z * z),
}


def smooth_slope(z):
    return (1 + z * z) ** -1.5


@pytest.mark.parametrize("kind", ROOT_LIKE)
def test_every_kind_of_callable_works_on_numpy_and_in_torch(kind):
    mine = register_activation("mine", ROOT_LIKE[kind], title="Mine", formula="z/√(1 + z²)")
    assert activation("mine") is mine
    assert activation_names()[-1] == "mine"
    assert (mine.title, mine.formula, mine.custom) == ("Mine", "z/√(1 + z²)", True)
    expected = Z / np.sqrt(1 + Z * Z)
    for dtype, tolerance in ((np.float64, 1e-14), (np.float32, 1e-6)):
        z = Z.astype(dtype)
        assert mine(z) == pytest.approx(expected, rel=tolerance)
        assert mine.derivative(z) == pytest.approx(smooth_slope(Z), rel=10 * tolerance)
        assert mine(z).dtype == mine.derivative(z).dtype == dtype
        tensor = torch.from_numpy(z).reshape(8, 8).requires_grad_()
        (gradient,) = torch.autograd.grad(mine(tensor).sum(), tensor)
        assert mine(tensor).dtype == tensor.dtype
        assert gradient.numpy().ravel() == pytest.approx(smooth_slope(Z), rel=10 * tolerance)
        assert mine.derivative(tensor.detach()).numpy().ravel() == pytest.approx(
            smooth_slope(Z), rel=10 * tolerance
        )
    assert mine(0.0) == 0.0
    assert mine.derivative(0.0) == 1.0
    assert mine(torch.zeros(3, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("kind", ROOT_LIKE)
def test_every_kind_trains_a_network(kind):
    mine = register_activation("mine", ROOT_LIKE[kind])
    torch.manual_seed(0)
    first, last = torch.nn.Linear(4, 8), torch.nn.Linear(8, 1)
    x = torch.randn(16, 4)
    last(mine(first(x))).square().mean().backward()
    gradient, first.weight.grad = first.weight.grad, None
    hidden = first(x)
    last(hidden / torch.sqrt(1 + hidden * hidden)).square().mean().backward()
    torch.testing.assert_close(gradient, first.weight.grad)


def test_jax_runs_operators_and_the_namespace_and_refuses_the_rest():
    jax = pytest.importorskip("jax", reason="jax is not installed: pip install 'evenflow[test]'")
    z = jax.numpy.asarray(Z, dtype="float32")
    for kind in ("operators", "namespace"):
        mine = register_activation("mine", ROOT_LIKE[kind], replace=True)
        assert np.asarray(jax.jit(mine)(z)) == pytest.approx(Z / np.sqrt(1 + Z * Z), rel=1e-5)
        assert np.asarray(mine.derivative(z)) == pytest.approx(smooth_slope(Z), rel=1e-5)
    for kind in ("numpy", "torch"):
        mine = register_activation("mine", ROOT_LIKE[kind], replace=True)
        message = refusal(jax.jit(mine), z)
        assert message.startswith('activation "mine" cannot run on JAX (')
        assert message.endswith(
            "; write it as function(z, xp) with xp the array namespace, or use the torch engine"
        )


def test_kinks_of_a_numpy_callable_have_one_slope_everywhere():
    mine = register_activation("mine", lambda z: np.where(z > 0, z, 0.1 * np.minimum(z, 0)))
    z = torch.tensor([-2.0, 0.0, 2.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(mine(z).sum(), z)
    assert gradient.tolist() == pytest.approx(mine.derivative(np.array([-2.0, 0.0, 2.0])))


def test_a_given_derivative_is_what_the_backward_pass_uses():
    calls = []

    def slope(z):
        calls.append(1)
        return 2 * z

    mine = register_activation("mine", lambda z: z * z, slope)
    z = torch.tensor([1.0, 3.0], requires_grad=True)
    before = len(calls)
    (gradient,) = torch.autograd.grad(mine(z).sum(), z)
    assert gradient.tolist() == [2.0, 6.0]
    assert len(calls) > before
    assert mine.derivative_formula == "given with the function"


def test_the_bridge_by_numpy_refuses_a_second_derivative():
    mine = register_activation("mine", lambda z: np.tanh(z) * 1.0)
    z = torch.ones(1, requires_grad=True)
    (gradient,) = torch.autograd.grad(mine(z).square().sum(), z, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_a_torch_module_and_its_surrogate_gradient():
    class Straight(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):  # noqa: ARG004
            return (z > 0).to(z.dtype)

        @staticmethod
        def backward(ctx, *gradient):  # noqa: ARG004
            return gradient[0]

    step = register_activation("step", Straight.apply)
    assert (step(2.0), step(-2.0), step.derivative(-2.0)) == (1.0, 0.0, 1.0)
    hard = register_activation("hard", torch.nn.Hardtanh())
    assert (hard(3.0), hard.derivative(0.5), hard.derivative(3.0)) == (1.0, 1.0, 0.0)


def test_a_function_without_a_rule_needs_its_derivative():
    table = lambda z: np.interp(z, [-1.0, 1.0], [-1.0, 1.0])  # noqa: E731
    message = refusal(register_activation, "table", table)
    assert message == (
        'activation "table": the derivative cannot be found (TypeError: np.interp has no derivative rule); '
        "pass it as derivative="
    )
    mine = register_activation("table", table, lambda z: (abs(z) < 1) * 1.0)
    z = torch.tensor([0.5, 2.0], requires_grad=True)
    assert torch.autograd.grad(mine(z).sum(), z)[0].tolist() == [1.0, 0.0]


# --- refusals


def test_names_that_are_taken():
    assert refusal(register_activation, "relu", np.tanh) == (
        'register_activation: "relu" is taken by the catalogue; choose another name'
    )
    assert "is taken by the catalogue" in refusal(register_activation, "swish", np.tanh, replace=True)
    register_activation("mine", np.tanh)
    register_activation("mine", lambda z: np.tanh(z))  # the same values: a module may be run twice
    assert refusal(register_activation, "mine", np.sin) == (
        'activation "mine" is already registered with other values; choose another name or pass replace=True'
    )
    assert register_activation("mine", np.sin, replace=True)(0.5) == np.sin(0.5)


@pytest.mark.parametrize("name", ["", "a b", "leaky:0.1", "1st", None], ids=repr)
def test_names_that_are_none(name):
    assert refusal(register_activation, name, np.tanh) == (
        f"register_activation: {name!r} is not a name; use letters, digits, _, - and ., with a letter first"
    )


def fails(z):
    return z if z > 0 else 0 * z


def changes(z):
    z *= 2
    return z


REFUSALS = {
    "number": (
        3,
        "the function is a int and cannot be called; give a function of one array, such as lambda z: z**3",
    ),
    "scalar function": (
        fails,
        "the function fails on an array (ValueError: The truth value of an array with more than one element is "
        "ambiguous. Use a.any() or a.all()); write it with operators and NumPy functions, such as "
        "np.where(z > 0, z, 0), or with torch functions",
    ),
    "nothing": (lambda z: None, "the function returns NoneType, not an array of numbers"),  # noqa: ARG005
    "torch fault": (
        lambda z: torch.tanh(z).missing(),  # pyright: ignore[reportAttributeAccessIssue]
        "the function fails on an array (AttributeError: 'Tensor' object has no attribute 'missing'); "
        "write it with operators and NumPy functions, such as np.where(z > 0, z, 0), or with torch functions",
    ),
    "text": (lambda z: z.astype(str), "the function returns array of <U32, not an array of numbers"),
    "sum": (
        lambda z: z.sum(),
        "the function returns an array of shape () for one of shape (61,); "
        "an activation gives one value for each element",
    ),
    "first elements": (
        lambda z: z[:3],
        "the function returns an array of shape (3,) for one of shape (61,); "
        "an activation gives one value for each element",
    ),
    "flattened": (
        lambda z: z.ravel(),
        "the function returns an array of shape (9,) for one of shape (3, 3); "
        "an activation gives one value for each element",
    ),
    "NaN": (np.sqrt, "the function gives nan at z = -0.0719298; an activation is finite at every finite z"),
    "infinity": (
        lambda z: 1 / z,
        "the function gives inf at z = 0; an activation is finite at every finite z",
    ),
    "softmax": (
        lambda z: np.exp(z) / np.exp(z).sum(),
        "the function gives another value at z = -8.66842 when the elements beside it change; "
        "an activation acts on each element alone",
    ),
    "in place": (changes, "the function changes its argument in place; let it work on a copy"),
    "torch in place": (
        torch.nn.ReLU(inplace=True),
        "the function changes its argument in place; let it work on a copy",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_wrong_callable_says_what_to_do(case):
    function, message = REFUSALS[case]
    assert refusal(register_activation, "mine", function) == f'activation "mine": {message}'
    assert "mine" not in activation_names()


@pytest.mark.parametrize(
    ("slope", "message"),
    [
        (
            2,
            "the derivative is a int and cannot be called; give a function of one array or leave it out",
        ),
        (
            lambda z: 3 * z,
            "the derivative gives -14.7 at z = -4.9, where the slope of the function is -9.8; "
            "correct it or leave it out",
        ),
        (
            lambda z: z.sum(),
            "the derivative returns an array of shape () for one of shape (61,); "
            "an activation gives one value for each element",
        ),
        (
            lambda z: 1 / z,
            "the derivative gives inf at z = 0; an activation is finite at every finite z",
        ),
    ],
    ids=["number", "wrong", "shape", "infinite"],
)
def test_a_wrong_derivative_says_what_to_do(slope, message):
    assert refusal(register_activation, "mine", lambda z: z * z, slope) == f'activation "mine": {message}'


def test_an_infinite_slope_is_refused():
    message = refusal(register_activation, "mine", np.cbrt)
    assert message == (
        'activation "mine": the derivative cannot be found (it is not finite at z = 0); pass it as derivative='
    )


# --- other processes


def in_a_fresh_process(code: str, *arguments: str) -> str:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


UNPICKLE = """
import pickle, sys
from pathlib import Path
one = pickle.loads(Path(sys.argv[1]).read_bytes())
from evenflow.spec.activation import activation, activation_names
assert activation(one.name) is one
import numpy
print(one.name, one.fingerprint, one(0.5), one.derivative(0.5), activation_names()[-1])
"""


@pytest.mark.parametrize("kind", [*ROOT_LIKE, "catalogue"])
def test_pickles_into_a_fresh_process(kind, tmp_path):
    scale = 2.0  # a closure, which the standard pickle cannot carry
    one = activation("leaky_relu:0.3")
    if kind != "catalogue":
        function = ROOT_LIKE[kind]
        wrapped = (
            (lambda z, xp: scale * function(z, xp)) if kind == "namespace" else lambda z: scale * function(z)
        )
        one = register_activation("mine", wrapped)
    (tmp_path / "one").write_bytes(cloudpickle.dumps(one))
    last = "identity" if kind == "catalogue" else "mine"
    printed = in_a_fresh_process(UNPICKLE, str(tmp_path / "one")).split()
    assert printed == [one.name, one.fingerprint, str(one(0.5)), str(one.derivative(0.5)), last]


def test_a_function_from_a_file_travels_with_what_it_uses(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nimport evenflow as ef\nSCALE = 2.0\n"
        "def scaled(z):\n    return SCALE * z\n"
        "def mine(z):\n    return np.tanh(scaled(z))\n"
        "ef.register_activation('mine', mine)\n"
    )
    import_module(tmp_path / "mine.py", "study.toml")
    one = activation("mine")
    (tmp_path / "one").write_bytes(pickle.dumps(one))
    printed = in_a_fresh_process(UNPICKLE, str(tmp_path / "one")).split()
    assert printed == ["mine", one.fingerprint, str(one(0.5)), str(one.derivative(0.5)), "mine"]
    assert float(printed[2]) == np.tanh(1.0)


def test_unpickling_where_it_is_known_gives_the_known_one():
    mine = register_activation("mine", np.tanh)
    assert cloudpickle.loads(cloudpickle.dumps(mine)) is mine


def test_a_torch_callable_before_torch_is_loaded_says_so(monkeypatch):
    mine = register_activation("mine", ROOT_LIKE["torch"])
    monkeypatch.delitem(sys.modules, "torch")
    message = refusal(mine, 0.5, error=UnavailableError)
    assert message == 'activation "mine" is written for torch; import torch first'


LOADED = """
import sys
from evenflow.spec.activation import activation
activation("relu")([1.0, -1.0])
{extra}
print([name for name in ("torch", "jax", "plotly", "scipy.stats", "scipy.special") if name in sys.modules])
"""


def test_looking_up_loads_no_framework():
    assert in_a_fresh_process(LOADED.format(extra="")).strip() == "[]"


def test_the_import_test_can_fail():
    assert "scipy.special" in in_a_fresh_process(LOADED.format(extra='activation("gelu")(1.0)'))


def test_an_activation_is_frozen():
    with pytest.raises(AttributeError):
        activation("relu").name = "other"  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(activation("relu"), Activation)
    assert Path(activation_module.__file__).name == "activation.py"
