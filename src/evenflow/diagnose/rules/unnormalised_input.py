"""The inputs are far from standardised, and it costs results.

Inputs need no exact mean of 0 nor deviation of 1; but their scale multiplies the first signal, their offset is a
direction common to all samples along which the loss is ‖μ‖² / σ² times as curved as along the others (LeCun et al.,
1998, section 4.3), and features of different scale each ask for a learning rate of their own. The rule asks for one
of the three, and for harm: a twin on standardised inputs that does clearly better, or without one a training that
has failed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from evenflow.diagnose.case import Case
from evenflow.diagnose.finding import MissingError, Severity, Verdict
from evenflow.diagnose.layers import two_sided
from evenflow.diagnose.learning import Learning, learning
from evenflow.diagnose.rule import Rule
from evenflow.diagnose.twins import Comparison, compared
from evenflow.spec.setting import Input, Setting
from evenflow.wording import exact, number

LARGE = 5.0
"""Deviation, or mean, of all entries beyond which the first signal leaves what initialisations are made for."""
TINY = 0.03
"""Root mean square below which the first layer hears next to nothing but its bias."""
OFFSET = 4.0
"""‖μ‖ / ‖σ‖ of the features: curvature along their common mean is 16 n times that along one of n other directions."""
SPREAD = 20.0
"""Deviation of the widest feature over that of the median one: curvatures differ by its square, 400."""
MILD = 0.4
"""Inputs beyond this share of a limit may cost something too: a fault where the twin stays clearly better."""
LOOSE = 2.0
"""Times the deviation that its initialisation asks for, up to which a weight is no larger than it should be."""
MOST = 0.5
"""Share of flat entries from which on an activation says next to nothing."""
LITTLE = 0.3
"""Share of the way that counts as hardly learned."""


@dataclass(frozen=True)
class Distance:
    """How far an input is from standardised, by what is worst about it.

    Args:
        excess: times the limit; 1 and more is far.
        what: in words.
    """

    excess: float
    what: str


def distance(given: Input) -> Distance:
    """How far an input is from standardised.

    >>> pixels = Input(name="input", shape=(64, 784), mean=33.0, std=78.0, offset=0.5, feature_spread=1.5)
    >>> distance(pixels).what
    'entries with mean 33 and standard deviation 78'
    """
    entries = f"entries with mean {exact(given.mean)} and standard deviation {exact(given.std)}"
    square = math.hypot(given.mean, given.std)
    found = [
        Distance(max(abs(given.mean), given.std) / LARGE, entries),
        Distance(TINY / square if square > 0.0 else 0.0, entries),
        Distance(
            given.offset / OFFSET,
            f"a mean that is {exact(given.offset)} times as large as the spread around it",
        ),
        Distance(
            given.feature_spread / SPREAD,
            f"features whose standard deviations differ by a factor of {exact(given.feature_spread)}",
        ),
    ]
    return max(
        (each for each in found if math.isfinite(each.excess)), key=lambda each: each.excess, default=_NEAR
    )


_NEAR = Distance(0.0, "")


def judge(case: Case) -> Verdict | None:
    """Inputs that are far from standardised where this costs results."""
    setting = case.setting
    if not setting.inputs:
        raise MissingError(
            "nothing is known of the inputs; use evenflow doctor, or a probe that sees the model called"
        )
    judged = [given for given in setting.inputs if not _are_tokens(given, setting)]
    if not judged:
        return None
    worst = max(judged, key=lambda given: distance(given).excess)
    far = distance(worst)
    curve = learning(case)
    twins = [each for change in ("inputs", "outliers") for each in compared(setting, change, curve.reference)]
    twin = max(twins, key=lambda each: each.points, default=None)
    severity = _severity(far, twin, curve, setting, floods(case))
    if far.excess < 1.0 and severity == "fault" and worst.minimum >= 0.0 and worst.maximum <= 1.0:
        severity = "risk"  # pixels in 0 to 1, which most code feeds and most networks take
    return None if severity is None else _verdict(worst, far, twin, curve, setting, severity)


def _are_tokens(given: Input, setting: Setting) -> bool:
    """Whole numbers that are looked up in an embedding have no scale."""
    looked_up = not setting.layers or any(layer.type.startswith("Embedding") for layer in setting.layers)
    return given.integer and looked_up


def _severity(
    far: Distance, twin: Comparison | None, curve: Learning, setting: Setting, flooded: bool
) -> Severity | None:
    if far.excess < 1.0:
        if far.excess < MILD or twin is None or not twin.clear:
            return None
        return "fault" if twin.lasts(curve.falling) else "risk"
    if twin is not None:
        costly = twin.clear or (curve.diverged and twin.rescued) or (flooded and _failed(curve))
        return "fault" if costly else "information"
    if normalised_at_once(setting) or not _failed(curve):
        return "information"
    return "fault"


def floods(case: Case) -> bool:
    """Whether the first activation is flat for most entries at the first step, though its weights are no larger than
    they should be: then it is the inputs' scale that put it there.
    """
    layers = case.setting.layers
    if (
        not layers
        or not layers[0].activation_site
        or not layers[0].weight_std <= LOOSE * layers[0].expected_std
    ):
        return False
    try:
        flat = case.series("saturated_fraction", "activation")
    except MissingError:
        return False
    site = layers[0].activation_site
    if site not in flat.names:
        return False
    place = flat.names.index(site)
    return bool(two_sided(case, flat)[place] and flat.values[0, place] > MOST)


def normalised_at_once(setting: Setting) -> bool:
    """Whether the first parameters belong to a normalisation, which takes scale and offset of the inputs away."""
    return bool(setting.parameters) and setting.parameters[0].kind in ("scale", "shift")


def _failed(curve: Learning) -> bool:
    return curve.diverged or not curve.learned >= LITTLE


def _verdict(
    worst: Input,
    far: Distance,
    twin: Comparison | None,
    curve: Learning,
    setting: Setting,
    severity: Severity,
) -> Verdict:
    cut = twin is not None and twin.trial.change == "outliers" and twin.clear
    evidence: dict[str, float | int | str] = {
        "input_mean": worst.mean,
        "input_std": worst.std,
        "offset_over_spread": worst.offset,
        "feature_std_largest_over_median": worst.feature_spread,
        "share_learned": curve.learned,
        "loss_start": curve.start,
    }
    message = f'input "{worst.name}" has {far.what}'
    if cut:
        evidence["farthest_entry_over_spread_of_the_middle_half"] = worst.outlying
        message += f", a few of them {number(worst.outlying)} times as far out as the middle half is wide"
    if twin is not None:
        evidence["twin_points"] = twin.points
        if twin.clear:
            on = (
                "inputs standardised by their middle half, outliers cut off,"
                if cut
                else "standardised inputs"
            )
            message += f"; on {on} the same training is {twin.words}"
        elif twin.rescued:
            message += "; the loss ran away, and on standardised inputs it does not"
        elif severity == "fault":
            message += ", which puts the first activation where it is flat before the first step"
        else:
            message += "; on standardised inputs the same training is no better, so it does no harm here"
    elif severity == "fault":
        message += f", and the loss went from {number(curve.start, 3)} to {number(curve.end, 3)} only"
    first = (setting.layers[0].name,) if setting.layers else ()
    return Verdict(
        severity=severity,
        sites=(worst.name, *first),
        first_step=None,
        evidence=evidence,
        message=message,
        strength=min(0.95, 0.7 + 0.1 * math.log10(max(far.excess, 1.0))),
    )


RULE = Rule(
    code="EF301",
    name="unnormalised_input",
    title="The inputs are far from standardised",
    judge=judge,
    remedies=("standardise_input", "normalise_first_layer"),
    confidence=0.96,
    explanation=(
        "Scale, offset or spread of the inputs are far from mean 0 and standard deviation 1 of each feature, and the "
        "same training on standardised inputs does clearly better. Tokens are left alone, and so are inputs "
        "that are near, unless a twin on standardised ones is ten points better and stays so (of pixels in 0 to 1 a "
        "risk); large inputs that do no harm are information."
    ),
)
