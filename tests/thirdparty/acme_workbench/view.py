def view(run, report):
    """The body of the result page."""
    import streamlit as st

    st.subheader("Acme's bands")
    st.write(report.headline)
