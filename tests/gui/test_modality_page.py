"""The modality page on a table that is no sample."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def table(store):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 4)), columns=["nose_1", "nose_2", "ear_1", "ear_2"])
    frame["smell"] = np.where(rng.random(40) < 0.5, "rose", "coal")
    return store.datasets.publish_frame(frame, "Senses", roles={"label": "smell", "field": list(frame)[:4]})


def test_columns_are_assigned_to_guessed_modalities_and_a_run_is_submitted(table, store, open_page):
    app = open_page("modality", data="Senses@1")
    assert not app.exception
    assert app.selectbox(key="estimator").value == "modality.ModalityCompetitionAnalyzer"
    assert any("'nose': ['nose_1', 'nose_2']" in code.value for code in app.code)
    app.button[0].click().run()
    assert [run.spec["params"]["modalities"] for run in store.runs()] == [
        {"nose": ["nose_1", "nose_2"], "ear": ["ear_1", "ear_2"]}
    ]
