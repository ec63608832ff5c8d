"""Data sets: imported from files, kept as immutable versions in DuckDB files, read as arrays.

::

    names.py      quoting for SQL, and what file names tell
    files.py      building a version file, sealing it, sweeping rubbish
    catalog.py    versions, profile and roles in SQLite
    importers/    one module a format
    reading.py    read-only connections, a cursor a call
    roles.py      what the columns mean: guessing and checking
    series.py     rows → (n, T, d)
    means.py      the mean of each class over time
    profile.py    what a version looks like, computed once
    sources.py    databases and object stores
    labels.py     labels by hand, as a new version
    prepare/      declared steps from one version to another
    care.py       diff of two versions, lineage, sizes, retention, verification
    sql.py        the read-only SQL box
    export.py     CSV, Parquet, .ts
    samples.py    real data sets that installed packages ship
"""

from workbench.datasets.dataset import Dataset, DatasetFile, open_file
from workbench.datasets.files import Column
from workbench.datasets.library import Datasets

__all__ = ["Column", "Dataset", "DatasetFile", "Datasets", "open_file"]
