"""Models of every odd kind train unchanged under the probe, are sensibly recorded, and nothing is left behind."""

from __future__ import annotations

import copy
import io
import pickle
import threading
import warnings

import numpy as np
import pytest
import torch
from probe_models import CASES, WIDTH, Calls, batch, mlp
from torch import nn
from torch.nn import functional
from torch.nn.modules import module as module_hooks
from torch.optim import optimizer as optimisers  # pyright: ignore[reportAttributeAccessIssue]
from torch.utils.checkpoint import checkpoint

from evenflow.measure import clock
from evenflow.watch.probe import Probe, ProbeWarning

pytestmark = pytest.mark.filterwarnings("ignore:step \\d+. not finite:UserWarning")

STEPS = 20


def traces(model, steppers=()):
    """Everything that a probe could have left behind, by where it would be."""
    found = {}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            found[name, key] = len(value) if key.endswith(("hooks", "hooks_with_kwargs")) else type(value)
    for name, parameter in model.named_parameters():
        for tensor in (parameter, parameter.grad):
            if tensor is not None:
                found[name, id(tensor)] = len(tensor._backward_hooks or ()), tensor.requires_grad
        found[name, "accumulated"] = len(getattr(parameter, "_post_accumulate_grad_hooks", None) or ())
        found[name, "dictionary"] = sorted(vars(parameter))
    for place, stepper in enumerate(steppers):
        for key, value in vars(stepper).items():
            found[place, key] = len(value) if key.endswith("hooks") else type(value)
    for home in (module_hooks, optimisers):
        found |= {
            (home, key): len(value)
            for key, value in vars(home).items()
            if key.startswith("_global") and value
        }
    found["scaler"] = torch.amp.GradScaler._unscale_grads_, torch.amp.GradScaler._maybe_opt_step
    found["replicas"] = nn.Module._replicate_for_data_parallel
    found["modes"] = torch._C._len_torch_function_stack()
    found["watchers"] = list(clock._watchers)
    return found


def trained(name, probed, *, given=True, **options):
    """The training, its probe and how the random numbers go on."""
    make, _ = CASES[name]
    torch.manual_seed(3)
    training = make()
    probes: list[Probe] = []
    clean: dict = {}
    if probed:
        first = Probe(training.model, training.optimisers if given else None, **options)
        probes = [one.attach() for one in (first, *map(Probe, training.others))]
    for number in range(STEPS):
        training.step(number)
        if probed and number == 0:
            keys = list(training.model.state_dict())
            for one in probes:
                one.detach()
            assert keys == list(training.model.state_dict())
            clean = traces(training.model, training.optimisers)
            for one in probes:
                one.attach()
    for one in probes:
        one.detach()
    if probed and training.same_parameters:
        left = traces(training.model, training.optimisers)
        fixed = {key: value for key, value in clean.items() if key in left}
        assert fixed == {key: left[key] for key in fixed}
        assert not [key for key in left if "_compiled_call_impl" in key]
    return training, probes, torch.get_rng_state()


