"""Columns to modalities, and one sentence for each thing that can be wrong with them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.errors import DatasetError
from workbench.modality import LateFusionClassifier, ModalitiesError, guess_modalities
from workbench.modality.columns import assign, check_content


def test_modalities_are_guessed_from_prefixes():
    assert guess_modalities(["v1_a", "v1_b", "v2_x", "v2_y"]) == {
        "v1": ["v1_a", "v1_b"],
        "v2": ["v2_x", "v2_y"],
    }
    assert guess_modalities(["pixel0", "pixel1", "age"]) == {"pixel": ["pixel0", "pixel1"], "other": ["age"]}
    assert guess_modalities(
        ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
    )["petal"] == ["petal length (cm)", "petal width (cm)"]
    assert guess_modalities(["age", "height"]) == {"all": ["age", "height"]}


def test_modalities_by_name_position_or_function():
    names = ["a_0", "a_1", "m_0"]
    assert assign({"a": [0, 1], "m": ["m_0"]}, names) == {"a": ["a_0", "a_1"], "m": ["m_0"]}
    assert assign(lambda name: name[0], names) == {"a": ["a_0", "a_1"], "m": ["m_0"]}
    assert assign(lambda name: "a" if name == "a_1" else None, names) == {"a": ["a_1"]}


@pytest.mark.parametrize(
    ("modalities", "sentence"),
    [
        ({"a": ["a_0"], "m": ["a_0"]}, r"'a_0' stands in the modalities 'a' and 'm'"),
        ({"a": ["a_0", "a_0"]}, r"'a_0' stands twice"),
        ({"a": []}, r"'a' has no columns"),
        ({"a": ["b"]}, r"names the column 'b', which the table does not have"),
        ({"a": [7]}, r"no column number 7"),
        ({}, r"No modality is given"),
        (lambda name: None, r"assigns no column"),
    ],
)
def test_a_bad_assignment_is_one_sentence(modalities, sentence):
    with pytest.raises(ModalitiesError, match=sentence) as caught:
        assign(modalities, ["a_0", "a_1"])
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, DatasetError)
    assert isinstance(caught.value, ValueError)


def test_bad_content_is_one_sentence(two_views):
    frame, y = two_views
    empty, constant, text = frame.copy(), frame.copy(), frame.copy()
    empty[["m_0", "m_1", "m_2"]] = np.nan
    constant[["m_0", "m_1", "m_2"]] = 3.0
    text["t_review"] = [f"the product number {i} was fine" for i in range(len(frame))]
    for bad, sentence in ((empty, "'m' is empty"), (constant, "'m' is constant"), (text, "raw text")):
        with pytest.raises(ModalitiesError, match=sentence):
            LateFusionClassifier(n_epochs=1).fit(bad, y)
    with pytest.raises(ModalitiesError, match="one class"):
        LateFusionClassifier(n_epochs=1).fit(frame, np.zeros(len(frame)))
    with pytest.raises(ModalitiesError, match="two columns named 'a_0'"):
        LateFusionClassifier(n_epochs=1).fit(pd.concat([frame, frame[["a_0"]]], axis=1), y)
    infinite = frame.copy()
    infinite.loc[3, "a_1"] = np.inf
    with pytest.raises(ModalitiesError, match="'a_1' contains infinity"):
        LateFusionClassifier(n_epochs=1).fit(infinite, y)


def test_single_constant_columns_are_noted_and_short_categories_are_not_text():
    frame = pd.DataFrame({"a_0": range(20), "a_1": 1.0, "c_kind": ["yes", "no"] * 10})
    notes = check_content(frame, {"a": ["a_0", "a_1"], "c": ["c_kind"]})
    assert notes == ["a: 1 of 2 columns never change and carry nothing (a_1)."]
