"""The repairs of the benchmark: the baseline's solutions are those published, and what counts as repaired is right."""

import math
import random

import numpy as np
import pytest
import torch
from ailments.population import population
from ailments.recipe import Case, Mechanism, Recipe, Training
from ailments.record import EPOCH
from ailments.repair_tables import causes, markdown, repairers, rows, sound
from ailments.repairs import REPAIRERS, Steps, ours, published
from ailments.result import BEYOND, Result, count, results
from ailments.solutions import INITIALISERS, ORDER, Normalised, Plateau, Thresholded, initialised
from ailments.trial import built, score, step, train
from ailments.work import kept, worked
from rich.console import Console
from torch import nn

from evenflow.doctor.bystander import Bystander

SOLUTIONS = {rule: dict(some) for rule, some in ORDER.items()}


def case(recipe: Recipe | None = None, mechanism: Mechanism | None = None) -> Case:
    return Case("hand_made-0-0", recipe or Recipe("mlp", "moons", depth=3, width=6), mechanism)


def changed(rule: str, name: str, recipe: Recipe | None = None) -> Training:
    found = SOLUTIONS[rule][name](built(case(recipe)), random.Random(1))
    assert found is not None
    return found


def kinds(model: nn.Module) -> list[str]:
    return [type(one).__name__ for one in model.modules() if not list(one.children())]


def test_the_order_of_solutions_is_the_published_one():
    names = {rule: [name.split(" ")[0] for name, _ in some] for rule, some in ORDER.items()}
    assert names["vanishing_gradient"] == ["selu", "relu", "batch"]
    assert names["exploding_gradient"] == ["selu", "relu", "clip", "clip", "tanh", "batch"]
    assert names["dead_units"] == ["selu", "batch", *["initialiser"] * 3, "leaky", "elu", "thresholded"]
    assert [name for name, _ in ORDER["lr_too_high"]][:6] == [
        "adam",
        "rate times 1e-1",
        "rate times 1e-2",
        "rate times 1e-3",
        "rate on plateaus",
        "batch times 2",
    ]
    assert names["lr_too_high"][5:] == [*["batch"] * 4, *["momentum"] * 3, "noise", "initialiser"]
    assert names["lr_too_low"] == [*["optimiser"] * 3, *["rate"] * 3, *["initialiser"] * 3]


def test_activations_are_replaced_with_their_draw_but_not_behind_the_last_layer():
    recipe = Recipe("mlp", "moons", depth=3, width=6, activation="sigmoid")
    training = SOLUTIONS["vanishing_gradient"]["selu"](built(case(recipe)), random.Random(1))
    assert training is not None
    assert kinds(training.model) == [*["Linear", "SELU"] * 3, "Linear"]
    plain, own = built(case(recipe)).model, training.model
    for at, (before, after) in enumerate(zip(plain.parameters(), own.parameters(), strict=True)):
        assert torch.equal(before, after) == (at >= 6), at
    behind = nn.Sequential(*built(case(recipe)).model.children(), nn.Sigmoid())
    ended = Training(behind, [], nn.MSELoss(), torch.optim.SGD(behind.parameters(), 0.1))
    found = SOLUTIONS["exploding_gradient"]["tanh"](ended, random.Random(1))
    assert found is not None
    assert kinds(found.model) == [*["Linear", "Tanh"] * 3, "Linear", "Sigmoid"]


@pytest.mark.parametrize("name", INITIALISERS)
def test_initialisers_draw_what_keras_draws(name):
    first, head = nn.Linear(300, 500), nn.Linear(500, 2)
    model = nn.Sequential(first, nn.ReLU(), head)
    last = head.weight.detach().clone()
    training = Training(model, [], nn.MSELoss(), torch.optim.SGD(model.parameters(), 0.1))
    torch.manual_seed(0)
    initialised(name)(training, random.Random(0))
    variance = {"he": 2 / 300, "lecun": 1 / 300, "glorot": 2 / 800}[name.split("_")[0]]
    drawn = first.weight.detach()
    assert float(drawn.var()) == pytest.approx(variance, rel=0.02)
    assert float(drawn.abs().max()) <= (
        math.sqrt(3 * variance) if "uniform" in name else 2 * math.sqrt(variance) / 0.8796
    )
    assert not first.bias.detach().any()
    assert torch.equal(head.weight, last)


