"""What `evenflow study` and `evenflow report` end with: the table in the terminal and the report."""

from __future__ import annotations

from pathlib import Path


def say(text: str) -> None:
    """Print one line of news where it is not mixed with results."""
    from rich.console import Console

    Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)


def finish(run: Path, figures: Path | None) -> None:
    """Print the results of the study `run`, a folder or a store, write the report beside the store, and the figures.

    Raises:
        StoreError: there is no store, it holds no study, or it cannot be read.
        UnavailableError: figures were asked for and there is no browser to draw them.
    """
    from rich.console import Console

    from evenflow.errors import StoreError
    from evenflow.record.store import Store
    from evenflow.report.page import write_figures, write_report
    from evenflow.report.remedies_terminal import remedies
    from evenflow.report.terminal import results
    from evenflow.spec.files import study_from_text

    path = run if run.is_file() else run / "study.sqlite"
    with Store.open(path) as store:
        if "study" not in store.meta:
            raise StoreError(f"store {path} holds no study; 'evenflow study' writes one that can be reported")
        study = study_from_text(store.meta["study"], str(path), path.parent)
        # The cells that this study asks for; the store may hold those of an earlier grid too.
        table = store.table(store.meta["keys"])
        changed = (
            store.table((*store.meta["keys"], *store.meta.get("remedied", ()))) if study.remedies else None
        )
        predicted = store.table(store.meta.get("predictions", ()), source="predicted")
        meta = {name: store.meta[name] for name in ("machine", "versions")}
    Console().print(results(table, study))
    if changed is not None:
        Console().print(remedies(table, changed, study))
    page = write_report(table, study, meta, path.with_name("report.html"), predicted, changed)
    if figures:
        say(f"figures: {len(write_figures(table, study, figures, predicted))} files in {figures}")
    say(f"report: {page}")
