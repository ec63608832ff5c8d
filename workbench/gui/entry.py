"""Streamlit's entry script: the frame around every page (the pages: :mod:`workbench.gui.navigation`)."""

from pathlib import Path

import streamlit as st

from workbench.gui import access, failures, navigation

# Without an icon of our own the browser would fetch the page's icon from a font server.
st.set_page_config(
    page_title="Workbench",
    page_icon=str(Path(__file__).with_name("icon.svg")),
    layout="wide",
    initial_sidebar_state=220,
)
st.html(Path(__file__).with_name("looks.css"))
with failures.guard():
    access.require()
    navigation.take_up()
    page = st.navigation(navigation.menu())
    page.run()
