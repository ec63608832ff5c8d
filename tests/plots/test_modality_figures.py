"""Figures of an analysis show what its tables say."""

from __future__ import annotations

import pandas as pd

from workbench.plots import modality


def test_the_waterfall_starts_at_the_prior_and_ends_with_all():
    table = pd.DataFrame(
        [("mask", "audio", 0.3, 0.0), ("mask", "motion", 0.4, 0.0), ("mask", "(none)", 0.2, 0.0)],
        columns=["value_function", "modality", "value", "sd"],
    )
    trace = modality.contributions(table, "mask").data[0]
    assert list(trace.x) == ["none", "audio", "motion", "all"]
    assert list(trace.y)[:3] == [0.2, 0.3, 0.4]
    assert list(trace.measure) == ["absolute", "relative", "relative", "total"]


def test_lost_modalities_stand_out_and_winners_have_a_star():
    table = pd.DataFrame(
        {
            "modality": ["a", "m"],
            "retention": [0.5, 1.0],
            "retention_error": [0.05, 0.0],
            "lost": [True, False],
        }
    )
    bars = modality.retention(table).data[0]
    assert list(bars.x) == [100, 50]
    assert bars.marker.color[0] != bars.marker.color[1]
    classes = pd.DataFrame(
        {"class": ["x", "x"], "modality": ["m", "a"], "lost_recall": [0.1, 0.6], "winner": ["m", "m"]}
    )
    heat = modality.class_winners(classes).data[0]
    assert list(heat.x) == ["m", "a"]
    assert list(heat.text[0]) == ["+0.10 ★", "+0.60"]


def test_the_race_shows_each_remedy_beside_its_baseline():
    table = pd.DataFrame(
        {"remedy": ["none", "umt"], "seed": 0, "validation": [0.7, 0.9], "baseline": [0.7, 0.8]}
    )
    bars, marks = modality.race(table).data
    assert list(bars.x) == [0.7, 0.9]
    assert list(marks.x) == [0.7, 0.8]


def test_small_interactions_are_faint():
    table = pd.DataFrame(
        [("mask", "a", "m", 0.007, 0.0), ("mask", "m", "a", 0.007, 0.0)],
        columns=["value_function", "modality", "other", "value", "sd"],
    )
    heat = modality.interactions(table, "mask").data[0]
    assert (heat.zmin, heat.zmax) == (-0.1, 0.1)
