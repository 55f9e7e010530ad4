"""What to do, in a sentence with this training's own values: a remedy's name, a finding and the setting in, words out.

A remedy that a twin has tried says what came of it. One that nothing is known of says what it does, and how.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from evenflow.diagnose.finding import Finding
from evenflow.diagnose.remedies import ends, network, steps, weights
from evenflow.diagnose.remedies.tried import tried
from evenflow.spec.setting import Setting

__all__ = ["LINES", "sentence", "tried"]

LINES: Mapping[str, Callable[[Finding, Setting], str]] = {
    **steps.LINES,
    **ends.LINES,
    **weights.LINES,
    **network.LINES,
}
"""The sentence of each remedy that is known, by its name."""


def sentence(remedy: str, finding: Finding, setting: Setting) -> str:
    """A remedy of a finding in one sentence; "" where nothing is known of it.

    >>> from evenflow.spec.setting import Optimiser
    >>> plain = Finding("lr_too_high", "EF401", "fault", 1.0, (), 0, {}, "Too high.", ("lower_learning_rate",))
    >>> sentence("lower_learning_rate", plain, Setting(optimisers=(Optimiser(type="SGD", learning_rate=0.3),)))
    'Lower the learning rate from 0.3 to 0.03 to begin with.'
    """
    line = LINES.get(remedy)
    return "" if line is None else line(finding, setting)