def identical(first, second):
    assert list(first) == list(second)
    for name, value in first.items():
        assert torch.equal(value.isnan(), second[name].isnan())
        assert torch.equal(value.nan_to_num(), second[name].nan_to_num()), name


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*deprecated")
@pytest.mark.parametrize("name", CASES)
def test_trains_unchanged(name):
    plain, _, numbers = trained(name, probed=False)
    training, probes, numbers_probed = trained(name, probed=True)
    identical(plain.model.state_dict(), training.model.state_dict())
    assert torch.equal(numbers, numbers_probed)
    for one in probes:
        assert one.failure is None
    depths = {
        site.name: site.depth
        for site in probes[0].table.sites
        if site.kind in ("activation", "output", "attention")
    }
    assert depths == CASES[name][1]
    for site in depths:
        steps = probes[0].table.select(name=site, phase="")["step"].tolist()
        assert steps == list(range(name == "empty_batches", STEPS, 1 + (name == "empty_batches"))), site


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*deprecated")
@pytest.mark.parametrize("name", CASES)
def test_the_same_without_being_given_the_optimiser(name):
    given = trained(name, probed=True)[1][0].table
    found = trained(name, probed=True, given=False)[1][0].table
    for site in given.sites:
        if site.kind in ("weight", "bias", "activation"):
            one, other = (table.select(name=site.name, kind=site.kind) for table in (given, found))
            for statistic in one.statistics:
                expected, values = one[statistic], other[statistic]
                np.testing.assert_allclose(values, expected, rtol=1e-12, err_msg=f"{site.name} {statistic}")


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "in_place",
        "convolutional",
        "transformer",
        "packed_lstm",
        "lazy",
        "parametrised",
        "sparse_embedding",
    ],
)
def test_copies_while_attached(name):
    """Copies have no taps, and calling them tells the probe nothing."""
    torch.manual_seed(3)
    training = CASES[name][0]()
    with Probe(training.model, training.optimisers) as probe:
        training.step(0)
        twin = copy.deepcopy(training.model)
        rows = len(probe.table)
        if name != "parametrised":  # torch itself pickles no parametrised module
            written = io.BytesIO()
            torch.save(training.model, written)
            written.seek(0)
            again = torch.load(written, weights_only=False)
            again_too = pickle.loads(pickle.dumps(training.model))
            for one in (again, again_too):
                identical(training.model.state_dict(), one.state_dict())
                assert not [m for m in one.modules() if vars(m).get("_compiled_call_impl")]
        assert not [m for m in twin.modules() if vars(m).get("_compiled_call_impl")]
        identical(training.model.state_dict(), twin.state_dict())
        assert len(probe.table) == rows
        for number in range(1, 4):
            training.step(number)
    assert probe.failure is None
    assert set(probe.table["step"].tolist()) == {0, 1, 2, 3}


def test_a_replica_runs_by_itself():
    """As DataParallel makes them on several devices: with other weights than the original."""
    model = mlp()
    inputs = batch()
    with Probe(model) as probe:
        replica = model._replicate_for_data_parallel()
        for name, child in model.named_children():
            copied = child._replicate_for_data_parallel()
            if isinstance(child, nn.Linear):
                copied.weight, copied.bias = child.weight.detach() * 2, child.bias.detach()
            replica._modules[name] = copied
        found = replica(inputs)
    model_twice = copy.deepcopy(model)
    with torch.no_grad():
        for child in model_twice.children():
            if isinstance(child, nn.Linear):
                child.weight *= 2
    assert torch.equal(found, model_twice(inputs))
    assert len(probe.table) == 0


def norm_of(parameter):
    return parameter.grad.double().norm().item()


def supervised(model, steps=1, **options):
    stepper = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(steps):
        stepper.zero_grad()
        model(batch(), **options).square().mean().backward()
        stepper.step()


class Fails(nn.Module):
    """Raises what it is told to, in the forward or the backward pass."""

    def __init__(self):
        super().__init__()
        self.first, self.act, self.last = nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2)

    def forward(self, x, error=None, backward=False):
        x = torch.sigmoid(self.act(self.first(x)))
        if error is not None and not backward:
            raise error
        if error is not None:
            x.register_hook(self._raiser(error))
        return self.last(x).tanh()

    @staticmethod
    def _raiser(error):
        def hook(_gradient):
            raise error

        return hook


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("error", [ValueError("wrong"), KeyboardInterrupt()], ids=["error", "interrupt"])
@pytest.mark.parametrize("before", [0, 3])
def test_errors_leave_nothing_behind(error, backward, before):
    model = Fails()
    clean = traces(model)
    probe = Probe(model)

    def train():
        with probe:
            supervised(model, before)
            supervised(model, error=error, backward=backward)

    with pytest.raises(type(error)):
        train()
    model.zero_grad()
    left = traces(model)
    assert {key: left[key] for key in clean} == clean
    assert not clock._watchers
    assert probe.failure is None
    # Attached again it goes on where it was.
    with probe:
        supervised(model, 4)
    sites = {"act", ":sigmoid", ":tanh"}
    last = probe.table.select(step=max(probe.table["step"]))
    assert sites | {"first.weight"} <= set(last["name"])
    assert np.isfinite(last.select(kind="pre-activation")["signal_rms"]).all()


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_goes_on_after_an_error(backward):
    """An error that the user catches ends a pass, not the recording."""
    model = Fails()
    stepper = torch.optim.SGD(model.parameters(), lr=0.1)
    with Probe(model, stepper) as probe:
        for number in range(8):
            stepper.zero_grad()
            if number == 4:
                with pytest.raises(ValueError, match="wrong"):
                    model(batch(), error=ValueError("wrong"), backward=backward).sum().backward()
                continue
            model(batch()).square().mean().backward()
            stepper.step()
    assert sorted(set(probe.table["step"].tolist())) == list(range(7))
    assert len(probe.table.select(name="act", kind="pre-activation", phase="accumulated")) == 7


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_probes_on_one_model(order):
    model = mlp()
    clean = traces(model)
    probes = [Probe(model), Probe(model)]
    probes[0].attach()
    with pytest.warns(ProbeWarning, match='another probe listens to "Sequential" and 2 more modules of this'):
        probes[1].attach()
    supervised(model, 2)
    for place in order:
        probes[place].detach()
    model.zero_grad()
    left = traces(model)
    assert {key: left[key] for key in clean} == clean
    assert not [key for key in left if "_compiled_call_impl" in key]
    signals = [set(probe.table.select(kind="activation")["name"]) for probe in probes]
    assert signals == [{"1", "3"}, set()]
    norms = [probe.table.select(kind="weight", phase="accumulated")["grad_norm"] for probe in probes]
    np.testing.assert_array_equal(norms[0], norms[1])


