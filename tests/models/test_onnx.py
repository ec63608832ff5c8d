"""A model as an ONNX file gives torch's values, on data it was not tried on."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from workbench import ctr
from workbench.errors import ModelError
from workbench.modality import LateFusionClassifier, LateFusionRegressor
from workbench.models import onnx
from workbench.timeseries import CSL, TNC, TST, TSTCC, CSLClassifier, TLoss, TS2Vec

SERIES = np.random.default_rng(1).normal(size=(8, 30, 2)).cumsum(axis=1)


def test_what_cannot_be_exported_says_so(tmp_path):
    with pytest.raises(ModelError, match="LogisticRegression cannot be exported"):
        onnx.export(LogisticRegression(), tmp_path / "m.onnx")
    (tmp_path / "m.onnx").write_text("")
    with pytest.raises(ModelError, match="exists already"):
        onnx.export(CSL(), tmp_path / "m.onnx")


@pytest.mark.parametrize("measure", ["mixed", "euclidean", "cosine", "cross-correlation"])
def test_the_exported_form_is_the_transform(measure):
    import torch

    model = CSL(n_epochs=0, n_scales=3, n_shapelets=6, measure=measure, random_state=0).fit(SERIES)
    form = model._onnx_form()
    module, example = form.module, form.inputs["series"]
    example[0, :, 0] = 3.0  # a constant variable
    with torch.no_grad():
        found = module.eval()(torch.from_numpy(example)).numpy()
    expected = model.transform(example)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("measure", ["mixed", "euclidean"])
def test_the_file_gives_torchs_values(tmp_path, measure):
    import onnxruntime as runtime

    model = CSL(n_epochs=2, n_scales=3, n_shapelets=6, measure=measure, random_state=0).fit(SERIES)
    path = tmp_path / "m.onnx"
    assert onnx.export(model, path) <= 1e-5
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    other = np.random.default_rng(5).normal(size=(3, 30, 2)).cumsum(axis=1).astype(np.float32)
    (found,) = session.run(None, {"series": other})
    np.testing.assert_allclose(found, model.transform(other), rtol=1e-5, atol=1e-5)
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.slow
@pytest.mark.parametrize("scaling", ["dataset", "series"])
@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (TS2Vec, {"n_hidden": 8, "depth": 3}),
        (TLoss, {"n_hidden": 8, "depth": 3}),
        (TNC, {}),
        (TSTCC, {}),
        (TST, {"n_heads": 2, "n_layers": 2, "n_hidden": 16}),
    ],
)
def test_an_encoder_gives_torchs_features(tmp_path, cls, options, scaling):
    import onnxruntime as runtime

    options |= {"n_epochs": 1, "n_features": 16, "scaling": scaling, "random_state": 0, "device": "cpu"}
    model = cls(**options).fit(50 + 20 * SERIES)
    path = tmp_path / "m.onnx"
    assert onnx.export(model, path) <= 1e-5
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    other = 50 + 20 * np.random.default_rng(5).normal(size=(3, 30, 2)).cumsum(axis=1).astype(np.float32)
    other[0, :, 0] = 48.0  # a constant variable
    (found,) = session.run(None, {"series": other})
    expected = model.transform(other)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_shapelet_classifier_gives_torchs_probabilities(tmp_path):
    import onnxruntime as runtime

    options = {"n_epochs": 1, "n_scales": 2, "n_shapelets": 6, "tune_epochs": 2, "random_state": 0}
    model = CSLClassifier(**options).fit(SERIES, ["down", "up"] * 4)
    path = tmp_path / "m.onnx"
    assert onnx.export(model, path) <= 1e-5
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["workbench"])["classes"] == ["down", "up"]
    other = np.random.default_rng(5).normal(size=(3, 30, 2)).cumsum(axis=1).astype(np.float32)
    (found,) = session.run(None, {"series": other})
    np.testing.assert_allclose(found, model.predict_proba(other), rtol=1e-5, atol=1e-5)


def clicks(n=300):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "item": random.integers(0, 20, n).astype(str),
            "place": random.integers(0, 7, n).astype(str),
            "age": np.where(random.random(n) < 0.1, np.nan, random.normal(size=n)),
            "seen": [[str(v) for v in random.integers(0, 20, random.integers(0, 5))] for _ in range(n)],
        }
    )
    return frame, (frame["item"].astype(int) % 3 == 0).to_numpy().astype(int)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("LRClassifier", {}),
        ("FMClassifier", {"negative_rate": 0.5}),
        ("DeepFMClassifier", {"batch_norm": True}),
        ("DCNv2Classifier", {}),
        ("DLRMClassifier", {}),
        ("DINClassifier", {}),
    ],
)
def test_a_click_model_gives_torchs_probabilities(tmp_path, name, options):
    import onnxruntime as runtime

    X, y = clicks()
    split = {"qr_threshold": 10, "qr_modulus": 4} if name == "DeepFMClassifier" else {}
    encoder = ctr.FieldEncoder(kinds={"seen": "sequence"}, shared={"seen": "item"}, **split)
    options |= {"encoder": encoder, "random_state": 0, "n_epochs": 2, "batch_size": 64}
    model = getattr(ctr, name)(**options).fit(X, y)
    path = tmp_path / "m.onnx"
    assert onnx.export(model, path) <= 1e-5
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    encoded = model.encoder_.encode(X)
    inputs = {"ids": encoded.ids.astype(np.int64), "numbers": encoded.numbers}
    inputs["seen"] = encoded.lists[0].astype(np.int64)
    (found,) = session.run(None, inputs)
    np.testing.assert_allclose(found, model.predict_proba(X)[:, 1], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["sum", "concat", "gated"])
@pytest.mark.parametrize("remedy", ["none", "weighted_ensemble"])
def test_late_fusion_gives_torchs_values(tmp_path, fusion, remedy):
    import onnxruntime as runtime

    random = np.random.default_rng(0)
    n = 120
    X = pd.DataFrame(random.normal(5, 3, size=(n, 5)), columns=["a_0", "a_1", "b_0", "b_1", "b_2"])
    X["a_kind"] = random.choice(["x", "y", "z"], n)
    y = np.where(X["a_0"] + X["b_0"] > 10, "high", "low")
    X.loc[:10, ["b_0", "b_1", "b_2"]] = np.nan
    X.loc[20, "a_1"] = np.nan
    cls, target = (LateFusionClassifier, y) if remedy == "none" else (LateFusionRegressor, X["a_0"] * 7)
    model = cls(fusion=fusion, n_epochs=3, random_state=0).fit(X, target)
    path = tmp_path / "m.onnx"
    assert onnx.export(model, path) <= 1e-5
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    notes = json.loads(session.get_modelmeta().custom_metadata_map["workbench"])
    places = {value: i for i, value in enumerate(notes["categories"]["a_kind"], start=1)}
    (found,) = session.run(
        None,
        {
            "present": np.stack([np.ones(n, bool), X["b_0"].notna()], axis=1),
            "a_numbers": X[["a_0", "a_1"]].to_numpy(np.float32),
            "a_codes": X["a_kind"].map(places).to_numpy(np.int64)[:, None],
            "b_numbers": X[["b_0", "b_1", "b_2"]].to_numpy(np.float32),
        },
    )
    expected = model.predict_proba(X) if remedy == "none" else model.predict(X)[:, None]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
