"""What is watched while modalities are analysed or remedies raced."""

from __future__ import annotations

import re

import pandas as pd
import plotly.graph_objects as go

from workbench.plots.modality import component_colours
from workbench.plots.scores import curves
from workbench.plots.template import figure, plain

__all__ = ["figures", "gradient_share", "losses", "race_figures"]

#: ``<stage>[-<training>]/<quantity>/<component>``; a stage's trainings are numbered from the second.
_NAME = re.compile(r"(?P<stage>.+?)(-(?P<training>\d+))?/(?P<quantity>[a-z_]+)/(?P<component>.+)")


def figures(metrics: pd.DataFrame) -> dict[str, go.Figure]:
    """Validation loss and gradient share of every modality in the seed that is being trained.

    Parameters
    ----------
    metrics : DataFrame with the columns name, step, value and time

    Returns
    -------
    dict of str to plotly.graph_objects.Figure
    """
    parts = metrics["name"].str.extract(_NAME)
    table = metrics.assign(**{name: parts[name] for name in ("stage", "training", "quantity", "component")})
    table = table.dropna(subset=["stage", "value"])
    if table.empty:
        drawn = metrics[metrics["name"].str.endswith("/loss")]
        return {"Training": curves(drawn, x="step", x_title="Epoch", y_title="Mean loss of the epoch")}
    latest = table.sort_values("time")["stage"].iloc[-1]
    table = table[table["stage"] == latest].fillna({"training": "1"})
    found = {f"Validation loss of each modality ({latest})": losses(table)}
    if (table["quantity"] == "gradient_share").any():
        found[f"Share of the joint gradient ({latest})"] = gradient_share(table)
    return found


def losses(table: pd.DataFrame) -> go.Figure:
    """Each modality's validation loss: dotted in a network of its own, solid in the joint one.

    Parameters
    ----------
    table : DataFrame with the columns training, quantity, component, step and value

    Returns
    -------
    plotly.graph_objects.Figure
    """
    joint = set(table.loc[table["quantity"] == "gradient_share", "training"])
    part = table[table["quantity"] == "validation_loss"]
    fig = figure(x="Epoch", y="Validation loss")
    colours = component_colours(part["component"])
    for (training, component), curve in part.groupby(["training", "component"], sort=False):
        together = training in joint or component == "joint"
        fig.add_scatter(
            x=curve["step"].tolist(),
            y=curve["value"].tolist(),
            name=plain(component) if together else f"{plain(component)}, own network",
            mode="lines",
            line={"color": colours[str(component)], "dash": "solid" if together else "dot"},
            hovertemplate="epoch %{x}: %{y:.4g}<extra>%{fullData.name}</extra>",
        )
    fig.update_layout(showlegend=True)
    return fig


def gradient_share(table: pd.DataFrame) -> go.Figure:
    """How the joint loss's gradient is shared out between the encoders."""
    part = table[table["quantity"] == "gradient_share"]
    fig = figure(x="Epoch", y="Share of the gradient's norm (%)")
    colours = component_colours(part["component"])
    for component, curve in part.groupby("component", sort=False):
        fig.add_scatter(
            x=curve["step"].tolist(),
            y=(100 * curve["value"]).tolist(),
            name=plain(component),
            mode="lines",
            line_color=colours[str(component)],
            hovertemplate="epoch %{x}: %{y:.0f} %<extra>%{fullData.name}</extra>",
        )
    fig.update_layout(showlegend=True, yaxis_range=[0, 100])
    return fig


def race_figures(metrics: pd.DataFrame) -> dict[str, go.Figure]:
    """Training loss of each remedy's joint head, baselines as well."""
    stage, _, quantity = (metrics["name"].str.partition("/")[i] for i in range(3))
    own = quantity == "joint"
    # A remedy's loss has terms of its own; only the joint head's can be compared.
    chosen = own | ((quantity == "loss") & ~stage.isin(stage[own]))
    drawn = metrics[chosen].assign(name=stage[chosen].str.replace("_", " "))
    fig = curves(drawn, x="step", x_title="Epoch", y_title="Training loss")
    return {"Training loss of the joint head": fig}
