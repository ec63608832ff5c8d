"""What a running analysis and a running race show."""

from __future__ import annotations

import pandas as pd

from workbench.plots import modality_live


def metrics(**curves: list[float]) -> pd.DataFrame:
    rows = [(name, i + 1, value) for name, values in curves.items() for i, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["name", "step", "value"]).assign(time=range(len(rows)))


def test_the_seed_in_training_shows_losses_and_gradient_shares():
    table = metrics(
        **{
            "seed 1/validation_loss/audio": [9.0],
            "seed 2/loss": [1.0, 0.9],
            "seed 2/validation_loss/audio": [0.8, 0.7],
            "seed 2-2/validation_loss/audio": [0.6, 0.5],
            "seed 2-2/validation_loss/joint": [0.4, 0.3],
            "seed 2-2/gradient_share/audio": [0.75, 0.25],
        }
    )
    drawn = modality_live.figures(table)
    assert list(drawn) == [
        "Validation loss of each modality (seed 2)",
        "Share of the joint gradient (seed 2)",
    ]
    losses, shares = drawn.values()
    shown = {trace.name: (list(trace.y), trace.line.dash) for trace in losses.data}
    assert shown == {
        "audio, own network": ([0.8, 0.7], "dot"),
        "audio": ([0.6, 0.5], "solid"),
        "joint": ([0.4, 0.3], "solid"),
    }
    assert list(shares.data[0].y) == [75, 25]


def test_before_the_first_epoch_is_measured_there_is_the_loss():
    (fig,) = modality_live.figures(metrics(**{"seed 1/loss": [1.0]})).values()
    assert list(fig.data[0].y) == [1.0]


def test_a_race_compares_the_joint_heads():
    table = metrics(
        **{
            "none 1/loss": [1.0],
            "auxiliary 1/loss": [3.0],
            "auxiliary 1/joint": [0.9],
            "umt 1-2/joint": [0.8],
        }
    )
    (fig,) = modality_live.race_figures(table).values()
    assert {trace.name: trace.y[0] for trace in fig.data} == {
        "none 1": 1.0,
        "auxiliary 1": 0.9,
        "umt 1-2": 0.8,
    }
