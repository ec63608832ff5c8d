"""Remedies against modality competition: each a run of its own, judged on validation rows."""

from typing import Any, Literal

from workbench.pipelines import DataSet, Flow, Here, pipeline


@pipeline
def remedy_race(
    flow: Flow, data: DataSet,
    remedies: str = "none early_stopping auxiliary modality_dropout weighted_ensemble pretrain mmpareto",
    task: Literal["classification", "regression"] = "classification", epochs: int = 60, seed: int = 0,
):  # fmt: skip
    """Train with each remedy in a run of its own, and keep the one that is best on validation rows.

    Parameters
    ----------
    data
        One row a sample, with a label, and columns of two modalities or more.
    remedies
        Names, separated by spaces.
    task
        Kind of the label.
    epochs
        Times a joint training goes through the rows; remedies with preparatory trainings take more.
    seed
        Of the splits and first weights.
    """
    from workbench.arrays import Split
    from workbench.modality.race import candidates
    from workbench.modality.remedies import cost

    network = f"modality.LateFusion{'Classifier' if task == 'classification' else 'Regressor'}"
    # Judged on a part of the train rows: the test rows are the winner's alone.
    options: dict[str, Any] = {"split": Split(inner=True), "seed": seed, "retries": 1}
    raced = {
        remedy: flow.run(network, data, params={"remedy": remedy, "n_epochs": epochs}, name=remedy, **options)
        for remedy in candidates(remedies.split(), task=task)
    }
    plain = {
        budget: flow.run(network, data, params={"n_epochs": budget}, name=f"plain {budget}", **options)
        for budget in sorted({cost(remedy, epochs) for remedy in raced})
    }
    chosen = flow.step(choose, raced, {str(budget): step for budget, step in plain.items()}, epochs)
    winner = flow.run(network, data, params=chosen["params"], seed=seed, retries=1, name="winner")
    return flow.step(report, data, chosen["table"], winner)


def choose(
    here: Here, raced: dict[str, dict[str, Any]], plain: dict[str, dict[str, Any]], epochs: int
) -> dict[str, Any]:
    """Each remedy beside plain training of the same budget, and the parameters of the best."""
    from workbench.modality.remedies import cost

    table = []
    for remedy, run in raced.items():
        found, base = judged(run), judged(plain[str(cost(remedy, epochs))])
        table.append(
            {
                "remedy": remedy, "seed": 0, "validation": found, "baseline": base, "gain": found - base,
                "epochs": cost(remedy, epochs), "run": run["run"],
            }
        )  # fmt: skip
    best = max(table, key=lambda row: row["validation"])
    return {"params": {"remedy": best["remedy"], "n_epochs": epochs}, "table": table}


def judged(run: dict[str, Any]) -> float:
    """The accuracy of a run, the macro F1 over several labels, or R²."""
    names = ("test_f1_macro", "test_accuracy", "test_r2")
    return float(next(run["scores"][name] for name in names if name in run["scores"]))


def report(here: Here, data: str, table: list[dict[str, Any]], winner: dict[str, Any]) -> dict[str, Any]:
    import pandas as pd

    from workbench.pipelines.html import write_page
    from workbench.plots.modality import race

    best = max(table, key=lambda row: row["validation"])
    scores = {"validation_score": best["validation"], "gain": best["gain"], "test_score": judged(winner)}
    headline = (
        f"{best['remedy'].replace('_', ' ').capitalize()} is best on the validation rows "
        f"({best['validation']:.3f}; plain joint training of the same budget {best['baseline']:.3f}); "
        f"trained on all rows it scores {scores['test_score']:.3f} on the test rows."
    )
    frame = pd.DataFrame(table).sort_values("validation", ascending=False, ignore_index=True)
    parts: list[Any] = [headline, ("The race", race(frame)), ("Runs", frame.drop(columns="seed"))]
    write_page(here.folder / "report.html", f"Remedies for {data}", parts)
    return {"headline": headline, "scores": scores}
