"""Preparation without code: declared steps that turn one version of a data set into another.

::

    step.py         what a step is: its parameters, its SQL, its roles
    recordings.py   duplicates, resampling, gaps, windows
    splitting.py    train and test by time, group or at random, without leakage
    logs.py         sessions, negative sampling, labels from what follows
    text.py         text and lists as vectors
    preparation.py  an ordered list of steps: preview, apply, export, replay

A new step is a frozen dataclass, a :class:`SQLStep` or a :class:`CodeStep`, and a line in ``STEPS``.
"""

from workbench.datasets.prepare.logs import LabelWindow, NegativeSampling, Sessions
from workbench.datasets.prepare.preparation import STEPS, Preparation, Preview
from workbench.datasets.prepare.recordings import AggregateDuplicates, FillGaps, Resample, Windows
from workbench.datasets.prepare.splitting import SplitRows
from workbench.datasets.prepare.step import CodeStep, SQLStep, Step, Table
from workbench.datasets.prepare.text import Unpack, Vectorise

__all__ = [
    "STEPS",
    "AggregateDuplicates",
    "CodeStep",
    "FillGaps",
    "LabelWindow",
    "NegativeSampling",
    "Preparation",
    "Preview",
    "Resample",
    "SQLStep",
    "Sessions",
    "SplitRows",
    "Step",
    "Table",
    "Unpack",
    "Vectorise",
    "Windows",
]
