"""What the remedies of a study did: in words, and as rows of the page's table."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from evenflow.compare.paired import Difference
from evenflow.compare.remedies import LEVEL, SIGN_WORDS, Effect, effects, left_out
from evenflow.record.table import Table
from evenflow.report.rows import Field, Head
from evenflow.report.view import View, field_label, short
from evenflow.report.wording import MISSING, decimal, listed, plural, signed
from evenflow.spec.study import Study

_FEW_SEEDS = 5
_SIGN = (
    "what should change besides the accuracy: trainings that diverged, dead units or saturated activations of the "
    "worst layer, decades between first and last gradient"
)
HEADS = (
    Head("network", "", "text", "as it is, in the fields of the grid"),
    Head("remedy", "", "text", "with its form; below it what it changes"),
    Head("as it is", "test accuracy", "number", "of the network without the remedy, mean over seeds"),
    Head("with remedy", "test accuracy", "number", "of the changed network, mean over seeds"),
    Head("gain", "test accuracy", "number", "paired by seed, with its 95 % interval"),
    Head(
        "effect",
        "test accuracy",
        "text",
        "help or harm beyond chance; no effect: the interval lies within two points; unclear: neither",
    ),
    Head("as it is", "log₁₀ first/last at start", "number", "first gradient norm over the last, in decades"),
    Head("with remedy", "log₁₀ first/last at start", "number", "the same of the changed network"),
    Head("change", "log₁₀ first/last at start", "number", "paired by seed, with its 95 % interval"),
    Head(
        "promised sign",
        "",
        "text",
        _SIGN,
    ),
)
_SHARES = ("finite", "dead_units", "saturation")


def rows(found: Sequence[Effect], view: View) -> tuple[tuple[Field, ...], ...]:
    """One row an effect, in the order of `HEADS`."""
    names = labels(view)
    return tuple(_row(one, names.get(text_key(one.original), view.study.name)) for one in found)


def labels(view: View) -> dict[str, str]:
    """The name of every network of the grid by its fields."""
    return {text_key(choice.summary.fields): choice.label for choice in view.choices}


def text_key(fields: Mapping[str, object]) -> str:
    """Fields as a text, to look networks up by."""
    return json.dumps(dict(fields), sort_keys=True)


def sentences(found: Sequence[Effect], study: Study) -> Iterator[str]:
    """What the table says, and what is not in it."""
    tested = [one for one in found if one.verdict]
    if not found:
        yield "No network has ended both as it is and with a remedy, so there is nothing to say so far."
    elif not tested:
        yield "No network has two seeds that ended with and without a remedy, so nothing can be tested."
    else:
        counts = {
            word: sum(one.verdict == word for one in tested) for word in ("helps", "harms", "no effect")
        }
        yield (
            f"Of {plural(len(tested), 'trial')} of a remedy on a network, {counts['helps']} raised the test accuracy "
            f"and {counts['harms']} lowered it beyond chance, and {counts['no effect']} left it within "
            f"two points (paired t test at {LEVEL:.0%}, Holm's correction over all "
            "of them)."
        ).replace("%", " %")
        if len(study.seed_list) < _FEW_SEEDS:
            yield (
                f"With {plural(len(study.seed_list), 'seed')} only a large and steady difference can be told from "
                "chance."
            )
        promised = [one for one in tested if one.seen is not None]
        without = sum(bool(one.seen) and one.verdict != "helps" for one in promised)
        if promised:
            shown = sum(bool(one.seen) for one in promised)
            yield (
                f"The promised sign was seen in {shown} of the {plural(len(promised), 'trial')} that promised one"
                + (f"; in {without} of these the accuracy did not rise beyond chance." if without else ".")
            )


def left_out_sentence(study: Study) -> str:
    """Which remedies were carried out on no network, and why; "" where there are none."""
    reasons = [
        f"{name.partition(':')[0]} ({reason})"
        for name, some in left_out(study).items()
        for reason in some
        if len(some) == 1 and sum(some.values()) == _networks(study)
    ]
    return f"Not carried out: {listed(list(dict.fromkeys(reasons)), most=30)}." if reasons else ""


def _networks(study: Study) -> int:
    return len(study.cells()) // len(study.seed_list)


def sign_words(one: Effect) -> tuple[str, str]:
    """Whether the promised sign was seen, and what it is with its values."""
    if not one.sign:
        return MISSING, ""

    def shown(value: float) -> str:
        return f"{100 * value:.0f} %" if one.sign in _SHARES and math.isfinite(value) else decimal(value, 1)

    word = {True: "seen", False: "not seen", None: "not measured"}[one.seen]
    return word, f"{SIGN_WORDS[one.sign]} {shown(one.sign_before)} → {shown(one.sign_after)}"


def changes_words(one: Effect) -> str:
    """What a remedy changed, field by field."""
    return ", ".join(
        f"{field_label(name)} {short(was)} → {short(now)}" for name, (was, now) in one.changes.items()
    )


def bounds(difference: Difference, digits: int, limit: float = math.inf) -> str:
    """The interval of a difference, cut at what is possible; "" where there is none."""
    if math.isnan(difference.low):
        return ""
    low, high = max(difference.low, -limit), min(difference.high, limit)
    return f"{signed(low, digits)} to {signed(high, digits)}"


def verdict_words(one: Effect) -> str:
    """The effect in a word."""
    return one.verdict or MISSING


def _row(one: Effect, label: str) -> tuple[Field, ...]:
    seen, sign = sign_words(one)
    diverged = f"{one.diverged} diverged" if one.diverged else ""
    look = {"helps": "clear", "harms": "bad"}.get(one.verdict, "")
    return (
        Field(label),
        Field(one.remedy, changes_words(one)),
        Field(decimal(one.before.mean, 3), "", repr(one.before.mean)),
        Field(decimal(one.after.mean, 3), diverged, repr(one.after.mean)),
        Field(signed(one.gain.mean, 3), bounds(one.gain, 2, 1.0), repr(one.gain.mean)),
        Field(verdict_words(one), "", verdict_words(one), look),
        _number(one.ratio_before.mean),
        _number(one.ratio_after.mean),
        _number(one.ratio.mean, bounds(one.ratio, 1), signed),
        Field(seen, sign),
    )


def _number(value: float, below: str = "", say: Callable[[float, int], str] = decimal) -> Field:
    order = (
        ""
        if math.isnan(value)
        else repr(value)
        if math.isfinite(value)
        else f"{value:+}".replace("inf", "1e999")
    )
    return Field(say(value, 2), below, order)


def found_in(view: View, table: Table | None) -> tuple[Effect, ...]:
    """The effects of a study's remedies; none where it has none."""
    return effects(table, view.study) if view.study.remedies and table is not None else ()
