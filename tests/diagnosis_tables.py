"""Rules and tables that are made up, so that what an engine or a page makes of them is known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from evenflow.diagnose.case import Case
from evenflow.diagnose.diagnosis import Diagnosis
from evenflow.diagnose.finding import Finding, MissingError, Severity, Unjudged, Verdict
from evenflow.diagnose.rule import Rule
from evenflow.record.axes import Run, Site
from evenflow.record.table import Table

CODES = {
    "vanishing_gradient": "EF101",
    "exploding_gradient": "EF102",
    "exploding_activations": "EF103",
    "dead_units": "EF104",
    "saturated_activations": "EF105",
    "correlation_collapse": "EF106",
    "poor_init": "EF202",
    "unnormalised_input": "EF301",
    "lr_too_high": "EF401",
    "lr_too_low": "EF402",
    "frozen_layers": "EF403",
    "nonfinite_origin": "EF501",
    "loss_plateau": "EF601",
}


def rule(
    name: str, judge: Callable[[Case], Verdict | None] | Verdict | None, follows_from: Sequence[str] = ()
) -> Rule:
    """A rule with its real name and code that gives this verdict."""
    judged = judge if callable(judge) else lambda _case: judge
    return Rule(CODES[name], name, f"the title of {name}", judged, (f"answer_{name}",), tuple(follows_from))


def verdict(severity: Severity = "fault", *, step: int | None = 0, **settings: Any) -> Verdict:
    """A verdict whose message is of no interest."""
    return Verdict(
        severity, settings.pop("sites", ()), settings.pop("message", "so it is"), first_step=step, **settings
    )


def unable(_case: Case) -> Verdict | None:
    """A judge that misses something."""
    raise MissingError("a figure was not recorded")


def layers(*runs: str, steps: Sequence[int] = (0, 10, 100), count: int = 4) -> Table:
    """Runs with a weight's gradient norm of 1 in every layer."""
    sites = [Site(f"layer_{depth}", "weight", depth, 8) for depth in range(1, count + 1)]
    rows = [
        (place, step, site, "accumulated", {"grad_norm": 1.0})
        for place in range(len(runs))
        for step in steps
        for site in sites
    ]
    return Table.from_rows([Run(key) for key in runs], rows)


DIAGNOSIS = Diagnosis(
    findings=(
        Finding(
            "unnormalised_input",
            "EF301",
            "fault",
            0.97,
            ("input",),
            None,
            {"largest": 255.0, "ratio": float("inf"), "features": 64, "why": "pixels, [bold]raw[/bold] <i>"},
            'the inputs go up to 255: 50 % of "x", <script>alert(1)</script>',
            ("normalise_inputs", "batch_norm"),
            advice=("Divide <x> by 255.", ""),
        ),
        Finding(
            "saturated_activations",
            "EF105",
            "fault",
            0.9,
            ("tanh_1", "tanh_2", "tanh_3", "tanh_4"),
            3,
            {"saturated": float("nan")},
            "[red]nearly all[/red] units are flat",
            ("normalise_inputs",),
            root="unnormalised_input",
            story="unnormalised_input: inputs this large push the first pre-activations into the flat parts",
        ),
        Finding("not_zero_centred", "EF107", "information", 0.8, (), 1200, {}, "the mean is 0.5"),
    ),
    unjudged=(
        Unjudged("correlation_collapse", "EF106", "cosine was not recorded"),
        Unjudged("loss_plateau", "EF601", "the loss was not recorded"),
        Unjudged("lr_too_high", "EF401", "the loss was not recorded"),
    ),
    judged=("unnormalised_input", "saturated_activations", "not_zero_centred", "dead_units"),
    run="train-2",
    steps=3,
    first_step=0,
    last_step=1200,
)
"""One of everything that a diagnosis can hold, with what could be taken for markup."""
