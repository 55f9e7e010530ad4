"""What a diagnosis is of: the model, where its source is, how it was trained, and when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from evenflow.diagnose.case import Case
from evenflow.spec.setting import Setting
from evenflow.wording import exact, listed


@dataclass(frozen=True)
class About:
    """What is known of a training that was judged.

    Args:
        model: the class of the model.
        optimiser: with its learning rate, in words.
        begun: date and time, such as "2026-01-31 12:00".
        file: of the model's class or of the script, relative to the folder it ran in, with slashes.
        line: in that file, from 1; 0 where none is known.
    """

    model: str = ""
    optimiser: str = ""
    begun: str = ""
    file: str = ""
    line: int = 0

    @property
    def words(self) -> str:
        """Model and optimiser, in one line; "" where neither is known."""
        if not self.optimiser:
            return self.model
        return f"{self.model or 'a model'}, trained with {self.optimiser}"


def about(case: Case) -> About:
    """What the facts of a run and its setting tell."""
    facts = case.run.facts
    known = facts.get("about")
    known = known if isinstance(known, Mapping) else {}
    script = str(facts.get("script", ""))
    own = str(known.get("file", ""))
    return About(
        model=str(known.get("model", facts.get("model", ""))),
        optimiser=optimiser_words(case.setting),
        begun=str(known.get("begun", "")),
        file=own or (script if script.endswith(".py") and not script.startswith(("/", "..")) else ""),
        line=int(known.get("line", 0)) if own else 0,
    )


def optimiser_words(setting: Setting) -> str:
    """The optimisers with their learning rates, and whether the doctor chose them.

    >>> from evenflow.spec.setting import Optimiser
    >>> optimiser_words(Setting(optimisers=(Optimiser(type="SGD", learning_rate=0.3, momentum=0.9),)))
    'SGD at learning rate 0.3 and momentum 0.9'
    """
    found = list(dict.fromkeys(_groups(setting)))
    words = listed(found, most=3)
    return (
        f"{words} (the doctor's own choice: no optimiser was given)" if words and setting.assumed else words
    )


def _groups(setting: Setting) -> Iterator[str]:
    for group in setting.optimisers:
        parts = [f"learning rate {exact(group.learning_rate)}"]
        if group.momentum and group.type == "SGD":
            parts.append(f"momentum {exact(group.momentum)}")
        if group.weight_decay and group.type != "AdamW":
            parts.append(f"weight decay {exact(group.weight_decay)}")
        yield f"{group.type} at {listed(parts)}"
