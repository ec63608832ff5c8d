"""The page of a finished run: what every recipe's result has in common."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
import streamlit as st

from workbench import notebook, registry
from workbench.datasets.roles import layout
from workbench.errors import WorkbenchError
from workbench.gui.context import store
from workbench.gui.panels import plot, python, table
from workbench.gui.text import change, duration, md, score
from workbench.plots.scores import CONTROLS, curves, score_label
from workbench.report import Report
from workbench.runs.run import RECORDED

if TYPE_CHECKING:
    from workbench.arrays import SeriesData
    from workbench.runs import Run

__all__ = [
    "CARD_WIDTH",
    "body",
    "downloads",
    "drawn",
    "figures",
    "per_class",
    "report_of",
    "reproduce",
    "score_cards",
    "score_table",
    "score_words",
    "series_of",
    "tables",
]


#: Pixels of a card with a score: five stand beside one another at 1280, two on a phone.
CARD_WIDTH = 170
#: Cards at most; further scores are listed.
MAX_CARDS = 10


def report_of(run: Run) -> Report:
    """The result of a run that has ended; read once, as it is the same for good.

    Raises
    ------
    RunError
    """
    return _report(str(run.folder), run.finished)


@st.cache_data(max_entries=50, show_spinner=False)
def _report(folder: str, finished: float | None) -> Report:
    return Report.load(Path(folder) / "artifacts" / "report")


def body(run: Run, report: Report) -> None:
    """The recipe's own view if it has one, else the standard one."""
    view = registry.view_of(report.recipe)
    if view is not None:
        view(run, report)
        return
    score_cards(report)
    figures(drawn(run, report))
    tables(report)


def drawn(run: Run, report: Report) -> dict[str, go.Figure]:
    """The figures of a result: the recipe's own, else those of any report; of a recorded run all it left."""
    draw = registry.figures_of(report.recipe) or registry.figures_of(registry.DEFAULT_RECIPE)
    found: dict[str, go.Figure] = draw(report) if draw is not None else {}
    if report.recipe == RECORDED:
        found |= _recorded(run)
    return found


def _recorded(run: Run) -> dict[str, go.Figure]:
    """The curves and the figures that a script recorded."""
    points = run.metrics()
    found = {}
    if len(points) and points["step"].max() > 1:
        found["curves"] = curves(points, x="step", x_title="Step", y_title="Value")
    for path in sorted((run.folder / "artifacts" / "figures").glob("*.json")):
        found[path.stem] = pio.read_json(path)
    return found


def score_cards(report: Report, *, hidden: Collection[str] = ()) -> None:
    """A card a score; the untrained control's value stands below the score it belongs to."""
    controls = tuple(f"{control}_" for control in CONTROLS)
    plain = {name: value for name, value in report.scores.items() if not name.startswith(controls)}
    plain = {name: value for name, value in plain.items() if name not in hidden}
    with st.container(horizontal=True):
        for name, value in list(plain.items())[:MAX_CARDS]:
            with st.container(border=True, width=CARD_WIDTH, height="stretch"):
                label, told = score_words(name, value)
                st.metric(md(label), told)
                prefix = next((c for c in CONTROLS if f"{c}_{name}" in report.scores), None)
                if prefix is not None:
                    control = report.scores[f"{prefix}_{name}"]
                    st.caption(f"{prefix} {score(control)} ({change(value - control)})")
    rest = dict(list(plain.items())[MAX_CARDS:])
    if rest:
        with st.expander(f"{len(rest)} more scores"):
            score_table(rest, "more-scores")


def score_words(name: str, value: float) -> tuple[str, str]:
    """A score's name and value as people say them."""
    if name == "seconds":
        return "Training time", duration(value)
    if name.endswith("_seconds"):
        return score_label(name.replace("seconds", "time")), duration(value)
    return score_label(name), score(value)


def score_table(scores: Mapping[str, float], key: str) -> None:
    """Scores in a list."""
    words = [score_words(name, value) for name, value in scores.items()]
    table(pd.DataFrame(words, columns=["score", "value"]), key, download=False)


def figures(drawn: dict[str, go.Figure]) -> None:
    """Every figure under its name."""
    for name, fig in drawn.items():
        st.subheader(md(name.replace("_", " ").capitalize()))
        plot(fig, name)


def per_class(report: Report) -> None:
    """Precision, recall and F1 of each class."""
    st.subheader("Each class")
    three = {name: st.column_config.NumberColumn(format="%.3f") for name in ("precision", "recall", "f1")}
    table(report.tables["per_class"], "per-class", column_config=three)


def tables(report: Report) -> None:
    """The report's tables, one at a time."""
    if not report.tables:
        return
    with st.expander("Tables"):
        name = st.selectbox("Table", list(report.tables), key="table", bind="query-params")
        table(report.tables[name], f"table-{name}")


def series_of(run: Run, ids: Sequence[Any]) -> SeriesData | None:
    """Series from the run's own version of the data set; None, with a sentence, if they are gone."""
    spec = run.spec["dataset"]
    try:
        data = store().dataset(spec["ref"]).with_roles(spec["role_revision"])
        named = "series_id" in data.roles or layout(data.roles) == "wide"
        return data.series(ids) if named else data.to_series()  # a data set may be one series
    except WorkbenchError as error:
        st.warning(md(f"The series cannot be shown: {error}"))
        return None


def times_of(run: Run, id_: Any) -> pd.DatetimeIndex | None:
    """The times of the steps of a series; None where they have none, or the data set is gone."""
    spec = run.spec["dataset"]
    try:
        return store().dataset(spec["ref"]).with_roles(spec["role_revision"]).times(id_)
    except WorkbenchError:
        return None


def downloads(run: Run, report: Report) -> None:
    """Model, report, figures and notebook as files, made when asked for."""
    artifacts = run.folder / "artifacts"
    if (artifacts / "model").is_dir():
        _download("Model", lambda: _zipped(artifacts / "model"), f"{run.id}-model.zip")
    _download("Report", lambda: _zipped(artifacts / "report"), f"{run.id}-report.zip")
    if run.is_recorded:
        return
    if registry.figures_of(report.recipe) is not None:
        _download("Figures", lambda: _html(report), f"{run.id}-figures.html")
    _download("Notebook", lambda: json.dumps(notebook.as_notebook(run), indent=1).encode(), f"{run.id}.ipynb")
    _download("Script", lambda: notebook.as_script(run).encode(), f"{run.id}.py")


def reproduce(run: Run) -> None:
    """The Python that repeats the run and checks its scores."""
    if run.is_recorded:
        script = run.artifacts.get("script.py")
        if script is not None:
            python(script.read_text(errors="replace"), label="Show the script that recorded this run")
        return
    python(notebook.as_script(run), label="Show the Python that repeats this run")


def _download(label: str, data: object, file_name: str) -> None:
    st.download_button(
        label,
        data,  # type: ignore[arg-type]
        file_name=file_name,
        key=f"download-{label}",
        icon=":material/download:",
        on_click="ignore",
    )


def _zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return buffer.getvalue()


def _html(report: Report) -> bytes:
    """All figures in one page that needs no network: plotly's script is inside."""
    draw = registry.figures_of(report.recipe)
    drawn = draw(report) if draw is not None else {}
    parts = ["<!doctype html><meta charset='utf-8'><body style='background:#fff'>"]
    for i, fig in enumerate(drawn.values()):
        parts.append(fig.to_html(full_html=False, include_plotlyjs=i == 0))
    return "\n".join(parts).encode()
