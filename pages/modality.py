"""Assign a table's columns to modalities, and analyse their competition or race the remedies."""

import streamlit as st

from workbench import notebook, registry
from workbench.gui import access, choices, forms, modality, navigation
from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.panels import python
from workbench.modality import RemedyRace, guess_modalities
from workbench.modality.recipe import modalities_of_roles

st.title("Modality")
st.caption("Find out which modality wins in joint training, which is never learned, and what to do about it.")

refs = [ref for ref in choices.all_refs() if not store().dataset(ref).is_series]
if not refs:
    st.info(
        "No data set is a table with one row a sample yet: import one, and give a column the role 'label'."
    )
    navigation.link("datasets", "Import a data set")
    st.stop()

left, right = st.columns(2)
ref = choices.pick("Data set", refs, key="data", place=left)
names = [name for name in registry.estimator_names() if name.startswith("modality.")]
names.sort(key=lambda name: name != "modality.ModalityCompetitionAnalyzer")
name = choices.pick("Estimator", names, key="estimator", place=right)
if ref is None or name is None:
    st.stop()
dataset, cls = store().dataset(ref), registry.estimator(name)
st.caption(choices.summary(dataset))

given = modalities_of_roles(dataset.roles)
features = [c for part in (given or {}).values() for c in part] + dataset.roles.get("field", [])
if not {"label", "labels"} & set(dataset.roles):
    st.info("The data set has no label: give a column the role 'label', or several the role 'labels'.")
    navigation.link("datasets", "Give it roles", data=ref)
    st.stop()

if not features:
    st.info("The data set has no features: give columns the role 'field', or 'modality:<name>'.")
    navigation.link("datasets", "Give it roles", data=ref)
    st.stop()

with st.form("start", border=False):
    st.subheader("Modalities")
    st.caption(
        "Guessed from the columns' roles or prefixes; edit the names, or empty one to leave its columns out."
    )
    chosen = modality.assignment(given or guess_modalities(features), features, key=f"modalities.{ref}")
    modality.rows(dataset.roles)
    params = {}
    with guard():
        params = forms.parameters(cls, prefix=cls.__name__, skip=("modalities",))
    split, seed = forms.split(has_column="split" in dataset.roles)
    where = forms.launcher(store().queue.launchers())
    apart = cls is RemedyRace and st.checkbox(
        "A run of its own for each remedy",
        help="Trained on the train part and scored on the test part, to compare in the list of runs.",
        key="apart",
        bind="query-params",
    )
    start = st.form_submit_button("Start", type="primary")

with guard():
    params["modalities"] = chosen
    forms.check(cls, params)
    if start:
        modality.check(chosen, dataset, rivals=registry.recipe_of(cls) != "modality.fit")
    if start and apart:
        modality.submit_each(dataset, params, split, seed)
        navigation.open_page("runs")
    elif start:
        given = {"params": params, "split": split, "seed": seed, "launcher": where}
        run = store().submit(name, dataset, **given, owner=access.owner())
        navigation.open_page("run", run=run.id)
    python(notebook.snippet(name, ref, params, split=split, seed=seed))
