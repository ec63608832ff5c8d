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


def test_a_modality_that_knows_nothing_alone_has_no_bar_and_no_wild_interval():
    table = pd.DataFrame(
        {"modality": ["noise", "a", "weak"], "retention": [None, 0.9, 1.5], "lost": False}
    ).assign(retention_error=[40.0, 0.05, 3.0])
    fig = modality.retention(table.astype({"retention": float}))
    assert [note.text for note in fig.layout.annotations] == ["alone it learns nothing either"]
    assert fig.layout.annotations[0].y == 2  # the first row of the table stands on top
    assert tuple(fig.layout.xaxis.range) == (-50, 200)


def test_the_race_joins_each_remedy_to_its_baseline():
    table = pd.DataFrame(
        {"remedy": ["none", "umt"] * 2, "seed": [0, 0, 1, 1], "validation": [0.7, 0.8, 0.7, 1.0]}
    ).assign(baseline=[0.7, 0.8, 0.7, 0.8])
    fig = modality.race(table)
    traces = {trace.name: trace for trace in fig.data if trace.name}
    assert list(traces["remedy"].x) == [0.7, 0.9]
    assert list(traces["remedy"].y) == ["none", "umt"]
    assert list(traces["remedy"].marker.symbol) == ["circle", "star"]
    assert list(traces["plain, same budget"].x) == [0.7, 0.8]
    assert list(traces["one seed"].x) == [0.7, 0.8, 0.7, 1.0]
    joined = [(trace.y[0], *trace.x) for trace in fig.data if trace.mode == "lines"]
    assert joined == [("none", 0.7, 0.7), ("umt", 0.8, 0.9)]
    alone = modality.race(table[table["seed"] == 0])
    assert "one seed" not in {trace.name for trace in alone.data}


def test_what_the_cells_say_is_readable_on_pale_and_on_deep_colours():
    table = pd.DataFrame(
        [("mask", "a", "m", 0.5, 0.0), ("mask", "m", "a", 0.1, 0.0)],
        columns=["value_function", "modality", "other", "value", "sd"],
    )
    fig = modality.interactions(table, "mask")
    colours = {note.text: note.font.color for note in fig.layout.annotations}
    assert colours == {"": None, "+0.500": "#FFFFFF", "+0.100": None}


def test_small_interactions_are_faint():
    table = pd.DataFrame(
        [("mask", "a", "m", 0.007, 0.0), ("mask", "m", "a", 0.007, 0.0)],
        columns=["value_function", "modality", "other", "value", "sd"],
    )
    heat = modality.interactions(table, "mask").data[0]
    assert (heat.zmin, heat.zmax) == (-0.1, 0.1)
