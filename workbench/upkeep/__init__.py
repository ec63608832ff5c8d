"""Looking after a whole store: copies of it, and whether it is sound."""

from workbench.upkeep.backup import Summary, backup, restore
from workbench.upkeep.check import Finding, check

__all__ = ["Finding", "Summary", "backup", "check", "restore"]