def test_probes_of_two_models():
    one, two = mlp(), mlp(nn.Tanh)
    probes = [Probe(one).attach(), Probe(two).attach()]
    supervised(one, 3)
    probes[0].detach()
    supervised(two, 2)
    supervised(one, 3)
    probes[1].detach()
    assert [sorted(set(probe.table["step"].tolist())) for probe in probes] == [[0, 1, 2], [0, 1]]


def test_an_optimiser_that_is_made_later():
    model = mlp()
    with Probe(model) as probe:
        model(batch()).sum().backward()
        stepper = torch.optim.SGD(model.parameters(), lr=0.1)
        stepper.step()
        supervised(model, 2)
    table = probe.table.select(name="0.weight", phase="accumulated")
    assert table["step"].tolist() == [0, 1, 2]
    assert np.isfinite(table["update_norm"]).all()


def test_the_first_step_of_an_optimiser_that_was_not_given():
    """It is known only when it steps: what was read before belongs to it all the same."""
    model, beside = mlp(), nn.Linear(2, 2)
    steppers = [torch.optim.SGD(model[place].parameters(), lr=0.1) for place in (0, 2, 4)]
    other = torch.optim.SGD(beside.parameters(), lr=0.1)
    norms = []
    with Probe(model) as probe:
        for _ in range(2):
            model.zero_grad()
            model(batch()).square().mean().backward()
            norms.append([norm_of(parameter) for parameter in model.parameters()])
            for stepper in (steppers[0], other, *steppers[1:]):
                nn.utils.clip_grad_norm_(stepper.param_groups[0]["params"], 1e-3)
                stepper.step()
    table = probe.table.select(phase="accumulated")
    for place, (name, _) in enumerate(model.named_parameters()):
        assert table.select(name=name)["grad_norm"] == pytest.approx([one[place] for one in norms], rel=1e-12)
        clipped = probe.table.select(name=name, phase="clipped")
        assert clipped["step"].tolist() == [0, 1]
        assert (clipped["clip_ratio"] < 1).all()
        assert np.isfinite(table.select(name=name)["update_norm"]).all()


def test_parameters_that_are_replaced_or_added():
    training, (probe,), _ = trained("parameter_replaced", probed=True)
    weights = probe.table.select(name="2.weight", phase="accumulated")
    assert weights["step"].tolist() == list(range(STEPS))
    assert (weights["update_norm"][6:] > 0).all()
    assert weights["weight_norm"][5] != pytest.approx(weights["weight_norm"][4], rel=1e-3)
    gains = probe.table.select(name="gain", phase="accumulated")
    assert gains["step"].tolist() == list(range(10, STEPS))
    assert training.model.get_parameter("gain").item() != 1


