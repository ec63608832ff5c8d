"""Run a notebook in the background, with parameters."""

from pathlib import Path

import streamlit as st

from workbench.gui import access, navigation, notebooks, runs
from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.panels import python
from workbench.gui.text import md
from workbench.notebooks import Document, submit

st.title("Notebooks")
st.caption("Run a notebook from top to bottom in the background, with parameters; it comes back as a page.")

refused = notebooks.refusal()
if refused:
    st.info(md(refused))
    st.stop()

uploaded = st.file_uploader("A notebook of your own (.ipynb)", type="ipynb")
examples = {path.stem: path for path in notebooks.worked()}
chosen = st.selectbox(
    "or a worked example", list(examples), index=None, key="notebook", bind="query-params",
    disabled=uploaded is not None,
)  # fmt: skip

document = None
with guard():
    if uploaded is not None:
        document = Document.parse(uploaded.getvalue(), uploaded.name)
    elif chosen:
        document = Document.read(Path(examples[chosen]))
if document is not None:
    with st.form(f"run-{document.name}", border=False):
        if document.parameters:
            st.caption("Its parameters: what its cell tagged `parameters` assigns.")
        held = notebooks.fields(document)
        start = st.form_submit_button("Run", type="primary")
    if start:
        with guard():
            values = notebooks.changed(document, held)
            run = submit(store().dir, document, values, owner=access.owner())
            navigation.open_page("run", run=run.id)
    given = "".join(f" --param {name}={value}" for name, value in document.parameters.items())
    python(f"python -m workbench notebook run {document.name}.ipynb{given} --wait", label="Show the command")

st.subheader("Earlier runs")
earlier = [run for run in store().runs(limit=500) if run.recipe == "notebook"]
if earlier:
    st.dataframe(runs.frame(earlier), column_config=runs.COLUMNS, hide_index=True)
else:
    st.caption("No notebook has been run yet.")
