"""Click-through-rate prediction: fields, models, metrics. Importing this package does not import torch."""

from __future__ import annotations

from workbench.ctr import metrics, splits
from workbench.ctr._columns import FieldsError
from workbench.ctr.encoder import FieldEncoder

__all__ = ["FieldEncoder", "FieldsError", "metrics", "splits"]