def test_normalisation_follows_each_hidden_layer_and_is_trained():
    training = changed("vanishing_gradient", "batch normalisation")
    assert kinds(training.model) == [*["Linear", "ReLU", "Normalised"] * 3, "Linear"]
    scales = [one.weight for one in training.model.modules() if isinstance(one, Normalised)]
    before = [one.detach().clone() for one in scales]
    train(training, 3)
    assert not any(torch.equal(one, two) for one, two in zip(scales, before, strict=True))
    inputs = torch.randn(4, 5, 3)
    expected = nn.BatchNorm1d(3)(inputs.transpose(1, 2)).transpose(1, 2)
    assert torch.allclose(Normalised(3)(inputs), expected, atol=1e-5)
    recurrent = changed("vanishing_gradient", "batch normalisation", Recipe("lstm", "first_sign", depth=1))
    assert any(isinstance(one, Normalised) for one in recurrent.model.modules())
    images = changed("vanishing_gradient", "batch normalisation", Recipe("cnn", "shapes", depth=2, width=4))
    assert kinds(images.model).count("BatchNorm2d") == 2


def test_rates_batches_clipping_and_optimisers_change_as_they_say():
    plain = built(case())
    assert changed("lr_too_high", "rate times 1e-2").optimiser.param_groups[0]["lr"] == pytest.approx(
        0.01 * plain.optimiser.param_groups[0]["lr"]
    )
    batches = changed("lr_too_high", "batch times 4").batches
    assert torch.equal(batches[0][0], torch.cat([one for one, _ in plain.batches[:4]]))
    assert sum(len(one) for one, _ in batches) == sum(len(one) for one, _ in plain.batches)
    assert SOLUTIONS["lr_too_high"]["adam"](built(case()), random.Random(0)) is None  # it is Adam already
    assert isinstance(changed("lr_too_high", "momentum 1").optimiser, torch.optim.SGD)
    clipped = changed("exploding_gradient", "clip 1")
    first = next(clipped.model.parameters())
    first.grad = torch.full_like(first, 50.0)
    clipped.optimiser.step()
    assert 9.0 <= float(first.grad.abs().max()) <= 10.0
    assert Thresholded()(torch.tensor([0.5, 1.0, 2.0])).tolist() == [0.0, 0.0, 2.0]


def test_a_rate_falls_to_a_fifth_after_five_epochs_without_progress():
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    losses: list[float] = []
    plateau, rates = Plateau(optimiser, losses), []
    for _ in range(6 * EPOCH):
        losses.append(1.0)
        plateau.step()
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates[-2] == 0.1
    assert rates[-1] == pytest.approx(0.02)


def test_inputs_are_scaled_over_all_samples():
    every = torch.cat([one for one, _ in changed("unnormalised_input", "standardised").batches])
    assert torch.allclose(every.mean(0), torch.zeros(2), atol=1e-5)
    assert torch.allclose(every.std(0), torch.ones(2), atol=1e-5)
    every = torch.cat([one for one, _ in changed("unnormalised_input", "from 0 to 1").batches])
    assert every.amin(0).tolist() == [0, 0]
    assert every.amax(0).tolist() == [1, 1]


def test_steps_of_optimisers_are_counted_and_those_of_a_clock_are_not():
    training = built(case())
    clock = Bystander([nn.Parameter(torch.zeros(1))], {})
    with Steps().counted() as steps:
        for place in range(3):
            step(training, place)
        clock.step()
    step(training, 0)
    assert steps.count == 3


def result(
    name: str, before: float, twin: float, after: float, change: str = "relu", **more: object
) -> Result:
    given = {
        "verdict": "fault",
        "cause": "dead_units",
        "beyond": False,
        "steps": 600,
        "trials": 400,
        "seconds": 2.0,
    }
    return Result(name, before=before, twin=twin, after=after, change=change, **{**given, **more})  # type: ignore[arg-type]


def test_repaired_is_what_comes_within_two_points_of_the_twin_by_a_change():
    assert result("a", 10, 98, 96).repaired
    assert not result("a", 10, 98, 95.9).repaired
    assert result("a", 10, 98, 100).repaired
    assert not result("a", 97, 98, 97, "").repaired
    assert result("a", 96, 96, 90, verdict="sound").worse
    assert not result("a", 96, 96, 92, verdict="sound").worse
    assert not result("a", 96, 96, 90, "", verdict="sound").worse


