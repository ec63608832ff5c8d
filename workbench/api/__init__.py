"""The store over HTTP: JSON under ``/api`` and figures for Prometheus under ``/metrics``.

The routes, with what they take and give, are in ``docs/api.md``.
"""

from workbench.api.routes import routes

__all__ = ["routes"]
