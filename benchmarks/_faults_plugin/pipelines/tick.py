"""What the schedule of the fault benchmark starts."""

from workbench.pipelines import Flow, pipeline


@pipeline
def tick(flow: Flow):
    """Nothing; that it was started is all that is counted."""