def test_a_step_that_overflowed_is_a_step_without_an_update():
    """A GradScaler leaves it out: its signals are not those of the next step."""
    model = mlp()
    stepper = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    with Probe(model, stepper) as probe:
        for number in range(4):
            stepper.zero_grad()
            loss = model(batch()).square().mean() * (float("inf") if number == 1 else 1)
            scaler.scale(loss).backward()
            scaler.step(stepper)
            scaler.update()
    rows = probe.table.select(name="0.weight", phase="accumulated")
    assert rows["step"].tolist() == [0, 1, 2, 3]
    assert (rows["nonfinite_count"] > 0).tolist() == [False, True, False, False]
    assert np.isnan(rows["update_norm"]).tolist() == [False, True, False, False]
    signals = probe.table.select(name="1", kind="pre-activation", phase="accumulated")["signal_rms"]
    assert np.isfinite(signals).tolist() == [True, False, True, True]


def test_an_optimiser_that_steps_while_the_gradients_come():
    """One optimiser for each parameter, which steps and drops the gradient within the backward pass."""
    model = mlp()
    steppers = {parameter: torch.optim.SGD([parameter], lr=0.1) for parameter in model.parameters()}
    norms = {id(parameter): [] for parameter in model.parameters()}

    def step(parameter):
        norms[id(parameter)].append(norm_of(parameter))
        steppers[parameter].step()
        parameter.grad = None

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(step)
    with Probe(model) as probe:
        for _ in range(3):
            model(batch()).square().mean().backward()
    assert probe.failure is None
    for name, parameter in model.named_parameters():
        rows = probe.table.select(name=name, phase="accumulated")
        assert rows["grad_norm"] == pytest.approx(norms[id(parameter)], rel=1e-12)
        assert rows["update_norm"] == pytest.approx(0.1 * rows["grad_norm"], rel=1e-4)


def test_gradients_that_come_behind_a_step_are_none_of_it():
    """Two optimisers on one model that step in turn, as for a generator and a critic that share a module."""
    model = mlp()
    first, second = (torch.optim.SGD(model[place].parameters(), lr=0.1) for place in (0, 4))
    norms = []
    with Probe(model, [first, second]) as probe:
        for _ in range(3):
            model.zero_grad()
            model(batch()).square().mean().backward()
            norms.append(norm_of(model.get_parameter("0.weight")))
            first.step()
            model(batch()).square().mean().backward()
            second.step()
    found = probe.table.select(name="0.weight", phase="accumulated")["grad_norm"]
    assert found == pytest.approx(norms, rel=1e-12)


def test_tied_weights_are_one_parameter():
    table = trained("tied_weights", probed=True)[1][0].table
    assert set(table.select(kind="weight")["name"]) == {"embedding.weight"}


class Spelt(nn.Module):
    """Activations called with keywords, with bounds that are tensors, on tensors of a class of the user's own."""

    class Own(torch.Tensor):
        pass

    def __init__(self):
        super().__init__()
        self.layer, self.act, self.softmax = nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Softmax(-1)

    def forward(self, x):
        x = torch.sigmoid(input=self.act(input=self.layer(input=x)))
        x = torch.clamp(x, torch.zeros(WIDTH)).clamp(torch.tensor(0.0), torch.tensor(9.0))
        x = self.softmax(input=x[None]) + functional.softmax(input=x[None], dim=-1)
        return functional.leaky_relu(x.as_subclass(self.Own), negative_slope=0.2).as_subclass(torch.Tensor)


def test_calls_spelt_in_other_ways():
    with Probe(Spelt()) as probe:
        supervised(probe.model, 3)
    assert probe.failure is None
    names = {site.name for site in probe.table.sites if site.kind in ("activation", "attention")}
    assert names == {"act", ":sigmoid", "softmax", ":softmax", ":leaky_relu"}
    assert (probe.table.select(name="softmax")["logit_max"] <= 1).all()


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype stage")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged], ids=str)
def test_nested_tensors_are_left_out(layout):
    model = mlp()
    stepper = torch.optim.SGD(model.parameters(), lr=0.1)
    with Probe(model, stepper) as probe:
        for _ in range(3):
            stepper.zero_grad()
            rows = torch.nested.nested_tensor([batch(3), batch(2)], layout=layout)
            output = model(rows)
            torch.stack([part.square().mean() for part in output.unbind()]).sum().backward()
            stepper.step()
    assert probe.failure is None
    assert len(probe.table.select(name="0.weight", phase="accumulated")) == 3
    assert not len(probe.table.select(kind="activation"))


