"""Figures of an analysis of modalities (``modality.analyze``) and of a race of remedies
(``modality.race``).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.plots import scores
from workbench.plots.modality_race import race
from workbench.plots.template import CONTROL, PALETTE, figure, plain, translucent
from workbench.report import Report

__all__ = [
    "FUNCTIONS",
    "QUANTITIES",
    "class_winners",
    "component_colours",
    "contributions",
    "dynamics",
    "figures",
    "information",
    "interactions",
    "race",
    "race_figures",
    "retention",
    "score_overview",
]

#: From loss to gain, both ends told apart with the common forms of colour blindness.
_DIVERGING = [[0.0, PALETTE[3]], [0.5, "rgba(138,143,152,0.08)"], [1.0, PALETTE[0]]]

#: Value functions of the contributions in words.
FUNCTIONS = {
    "mask": "muting it in the joint network",
    "late": "leaving it out of the sum of separate networks",
    "retrain": "training a network without it",
}

#: Quantities of `dynamics`, in words and what they say.
QUANTITIES = {
    "validation_loss": ("Validation loss", "Rising while the training loss falls is overfitting."),
    "train_loss": ("Training loss", "Where the joint curve reaches 0 no encoder is pushed to learn more."),
    "validation_score": ("Validation score", "A branch alone is judged with the other modalities muted."),
    "train_score": ("Training score", "A branch alone is judged with the other modalities muted."),
    "gradient_share": (
        "Share of the gradient",
        "The encoder with the larger share of the joint loss's gradient learns faster.",
    ),
    "gradient": ("Gradient norm", "Of the joint loss, in each encoder."),
    "cosine": (
        "Cosine of joint and own gradient",
        "Below 0 the joint loss pulls an encoder away from what its own branch needs.",
    ),
    "ogm_ratio": (
        "Lead over the others (OGM ratio)",
        "Above 1 a branch is surer of the truth than the others; OGM slows its encoder then.",
    ),
    "ogr": (
        "Overfitting to generalisation (OGR)",
        "Of all that was learned since the first epoch, how much holds for training rows only.",
    ),
    "generalisation": ("Generalisation since the first epoch", "Fall of the validation loss."),
    "overfitting": ("Overfitting since the first epoch", "Growth of validation over training loss."),
}


def component_colours(components: Iterable[str]) -> dict[str, str]:
    """A colour for the joint network, the same in every figure, and one for each modality."""
    names = [name for name in dict.fromkeys(components) if name != "joint"]
    colours = {name: PALETTE[1 + i % (len(PALETTE) - 1)] for i, name in enumerate(names)}
    return {"joint": PALETTE[0], **colours}


def score_overview(table: pd.DataFrame) -> go.Figure:
    """Scores of the modalities alone, of the joint network and of what combines the modalities' own networks.

    Parameters
    ----------
    table : DataFrame with the columns name, mean and error

    Returns
    -------
    plotly.graph_objects.Figure
    """
    shown = [n for n in table["name"] if n.startswith("alone/")]
    shown += [
        n for n in ("joint", "ensemble", "weighted_ensemble", "stacking", "linear") if n in set(table["name"])
    ]
    part = table.set_index("name").loc[shown[::-1]]
    fig = figure(x="Score on the test rows", y="", height=90 + 26 * len(shown))
    colours = component_colours(n.removeprefix("alone/") for n in shown if n.startswith("alone/"))
    colour = [colours.get(n.removeprefix("alone/"), CONTROL) for n in part.index]
    fig.add_bar(
        orientation="h",
        x=part["mean"].tolist(),
        y=[
            plain(n.removeprefix("alone/").replace("_", " ") + (" alone" if "/" in n else ""))
            for n in part.index
        ],
        error_x={"type": "data", "array": (2 * part["error"].fillna(0)).tolist()},
        marker_color=colour,
        text=[f" {value:.3f}" for value in part["mean"]],
        textposition="inside",
        insidetextanchor="start",
        customdata=(2 * part["error"].fillna(0)).tolist(),
        hovertemplate="%{y}: %{x:.3f} ± %{customdata:.3f}<extra></extra>",
    )
    fig.update_layout(showlegend=False, margin_t=8)
    return fig


def retention(table: pd.DataFrame) -> go.Figure:
    """Share of what each encoder learns alone that it also learns in joint training, with two standard
    errors.

    Parameters
    ----------
    table : DataFrame with the columns modality, retention, retention_error and lost

    Returns
    -------
    plotly.graph_objects.Figure
    """
    fig = figure(x="Kept of what the encoder learns alone (%)", y="", height=110 + 34 * len(table))
    rows = table.iloc[::-1]
    fig.add_bar(
        orientation="h",
        x=(100 * rows["retention"]).tolist(),
        y=[plain(name) for name in rows["modality"]],
        error_x={"type": "data", "array": (200 * rows["retention_error"]).tolist()},
        marker_color=[PALETTE[3] if lost else PALETTE[0] for lost in rows["lost"]],
        text=["" if np.isnan(value) else f" {100 * value:.0f} %" for value in rows["retention"]],
        textposition="inside",
        insidetextanchor="start",
        customdata=(200 * rows["retention_error"]).tolist(),
        hovertemplate="%{y}: %{x:.1f} ± %{customdata:.1f} %<extra></extra>",
    )
    fig.add_vline(x=100, line_dash="dot", line_color=CONTROL)
    for i, value in enumerate(rows["retention"]):
        if np.isnan(value):
            fig.add_annotation(
                x=0, y=i, text="alone it learns nothing either", showarrow=False, xanchor="left"
            )
    # An encoder that knows little alone has an interval that would leave no room for the others.
    known = rows[rows["retention"].notna()]
    width = 2 * known["retention_error"]
    low = 100 * (known["retention"] - width).min(skipna=True)
    high = 100 * (known["retention"] + width).max(skipna=True)
    limits = [np.nanmax([-50.0, np.nanmin([0.0, low])]), np.nanmin([200.0, np.nanmax([105.0, high])])]
    fig.update_layout(showlegend=False, margin_t=8, xaxis_range=limits)
    return fig


def class_winners(table: pd.DataFrame) -> go.Figure:
    """Heat map of the recall that each modality's branch lost by class; a star marks the class's winner.

    Parameters
    ----------
    table : DataFrame with the columns class, modality, lost_recall and winner

    Returns
    -------
    plotly.graph_objects.Figure
    """
    lost = table.pivot_table(index="class", columns="modality", values="lost_recall")
    names = list(pd.unique(table["modality"]))
    winner = table.drop_duplicates("class").set_index("class")["winner"]
    cells = lost[names].to_numpy()
    text = [
        [
            f"{value:+.2f}{' ★' if winner[label] == name else ''}"
            for name, value in zip(names, row, strict=True)
        ]
        for label, row in zip(lost.index, cells, strict=True)
    ]
    return _cells(
        -cells,
        text,
        x=[plain(name) for name in names],
        y=[plain(c) for c in lost.index],
        widest=1.0,
        height=56 + 30 * len(lost),
        hover="%{y}, %{x}: recall lost %{text}",
    )


def contributions(table: pd.DataFrame, function: str) -> go.Figure:
    """Waterfall from the score without any modality to the score with all, by Shapley values.

    Parameters
    ----------
    table : DataFrame with the columns value_function, modality and value
    function : str
        The value function shown.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    part = table[table["value_function"] == function].set_index("modality")["value"]
    names = [name for name in part.index if name != "(none)"]
    fig = figure(x="", y="Score")
    fig.add_waterfall(
        x=["none", *(plain(name) for name in names), "all"],
        y=[part["(none)"], *(part[name] for name in names), None],
        measure=["absolute", *("relative" for _ in names), "total"],
        text=[
            f"{part['(none)']:.3f}",
            *(f"{part[name]:+.3f}" for name in names),
            f"{part.sum():.3f}",
        ],
        textposition="auto",
        increasing_marker_color=PALETTE[0],
        decreasing_marker_color=PALETTE[3],
        totals_marker_color=CONTROL,
        hovertemplate="%{x}: %{text}<extra></extra>",
    )
    fig.update_layout(showlegend=False, margin_t=8)
    fig.update_xaxes(type="category", showgrid=False)
    return fig


