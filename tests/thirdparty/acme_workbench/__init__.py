"""What somebody else's package looks like: an estimator with a recipe, plots and a result view."""

from acme_workbench.estimator import BandPower

__all__ = ["BandPower"]
