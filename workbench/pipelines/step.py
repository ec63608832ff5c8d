"""One step of a pipeline: what was asked for, what it waits for, and what has become of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.errors import PipelineError
from workbench.pipelines import table
from workbench.pipelines.inputs import Output
from workbench.pipelines.jobs import Job

if TYPE_CHECKING:
    from workbench.pipelines.flow import Flow

__all__ = ["Step"]


@dataclass(eq=False)
class Step(Output):
    """A step that was asked for. Given to another step, it stands for its output; ``step["scores"]`` for a
    part.

    Attributes
    ----------
    name : str
    kind : {"run", "python"}
    state : {"waiting", "running", "done", "failed", "cancelled", "skipped"}
    error : str
        Why it failed, in one sentence.
    """

    name: str
    kind: str
    flow: Flow = field(repr=False)
    task: Any = field(repr=False)
    needs: list[Step] = field(repr=False)
    retries: int
    delay: float
    timeout: float | None
    reuse: bool
    may_fail: bool = False
    state: str = "waiting"
    key: str = ""
    attempt: int = 0
    child: str | None = None
    error: str = ""
    value: Any = field(default=None, repr=False)
    job: Job | None = field(default=None, repr=False)
    begin_at: float = 0.0
    deaths: int = 0

    @property
    def step(self) -> Step:
        """The step itself: outputs of steps have this too."""
        return self

    @property
    def is_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state in table.ENDED

    @property
    def fate(self) -> str:
        """What has become of it, in a sentence, with the reason where there is one."""
        return f"The step {self.name!r} {self.state}" + (f": {self.error}" if self.error else ".")

    def result(self) -> Any:
        """Wait for the step and return its output.

        Raises
        ------
        PipelineError
            If it has failed.
        """
        self.flow.wait(self)
        if self.state != "done":
            raise PipelineError(self.fate)
        return self.value