def interactions(table: pd.DataFrame, function: str) -> go.Figure:
    """Matrix of pairwise interactions: blue where two tell more together, orange where they tell the same."""
    part = table[table["value_function"] == function]
    names = list(pd.unique(part["modality"]))
    square = part.pivot_table(index="modality", columns="other", values="value").reindex(
        index=names, columns=names
    )
    # A faint colour for what is small, however small the largest is.
    widest = max(0.1, float(np.nanmax(np.abs(square.to_numpy()))))
    cells = square.to_numpy()
    return _cells(
        cells,
        [["" if np.isnan(value) else f"{value:+.3f}" for value in row] for row in cells],
        x=[plain(n) for n in names],
        y=[plain(n) for n in names],
        widest=widest,
        height=116 + 40 * len(names),
        hover="%{y} with %{x}: %{z:+.3f}",
    )


def _cells(
    values: np.ndarray,
    text: list[list[str]],
    *,
    x: list[str],
    y: list[str],
    widest: float,
    height: int,
    hover: str,
) -> go.Figure:
    """A heat map from orange (below 0) to blue, columns named above, the first row at the top."""
    fig = figure(x="", y="", height=height)
    fig.add_heatmap(
        z=values.tolist(),
        x=x,
        y=y,
        text=text,
        colorscale=_DIVERGING,
        zmin=-widest,
        zmax=widest,
        showscale=False,
        xgap=2,
        ygap=2,
        hoverongaps=False,
        hovertemplate=f"{hover}<extra></extra>",
    )
    # plotly's own choice of a colour for the text takes pale cells, which are see-through, for dark ones.
    for (i, j), value in np.ndenumerate(values):
        strong = abs(value) > 0.7 * widest
        fig.add_annotation(
            x=j, y=i, text=text[i][j], showarrow=False, font={"color": "#FFFFFF"} if strong else None
        )
    fig.update_layout(margin_t=8)
    fig.update_xaxes(type="category", side="top", showgrid=False)
    fig.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return fig


