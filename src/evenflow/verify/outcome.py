"""What came of a repair: what was found, what was tried, what is recommended, and the code for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenflow.diagnose.diagnosis import Diagnosis
from evenflow.errors import StoreError
from evenflow.prescribe.prescription import Code, Edit, Prescription
from evenflow.spec.setting import NAN
from evenflow.verify.signs import Reading

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from torch import nn
    from torch.optim import Optimizer

    from evenflow.verify.pairs import Paired


@dataclass(frozen=True)
class Tried:
    """One line of the table: the original, or a change that was tried.

    Args:
        name: of the prescription, such as "change_activation:relu"; "original".
        title: what it does, one line.
        steps: of its trial.
        value: of the metric, after them; NaN where it never came to one.
        status: what became of it, in words.
        chosen: whether it is what is recommended.
        ratio: the gradient of the first layers over that of the last, in its first steps; NaN where not measured.
        reading: its promised sign, before and after; None where it was not measured.
        seconds_per_step: without a probe; NaN where not measured.
        size, inference: as in `Prescription`.
    """

    name: str
    title: str
    steps: int
    value: float
    status: str
    chosen: bool = False
    ratio: float = NAN
    reading: Reading | None = None
    seconds_per_step: float = NAN
    size: int = 0
    inference: int = 0


@dataclass(frozen=True, repr=False)
class Trials:
    """The table of what was tried: print it, show it in a notebook, or go through its rows.

    Args:
        rows: the original first, then in the order in which they came out.
        metric: name of what they were judged by.
        higher: whether more of it is better.
    """

    rows: tuple[Tried, ...]
    metric: str
    higher: bool = True

    def __iter__(self) -> Iterator[Tried]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        from evenflow.verify.outcome_table import text

        return text(self)

    def __repr__(self) -> str:
        return f"Trials({len(self.rows)} rows, by {self.metric})"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[object]:
        from evenflow.verify.outcome_table import grid

        yield grid(self, options.max_width)

    def _repr_html_(self) -> str:
        from evenflow.verify.outcome_html import table

        return table(self)

    def to_dict(self) -> list[dict[str, object]]:
        """Plain data, a dictionary a row."""
        from evenflow.verify.outcome_plain import rows

        return rows(self)


@dataclass(frozen=True, repr=False)
class Outcome:
    """What came of a repair. `print` it, show it in a notebook, or take the repaired model out of it.

    Args:
        diagnosis: what was found before anything was changed.
        table: what was tried.
        chosen: the change that is recommended; None where none is.
        reason: why none is, in words; "" where one is.
        healthy: whether nothing needs to change.
        model: at the start of its training, with the change; without any where none is recommended.
        optimizer: of this model.
        scheduler: of this optimiser; None where there is none.
        trained: the copy that was trained in the trial; None where none is recommended.
        training: loss function, batches and clipping as changed, for whom wants to go on with them.
        paired: original against the change on other starts; None where it did not come to that.
        reading: the promised sign, before and after.
        withheld: remedies that findings ask for and that were not tried, with the reason.
        notes: what is to be known of the trials, such as that they were shorter than asked for.
        steps: trained in all trials together, without those of the doctor.
        examined: steps of the doctor's own trial.
        seconds: that all of it took.
        function: of the user's that made the training, where it is known: a diff points into its source.
    """

    diagnosis: Diagnosis
    table: Trials
    chosen: Prescription | None = None
    reason: str = ""
    healthy: bool = False
    model: nn.Module | None = None
    optimizer: Optimizer | None = None
    scheduler: Any = None
    trained: nn.Module | None = None
    training: Any = None
    paired: Paired | None = None
    reading: Reading | None = None
    withheld: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    steps: int = 0
    examined: int = 0
    seconds: float = 0.0
    function: Callable[[], Any] | None = None

    @property
    def repaired(self) -> bool:
        """Whether a change is recommended."""
        return self.chosen is not None

    @property
    def prescription(self) -> Code | None:
        """The code of the change, in its parts; None where none is recommended."""
        return None if self.chosen is None else self.chosen.code()

    @property
    def code(self) -> str:
        """Lines of plain PyTorch that make the same change, with where they go; "" where none is recommended.

        They act on the names `model`, `optimizer`, `loss_fn` and `batches`, or on those that `function` returns.
        """
        from evenflow.prescribe.code import in_their_names

        found = self.prescription
        if found is None:
            return ""
        snippet = in_their_names(found.snippet, self.function).strip("\n")
        place = f"# {found.place.partition('; then ')[0]}"  # of two changes each has its own in the snippet
        head = [] if not found.place or snippet.startswith(place) else [f"# {found.place}"]
        imports = ["# at the head of the file", *found.imports, ""] if found.imports else []
        return "\n".join([*imports, *head, snippet]) + "\n"

    @property
    def diff(self) -> str:
        """The same as a unified diff of the user's own files; "" where no place in them can be pointed at.

        `patch -p1` takes it in `diff_folder`.
        """
        from evenflow.prescribe.diff import unified_diff

        try:
            return unified_diff(self._edits) if self._edits else ""
        except (OSError, ValueError):  # a file that was changed in the meantime
            return ""

    @property
    def diff_folder(self) -> Path:
        """Where the paths of the diff begin: the working folder, or where the files are that lie outside of it."""
        from evenflow.prescribe.diff import folder_of

        return folder_of(self._edits)

    @cached_property
    def _edits(self) -> tuple[Edit, ...]:
        from evenflow.prescribe.code import edits_of

        return () if self.prescription is None else edits_of(self.prescription, self.function)

    def __str__(self) -> str:
        from evenflow.verify.outcome_text import text

        return text(self)

    def __repr__(self) -> str:
        what = "nothing needs to change" if self.healthy else self.reason
        return f"Outcome({self.chosen.name if self.chosen else what!r}, {self.steps} steps, {self.seconds:.0f} s)"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[object]:
        from evenflow.verify.outcome_text import rich_parts

        return rich_parts(self, console, options.max_width)

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self) -> str:
        """A piece of HTML with its own style, for a notebook or a page."""
        from evenflow.verify.outcome_html import html

        return html(self)

    def to_dict(self) -> dict[str, object]:
        """Plain data that JSON can hold; a figure that is not finite is one of "nan", "inf", "-inf"."""
        from evenflow.verify.outcome_plain import to_dict

        return to_dict(self)

    def to_json(self) -> str:
        """The same as text."""
        from evenflow.verify.outcome_plain import to_json

        return to_json(self)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during the trials; what was tried so far is in `outcome`."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome


class NotKeptError(StoreError):
    """The store took no more, as on a full disk; what came of the trials is in `outcome`."""

    def __init__(self, message: str, outcome: Outcome) -> None:
        super().__init__(message)
        self.outcome = outcome
