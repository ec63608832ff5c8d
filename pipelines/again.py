"""One run, done again: what puts a single run on a schedule."""

from workbench.arrays import Split
from workbench.errors import UsageError
from workbench.pipelines import Flow, pipeline
from workbench.runs.spec import build_estimator


@pipeline
def again(flow: Flow, run: str):
    """Do a run again as it was, on the latest version of its data set.

    Parameters
    ----------
    run
        Its id; its page has a link that fills it in.
    """
    earlier = flow.store.run(run)
    spec = earlier.spec
    if not earlier.dataset or earlier.is_recorded:
        raise UsageError(f"{earlier.name} is a {earlier.recipe}: only an estimator's run can be done again.")
    return flow.run(
        build_estimator(spec, earlier.folder),
        earlier.dataset.partition("@")[0],
        recipe=spec["recipe"],
        split=Split(**spec["split"]),
        seed=spec["seed"],
        device=spec["device"],
        launcher=earlier.launcher,
        name=earlier.estimator_name.rpartition(".")[2].rpartition(":")[2],
    )