def dynamics(table: pd.DataFrame, quantity: str, *, network: str = "joint") -> go.Figure:
    """A quantity over the epochs: the mean over seeds, and their range as a band.

    Parameters
    ----------
    table : DataFrame with the columns seed, network, component, quantity, epoch and value
    quantity : str
        Such as "validation_loss", "gradient_share", "cosine", "ogm_ratio" or "ogr".
    network : {"joint", "alone"}

    Returns
    -------
    plotly.graph_objects.Figure
    """
    part = table[(table["quantity"] == quantity) & (table["network"] == network)].dropna(subset="value")
    fig = figure(x="Epoch", y=QUANTITIES.get(quantity, (quantity,))[0])
    colours = component_colours(part["component"])
    for component in pd.unique(part["component"]):
        colour = colours[component]
        curve = (
            part[part["component"].astype(str) == component]
            .groupby("epoch")["value"]
            .agg(["mean", "min", "max"])
        )
        epochs = curve.index.tolist()
        fig.add_scatter(
            x=[*epochs, *epochs[::-1]],
            y=[*curve["max"], *curve["min"][::-1]],
            fill="toself",
            fillcolor=translucent(colour, 0.15),
            line_width=0,
            hoverinfo="skip",
            legendgroup=plain(component),  # hidden and shown with its line
            showlegend=False,
        )
        fig.add_scatter(
            x=epochs,
            y=curve["mean"].tolist(),
            mode="lines",
            name=plain(component),
            legendgroup=plain(component),
            line_color=colour,
            hovertemplate="epoch %{x}: %{y:.4g}<extra>" + plain(component).replace("%", "&#37;") + "</extra>",
        )
    return fig


def information(table: pd.DataFrame) -> go.Figure:
    """Bits about the target by pair: redundant, unique to one, and synergetic; chance is taken off."""
    fig = figure(x="Bits above chance", y="")
    pairs = [f"{row.modality} | {row.other}" for row in table.itertuples()]
    titles = {
        "redundancy": "in either",
        "unique_1": "only in the first",
        "unique_2": "only in the second",
        "synergy": "only in both together",
    }
    for i, (part, title) in enumerate(titles.items()):
        rows = (table["part"] == part).to_numpy()
        fig.add_bar(
            orientation="h",
            name=title,
            x=table.loc[rows, "bits"].tolist(),
            y=[plain(pair) for pair, chosen in zip(pairs, rows, strict=True) if chosen],
            marker_color=PALETTE[i],
            hovertemplate="%{y}: %{x:.3f} bits<extra>" + title + "</extra>",
        )
    fig.update_layout(barmode="stack", height=150 + 34 * len(set(pairs)), legend_traceorder="normal")
    return fig


def figures(report: Report) -> dict[str, go.Figure]:
    """Every figure of an analysis, the most telling first."""
    tables = report.tables
    drawn = {"scores": score_overview(tables["scores"]), "retention": retention(tables["modalities"])}
    if "per_class" in tables and len(tables["per_class"]):
        drawn["class_winners"] = class_winners(tables["per_class"])
    functions = list(pd.unique(tables["contributions"]["value_function"]))
    if functions:
        drawn["contributions"] = contributions(tables["contributions"], functions[0])
    if functions and len(tables["interactions"]):
        drawn["interactions"] = interactions(tables["interactions"], functions[0])
    for quantity in ("validation_loss", "gradient_share", "cosine"):
        drawn[quantity] = dynamics(tables["dynamics"], quantity)
    if len(tables["information"]):
        drawn["information"] = information(tables["information"])
    return drawn


def race_figures(report: Report) -> dict[str, go.Figure]:
    """The race, and what each remedy gained over its own baseline."""
    gained = scores.importance_bars(
        report.tables["importance"], score_title="Gain over the same budget's baseline"
    )
    return {"race": race(report.tables["race"]), "gain": gained}