class Derived(torch.optim.SGD):
    fails = False

    def step(self, closure=None):
        super().step(closure)
        if self.fails:
            raise ValueError("too far")
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.mul_(0.5)


@pytest.mark.parametrize("given", [True, False], ids=["given", "not given"])
def test_an_optimiser_that_calls_the_step_of_another(given):
    """A class derived from one of torch's: its step is one step, with all that it does; one that fails is none."""
    model = mlp()
    torch.optim.SGD(model.parameters(), lr=0.1)  # from now on torch calls the hooks of this class too
    stepper = Derived(model.parameters(), lr=0.1)
    norms = []
    with Probe(model, stepper if given else None) as probe:
        for number in range(4):
            stepper.zero_grad()
            before = model.get_parameter("0.weight").detach().clone().double()
            model(batch()).square().mean().backward()
            stepper.fails = number == 1
            if stepper.fails:
                with pytest.raises(ValueError, match="too far"):
                    stepper.step()
            else:
                stepper.step()
                norms.append((model.get_parameter("0.weight").detach().double() - before).norm().item())
    rows = probe.table.select(name="0.weight", phase="accumulated")
    assert rows["step"].tolist() == [0, 1, 2]
    assert rows["update_norm"] == pytest.approx(norms, rel=1e-12)


def test_a_model_that_only_infers_has_no_steps():
    model = mlp()
    with Probe(model) as probe:
        for _ in range(3):
            with torch.no_grad():
                model(batch())
            with torch.inference_mode():
                model(batch())
    assert len(probe.table) == 0
    assert probe.failure is None


def test_hooks_of_the_users_own_run_in_their_order():
    expected = trained("hooks_of_the_users_own", probed=False)[0].heard
    assert trained("hooks_of_the_users_own", probed=True)[0].heard == expected
    assert set(expected) == {"pre", "forward", "tensor"}


class Hears(nn.Module):
    """Puts a hook of its own on a pre-activation, behind the probe's."""

    def __init__(self):
        super().__init__()
        self.first, self.act, self.last = nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2)

    def forward(self, x, heard=None):
        z = self.first(x)
        y = self.act(z)
        if heard is not None:
            z.register_hook(lambda gradient: heard.append(gradient.norm().item()))
        return self.last(y)


def heard_by_users(*, probed):
    """What hooks on single pre-activations hear, in steps of two forward passes each, and the steps' losses."""
    torch.manual_seed(5)
    model, heard, losses = Hears(), [], []
    stepper = torch.optim.SGD(model.parameters(), lr=0.1)
    probe = Probe(model, stepper)
    if probed:
        probe.attach()
    for step in range(6):
        stepper.zero_grad()
        first = model(batch(), heard if step in (3, 4) else None)
        loss = (first + 2 * model(batch(), heard if step == 4 else None)).square().mean()
        loss.backward()
        stepper.step()
        losses.append(loss.item())
    probe.detach()
    return heard, losses


def test_a_hook_on_one_tensor_hears_no_other():
    heard, losses = heard_by_users(probed=True)
    assert len(heard) == 3
    assert (heard, losses) == heard_by_users(probed=False)


def test_a_second_thread_that_infers():
    """Its passes are none of the training's, and do not disturb those."""
    torch.manual_seed(0)
    entered, gone_on = threading.Event(), threading.Event()
    training_thread = threading.get_ident()

    def forward(self, x):
        x = torch.sigmoid(self.act(self.first(x)))
        if threading.get_ident() == training_thread:
            entered.set()  # in the middle of a pass of the training
            assert gone_on.wait(20)
        return self.last(x).relu()

    model = Calls(forward, first=nn.Linear(WIDTH, WIDTH), act=nn.ReLU(), last=nn.Linear(WIDTH, 2))
    errors = []

    def infer():
        try:
            for _ in range(4):
                assert entered.wait(20)
                entered.clear()
                with torch.no_grad():
                    model(1e6 * torch.ones(16, WIDTH))
                gone_on.set()
        except BaseException as error:
            errors.append(error)
            gone_on.set()

    thread = threading.Thread(target=infer)
    with Probe(model) as probe:
        thread.start()
        stepper = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(4):
            gone_on.clear()
            stepper.zero_grad()
            model(torch.ones(8, WIDTH)).square().mean().backward()
            stepper.step()
        thread.join()
    assert not errors
    signals = probe.table.select(kind="activation")
    assert sorted(set(signals["name"])) == [":relu", ":sigmoid", "act"]
    assert len(signals) == 12
    assert signals["max_abs"].max() < 100


