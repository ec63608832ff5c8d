"""Figures: pure functions from frames and arrays to plotly figures, one module a family.

``figures(report) -> dict[str, Figure]`` in a family's module draws a whole report; the recipe's entry
point in the group ``workbench.plots`` names it. Nothing here knows of stores, runs or pages.
"""
