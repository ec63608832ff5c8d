"""Figures of a search for fields (``selection.search``)."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from workbench.plots import scores
from workbench.plots.template import CONTROL, PALETTE, figure, plain, translucent
from workbench.report import Report

__all__ = [
    "auc_by_k",
    "before_after",
    "calibration",
    "figures",
    "gate_paths",
    "live",
    "memorised",
    "penalty_path",
]

#: What begins the name of a metric that is a field's gate.
_GATE = "gate/"

#: Where the milliseconds stand, so that those of the pruned and the retrained model do not meet.
_TEXT = {"full": "middle left", "pruned": "middle right", "retrained": "bottom right"}

_MODELS = {"full": CONTROL, "pruned": PALETTE[0], "retrained": PALETTE[1]}


def gate_paths(table: pd.DataFrame, kept: set[str] | None = None) -> go.Figure:
    """Size of every field's gate over the search; dropped ones grey.

    A gate below 0 turns its field's sign, which the next layer makes good: how near it is to 0 counts.

    Parameters
    ----------
    table : DataFrame with the columns step, field and gate
    kept : set of str, optional
        Fields that stayed; by default those whose last gate is not 0.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    fig = figure(x="Step", y="Size of the gate", height=420)
    table = table.sort_values("step", kind="stable")
    last = table.groupby("field", sort=False)["gate"].last()
    stayed = set(last[last != 0].index) if kept is None else kept
    colours = iter(PALETTE * (1 + len(last) // len(PALETTE)))
    for field in sorted(last.index, key=lambda name: (name not in stayed, -abs(last[name]))):
        part = table[table["field"] == field]
        there = field in stayed
        fig.add_scatter(
            name=plain(field),
            x=part["step"].tolist(),
            y=part["gate"].abs().tolist(),
            mode="lines",
            line={"color": next(colours) if there else CONTROL, "width": 2 if there else 1},
            opacity=1.0 if there else 0.6,
            showlegend=there,
            hovertemplate="step %{x}: %{y:.3f}<extra>%{fullData.name}</extra>",
        )
    return fig


def auc_by_k(table: pd.DataFrame) -> go.Figure:
    """AUC of new models on the best k fields, one line a ranking, with the interval of the test rows.

    Parameters
    ----------
    table : DataFrame with the columns method, k, auc, low and high

    Returns
    -------
    plotly.graph_objects.Figure
    """
    fig = figure(x="Fields used", y="AUC on the test rows")
    for i, (method, part) in enumerate(table.groupby("method", sort=False)):
        part = part.sort_values("k")
        colour = CONTROL if method == "At random" else PALETTE[i % len(PALETTE)]
        if i == 0:
            fig.add_scatter(
                x=[*part["k"], *part["k"][::-1]],
                y=[*part["high"], *part["low"][::-1]],
                mode="lines",
                fill="toself",
                fillcolor=translucent(colour, 0.15),
                line_width=0,
                hoverinfo="skip",
                showlegend=False,
            )
        fig.add_scatter(
            name=plain(method),
            x=part["k"].tolist(),
            y=part["auc"].tolist(),
            customdata=part[["low", "high"]].to_numpy().tolist(),
            mode="lines+markers",
            line={"color": colour, "width": 3 if i == 0 else 1.5},
            hovertemplate="%{x} fields: %{y:.4f} (%{customdata[0]:.4f} to %{customdata[1]:.4f})"
            "<extra>%{fullData.name}</extra>",
        )
    return fig


def before_after(table: pd.DataFrame, curve: pd.DataFrame | None = None) -> go.Figure:
    """Size against AUC, and milliseconds a request, of the full, the pruned and the retrained model.

    Parameters
    ----------
    table : DataFrame with the columns model, n_fields, auc, low, high, bytes and latency_ms
    curve : DataFrame, optional
        As `auc_by_k` takes it; the new models of its first method are drawn as a line behind.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    fig = figure(x="Size of the model (kB)", y="AUC on the test rows")
    if curve is not None and "bytes" in curve:
        part = curve[curve["method"] == curve["method"].iloc[0]].sort_values("bytes")
        fig.add_scatter(
            name="the best k fields",
            x=(part["bytes"] / 1e3).tolist(),
            y=part["auc"].tolist(),
            customdata=part[["k", "latency_ms"]].to_numpy().tolist(),
            mode="lines+markers",
            line={"color": CONTROL, "width": 1},
            hovertemplate="%{customdata[0]} fields, %{x:.1f} kB, %{customdata[1]:.2f} ms a request, "
            "AUC %{y:.4f}<extra>%{fullData.name}</extra>",
        )
    for row in table.to_dict("records"):
        fig.add_scatter(
            name=plain(row["model"]),
            x=[row["bytes"] / 1e3],
            y=[row["auc"]],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [row["high"] - row["auc"]],
                "arrayminus": [row["auc"] - row["low"]],
            },
            mode="markers+text",
            text=[f"{row['latency_ms']:.2f} ms"],
            textposition=_TEXT.get(row["model"], "top center"),
            cliponaxis=False,
            marker={"color": _MODELS.get(row["model"], PALETTE[2]), "size": 14},
            hovertemplate=f"{row['n_fields']} fields, %{{x:.1f}} kB, {row['latency_ms']:.2f} ms a request, "
            "AUC %{y:.4f}<extra>%{fullData.name}</extra>",
        )
    fig.update_xaxes(rangemode="tozero")
    return fig


def calibration(table: pd.DataFrame) -> go.Figure:
    """Observed against predicted click rate in bins of equally many rows, with 95 % intervals.

    Parameters
    ----------
    table : DataFrame with the columns model, predicted, observed, low and high

    Returns
    -------
    plotly.graph_objects.Figure
    """
    fig = figure(x="Predicted rate", y="Observed rate")
    most = float(max(table["predicted"].max(), table["high"].max())) if len(table) else 1.0
    fig.add_scatter(
        x=[0, most], y=[0, most], mode="lines", line={"color": CONTROL, "dash": "dot"}, showlegend=False,
        hoverinfo="skip",
    )  # fmt: skip
    for model, part in table.groupby("model", sort=False):
        fig.add_scatter(
            name=plain(model),
            x=part["predicted"].tolist(),
            y=part["observed"].tolist(),
            error_y={
                "type": "data",
                "symmetric": False,
                "array": (part["high"] - part["observed"]).tolist(),
                "arrayminus": (part["observed"] - part["low"]).tolist(),
                "thickness": 1,
            },
            mode="lines+markers",
            line_color=_MODELS.get(str(model), PALETTE[2]),
            hovertemplate="predicted %{x:.3f}, observed %{y:.3f}<extra>%{fullData.name}</extra>",
        )
    return fig


def penalty_path(table: pd.DataFrame) -> go.Figure:
    """AUC and number of fields at each penalty of the path.

    Parameters
    ----------
    table : DataFrame with the columns penalty, n_fields, bytes, latency_ms and auc

    Returns
    -------
    plotly.graph_objects.Figure
    """
    fig = figure(x="Penalty", y="AUC on the rows kept for judging")
    fig.add_scatter(
        x=table["penalty"].tolist(),
        y=table["auc"].tolist(),
        text=[f"{n} fields" for n in table["n_fields"]],
        customdata=table[["bytes", "latency_ms"]].to_numpy().tolist(),
        mode="lines+markers+text",
        textposition="top center",
        cliponaxis=False,
        line_color=PALETTE[0],
        hovertemplate="penalty %{x:g}: AUC %{y:.4f}, %{text}, %{customdata[0]} bytes, "
        "%{customdata[1]:.2f} ms<extra></extra>",
    )
    tried = table["penalty"].tolist()
    fig.update_xaxes(type="log", tickvals=tried, ticktext=[f"{penalty:g}" for penalty in tried])
    return fig


def memorised(table: pd.DataFrame) -> go.Figure:
    """What each field alone reaches on the training rows and on others: the gap is memory.

    Parameters
    ----------
    table : DataFrame with the columns field, train_auc and test_auc

    Returns
    -------
    plotly.graph_objects.Figure
    """
    part = table.sort_values("test_auc").tail(30)
    names = [plain(name) for name in part["field"]]
    fig = figure(x="AUC of the field alone", y="", height=90 + 22 * max(len(part), 4))
    for column, name, colour in (
        ("train_auc", "training rows", PALETTE[5]),
        ("test_auc", "test rows", PALETTE[3]),
    ):
        fig.add_scatter(
            name=name,
            x=part[column].tolist(),
            y=names,
            mode="markers",
            marker={"color": colour, "size": 9},
            hovertemplate="%{y}: %{x:.3f}<extra>%{fullData.name}</extra>",
        )
    fig.update_yaxes(type="category")
    return fig


def live(metrics: pd.DataFrame) -> dict[str, go.Figure]:
    """A running search: every field's gate, and the losses of the trainings.

    Parameters
    ----------
    metrics : DataFrame with the columns name, step and value
        Names of gates are ``gate/<field>``.

    Returns
    -------
    dict of str to plotly.graph_objects.Figure
    """
    drawn = {}
    gates = metrics["name"].str.startswith(_GATE)
    if gates.any():
        told = metrics[gates]
        told = told.assign(field=told["name"].str.removeprefix(_GATE), gate=told["value"])
        drawn["Gates"] = gate_paths(told)
    if not gates.all():
        drawn["Losses"] = scores.curves(
            metrics[~gates], x="step", x_title="Epoch", y_title="Mean loss of the epoch"
        )
    return drawn


def figures(report: Report) -> dict[str, go.Figure]:
    """Every figure of a search, the most telling first."""
    tables = report.tables
    importance = tables["importance"]
    drawn = {"importance": scores.importance_bars(importance, top=40, score_title="Score")}
    if "gates" in tables:
        kept = set(importance.loc[importance["kept"].astype(bool), "component"])
        drawn["gates"] = gate_paths(tables["gates"], kept)
    drawn["auc_by_k"] = auc_by_k(tables["curve"])
    drawn["before_after"] = before_after(tables["models"], tables["curve"])
    if "path" in tables and len(tables["path"]) > 1:
        drawn["penalty_path"] = penalty_path(tables["path"])
    drawn["calibration"] = calibration(tables["calibration"])
    drawn["fields_alone"] = memorised(tables["fields"])
    return drawn
