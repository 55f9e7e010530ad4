"""The report: one HTML file that opens without a network, and its pictures for a paper."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from evenflow.errors import DataError
from evenflow.record.table import Table
from evenflow.report import remedies
from evenflow.report.columns import without_energy
from evenflow.report.export import write_figure
from evenflow.report.figures import Picture, pictures
from evenflow.report.rows import COMPARISON_HEADS, comparison_rows, head_groups, result_heads, result_rows
from evenflow.report.story import comparisons_sentence, headline, lead
from evenflow.report.style import THEMES
from evenflow.report.templating import environment, plain_json
from evenflow.report.view import View, make_view, seed_count
from evenflow.report.wording import plural
from evenflow.spec.files import study_to_text
from evenflow.spec.study import Study

# Plotly's own template repeats in every figure what the page's script sets for all of them.
_NOT_SENT = ("template", "width", "font", "paper_bgcolor", "plot_bgcolor")


def write_report(
    table: Table,
    study: Study,
    meta: Mapping[str, Mapping[str, Any]],
    path: str | Path,
    predicted: Table | None = None,
    changed: Table | None = None,
) -> Path:
    """Write the report of a study and return its path.

    The file holds everything: the data of the figures, the script that draws them (plotly.js) and the styles.
    It is replaced in one stroke, so that a reader never meets half a page.

    Args:
        table: the rows of the study's runs, all or as far as they are.
        study: the specification.
        meta: "machine" and "versions", as `study.machine` gives them.
        path: the file to write.
        predicted: what theory said of the study's networks, drawn over what was measured.
        changed: the same rows and those of the networks that the study's remedies have changed.

    Raises:
        DataError: the file cannot be written.
    """
    path = Path(path)
    text = page(table, study, meta, predicted, changed)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise DataError(
            f'report "{path}" cannot be written: {error.strerror}; choose another place'
        ) from None
    return path


def write_figures(
    table: Table, study: Study, folder: str | Path, predicted: Table | None = None
) -> list[Path]:
    """Write every figure as .png and .svg into `folder`, made when missing, and return the paths.

    Raises:
        UnavailableError: kaleido or a browser is missing.
        DataError: a file cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f'figures: folder "{folder}" cannot be made: {error.strerror}; choose another place'
        ) from None
    drawn = [picture for picture in pictures(make_view(table, study, predicted)) if picture.traces]
    jobs = [
        (picture.figure(), folder / f"{picture.name}.{ending}")
        for picture in drawn
        for ending in ("png", "svg")
    ]
    # The first one alone, so that a missing browser is reported by what knows how to say it.
    written = [write_figure(*job) for job in jobs[:1]]
    with _one_browser():
        return written + [write_figure(*job) for job in jobs[1:]]


@contextmanager
def _one_browser() -> Iterator[None]:
    """Keep kaleido's browser open: starting it takes much longer than drawing a figure."""
    import kaleido

    kaleido.start_sync_server(silence_warnings=True)
    try:
        with warnings.catch_warnings():
            # Plotly passes options that an open browser does not take; they are the defaults.
            warnings.filterwarnings("ignore", message="The kopts argument is ignored", category=UserWarning)
            yield
    finally:
        kaleido.stop_sync_server(silence_warnings=True)


def page(
    table: Table,
    study: Study,
    meta: Mapping[str, Mapping[str, Any]],
    predicted: Table | None = None,
    changed: Table | None = None,
) -> str:
    """The report as a text."""
    from plotly.offline import get_plotlyjs

    view = make_view(table, study, predicted)
    drawn = pictures(view)
    tried = remedies.found_in(view, changed)
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            study=study,
            headline=headline(view),
            lead=lead(view),
            heads=result_heads(view),
            groups=head_groups(result_heads(view)),
            rows=result_rows(view),
            table_note=_table_note(view),
            comparison_heads=COMPARISON_HEADS,
            comparisons=comparison_rows(view),
            comparisons_sentence=comparisons_sentence(view),
            comparisons_total=len(view.summary.comparisons),
            remedy_heads=remedies.HEADS,
            remedy_groups=head_groups(remedies.HEADS),
            remedy_rows=remedies.rows(tried, view),
            remedies_left_out=remedies.left_out_sentence(study),
            remedy_sentences=list(remedies.sentences(tried, study)) if study.remedies else [],
            pictures=drawn,
            figures_json={picture.name: plain_json(_sent(picture)) for picture in drawn if picture.traces},
            specification=study_to_text(study),
            command=f"evenflow study {study.name}.toml",
            facts=_facts(view, meta),
            themes_json=plain_json(THEMES),
            plotly_js=get_plotlyjs(),
        )
    )


def _sent(picture: Picture) -> dict[str, Any]:
    def layout(given: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in given.items() if name not in _NOT_SENT}

    return {
        "data": list(picture.traces),
        "wide": layout(picture.wide),
        "narrow": layout(picture.narrow),
    }


def _table_note(view: View) -> str:
    parts = []
    if view.seeds > 1:
        parts.append(
            f"Mean of {seed_count(view)}; below it in grey the 95 % interval "
            "(Student's t; Wilson's for “trained”), cut at what is possible."
        )
    elif view.seeds:
        parts.append("One seed: no intervals.")
    parts.append("Trained: seeds that end better than guessing, by an exact binomial test at 0.1 %.")
    parts.append(f"Target: {view.summary.target_accuracy:g} test accuracy.")
    if without_energy(view.summary):
        parts.append("Energy: not available on this machine.")
    return " ".join(parts)


def _facts(view: View, meta: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    machine = dict(meta.get("machine", {}))
    memory = machine.get("memory_gib")
    facts = [
        ("Report written", datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")),
        ("Seeds", ", ".join(map(str, view.study.seed_list))),
        ("System", str(machine.get("system", "not recorded"))),
        (
            "Processor",
            f"{machine.get('processor', 'not recorded')}, {plural(int(machine.get('cores', 0)), 'core')} used",
        ),
        ("Memory", f"{memory} GiB" if memory else "not available"),
        ("Versions", ", ".join(f"{name} {number}" for name, number in meta.get("versions", {}).items())),
    ]
    return [(name, value) for name, value in facts if value]
