"""Puts the measured tables into the pages on remedies when the documentation is built, verdicts included.

A page says where: `<!-- measured: NAME, NAME -->` for remedies, or one of `matrix`, `matrix of sequences`, `ranking`,
`faults` and `origin`. The figures by seed are those of `remedies/measured.json`, which `benchmarks/remedies.py` writes;
every mean, interval and verdict is computed from them here.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenflow.compare.intervals import mean_interval
from evenflow.compare.paired import Difference, holm, paired_difference
from evenflow.compare.remedies import LEVEL, SAME, verdict
from evenflow.wording import MISSING, decimal, listed, plural

_MARK = re.compile(r"<!-- measured: (.+?) -->")
_SHORT = {
    "change_activation:relu": "ReLU",
    "change_activation:relu+he": "ReLU + He",
    "change_activation:leaky_relu": "leaky",
    "change_activation:leaky_relu+he": "leaky + He",
    "reinitialise:he": "He",
    "reinitialise:orthogonal": "orthogonal",
    "zero_biases": "biases 0",
    "add_normalisation:batch": "batch norm",
    "add_normalisation:layer": "layer norm",
    "add_skip_connections:plain": "skips",
    "add_skip_connections:scaled": "skips (scaled)",
    "clip_gradients:norm": "clipping",
    "lower_learning_rate:0.1": "rate ÷ 10",
    "standardise_input:features": "standard inputs",
    "start:lstm": "LSTM at PyTorch's start",
    "start:gru": "GRU at PyTorch's start",
    "replace_recurrence:lstm": "LSTM + 1",
    "replace_recurrence:lstm+length": "LSTM + length",
    "replace_recurrence:gru": "GRU + 1",
    "replace_recurrence:gru+length": "GRU + length",
    "open_forget_gates:1": "gates + 1",
    "open_forget_gates:length": "gates + length",
}
"""Remedies in a few words, for the heads of the wide table."""

_BESIDE = 5
"""Remedies in one table, which is then no wider than a page."""


@dataclass(frozen=True)
class Row:
    """One fault with one remedy, weighed.

    Args:
        fault, remedy: their names.
        before, after: mean accuracy.
        gain: paired by seed.
        ratio_before, ratio_after: mean log10 of the first gradient over the last, before training.
        seen: whether the promised sign has come; None where none was promised.
        verdict: as `evenflow.compare.remedies.verdict` has it.
        why_not: why the remedy was not carried out; "" where it was.
    """

    fault: str
    remedy: str
    before: float = math.nan
    after: float = math.nan
    gain: Difference | None = None
    ratio_before: float = math.nan
    ratio_after: float = math.nan
    seen: bool | None = None
    verdict: str = ""
    why_not: str = ""


def weighed(trials: Sequence[dict[str, Any]]) -> tuple[Row, ...]:
    """All trials with their verdicts; p values are adjusted over all of them (Holm)."""
    gains = [None if "why_not" in one else _gain(one) for one in trials]
    adjusted = iter(holm([one.p_value for one in gains if one is not None]))
    return tuple(
        _row(one, gain, next(adjusted) if gain else math.nan) for one, gain in zip(trials, gains, strict=True)
    )


def _gain(trial: dict[str, Any]) -> Difference:
    before, after = (dict(enumerate(_read(trial[name]))) for name in ("before", "after"))
    return paired_difference(before, after)


def _row(trial: dict[str, Any], gain: Difference | None, adjusted: float) -> Row:
    if gain is None:
        return Row(trial["fault"], trial["remedy"], why_not=trial["why_not"])
    before, after, ratio_before, ratio_after = (
        mean_interval(_read(trial[name])).mean for name in ("before", "after", "ratio_before", "ratio_after")
    )
    return Row(
        trial["fault"],
        trial["remedy"],
        before,
        after,
        gain,
        ratio_before,
        ratio_after,
        trial["seen"],
        verdict(gain, adjusted),
    )


def _read(values: Sequence[float | str | None]) -> list[float]:
    return [math.nan if one is None else float(one) for one in values]


def _signed(value: float) -> str:
    text = decimal(value, 2)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def _whole(text: str) -> str:
    """Text that is not broken into lines."""
    return text.replace(" ", "\u00a0")


def _interval(gain: Difference) -> str:
    return f"{_signed(gain.mean)} ({_signed(max(gain.low, -1.0))} to {_signed(min(gain.high, 1.0))})"


def table(rows: Sequence[Row], titles: dict[str, str], name: str) -> Iterator[str]:
    """What one remedy did to every fault: sentences, and a table in Markdown."""
    mine = [row for row in rows if row.remedy == name]
    tried = [row for row in mine if row.gain is not None]
    yield f"### `{name}`" if not name.startswith("start:") else f"### {_SHORT[name]}"
    yield ""
    yield " ".join(summary(mine, titles))
    yield ""
    yield "| fault | effect | as it is | with it | gain (95 % interval) | log₁₀ first/last | promised sign |"
    yield "|---|---|---:|---:|---:|---:|---|"
    for row in tried:
        assert row.gain is not None
        sign = {True: "seen", False: "not seen", None: MISSING}[row.seen]
        effect = f"**{row.verdict}**" if row.verdict in ("helps", "harms") else row.verdict
        yield (
            f"| {_whole(titles[row.fault])} | {_whole(effect)} | {decimal(row.before)} | {decimal(row.after)} | "
            f"{_whole(_interval(row.gain))} | "
            f"{_whole(f'{decimal(row.ratio_before, 1)} → {decimal(row.ratio_after, 1)}')} | {_whole(sign)} |"
        )
    yield ""


def summary(mine: Sequence[Row], titles: dict[str, str]) -> Iterator[str]:
    """Where a remedy helps and where it does not, in sentences."""
    tried = [row for row in mine if row.gain is not None]
    words = {"helps": "helps with", "harms": "harms", "no effect": "changes nothing (within two points) in"}
    for kind, says in words.items():
        some = [titles[row.fault] for row in tried if row.verdict == kind]
        if some:
            yield f"It {says} {len(some)} of {plural(len(tried), 'network')}: {listed(some, most=20)}."
    if not any(row.verdict == "helps" for row in tried):
        yield f"It helps with none of {plural(len(tried), 'network')} beyond chance."
    unclear = [titles[row.fault] for row in tried if row.verdict == "unclear"]
    if unclear:
        yield f"Unclear: {listed(unclear, most=20)}."
    idle = [titles[row.fault] for row in tried if row.seen and row.verdict != "helps"]
    if idle:
        yield f"The promised sign was seen and the accuracy did not rise beyond chance: {listed(idle, most=20)}."
    reasons = dict.fromkeys(row.why_not for row in mine if row.why_not)
    for reason in reasons:
        some = [titles[row.fault] for row in mine if row.why_not == reason]
        yield f"Not carried out because {reason}: {listed(some, most=20)}."


def matrix(rows: Sequence[Row], titles: dict[str, str], faults: Sequence[str]) -> Iterator[str]:
    """Fault × remedy, the mean gain in every cell: bold beyond chance, in brackets where that is unclear."""
    names = list(dict.fromkeys(row.remedy for row in rows if row.fault in faults and row.gain is not None))
    found = {(row.fault, row.remedy): row for row in rows}
    for some in (names[at : at + _BESIDE] for at in range(0, len(names), _BESIDE)):
        yield f"| fault | as it is | {' | '.join(_SHORT[name] for name in some)} |"
        yield f"|---|---:|{'---:|' * len(some)}"
        for fault in faults:
            before = next(row.before for row in rows if row.fault == fault and row.gain is not None)
            cells = " | ".join(_cell(found[fault, name]) for name in some)
            yield f"| {_whole(titles[fault])} | {decimal(before)} | {cells} |"
        yield ""


def _cell(row: Row) -> str:
    if row.gain is None:
        return ""
    text = _signed(row.gain.mean)
    return {"helps": f"**{text}**", "harms": f"**{text}**", "unclear": f"({text})"}.get(row.verdict, text)


def ranking(rows: Sequence[Row], faults: Sequence[str]) -> str:
    """Remedies by how many of the faults they help with, in a sentence."""
    mine = [row for row in rows if row.fault in faults and row.gain is not None]
    helped = Counter(row.remedy for row in mine if row.verdict == "helps")
    tried = Counter(row.remedy for row in mine)
    counted = [f"{_SHORT[name]} with {count} of {tried[name]}" for name, count in helped.most_common()]
    none = [_SHORT[name] for name in tried if name not in helped]
    text = (
        f"Beyond chance there help: {listed(counted, most=30)}."
        if counted
        else "No remedy helps beyond chance."
    )
    return f"{text} With none of them: {listed(none, most=30)}." if none else text


def origin(data: dict[str, Any]) -> Iterator[str]:
    """Where the figures come from."""
    seeds, machine = data["seeds"], data["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in data["versions"].items())
    yield (
        f"Measured on {data['date']} with {seeds['fully connected']} seeds ({seeds['recurrent']} for recurrent ones) "
        f"by `{data['command']}`, on {machine.get('processor', 'a processor')}, one core; {versions}. Intervals are "
        "Student's, over differences paired by seed; *helps* and *harms* mean beyond chance at "
        f"{100 * LEVEL:g} % after Holm's correction over all trials of this chapter, *no effect* that the whole "
        f"interval lies within {100 * SAME:g} points. log₁₀ first/last is of the gradient norms of "
        "the first and last layer, or of the input at the first and last step of a sequence, before training."
    )


def filled(page: str, data: dict[str, Any]) -> str:
    """A page with every mark replaced by what was measured.

    Raises:
        ValueError: a page asks for a remedy that was not measured.
    """
    rows, titles = weighed(data["trials"]), data["titles"]
    recurrent = [
        name for name in titles if any(row.fault == name and row.remedy.startswith("start:") for row in rows)
    ]
    connected = [name for name in titles if name not in recurrent]

    def put(match: re.Match[str]) -> str:
        what = match[1].strip()
        if what == "origin":
            return "\n".join(origin(data))
        if what == "faults":
            return "\n".join(f"- **{titles[name]}**: {says}." for name, says in data["faults"].items())
        if what == "matrix":
            return "\n".join(matrix(rows, titles, connected))
        if what == "matrix of sequences":
            return "\n".join(matrix(rows, titles, recurrent))
        if what == "ranking":
            return ranking(rows, connected)
        names = [name.strip() for name in what.split(",")]
        unknown = [name for name in names if all(row.remedy != name for row in rows)]
        if unknown:
            raise ValueError(f"remedies: {listed(unknown)} was not measured; benchmarks/remedies.py measures")
        return "\n".join(line for name in names for line in table(rows, titles, name))

    return _MARK.sub(put, page)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    path = Path(app.srcdir) / "remedies" / "measured.json"

    def read(_app: object, page: str, source: list[str]) -> None:
        if page.startswith("remedies/"):
            source[0] = filled(source[0], json.loads(path.read_text(encoding="utf-8")))

    app.connect("source-read", read)
    return {"parallel_read_safe": True}
