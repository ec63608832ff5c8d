"""Saving and loading fitted estimators, and the models a store keeps."""

from workbench.models.catalogue import Model, Models
from workbench.models.persistence import load, save

__all__ = ["Model", "Models", "load", "save"]