def test_figures_are_means_over_the_faults():
    some = [
        result("a", 10, 100, 100, trials=400),
        result("b", 20, 100, 60, trials=800),
        result("c", 50, 100, 50, "", trials=0, steps=200),
        result("d", 40, 60, 99, trials=400),
    ]
    own = count(some)
    assert own.repaired.value == 0.5
    assert own.gain == pytest.approx(np.mean([90, 40, 0, 59]))
    assert own.closed == pytest.approx(np.mean([1, 0.5, 0, 1]))
    assert (own.trials, own.each, own.steps) == (400, 800, 500)
    assert math.isnan(count([]).gain)


def test_tables_tell_what_nothing_can_mend_apart_and_compare_what_both_repair():
    mine = [result("a", 10, 100, 100), result("b", 20, 100, 99), result("c", 20, 90, 20, "", beyond=True)]
    theirs = [
        result("a", 10, 100, 100, trials=1200),
        result("b", 20, 100, 60),
        result("c", 20, 90, 20, "", beyond=True),
    ]
    found = rows({"Evenflow": mine, "AUTOTRAINER": theirs})
    assert {name: len(some) for name, some in found.items()} == {
        "Evenflow": 2,
        "AUTOTRAINER": 2,
        "Evenflow, where both repair": 1,
        "AUTOTRAINER, where both repair": 1,
        "Evenflow, beyond the training": 1,
        "AUTOTRAINER, beyond the training": 1,
    }
    console = Console(width=200, record=True)
    healthy = [
        result("s", 99, 99, 99, "", verdict="sound", cause=""),
        result("t", 99, 99, 80, verdict="sound"),
    ]
    console.print(repairers({"Evenflow": mine, "AUTOTRAINER": theirs}, "faults"))
    console.print(causes({"Evenflow": mine}, "causes"))
    console.print(sound(healthy, "sound"))
    text = console.export_text()
    assert "1.00 (0.34 to 1.00)" in text
    assert "0.50 (0.09 to 0.91)" in text
    assert markdown({"Evenflow": mine}, "calibration").count("| dead_units | 2 |") == 1


def test_results_join_truth_and_repair_and_leave_out_what_is_not_repaired_yet():
    names = [one for one in population() if one.mechanism and one.mechanism.name in BEYOND]
    truths = {one.name: {"verdict": "fault", "cause": one.cause} for one in names}
    keys = dict.fromkeys(("before", "twin", "after", "steps", "trials", "seconds"), 1.0)
    found = results(names, truths, {names[0].name: {**keys, "change": "", "tried": []}})
    assert [(one.name, one.beyond) for one in found] == [(names[0].name, True)]
    assert {one.mechanism.name for one in names if one.mechanism} == BEYOND


@pytest.mark.slow
def test_both_repair_a_stack_of_sigmoids_and_leave_the_case_as_it_is():
    recipe = Recipe("mlp", "blobs", depth=6, width=8, activation="sigmoid")
    mechanism = Mechanism("hand", "vanishing_gradient", recipe=lambda own, _: own)
    one = Case("hand_made-1-0", recipe, mechanism)
    twin = built(Case("hand_made-1-0", Recipe("mlp", "blobs", depth=2, width=12)))
    train(twin, 400)
    true = {"verdict": "fault", "seeds": 1, "score": 33.0, "twin": score(twin)}
    found = {name: repair(one, true, 60.0) for name, repair in REPAIRERS.items()}
    assert (ours, published) == tuple(REPAIRERS.values())
    for own in found.values():
        assert own.after >= own.twin - 2.0
        assert own.change
        assert own.steps >= 200 + own.trials
    tried = found["AUTOTRAINER"].tried
    assert tried == ["selu", "relu", "batch normalisation"][: len(tried)]
    assert found["AUTOTRAINER"].trials == 400 * len(tried)  # all of them finite


def test_a_run_that_was_killed_goes_on_behind_its_last_whole_line(tmp_path):
    cases, path = population()[:3], tmp_path / "found.jsonl"
    asked = []

    def step(name: str) -> dict[str, object]:
        asked.append(name)
        return {"name": name, "figure": 1}

    worked(cases[:1], path, step, 1, lambda: None)
    with path.open("a") as file:
        file.write(f'{{"name": "{cases[1].name}", "fig')  # as far as it came
    assert list(kept(path)) == [cases[0].name]
    worked(cases, path, step, 1, lambda: None)
    assert asked == [one.name for one in cases]
    assert [*kept(path)] == asked
    assert len(path.read_text().splitlines()) == 3
