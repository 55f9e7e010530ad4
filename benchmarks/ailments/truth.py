"""What is true of a case, found by experiment: trainings of the case, of its twin, and at other learning rates.

A *fault* is true if the twin without the mechanism, from the same start on the same batches, is at least 10 points
better after 400 steps: points of accuracy, or of the explained share of the target's variance. Where the first pair
differs by 3 to 25 points, a second pair is drawn and the mean counts.

A case is *sound* if it gets more than half of the way from chance to all right, if no twin without its mechanism is
10 points better, and if none with the learning rate times 0.1 or 10 is (not tried beyond 90 points, where none can
be). What is neither is *left out*, and so is a layer that does not learn though it was meant to, but is not needed.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from .recipe import Case
from .trial import built, chance, score, train

STEPS = 400
HARM = 10.0
UNSURE = (3.0, 25.0)
ENOUGH = 90.0


@dataclass(frozen=True)
class Truth:
    """What experiments say of a case.

    Args:
        name: of the case.
        verdict: "fault", "sound" or "left out".
        cause: the rule that names it, for a fault; "" otherwise.
        score: of the case, in points, mean over its seeds.
        twin: of the twin without the mechanism; the case's own where there is none.
        chance: of the best constant answer.
        rates: score by factor of the learning rate, where tried.
        seeds: pairs trained.
        seconds: spent.
    """

    name: str
    verdict: str
    cause: str
    score: float
    twin: float
    chance: float
    rates: dict[str, float]
    seeds: int
    seconds: float


def outcome(case: Case, seed: int, *, faulty: bool = True, rate: float = 1.0, steps: int = STEPS) -> float:
    """The score after a training of one seed."""
    training = built(case, seed, faulty=faulty, rate=rate)
    train(training, steps)
    return score(training)


def truth(case: Case, steps: int = STEPS) -> Truth:
    """Train the case and its twins, and judge."""
    begun = time.perf_counter()
    own, other = [outcome(case, 0, steps=steps)], []
    if case.mechanism:
        other.append(outcome(case, 0, faulty=False, steps=steps))
        if UNSURE[0] <= other[0] - own[0] <= UNSURE[1]:
            own.append(outcome(case, 1, steps=steps))
            other.append(outcome(case, 1, faulty=False, steps=steps))
    mine = sum(own) / len(own)
    twin = sum(other) / len(other) if other else mine
    guess = chance(built(case, faulty=False))
    rates: dict[str, float] = {}
    harmful = twin - mine >= HARM
    if not harmful and not (case.mechanism and case.mechanism.contested):
        learns = mine - guess > 0.5 * (100 - guess)
        if learns and mine < ENOUGH:
            rates = {str(factor): outcome(case, 0, rate=factor, steps=steps) for factor in (0.1, 10.0)}
    verdict = judged(case, mine, twin, guess, rates)
    cause = case.cause if verdict == "fault" else ""
    return Truth(case.name, verdict, cause, mine, twin, guess, rates, len(own), time.perf_counter() - begun)


def judged(case: Case, score: float, twin: float, guess: float, rates: dict[str, float]) -> str:
    """The verdict that follows from the scores."""
    if twin - score >= HARM:
        return "fault" if case.cause else "left out"
    if case.mechanism and case.mechanism.contested:
        return "left out"
    learns = score - guess > 0.5 * (100 - guess)
    better = any(one - score >= HARM for one in rates.values())
    return "sound" if learns and not better else "left out"


def plain(found: Truth) -> dict[str, object]:
    """As JSON holds it."""
    return asdict(found)
