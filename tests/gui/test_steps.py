"""Forms of preparation steps: what is asked, and what is read from it."""

import pytest

from workbench.datasets.prepare import STEPS, Preparation
from workbench.gui import steps


@pytest.mark.parametrize("kind", list(STEPS))
def test_every_step_has_a_title_a_summary_and_a_form(kind):
    assert kind in steps.TITLES
    assert steps.summary(kind).endswith(".")
    listed = steps.fields(kind)
    assert listed
    assert not {"vocabulary", "idf"} & {field.name for field in listed}
    for field in listed:
        if field.kind == "choice":
            assert field.default in field.choices


def test_kinds_of_fields():
    kinds = {field.name: field.kind for field in steps.fields("windows")}
    assert kinds == {
        "length": "int",
        "stride": "int",
        "event": "column",
        "value": "typed",
        "before": "int",
        "label": "choice",
    }
    gap = next(field for field in steps.fields("fill_gaps") if field.name == "limit")
    assert gap.optional
    assert {field.name: field.kind for field in steps.fields("vectorise")}["keep_text"] == "bool"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5 min", "5 min"),
        ("5", 5),
        (" 0.5 ", 0.5),
        ("true", True),
        ("", None),
        ("'1'", "1"),
        ('"true"', "true"),
    ],
)
def test_typed_values(text, value):
    found = steps.parsed(text)
    assert found == value
    assert type(found) is type(value)
    assert steps.parsed(steps.shown(value)) == value


def test_a_form_left_alone_changes_nothing(open_form):
    for kind in STEPS:
        assert open_form({"step": kind}) == {"step": kind}
    learned = {"step": "vectorise", "column": "t", "vocabulary": ["a"], "idf": [1.0]}
    assert open_form(learned) == learned
    Preparation.from_json('[{"step": "resample", "every": "90 s"}]')


def test_what_was_learned_goes_with_what_it_was_learned_with(open_form):
    learned = {"step": "vectorise", "column": "t", "vocabulary": ["a"], "idf": [1.0]}
    assert open_form(learned, change=("ngrams", 2)) == {"step": "vectorise", "column": "t", "ngrams": 2}


@pytest.fixture
def open_form():
    """Draw the form of a step in Streamlit's harness; returns the values that it gives."""
    from streamlit.testing.v1 import AppTest

    def run(values, change=None):
        script = (
            "import streamlit as st\nfrom workbench.gui import steps\n"
            f"st.session_state['made'] = steps.draw({values!r}, key='k', columns=['t', 'u'])"
        )
        app = AppTest.from_string(script, default_timeout=60).run()
        assert not app.exception
        if change is not None:
            app.number_input(key=f"k.{change[0]}").set_value(change[1]).run()
        return app.session_state["made"]

    return run
