"""Choose a click log, a host model and a method, and find out which fields earn their place."""

import streamlit as st

from workbench import notebook, registry
from workbench.ctr import FieldEncoder
from workbench.gui import access, choices, forms, navigation, selection
from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.panels import python
from workbench.selection.roles import guessed_kinds
from workbench.selection.steps import host_options

st.title("Feature selection")
st.caption("Find out which fields a click model needs, watch it happen, and keep the smaller model.")

refs = [ref for ref in choices.all_refs() if not store().dataset(ref).is_series]
if not refs:
    st.info("No data set is a table with one row an impression yet: import one, and give it a label.")
    navigation.link("datasets", "Import a data set")
    st.stop()

names = registry.estimator_names()
methods = sorted(
    (name for name in names if name.startswith("selection.")), key=lambda n: n != "selection.LPFSPlusPlus"
)
hosts = sorted(
    (name for name in names if name.startswith("ctr.") and name.endswith("Classifier")),
    key=lambda n: n != "ctr.DeepFMClassifier",
)
left, middle, right = st.columns(3)
ref = choices.pick("Data set", refs, key="data", place=left)
host_name = choices.pick("Host model", hosts, key="host", place=middle)
name = choices.pick("Method", methods, key="estimator", place=right)
if ref is None or host_name is None or name is None:
    st.stop()
dataset, cls, host = store().dataset(ref), registry.estimator(name), registry.estimator(host_name)
st.caption(choices.summary(dataset))
if "label" not in dataset.roles:
    st.info("The data set has no label: give a column with two values the role 'label'.")
    navigation.link("datasets", "Give it roles", data=ref)
    st.stop()

with st.form("start", border=False):
    st.subheader("Method")
    if hint := selection.budget_hint(cls):
        st.caption(hint)
    params, host_params, encoder_params = {}, {}, {}
    with guard():
        params = forms.parameters(cls, prefix=cls.__name__, skip=("estimator",))
    st.subheader("Host model")
    with guard():
        trained_on = round(0.7 * dataset.n_rows)
        host_params = forms.parameters(
            host, prefix=host.__name__, skip=("encoder",), suggested=host_options(trained_on)
        )
    with st.expander("Fields"):
        st.caption("How each field is read. Numbers that are codes or identifiers should be categorical.")
        changed = selection.kinds(guessed_kinds(dataset.roles, dataset.columns), key=f"kinds.{ref}")
        with guard():
            encoder_params = forms.parameters(FieldEncoder, prefix="FieldEncoder", skip=("kinds", "shared"))
    split, seed = forms.split(has_column="split" in dataset.roles)
    where = forms.launcher(store().queue.launchers())
    start = st.form_submit_button("Start", type="primary")

with guard():
    if changed:
        encoder_params["kinds"] = changed
    if encoder_params:
        forms.check(FieldEncoder, encoder_params)
        host_params["encoder"] = FieldEncoder(**encoder_params)
    forms.check(host, host_params)
    params["estimator"] = host(**host_params)
    forms.check(cls, params)
    if start:
        given = {"params": params, "split": split, "seed": seed, "launcher": where}
        run = store().submit(name, dataset, **given, owner=access.owner())
        navigation.open_page("run", run=run.id)
    python(notebook.snippet(name, ref, params, split=split, seed=seed))
