"""A CSL model as an ONNX file gives torch's values, on series it was not tried on."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from workbench.errors import ModelError
from workbench.models import onnx
from workbench.timeseries import CSL

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
    module, example, expected = model._onnx_module()
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
