"""The probe as it is used, used wrongly, and broken on purpose."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from evenflow.errors import SpecError, StoreError
from evenflow.measure import bank, clock, history, parameters, recorder, taps
from evenflow.measure.recorder import Recorder
from evenflow.record.store import Store
from evenflow.watch.probe import Probe, ProbeWarning


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1 = nn.Sequential(nn.Linear(5, 7), nn.ReLU())
        self.layer2 = nn.Linear(7, 2)

    def forward(self, x):
        return torch.sigmoid(self.layer2(self.layer1(x)))


def made():
    torch.manual_seed(0)
    model = Net()
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def go_on(model, optimizer, steps=3):
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(4, 5)).square().mean().backward()
        optimizer.step()


def probed(steps=3, **options):
    model, optimizer = made()
    with Probe(model, optimizer, **options) as probe:
        go_on(model, optimizer, steps)
    return probe


def steps_of(probe):
    return sorted(set(probe.table["step"].tolist()))


def left_behind(model):
    return [module for module in model.modules() if "_compiled_call_impl" in module.__dict__]


# Wrong use.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every=0 of the probe: give a whole number, 1 or more"),
        ({"every": True}, "every=True of the probe: give a whole number, 1 or more"),
        ({"every": 1.5}, "every=1.5 of the probe: give a whole number, 1 or more"),
        ({"window": 0}, "window=0 of the probe: give a whole number, 1 or more"),
        ({"rows": -1}, "rows=-1 of the probe: give a whole number, 1 or more"),
        ({"budget": 2}, "budget=2 of the probe: give a share of the time between 0 and 1, such as 0.03"),
        ({"budget": 0}, "budget=0 of the probe: give a share of the time between 0 and 1, such as 0.03"),
        (
            {"budget": "3 %"},
            "budget='3 %' of the probe: give a share of the time between 0 and 1, such as 0.03",
        ),
        ({"statistics": "mean"}, 'statistics="mean" of the probe: give a list of names, such as ["mean"]'),
        ({"sites": 3}, 'sites of the probe: 3 is no pattern of names; give a string such as "layer1.*"'),
        (
            {"sites": ["a", None]},
            'sites of the probe: None is no pattern of names; give a string such as "layer1.*"',
        ),
        ({"store": 3}, "store of the probe: give a path or an open Store; type int is neither"),
        (
            {"optimizer": 3},
            "optimizer of the probe: give a torch.optim.Optimizer, or a list of them; type int is none",
        ),
        (
            {"optimizer": made()[1]},
            "the SGD given to the probe steps no parameter of this Net; give the optimiser of the same model",
        ),
    ],
    ids=lambda value: str(next(iter(value.items()))) if isinstance(value, dict) else "",
)
def test_wrong_arguments(options, message):
    with pytest.raises(SpecError) as caught:
        Probe(Net(), **options)
    assert str(caught.value) == message


def test_an_unknown_statistic_is_answered_with_the_known_ones():
    with pytest.raises(SpecError) as caught:
        Probe(Net(), statistics=["mean", "grad_nrm"])
    assert str(caught.value).startswith(
        'statistic "grad_nrm" is none that a probe measures; did you mean "grad_norm"?; it measures mean, std, '
    )


@pytest.mark.parametrize(("thing", "kind"), [(3, "int"), (None, "NoneType"), (nn.Linear, "type")])
def test_not_a_module(thing, kind):
    with pytest.raises(SpecError) as caught:
        Probe(thing)
    assert str(caught.value) == f"a probe watches a torch.nn.Module; what was given is of type {kind}"


def test_meta_tensors_have_no_values():
    with pytest.raises(SpecError) as caught:
        Probe(nn.Sequential(nn.Linear(2, 2, device="meta")))
    assert str(caught.value) == (
        'parameter "0.weight" is on the meta device and has no values; move the model to a real device first, '
        'with model.to_empty(device="cpu") and its initialisation'
    )


def test_a_store_that_is_only_read(tmp_path):
    path = tmp_path / "run.evenflow"
    Store.open(path, "a").close()
    with Store.open(path) as store, pytest.raises(StoreError) as caught:
        Probe(Net(), store=store)
    assert str(caught.value) == f'store {path} is open for reading only; open it with mode "a" for the probe'


def test_attaching_inside_the_forward_pass():
    class Attaches(Net):
        def forward(self, x):
            Probe(self).attach()
            return super().forward(x)

    model = Attaches()
    with pytest.raises(SpecError) as caught:
        model(torch.ones(2, 5))
    assert str(caught.value) == (
        "a probe cannot be attached inside the forward pass of its model; attach it before the model is called"
    )
    assert not left_behind(model)
    assert not clock._watchers


def test_attaching_inside_the_forward_pass_of_another_model():
    inner = Net()
    probe = Probe(inner)

    class Other(nn.Module):
        def forward(self, x):
            with probe:
                inner(x).sum().backward()
            return x

    Other()(torch.ones(2, 5))
    assert "layer1.1" in probe.table["name"]


def test_detaching_inside_the_forward_pass():
    model, optimizer = made()
    probe = Probe(model, optimizer).attach()
    go_on(model, optimizer, 2)
    handle = model.layer1.register_forward_hook(lambda *_: probe.detach())
    go_on(model, optimizer, 1)
    handle.remove()
    go_on(model, optimizer, 1)
    assert (probe.failure, left_behind(model)) == (None, [])
    assert steps_of(probe) == [0, 1]  # what no optimiser has ended is no step


def test_a_loss_that_is_not_finite_is_told():
    model, optimizer = made()
    with Probe(model, optimizer) as probe:
        for value in (1.0, float("nan"), torch.tensor(float("inf"))):
            probe.loss(value)
            go_on(model, optimizer, 1)
    rows = probe.table.select(kind="loss")
    assert rows["nonfinite_count"].tolist() == [0.0, 1.0, 1.0]
    assert "not finite: 2 entries, first at step 1" in str(probe)


@pytest.mark.parametrize("value", ["a", torch.ones(3), None])
def test_a_loss_is_one_number(value):
    model, optimizer = made()
    with pytest.raises(SpecError, match="the loss of a step is one number, not "):
        Probe(model, optimizer).loss(value)


def test_a_budget_chooses_every():
    model, optimizer = made()
    with pytest.raises(SpecError, match=r"every=5 and budget=0\.1 of the probe: give one of the two"):
        Probe(model, optimizer, every=5, budget=0.1)


@pytest.mark.parametrize("names", [[], ["recall"]])
def test_statistics_that_no_probe_measures(names):
    model, optimizer = made()
    with pytest.raises(SpecError, match="measures"):
        Probe(model, optimizer, statistics=names)


def test_layers_have_the_order_in_which_they_run_where_the_optimiser_runs_them():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(6, 2), nn.Linear(4, 6)

        def forward(self, inputs):
            return self.last(torch.relu(self.first(inputs)))

    model = Backwards()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2)

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(3, 4)).square().mean()
        loss.backward()
        return loss

    with Probe(model, optimizer) as probe:
        for _ in range(2):
            optimizer.step(closure)
    depths = {site.name: site.depth for site in probe.table.sites}
    assert (depths["first.weight"], depths[":relu"], depths["last.weight"]) == (1, 1, 2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tracing_the_model_tells_the_probe_nothing(tmp_path):
    model, optimizer = made()
    with Probe(model, optimizer) as probe:
        go_on(model, optimizer, 2)
        traced: Any = torch.jit.trace(model, torch.randn(2, 5))
        traced.save(tmp_path / "model.pt")
        go_on(model, optimizer, 1)
    assert probe.failure is None
    assert steps_of(probe) == [0, 1, 2]


# A probe that breaks.

PARTS = [
    *((bank.Bank, name) for name in ("forward", "backward", "move", "add", "_prepare")),
    *(
        (parameters.Parameters, name)
        for name in ("ready", "after", "turn", "read_gradients", "move", "_find")
    ),
    *((taps.Taps, name) for name in ("_called_site", "_placed", "listen", "depth")),
    (history.History, "room"),
    *(
        (Recorder, name)
        for name in ("_concerns", "wanted", "_flush", "_turn", "_begin_backward", "_sort_parameters")
    ),
    (taps.Site, "slot"),
]


@pytest.mark.parametrize("sound", [0, 2], ids=["at once", "after two steps"])
@pytest.mark.parametrize(("part", "name"), PARTS, ids=lambda value: getattr(value, "__name__", value))
def test_a_bug_in_the_probe_stops_the_probe_only(part, name, sound, monkeypatch):
    if name in ("forward", "backward", "listen"):  # which the native taps do by themselves
        monkeypatch.setattr(recorder, "native", None)
        monkeypatch.setattr(taps, "native", None)
    plain, optimizer = made()
    go_on(plain, optimizer, 5)
    model, optimizer = made()
    probe = Probe(model, optimizer)

    def broken(*_arguments, **_options):
        raise ZeroDivisionError(f"a bug in {name}")

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if sound:
            probe.attach()
            go_on(model, optimizer, sound)
        with monkeypatch.context() as patch:
            patch.setattr(part, name, broken)
            probe.attach()
            go_on(model, optimizer, 5 - sound)
            stopped = probe.failure is not None
            if stopped and name != "release":
                assert not left_behind(model)
                assert not clock._watchers
            probe.detach()
    for name_, parameter in plain.named_parameters():
        assert torch.equal(parameter, model.get_parameter(name_))
    assert not left_behind(model)
    assert not clock._watchers
    if name in ("add", "_prepare", "_placed", "depth", "_sort_parameters") and sound:
        assert not said  # only at the start
        assert steps_of(probe) == list(range(5))
        return
    assert stopped
    (message,) = said
    assert message.category is ProbeWarning
    assert str(message.message).endswith(f"and keeps what it had: ZeroDivisionError: a bug in {name}")
    assert str(message.message).startswith("the probe has stopped at step ")
    assert isinstance(probe.failure, ZeroDivisionError)
    assert set(range(sound)) <= set(steps_of(probe))
    probe.table  # noqa: B018, can still be asked for


def test_a_failed_probe_attached_again_stays_silent():
    model, optimizer = made()
    probe = Probe(model, optimizer)
    with pytest.warns(ProbeWarning, match="the probe has stopped at step 0"):
        probe._recorder.fail(ValueError("no reason"))
    with probe:
        go_on(model, optimizer)
    assert (len(probe.table), left_behind(model), clock._watchers) == (0, [], [])


def test_a_store_closed_before(tmp_path):
    model, optimizer = made()
    store = Store.open(tmp_path / "run.evenflow", "a")
    store.close()
    with (
        pytest.warns(ProbeWarning, match="keeps what it had: StoreError: store .*run.evenflow: .* closed"),
        Probe(model, optimizer, store=store) as probe,
    ):
        go_on(model, optimizer)
    assert isinstance(probe.failure, StoreError)
    assert steps_of(probe) == [0]


def test_a_store_closed_during_the_training(tmp_path):
    model, optimizer = made()
    store = Store.open(tmp_path / "run.evenflow", "a")
    with Probe(model, optimizer, store=store) as probe:
        go_on(model, optimizer)
        store.close()
        probe._recorder._next_writing = 0.0  # a second later
        with pytest.warns(ProbeWarning, match="the probe has stopped at step 3 .* StoreError: .* closed"):
            go_on(model, optimizer)
    assert steps_of(probe) == [0, 1, 2, 3]


# What can be chosen.


def test_every_so_many_steps():
    assert steps_of(probed(8, every=3)) == [0, 3, 6]


def test_statistics():
    probe = probed(statistics=["rms", "grad_norm"])
    assert set(probe.table.statistics) == {"rms", "grad_norm"}
    whole = probed().table
    for name in ("rms", "grad_norm"):
        found = probe.table[name]
        expected = whole[name]
        np.testing.assert_array_equal(found[~np.isnan(found)], expected[~np.isnan(expected)])


@pytest.mark.parametrize(
    "sites",
    ["layer1.*", ["layer1.?", "layer1.?.*"], lambda name: name.startswith("layer1.")],
    ids=["a pattern", "patterns", "a function"],
)
def test_sites(sites):
    probe = probed(sites=sites)
    names = {site.name for site in probe.table.sites if site.kind != "loss"}
    assert names >= {"layer1.0.weight", "layer1.0.bias", "layer1.1"}
    assert all(name.startswith("layer1.") for name in names)


def test_a_module_that_is_named_is_recorded_whatever_it_is():
    probe = probed(sites="layer2")
    (site,) = (site for site in probe.table.select(phase="").sites if site.kind != "loss")
    assert (site.name, site.kind, site.depth, site.units) == ("layer2", "output", 2, 2)


def test_one_call_of_a_module_that_is_called_several_times():
    class Thrice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.act = nn.Linear(5, 5), nn.Tanh()
            self.seen = []

        def forward(self, x):
            for _ in range(3):
                x = self.act(self.layer(x))
                self.seen.append(float(x.detach().double().square().mean().sqrt()))
            return x

    model = Thrice()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Probe(model, optimizer, sites="act#2") as probe:
        go_on(model, optimizer)
    found = probe.table.select(name="act#2", phase="")["rms"]
    assert found == pytest.approx(model.seen[1::3], rel=1e-12)
    assert {site.name for site in probe.table.sites if site.kind != "loss"} == {"act#2"}


def test_sites_that_are_none_are_told():
    with pytest.warns(
        ProbeWarning, match=r"nothing of the model was recorded in 3 steps: sites='lyer1.\*' names"
    ):
        probe = probed(sites="lyer1.*")
    assert {site.kind for site in probe.table.sites} == {"loss"}
    assert "which has layer1.0.weight, " in probe.no_such_sites


def test_a_window_is_full_before_a_unit_is_called_dead():
    table = probed(6, window=12).table.select(name="layer1.1", kind="activation", phase="")
    known = ~np.isnan(table["dead_fraction"])
    assert known.tolist() == [False, False, True, True, True, True]


def test_the_loss_of_a_step():
    model, optimizer = made()
    losses = []
    with Probe(model, optimizer) as probe:
        for _ in range(3):
            optimizer.zero_grad()
            loss = model(torch.randn(4, 5)).square().mean()
            loss.backward()
            probe.loss(loss)
            losses.append(loss.item())
            optimizer.step()
    assert probe.table.select(kind="loss")["loss"].tolist() == losses


def test_a_store_that_is_written_as_the_training_goes_on(tmp_path):
    path = tmp_path / "runs.evenflow"
    model, optimizer = made()
    probe = Probe(model, optimizer, store=path, name="first")
    with probe:
        go_on(model, optimizer)
        with Store.open(path) as store:
            assert [(run.key, run.status) for run in store.runs()] == [("first", "running")]
    with probe:  # once more
        go_on(model, optimizer)
    with Store.open(path) as store:
        (run,) = store.runs()
        stored = store.table()
    assert (run.key, run.status) == ("first", "finished")
    assert steps_of(probe) == sorted(set(stored["step"].tolist())) == list(range(6))
    for name in ("grad_norm", "rms", "update_norm"):
        np.testing.assert_array_equal(
            np.sort(stored[name][~np.isnan(stored[name])]),
            np.sort(probe.table[name][~np.isnan(probe.table[name])]),
        )


def test_a_training_that_fails_is_stored_as_failed(tmp_path):
    path = tmp_path / "runs.evenflow"
    model, optimizer = made()
    probe = Probe(model, optimizer, store=path)

    def interrupted():
        with probe:
            go_on(model, optimizer)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert steps_of(probe) == [0, 1, 2]
    with Store.open(path) as store:
        assert [run.status for run in store.runs()] == ["failed"]
        assert len(store.table()) == len(probe.table)


def test_attached_twice_and_detached_twice():
    model, optimizer = made()
    probe = Probe(model, optimizer)
    assert probe.attach() is probe.attach()
    go_on(model, optimizer)
    assert repr(probe) == "Probe(Net, attached, 3 steps recorded)"
    probe.detach()
    probe.detach()
    assert repr(probe) == "Probe(Net, detached, 3 steps recorded)"
    assert (left_behind(model), clock._watchers, clock._handles) == ([], [], [])


def test_the_probe_as_text():
    text = str(probed())
    assert text.lstrip().startswith("3 steps recorded: 0 to 2")
    assert "layer2" in text
