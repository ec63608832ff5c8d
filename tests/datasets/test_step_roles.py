"""Roles that say something of single steps, or of where a series comes from."""

import numpy as np
import pandas as pd
import pytest

from workbench.datasets import roles
from workbench.datasets.files import Column
from workbench.errors import DatasetError


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "series_id": ["a"] * 3 + ["b"] * 2,
            "time": [1, 2, 3, 1, 2],
            "x": [1.0, 2.0, np.nan, 4.0, 5.0],
            "holiday": [0, 1, 0, 1, 1],
            "domain": ["Source"] * 3 + ["target"] * 2,
            "anomaly": [0, 1, 0, None, 1],
        }
    )


def test_domain_anomaly_and_columns_known_ahead_are_read_beside_the_series(store, frame):
    data = store.datasets.publish_frame(frame, "steps")
    assert data.roles["anomaly"] == ["anomaly"]
    assert data.roles["domain"] == ["domain"]
    data = data.set_roles({**data.roles, "value": "x", "exogenous": "holiday"})
    series = data.to_series()
    assert series.channels == ("x",)
    assert series.domain.tolist() == ["source", "target"]
    assert series.anomaly.tolist() == [[False, True, False], [False, True, False]]
    np.testing.assert_array_equal(series.exogenous[:, :, 0], [[0, 1, 0], [1, 1, np.nan]])
    one = data.series(["b"])
    assert one.domain.tolist() == ["target"]
    assert one.anomaly.tolist() == [[False, True]]
    np.testing.assert_array_equal(one.exogenous[0, :, 0], [1, 1])


def test_words_mark_steps_too(store, frame):
    words = frame.assign(anomaly=["normal", "spike", "", "No", None])
    series = store.datasets.publish_frame(words, "words").to_series()
    assert series.anomaly.tolist() == [[False, True, False], [False, False, False]]


def test_a_domain_is_of_a_whole_series(store, frame):
    mixed = frame.assign(domain=["source", "target", "source", "target", "target"])
    with pytest.raises(DatasetError, match=r"The domain .* varies within the series 'a'"):
        store.datasets.publish_frame(mixed, "mixed").to_series()


def test_what_marks_steps_needs_steps():
    columns = [Column("x", "DOUBLE"), Column("mark", "INTEGER")]
    with pytest.raises(DatasetError, match="The role 'anomaly' needs a table with one row a step"):
        roles.check({"value": "x", "anomaly": "mark"}, columns)
    assert "anomaly" not in roles.guess([Column("anomaly", "INTEGER"), Column("size", "DOUBLE")])
