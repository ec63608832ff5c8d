"""Streamlit's entry script: the frame around every page (the pages: :mod:`workbench.gui.navigation`)."""

from pathlib import Path

import streamlit as st

from workbench.gui import access, context, failures, navigation

ICON = str(Path(__file__).with_name("icon.svg"))

# Without an icon of our own the browser would fetch the page's icon from a font server.
st.set_page_config(
    page_title="Workbench",
    page_icon=ICON,
    layout="wide",
    initial_sidebar_state=220,
)
looks = Path(__file__).with_name("looks.css").read_text()
st.html(f"<style>{looks}\n{navigation.section_style()}</style>")
with failures.guard():
    access.require()
    context.say_if_read_only()
    navigation.take_up()
    st.logo(ICON, size="large")
    page = st.navigation(navigation.menu(), expanded=True)
    page.run()
