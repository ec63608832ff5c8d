"""Streamlit's entry script: the frame around every page (the pages: :mod:`workbench.gui.navigation`)."""

import streamlit as st

from workbench.gui import access, failures, navigation

st.set_page_config(page_title="Workbench", layout="wide")
with failures.guard():
    access.require()
    page = st.navigation(navigation.menu())
    page.run()
