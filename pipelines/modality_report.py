"""Which modality wins, which is never learned, and what helps: two runs and one page."""

from typing import Any, Literal

from workbench.pipelines import DataSet, Flow, Here, pipeline


@pipeline
def modality_report(
    flow: Flow, data: DataSet,
    task: Literal["classification", "regression"] = "classification",
    epochs: int = 30, seeds: int = 2, seed: int = 0,
):  # fmt: skip
    """Analyse the competition between modalities and race the remedies, beside one another.

    Parameters
    ----------
    data
        One row a sample, with a label, and columns of two modalities or more.
    task
        Kind of the label.
    epochs
        Times each training goes through the rows.
    seeds
        Trainings of each network.
    seed
        Of the splits and first weights.
    """
    shared = {"task": task, "n_epochs": epochs, "n_seeds": seeds}
    analysis = flow.run(
        "modality.ModalityCompetitionAnalyzer", data, params=shared, seed=seed, name="analyse", retries=1
    )
    race = flow.run("modality.RemedyRace", data, params=shared, seed=seed, name="race", retries=1)
    return flow.step(report, data, analysis, race)


def report(here: Here, data: str, analysis: dict[str, Any], race: dict[str, Any]) -> dict[str, Any]:
    from workbench import registry
    from workbench.pipelines.html import write_page

    parts: list[Any] = [analysis["headline"], race["headline"]]
    for done in (analysis, race):
        result = here.store.run(done["run"]).report()
        draw = registry.figures_of(result.recipe)
        for name, figure in (draw(result) if draw is not None else {}).items():
            parts.append((name.replace("_", " ").capitalize(), figure))
        if "importance" in result.tables:
            parts.append(("Components", result.tables["importance"]))
    write_page(here.folder / "report.html", f"Modalities of {data}", parts)
    scores = {**analysis["scores"], **{f"race_{k}": v for k, v in race["scores"].items()}}
    return {"headline": f"{analysis['headline']} {race['headline']}", "scores": scores}
