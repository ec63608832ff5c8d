"""One encoder of time series, trained once without labels, for three tasks."""

from typing import Any, Literal

from workbench.pipelines import DataSet, Flow, Here, pipeline


@pipeline
def pretrain_tune(
    flow: Flow,
    data: DataSet,
    encoder: Literal["TS2Vec", "TST", "TSTCC", "TNC", "TLoss"] = "TS2Vec",
    epochs: int = 20,
    tune_epochs: int = 20,
    clusters: int = 4,
    seed: int = 0,
):
    """Train an encoder once, then classify, group and fill gaps with it.

    Parameters
    ----------
    data
        Time series with labels.
    encoder
        What is trained without labels.
    epochs
        Times its training goes through all series.
    tune_epochs
        Times the fine tuning goes through the labelled series.
    clusters
        Groups to make.
    seed
        Of every training and split.
    """
    trained = flow.run(f"timeseries.{encoder}", data, params={"n_epochs": epochs}, seed=seed, name="pretrain")
    kept = flow.step(keep, trained["run"], f"{data.partition('@')[0]}-{encoder}")
    shared = {"encoders": [kept]}
    tuned = {**shared, "mode": "fine_tune", "n_epochs": tune_epochs}
    # Plainly fitted and scored: the tasks' own recipes would train an encoder of their own to compare with.
    plain = {"recipe": "fit_score", "seed": seed}
    classify = flow.run("timeseries.UniTSClassifier", data, params=tuned, name="classify", **plain)
    grouping = {**shared, "n_clusters": clusters}
    group = flow.run("timeseries.UniTSClusterer", data, params=grouping, name="group", **plain)
    fill = flow.run("timeseries.UniTSImputer", data, params=shared, name="fill gaps", **plain)
    gaps = flow.step(hidden_error, fill["run"], data, seed)
    return flow.step(report, data, encoder, trained, classify, group, gaps)


def keep(here: Here, run: str, name: str) -> dict[str, str]:
    """Save the encoder, once, so that others can take it as it is."""
    saved = here.store.models.of_run(run, name) or here.store.run(run).save_model(name)
    return {"$model": saved.ref}


def hidden_error(here: Here, run: str, data: str, seed: int) -> dict[str, float]:
    """How well hidden values of the test series are filled, beside straight lines."""
    from workbench.arrays import Split

    done, series = here.store.run(run), here.store.dataset(data).to_series()
    split = Split(**done.spec["split"])
    _, test = split.indices(len(series.X), y=series.y, column=series.split, seed=seed)
    return done.estimator().held_out_error(series.X[test], random_state=seed)


def report(
    here: Here,
    data: str,
    encoder: str,
    trained: dict[str, Any],
    classify: dict[str, Any],
    group: dict[str, Any],
    gaps: dict[str, float],
) -> dict[str, Any]:
    import pandas as pd

    from workbench.pipelines.html import write_page

    scores = {
        "accuracy": classify["scores"]["test_accuracy"],
        "control_accuracy": classify["scores"]["control_test_accuracy"],
        "filled_mae": gaps["mae"],
        "straight_line_mae": gaps["linear_mae"],
    }
    if "adjusted_rand" in group["scores"]:
        scores["adjusted_rand"] = group["scores"]["adjusted_rand"]
    headline = (
        f"With one {encoder} trained once: accuracy {scores['accuracy']:.3f} (commonest class "
        f"{scores['control_accuracy']:.3f}), error of filled gaps {gaps['mae']:.3f} (straight lines "
        f"{gaps['linear_mae']:.3f})."
    )
    runs = [("pretrain", trained), ("classify", classify), ("group", group)]
    table = pd.DataFrame(
        [(name, run["headline"], run["run"]) for name, run in runs], columns=["step", "result", "run"]
    )
    numbers = pd.DataFrame(list(scores.items()), columns=["score", "value"])
    write_page(
        here.folder / "report.html", f"{encoder} on {data}", [headline, ("Scores", numbers), ("Runs", table)]
    )
    return {"headline": headline, "scores": scores}
