"""The list of wrong diagnoses, for those who mend the rules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .ours import findings, table_of
from .population import population
from .scoring import Outcome


def write_errors(
    path: Path, outcomes: Sequence[Outcome], truths: dict[str, dict[str, object]], results: Path
) -> None:
    """False alarms on sound cases first, then causes that were not found, then those not named first.

    Args:
        path: of the text file.
        outcomes: ours.
        truths: by name of the case.
        results: folder with the doctor's tables.
    """
    cases = {one.name: one for one in population()}
    kinds = {
        "SOUND, BUT ALARMED": [one for one in outcomes if one.sound and one.last],
        "CAUSE NOT FOUND": [one for one in outcomes if not one.sound and not one.found()],
        "CAUSE NOT FIRST": [one for one in outcomes if not one.sound and one.found() and not one.first()],
        "ALARM THAT IS NEITHER CAUSE NOR SYMPTOM": [
            one
            for one in outcomes
            if not one.sound and one.first() and any(not one.is_right(alarm) for alarm in one.last)
        ],
    }
    lines = []
    for kind, some in kinds.items():
        lines += [f"===== {kind}: {len(some)} =====", ""]
        for one in sorted(some, key=lambda one: (one.cause, one.case)):
            case, true = cases[one.case], truths[one.case]
            mechanism = case.mechanism
            lines.append(
                f"{one.case}: truth {one.cause or 'sound'}"
                + (
                    f" (also right: {', '.join(one.names)}; symptoms: {', '.join(one.symptoms)})"
                    if one.cause
                    else ""
                )
            )
            lines.append(
                f"    score {true['score']:.0f}, twin without the mechanism {true['twin']:.0f}, chance "
                f"{true['chance']:.0f}; dose {case.dose:g}{'' if mechanism else ' (no mechanism)'}"
            )
            lines.append(f"    {case.recipe}")
            for finding in findings(table_of(case, results / "tables")):
                lines.append(f"    {finding['severity']:11} {finding['rule']}: {finding['message']}")
            lines.append("")
    path.write_text("\n".join(lines) + "\n")
