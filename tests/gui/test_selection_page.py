"""The page of feature selection on a table that is no sample."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def table(store):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"shop": rng.choice(["a", "b"], 40), "code": rng.integers(5, size=40)})
    frame["bought"] = np.where(rng.random(40) < 0.5, "yes", "no")
    return store.datasets.publish_frame(frame, "Shop", roles={"label": "bought", "field": ["shop", "code"]})


def test_an_empty_store_says_what_to_do(store, open_page):
    app = open_page("selection")
    assert any("one row an impression" in info.value for info in app.info)


def test_a_run_is_submitted_with_host_method_and_fields(table, store, open_page):
    app = open_page("selection", data="Shop@1")
    assert app.selectbox(key="estimator").value == "selection.LPFSPlusPlus"
    assert app.selectbox(key="host").value == "ctr.DeepFMClassifier"
    app.number_input(key="LPFSPlusPlus.max_fields").set_value(1)
    app.number_input(key="DeepFMClassifier.n_epochs").set_value(2)
    app.number_input(key="FieldEncoder.min_count").set_value(3)
    app.button[0].click().run()
    assert not app.exception
    (run,) = store.runs()
    assert run.spec["params"]["max_fields"] == 1
    host = run.spec["params"]["estimator"]
    assert host["$estimator"] == "ctr.DeepFMClassifier"
    assert host["params"]["n_epochs"] == 2
    assert host["params"]["encoder"]["params"]["min_count"] == 3


def test_a_table_without_a_label_says_what_to_do(store, open_page):
    store.datasets.publish_frame(pd.DataFrame({"a": [1, 2]}), "Bare", roles={"field": ["a"]})
    app = open_page("selection", data="Bare@1")
    assert any("role 'label'" in info.value for info in app.info)


def test_what_decides_how_much_is_dropped_is_said(table, open_page):
    def hint(method):
        app = open_page("selection", data="Shop@1", estimator=method)
        return next(caption.value for caption in app.caption if "decides" in caption.value)

    assert hint("selection.LPFSPlusPlus").startswith("Either the penalty (λ) decides")
    assert "milliseconds a request (max_latency_ms)" in hint("selection.LPFSPlusPlus")
    assert "own rule" in hint("selection.SharkSelector")
    assert "max_latency_ms" not in hint("selection.SharkSelector")
