"""A run that writes down when it is at work, so that one can see that no two processes did it at once."""

import os
import time

from workbench.report import Report

POINTS = 5


class Beater:
    """Takes some seconds. Not a scikit-learn class, as importing that would take most of them."""

    _recipe = "faults.beat"

    def __init__(self, seconds=0.5):
        self.seconds = seconds

    def get_params(self, deep=True):
        return {"seconds": self.seconds}

    def fit(self, X=None, y=None):
        """Be at it, writing down every 10 ms that this process is."""
        end = time.monotonic() + self.seconds
        with open("beats.txt", "a") as beats:
            while time.monotonic() < end:
                print(os.getpid(), time.clock_gettime(time.CLOCK_BOOTTIME), file=beats, flush=True)
                time.sleep(0.01)
        return self


def beat(estimator, data, split, seed, reporter):
    """Report a point of a curve for every part of the time."""
    with reporter.stage("fit"):
        for step in range(POINTS):
            Beater(estimator.seconds / POINTS).fit()
            reporter.metric("fit/loss", step, step)
            reporter.progress(step + 1, POINTS)
    return Report("faults.beat", "Beaten.", {"points": float(POINTS)})
