"""Fewer fields, the same clicks: select fields, train on them, and make the probabilities honest."""

from typing import Any, Literal

from workbench.pipelines import DataSet, Flow, Here, pipeline


@pipeline
def select_retrain(
    flow: Flow,
    data: DataSet,
    selector: Literal["LPFS", "LPFSPlusPlus", "SharkSelector", "PermutationSelector",
    "MutualInformationSelector",
                      "LassoSelector", "BoostingSelector"] = "LPFS",
    model: Literal["LRClassifier", "FMClassifier", "DeepFMClassifier", "DCNv2Classifier"] =
    "DeepFMClassifier", epochs: int = 3, method: Literal["isotonic", "sigmoid"] = "isotonic", seed: int = 0,
):  # fmt: skip
    """Select fields, train a click model on those that are left, and calibrate its probabilities.

    Parameters
    ----------
    data
        One row an impression, with a label of two classes.
    selector
        What chooses the fields.
    model
        What is trained on them.
    epochs
        Times its training goes through the rows.
    method
        How scores are turned into rates: by steps that never fall, or by a logistic curve.
    seed
        Of every training and split.
    """
    search = flow.run(f"selection.{selector}", data, seed=seed, name="select", retries=1)
    fewer = flow.step(publish, search["run"], data)
    retrain = flow.run(
        f"ctr.{model}", fewer, params={"n_epochs": epochs}, recipe="fit_score", seed=seed, name="retrain"
    )
    calibrated = flow.step(calibrate, retrain["run"], fewer, method, seed)
    return flow.step(report, data, search, retrain, calibrated)


def publish(here: Here, run: str, data: str) -> str:
    """The columns that were kept, with the label and what else is no field, as a data set of its own."""
    before = here.store.dataset(data)
    table = here.store.run(run).report().tables["importance"]
    kept = set(table[table["kept"]]["component"])
    roles = {}
    for role, columns in before.roles.items():
        left = [c for c in columns if c in kept or role in ("label", "split", "weight", "user")]
        if left:
            roles[role] = left
    wanted = {c for columns in roles.values() for c in columns}
    names = ", ".join('"' + c.name.replace('"', '""') + '"' for c in before.columns if c.name in wanted)
    source = '"' + data.replace('"', '""') + '"'
    name = f"{before.name}-selected"
    return here.store.datasets.publish_query(f"SELECT {names} FROM {source}", name, roles=roles).ref  # noqa: S608


def calibrate(here: Here, run: str, data: str, method: str, seed: int) -> dict[str, Any]:
    """Learn the calibration on one half of the test rows, and judge it on the other."""
    import json

    import numpy as np

    from workbench.arrays import Split
    from workbench.ctr import metrics

    done, table = here.store.run(run), here.store.dataset(data).to_table()
    estimator = done.estimator()
    _, test = Split(**done.spec["split"]).indices(len(table.X), y=table.y, column=table.split, seed=seed)
    y = (np.asarray(table.y)[test] == estimator.classes_[1]).astype(float)
    p = np.asarray(estimator.predict_proba(table.X.iloc[test]))[:, 1]
    order = np.random.default_rng(seed).permutation(len(y))
    learn, judge = order[: len(y) // 2], order[len(y) // 2 :]
    change, kept = fitted(method, p[learn], y[learn])
    (here.folder / "calibration.json").write_text(json.dumps({"method": method, **kept}))
    after = np.clip(change(p[judge]), 1e-6, 1 - 1e-6)
    scores = {}
    for name, q in (("before", p[judge]), ("after", after)):
        scores[f"{name}_error"] = metrics.calibration_error(y[judge], q)
        scores[f"{name}_logloss"] = metrics.logloss(y[judge], q)
        scores[f"{name}_auc"] = metrics.auc(y[judge], q)
    curves = {
        name: metrics.calibration_curve(y[judge], q)[["predicted", "observed", "n"]].to_dict("list")
        for name, q in (("before", p[judge]), ("after", after))
    }
    return {"scores": scores, "curves": curves, "n_learn": len(learn), "n_judge": len(judge)}


def fitted(method: str, p: Any, y: Any) -> tuple[Any, dict[str, Any]]:
    """The map from scores to rates, and its numbers."""
    import numpy as np

    if method == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        steps = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(p, y)
        return steps.predict, {"x": steps.X_thresholds_.tolist(), "y": steps.y_thresholds_.tolist()}
    from sklearn.linear_model import LogisticRegression

    def logit(q: Any) -> Any:
        q = np.clip(q, 1e-6, 1 - 1e-6)
        return np.log(q / (1 - q))[:, None]

    curve = LogisticRegression(C=np.inf).fit(logit(p), y)
    numbers = {"slope": float(curve.coef_[0, 0]), "offset": float(curve.intercept_[0])}
    return (lambda q: curve.predict_proba(logit(q))[:, 1]), numbers


def report(
    here: Here, data: str, search: dict[str, Any], retrain: dict[str, Any], calibrated: dict[str, Any]
) -> dict[str, Any]:
    import pandas as pd

    from workbench.pipelines.html import write_page
    from workbench.plots.pipelines import calibration

    scores = {
        **calibrated["scores"],
        **{k: search["scores"][k] for k in ("n_kept", "n_fields", "full_test_auc")},
    }
    headline = (
        f"{scores['n_kept']:.0f} of {scores['n_fields']:.0f} fields are kept; AUC "
        f"{scores['before_auc']:.4f} with them, calibration error {scores['before_error']:.4f} before and "
        f"{scores['after_error']:.4f} after calibration."
    )
    numbers = pd.DataFrame(list(scores.items()), columns=["score", "value"])
    importance = here.store.run(search["run"]).report().tables["importance"]
    judged = f"Calibrated on {calibrated['n_learn']} test rows and judged on {calibrated['n_judge']} others."
    parts = [
        headline, judged, ("Scores", numbers), ("Fields", importance),
        ("Calibration", calibration({k: pd.DataFrame(v) for k, v in calibrated["curves"].items()})),
    ]  # fmt: skip
    write_page(here.folder / "report.html", f"Fields of {data}", parts)
    return {"headline": headline, "scores": scores}
