"""Work beside a page: its result, its failure, its end."""

import threading

import pytest

from workbench.errors import UsageError
from workbench.gui.background import Task


def test_a_task_returns_what_its_work_returns():
    task = Task(lambda stop: 42)
    assert task.wait(30)
    assert task.done
    assert task.result() == 42


def test_a_task_raises_what_its_work_raises():
    def work(stop):
        raise UsageError("no")

    task = Task(work)
    assert task.wait(30)
    with pytest.raises(UsageError, match="no"):
        task.result()


def test_a_task_that_is_stopped_tells_its_work():
    begun = threading.Event()

    def work(stop):
        begun.set()
        return stop.wait(30)

    task = Task(work)
    assert begun.wait(30)
    assert not task.done
    assert not task.stopping
    task.stop()
    assert task.wait(30)
    assert task.result() is True
    assert not task.stopping
    taken = task.seconds
    assert task.seconds == taken  # the clock stands still
