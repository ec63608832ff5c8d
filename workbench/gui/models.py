"""A saved model's card: what it is, how good it was, where it came from and what was made with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from workbench.errors import WorkbenchError
from workbench.gui import navigation, result
from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.panels import plot
from workbench.gui.text import bytes_, md
from workbench.models import prediction
from workbench.plots import care as plots

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["aliases", "card", "keep", "lineage", "onnx"]


def card(model: Model) -> None:
    """The card of one version."""
    said = model.card
    st.subheader(md(model.ref))
    if said.get("headline"):
        st.markdown(md(said["headline"]))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            f"{md(model.estimator.rpartition(':')[2])} · {bytes_(model.n_bytes)} · fitted on", width="content"
        )
        if model.dataset:
            navigation.link("datasets", md(model.dataset), data=model.dataset)
        if model.run:
            navigation.link("run", "its run", run=model.run)
    aliases(model)
    # The probe's penalty, C, is no score.
    scores = {
        name: value for name, value in said.get("scores", {}).items() if value is not None and name != "C"
    }
    if scores:
        result.score_table(scores, f"card-{model.ref}")
    facts = _facts(model)
    if facts:
        with st.expander("Parameters, seed, versions and input"):
            st.json(facts)
    edges = lineage(model)
    if len(edges):
        st.markdown("**Where it comes from, and what was made with it**")
        plot(plots.lineage(edges, here=f"model {model.ref}"), f"lineage-{model.ref}", data=edges)


def aliases(model: Model) -> None:
    """What the version is called, to be changed: an alias that another version had moves here."""
    # What a pipeline has changed meanwhile is another widget, which shows it.
    key = f"aliases-{model.ref}-{','.join(model.aliases)}"

    def change() -> None:
        wanted, models = set(st.session_state[key]), store().models
        with guard():
            for alias in wanted.difference(model.aliases):
                models.set_alias(model.ref, alias)
            for alias in set(model.aliases) - wanted:
                models.remove_alias(model.name, alias)

    st.multiselect(
        "Called",
        sorted({"champion", "challenger", *store().models.aliases(model.name)}),
        default=list(model.aliases),
        accept_new_options=True,
        key=key,
        on_change=change,
        help=f"At most one version of {md(model.name)} has an alias; it is {md(model.name)}@alias then, and "
        "is not deleted.",
    )


def onnx(model: Model) -> None:
    """Make an ONNX file of a model, and offer it."""
    from workbench.models.onnx import exported

    made = f"onnx-made-{model.ref}"
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Make an ONNX file", key=f"onnx-{model.ref}", help="For programs without Python."):
            with guard(), st.spinner("Written, run and compared with torch …"):
                st.session_state[made] = exported(store().root, model.ref)
        if made in st.session_state:
            name = f"{model.ref.replace('@', '-')}.onnx"
            st.download_button("Download it", st.session_state[made], name, "application/octet-stream")


def _facts(model: Model) -> dict[str, Any]:
    said = model.card
    facts: dict[str, Any] = {
        name: said[name]
        for name in ("params", "recipe", "seed", "split", "git_commit", "owner")
        if name in said
    }
    try:
        head = json.loads((model.path / "estimator.json").read_text())
    except (OSError, ValueError):
        return facts
    return {**facts, "input": head.get("schema"), "versions": head.get("versions")}


def lineage(model: Model) -> pd.DataFrame:
    """From files to the model and on to its predictions: ``parent, child, how, kept``."""
    columns = ["parent", "child", "how", "kept"]
    node = f"model {model.ref}"
    edges = []
    if model.dataset:
        try:
            found = store().datasets.lineage(model.dataset)
            # What the data set was made of; what else was made of it has nothing to do with the model.
            edges += _above(model.dataset, found[columns].to_numpy().tolist())
        except WorkbenchError:
            pass  # deleted since
        kept = model.dataset in store().datasets
        edges.append([model.dataset, node, f"run {model.run}" if model.run else "fit", kept])
    for dataset in prediction.made_by(store().datasets, model.ref):
        edges.append([node, dataset.ref, "predict", True])
    return pd.DataFrame(edges, columns=columns)


def _above(ref: str, edges: list[list[Any]]) -> list[list[Any]]:
    wanted = {ref}
    for parent, child, *_ in reversed(edges):  # in the order of their making
        if child in wanted:
            wanted.add(parent)
    return [edge for edge in edges if edge[1] in wanted]


def keep(run_id: str, name: str) -> None:
    """Keep what a model said as a data set, and go there."""
    made = prediction.publish(store().datasets, store().run(run_id), name)
    navigation.open_page("datasets", data=made.ref)
