"""Candidates: what could help a training, the best guess first; and combinations of two.

They come from the roots of the diagnosis: what a root's finding names, in its order, and whatever else answers its
rule; then those of what follows from it. What a twin has shown to help goes first, then what by theory or on one batch
takes away what stands in the way; of equals the smaller change, then the cheaper one in use. Of every remedy one form
goes before any second one, so that the first few are as different as can be.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from evenflow.diagnose.finding import Finding
from evenflow.prescribe.catalogue import REMEDIES
from evenflow.prescribe.combine import combined, fit_together
from evenflow.prescribe.effect import SEEN, Effect, effect
from evenflow.prescribe.flow import flow_of
from evenflow.prescribe.prescription import Prescription, View
from evenflow.prescribe.withheld import withheld

SECONDS = 8.0
"""For looking at first batches; after that the order of the findings decides."""
FORMS = 8
"""Of one remedy that are looked at; they come best guess first."""
BEYOND = {
    "look_at_the_data": "what is in the data, and whether inputs have to do with targets, is for you to see",
    "mend_the_cause": "",
}
"""What rules name and no tool can carry out, with the reason; "" of what is no change, but a word about another one."""
SLIPS = ("hold_learning_rate", "add_activation", "lower_weight_decay", "lower_dropout")
"""Remedies for what can be seen to be unusual in a training, whether or not any harm of it has been found."""
GROWN = 1.5
"""Decades by which signals grow from the first layers to the last, from which on that is unusual by itself."""
GROWTH = ("scale_residual_branches", "reinitialise", "add_normalisation", "lower_learning_rate")
"""Remedies for that, whether or not any harm of it has been found."""
STUCK = (
    *("raise_learning_rate", "standardise_target", "change_optimiser", "standardise_input"),
    *("add_normalisation", "reinitialise"),
)
"""Remedies for a loss that does not fall, when nothing says why: tried after all that findings name."""
BESIDE = ("standardise_input", "lower_learning_rate", "clip_gradients")
"""Remedies for faults that hide behind others: an output that is dead shows nothing of what comes in."""
LATER = (
    "lr_too_high",
    "lr_too_low",
    "clipping_always_on",
    "nonfinite_origin",
    "loss_plateau",
    "bad_output_layer",
)
"""Rules of what shows only as the training goes on, or at its end: a first batch says nothing of what answers them."""


@dataclass(frozen=True)
class Guess:
    """A prescription with what speaks for it.

    Args:
        prescription: itself.
        effect: what it promises.
        root: place of the root that it answers among all roots.
        place: of the remedy among those for that root.
        form: place of the prescription among those of its remedy.
    """

    prescription: Prescription
    effect: Effect
    root: int
    place: int
    form: int

    @property
    def order(self) -> tuple[int, ...]:
        """By what it promises; of equals what was seen, the smaller change, the cheaper in use, the finding's order."""
        one, promised = self.prescription, self.effect
        best = (-promised.grade, -promised.points, one.remedy not in SEEN)
        return (*best, self.place // 2, one.size, one.inference, self.place, self.form)


def candidates(view: View) -> tuple[Prescription, ...]:
    """What could help, the best guess first; nothing where there is no finding that costs anything."""
    return tuple(guess.prescription for guess in guesses(view))


def named(view: View, names: Sequence[str]) -> tuple[Prescription, ...]:
    """What remedies of these names could do, whether or not a finding asks for them."""
    return tuple(one for name in dict.fromkeys(names) for one in _forms(view, name)[:FORMS])


def slips(view: View) -> tuple[Prescription, ...]:
    """What could be a slip, whether or not a finding asks for it, and what answers signals that grow on their way."""
    grows = flow_of(view.training.copied()).activations >= GROWN
    return (*named(view, SLIPS), *(_two_of_each(view, GROWTH) if grows else ()))


def stuck(view: View) -> tuple[Prescription, ...]:
    """What is tried where next to nothing was learned and nothing found."""
    return _two_of_each(view, STUCK)


def _two_of_each(view: View, names: Sequence[str]) -> tuple[Prescription, ...]:
    """Two forms of each, the first ones first."""
    forms = [_forms(view, name)[:2] for name in names]
    return tuple(some[place] for place in range(2) for some in forms if len(some) > place)


def guesses(view: View) -> tuple[Guess, ...]:
    """The same with what speaks for each."""
    roots = _roots(view)
    if not roots:
        return ()
    before = flow_of(view.training.copied(), through_time=any(map(_is_through_time, roots)))
    ends = time.perf_counter() + SECONDS
    seen: set[str] = set()
    by_root = []
    for number, root in enumerate(roots):
        found = []
        for place, (name, rule) in enumerate(_remedies(view, root)):
            if name in seen or withheld(view, root, name):
                continue
            seen.add(name)
            for form, one in enumerate(_forms(view, name)[:FORMS]):
                look = root.rule not in LATER and time.perf_counter() < ends
                told = effect(view, one, before, look=look, own=rule == root.rule)
                if _is_through_time(root) and one.sign == "gradient_ratio":
                    one = replace(one, sign="gradient_through_time")
                found.append(Guess(_told(one, rule, told), told, number, place, form))
        by_root.append(_mixed(found))
    return tuple(_interleaved(by_root))


def not_offered(view: View, offered: Sequence[Prescription]) -> dict[str, str]:
    """What would be asked for, is not among what is offered, and is known not to help here: the reason by its name."""
    there = {one.remedy for one in offered}
    found: dict[str, str] = {}
    for root in _roots(view):
        for name, _ in _remedies(view, root):
            if name in there or name in found:
                continue
            reason = BEYOND.get(name) or withheld(view, root, name)
            if reason:
                found[name] = reason
    return found


def _roots(view: View) -> list[Finding]:
    """Roots that cost something, faults first; the diagnosis has them worst first."""
    found = [one for one in view.diagnosis.roots if one.severity != "information"]
    faults = [one for one in found if one.severity == "fault"]
    followers = [
        one
        for one in view.diagnosis.findings
        if one.severity == "fault" and one.root and all(one.root != root.rule for root in found)
    ]
    return [*faults, *followers, *(one for one in found if one.severity != "fault")]


def _is_through_time(root: Finding) -> bool:
    """Whether it speaks of time steps, not of layers."""
    return "time_steps" in root.evidence


def _remedies(view: View, root: Finding) -> Iterator[tuple[str, str]]:
    """Names for a root with the rule that each answers: its own, others that answer its rule, its consequences'."""
    for name in root.remedies:
        yield name, root.rule
    for name, remedy in REMEDIES.items():
        if root.rule in remedy.answers:
            yield name, root.rule
    for follower in view.diagnosis.consequences(root):
        if follower.severity != "information":
            for name in follower.remedies:
                yield name, follower.rule
    if root.rule == "loss_plateau":
        for name in STUCK:
            yield name, root.rule


def _forms(view: View, name: str) -> Sequence[Prescription]:
    remedy = REMEDIES.get(name)
    if remedy is None:
        return ()
    try:
        return remedy.forms(view)
    except Exception as error:  # one remedy that cannot read a model takes none of the others with it
        warnings.warn(
            f"remedy {name} could not be offered, it failed with {type(error).__name__}: {error}; please report it",
            RuntimeWarning,
            stacklevel=2,
        )
        return ()


def _told(one: Prescription, rule: str, told: Effect) -> Prescription:
    """With what it answers and what it rests on among its reasons."""
    words = f"; {told.words}." if told.words and told.grade > 1 and "twin" not in told.words else ""
    why = one.why if rule in one.why else f"answers {rule}: {one.why}"
    return replace(one, why=why.rstrip(".") + words if words else why)


def _mixed(found: list[Guess]) -> list[Guess]:
    """In order, where each further form of a remedy counts half a grade less than the one before."""
    forms: Counter[str] = Counter()
    ranked = []
    for guess in sorted(found, key=lambda guess: guess.order):
        name = guess.prescription.remedy
        ranked.append(((forms[name] - 2 * guess.effect.grade, *guess.order[1:]), guess))
        forms[name] += 1
    return [guess for _, guess in sorted(ranked, key=lambda one: one[0])]


def _interleaved(by_root: list[list[Guess]]) -> Iterator[Guess]:
    """Two of the first root, then one of each other, and so on; what makes things worse comes last of all."""
    good = [[guess for guess in some if guess.effect.grade >= 0] for some in by_root]
    while any(good):
        for number, some in enumerate(good):
            for _ in range(2 if number == 0 else 1):
                if some:
                    yield some.pop(0)
    for some in by_root:
        yield from (guess for guess in some if guess.effect.grade < 0)


def beside(view: View) -> tuple[Prescription, ...]:
    """What may be wrong besides, and does not show before a first fault is mended: the first forms of the usual."""
    return tuple(one for name in BESIDE for one in _forms(view, name)[:1])


def pairs(first: Prescription, others: Sequence[Prescription]) -> Iterator[Prescription]:
    """Combinations of one with each of the others that it goes together with, in their order, made when asked for.

    Args:
        first: the best by itself.
        others: the best guess first.
    """
    for other in others:
        if fit_together(first, other):
            yield combined(first, other)
