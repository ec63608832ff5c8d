"""Notebooks of one's own as runs: queued, with parameters, and back as a page that can do nothing.

::

    document.py   reading one, its parameters, putting values in
    html.py       an executed notebook as inert HTML
    library.py    queueing one
    process.py    what the process of such a run does

Needs the extra ``notebooks``. What such a run does is whatever its code says: the pages offer it only on a
machine of one's own, or where ``WORKBENCH_NOTEBOOKS=1`` says that its users may.
"""

from workbench.notebooks.document import Document, Value
from workbench.notebooks.library import submit

__all__ = ["Document", "Value", "submit"]
