"""The study in a few sentences, computed from its results."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evenflow.report.columns import bounds_text
from evenflow.report.view import Choice, View, field_label, grouped, value_label
from evenflow.report.wording import capitalised, decimal, listed, of_the_last, plural, signed

_FAINT = -6.0  # a millionth
LEVEL = 0.05


def lead(view: View) -> tuple[str, ...]:
    """The opening paragraph, sentence by sentence."""
    sentences = [_what_was_done(view), *_open_ends(view)]
    ended = [choice for choice in view.choices if choice.summary.results]
    if not ended:
        return (*sentences, "No training has ended yet, so there are no results to report so far.")
    return tuple(
        sentence for sentence in (*sentences, *_outcomes(view, ended), *_flow(view, ended)) if sentence
    )


def headline(view: View) -> str:
    """What was compared, in a few words."""
    if len(view.choices) == 1:
        return f"One network: {view.choices[0].label}"
    fields = [field_label(name) for name in (view.compared, *view.others)]
    return capitalised(f"{listed(fields)}: {len(view.choices)} networks compared")


def comparisons_sentence(view: View) -> str:
    """What the paired comparisons say together."""
    found = [one for one in view.summary.comparisons if not math.isnan(one.difference.mean)]
    if not view.summary.comparisons:
        return "There is nothing to compare: no two networks differ in one field."
    if not found:
        return "No two networks that differ in one field have a seed in common that has ended."
    tested = [one for one in found if not math.isnan(one.adjusted_p_value)]
    largest = max(found, key=lambda one: abs(one.difference.mean))
    pair = (largest.first, largest.second)
    biggest = (
        f"The largest gain in test accuracy is {signed(abs(largest.difference.mean))}: "
        f"{_pair(view, largest.field, *(pair if largest.difference.mean >= 0 else reversed(pair)))}."
    )
    if not tested:
        pairs, differ = plural(len(found), "pair"), "differs" if len(found) == 1 else "differ"
        why = "No pair has two seeds in common, so nothing can be tested."
        return f"{pairs} of networks {differ} in one field only. {biggest} {why}"
    clear = sum(one.adjusted_p_value < LEVEL for one in tested)
    count = capitalised(f"{clear or 'none'} of {plural(len(tested), 'comparison')}")
    text = (
        f"{count} that change one field only {'is' if clear <= 1 else 'are'} clear of chance at 5 % "
        f"after Holm's correction. {biggest}"
    )
    if not clear and view.seeds < 5:
        text += (
            f" With {plural(view.seeds, 'seed')} only a large and steady difference can be told from chance."
        )
    return text


def pair_words(view: View, field: str, place: int) -> str:
    """The value of a field in the cell at `place`."""
    return value_label(field, view.summary.cells[place].fields.get(field))


def _pair(view: View, field: str, first: int, second: int) -> str:
    shared = view.choices[first]
    rest = ", ".join(
        value_label(name, shared.summary.fields.get(name))
        for name in (*view.others, view.compared)
        if name != field and name in (*view.summary.grid,)
    )
    words = f"from {pair_words(view, field, first)} to {pair_words(view, field, second)}"
    return f"{words} ({rest})" if rest else words


def _what_was_done(view: View) -> str:
    study = view.study
    counts = [
        f"{len(values)} × {field_label(name)}" for name, values in study.grid.items() if len(values) > 1
    ]
    grid = f" ({', '.join(counts)})" if counts else ""
    shared = []
    for name, value, word in (
        ("steps", study.training.steps, f"for {plural(study.training.steps, 'step')}"),
        ("data", study.data.name, f"on {study.data.name}"),
        ("optimiser", study.training.optimiser, f"with {study.training.optimiser}"),
    ):
        if name not in study.grid and value is not None:
            shared.append(word)
    seeds = plural(len(study.seed_list), "seed")
    each = "each " if len(view.choices) > 1 else ""
    verb = "were" if len(view.choices) > 1 else "was"
    under = ", under equal conditions" if len(view.choices) > 1 else ""
    text = f"{plural(len(view.choices), 'network')}{grid} {verb} {each}trained {' '.join(shared)} from {seeds}{under}."
    return capitalised(" ".join(text.split()))


def _open_ends(view: View) -> list[str]:
    said = []
    failed = sum(choice.summary.failed for choice in view.choices)
    if view.unfinished:
        total = len(view.choices) * len(view.study.seed_list)
        said.append(
            f"So far: {view.unfinished} of {plural(total, 'training')} "
            f"{'has' if view.unfinished == 1 else 'have'} not ended."
        )
    if failed:
        said.append(
            f"{plural(failed, 'training')} failed for a reason outside the network and "
            f"{'is' if failed == 1 else 'are'} not counted."
        )
    if len(view.study.seed_list) == 1:
        said.append("One seed: no intervals, and no test of a difference.")
    return said


def _outcomes(view: View, ended: Sequence[Choice]) -> list[str]:
    target = view.summary.target_accuracy
    reached = [choice for choice in ended if _reached(choice) == len(choice.summary.results)]
    diverged = [choice for choice in ended if choice.summary.diverged]
    guessing = [choice for choice in ended if choice.summary.reliability.mean == 0 and choice not in diverged]
    seeds = _with_seeds(view)
    if len(ended) == 1:
        return [_single(ended[0])]
    said = [
        f"{_count(reached, ended)} a test accuracy of {target:g} {seeds}: {grouped(view, reached)}."
        if reached
        else f"None reaches a test accuracy of {target:g} {seeds}."
    ]
    if guessing:
        verb = "is" if len(guessing) == 1 else "are"
        said.append(f"{len(guessing)} {verb} no better than guessing at the end: {grouped(view, guessing)}.")
    if diverged:
        runs = sum(choice.summary.diverged for choice in diverged)
        verb = "counts as a result" if runs == 1 else "count as results"
        said.append(f"{plural(runs, 'training')} diverged and {verb}: {grouped(view, diverged)}.")
    return said


def _single(choice: Choice) -> str:
    accuracy = choice.summary.figures["test_accuracy"]
    bounds = bounds_text(accuracy, lambda value: decimal(value, 3), (0.0, 1.0))
    within = f" ({bounds})" if bounds else ""
    diverged = choice.summary.diverged
    tail = f"; {plural(diverged, 'training')} diverged" if diverged else ""
    return (
        f"{capitalised(choice.label)} ends at a test accuracy of {decimal(accuracy.mean, 3)}{within}{tail}."
    )


def _flow(view: View, ended: Sequence[Choice]) -> list[str]:
    ratios = {choice: choice.summary.figures["log_ratio_start"].mean for choice in ended}
    known = [choice for choice in ended if not math.isnan(ratios[choice])]
    if not known:
        return []
    weakest, strongest = min(known, key=ratios.__getitem__), max(known, key=ratios.__getitem__)
    low = of_the_last(ratios[weakest])
    if len(known) == 1:
        return [f"Before training, its first layer's gradient is {low}."]
    said = [
        f"Before training, the first layer's gradient is {low} with {weakest.label}, the weakest, "
        f"and {of_the_last(ratios[strongest])} with {strongest.label}, the strongest."
    ]
    faint = [choice for choice in known if ratios[choice] < _FAINT]
    others = [choice for choice in known if choice not in faint]
    if faint and others:
        target = view.summary.target_accuracy
        said.append(
            f"Of the {plural(len(faint), 'network')} whose first layer starts below a millionth of the last, "
            f"{_how_many(faint, 'reaches', 'reach')} {target:g} {_with_seeds(view)}; "
            f"{_the_others(others)}."
        )
    return said


def _the_others(choices: Sequence[Choice]) -> str:
    if len(choices) == 1:
        does = _reached(choices[0]) == len(choices[0].summary.results)
        return f"the other one {'does' if does else 'does not'}"
    return f"of the other {len(choices)}, {_how_many(choices, 'does', 'do')}"


def _how_many(choices: Sequence[Choice], one: str, many: str) -> str:
    count = sum(_reached(choice) == len(choice.summary.results) for choice in choices)
    return f"{count or 'none'} {one if count <= 1 else many}"


def _with_seeds(view: View) -> str:
    return "with every seed" if view.seeds > 1 else "with its one seed"


def _reached(choice: Choice) -> int:
    """Seeds that reach the target."""
    return choice.summary.figures["steps_to_target"].count


def _count(some: Sequence[Choice], every: Sequence[Choice]) -> str:
    if len(some) == len(every):
        return f"All {len(every)} reach"
    return f"{len(some)} {'reaches' if len(some) == 1 else 'reach'}"