def test_a_transform_inside_the_forward_pass():
    """What runs under vmap has no numbers of its own; the rest is recorded."""

    def forward(self, x):
        x = self.act(self.first(x))
        x = torch.func.vmap(lambda row: torch.tanh(self.inner(row)))(x)
        slopes = torch.func.vmap(torch.func.grad(lambda row: self.inner(row).sum()))(x)
        return self.last(x) + slopes.sum()

    model = Calls(
        forward,
        first=nn.Linear(WIDTH, WIDTH),
        act=nn.ReLU(),
        inner=nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.SiLU()),
        last=nn.Linear(WIDTH, 2),
    )
    with Probe(model) as probe:
        supervised(model, 3)
    assert probe.failure is None
    assert len(probe.table.select(name="act", kind="activation")) == 3
    assert len(probe.table.select(kind="weight", phase="accumulated")) == 9


def test_merged_calls_are_one_site_from_the_first_step_on():
    """Fifty calls of one module: all of them are in the figures, those of the first step too."""
    torch.manual_seed(0)
    seen = []

    def forward(self, x):
        for _ in range(50):
            x = self.act(self.layer(x))
            seen.append(x.detach().double())
        return x

    model = Calls(forward, layer=nn.Linear(WIDTH, WIDTH), act=nn.Tanh())
    with Probe(model) as probe:
        supervised(model, 3)
    table = probe.table.select(name="act", kind="activation")
    for step, (rms, largest) in enumerate(zip(table["rms"], table["max_abs"], strict=True)):
        values = torch.stack(seen[50 * step : 50 * step + 50])
        assert rms == pytest.approx(float(values.square().mean().sqrt()), rel=1e-12)
        assert largest == float(values.abs().max())
    gradients = probe.table.select(name="act", kind="pre-activation")
    assert len(gradients) == 3


def test_activations_that_draw_their_slopes_draw_the_same():
    def make():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Linear(WIDTH, WIDTH), nn.RReLU(), nn.Dropout(), nn.Linear(WIDTH, 2), nn.RReLU()
        )

    plain, probed = make(), None
    torch.manual_seed(2)
    supervised(plain, 3)
    state = torch.get_rng_state()
    probed = make()
    torch.manual_seed(2)
    with Probe(probed) as probe:
        supervised(probed, 3)
    assert torch.equal(state, torch.get_rng_state())
    identical(plain.state_dict(), probed.state_dict())
    assert len(probe.table.select(kind="activation")) == 6


def test_a_shared_activation_inside_checkpoints():
    """Which call a gradient belongs to is not known when a part runs again; the values are."""

    def part(self, x):
        return self.act(self.layer(x))

    def forward(self, x):
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False)
        return functional.relu(x)

    act = nn.Tanh()
    blocks = nn.ModuleList([Calls(part, layer=nn.Linear(WIDTH, WIDTH), act=act) for _ in range(3)])
    with Probe(Calls(forward, blocks=blocks)) as probe:
        supervised(probe.model, 3)
    assert probe.failure is None
    assert len(probe.table.select(name="blocks.0.act", kind="activation")) == 3


def test_inputs_that_require_gradients_keep_no_hooks():
    model = mlp(nn.Tanh)
    model = nn.Sequential(nn.Tanh(), *model)
    stepper = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = batch().requires_grad_()
    with Probe(model, stepper) as probe:
        for _ in range(3):
            stepper.zero_grad()
            model(inputs).sum().backward()
            stepper.step()
            assert not inputs._backward_hooks
    found = probe.table.select(name="0", kind="pre-activation", phase="accumulated")
    assert len(found) == 3


def test_warnings_of_nobody():
    """A plain training under a probe says nothing."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        trained("plain", probed=True)
    assert not said
