"""What if the budget, the reserve price or the slots were others: one market run for each."""

from itertools import product
from typing import Any, Literal

from workbench.errors import UsageError
from workbench.pipelines import DataSet, Flow, Here, pipeline


@pipeline
def bidding_sweep(
    flow: Flow,
    data: DataSet,
    bidders: str = "Manual, UniformScale, AdaptivePacing",
    budgets: list | None = None,
    reserves: list | None = None,
    slots: list | None = None,
    mechanism: Literal["gsp", "second", "first", "vcg"] = "gsp",
    seed: int = 0,
):
    """Try bidders in every combination of budget, reserve price and slots, beside one another.

    Parameters
    ----------
    data
        A log with request, merchant, bid, pctr, pcvr and ppb.
    bidders
        Names, divided by commas.
    budgets
        Shares of what each merchant would spend without a budget; [0.2, 0.333, 0.5, 1.0] if empty.
    reserves
        Least prices; [0.0] if empty.
    slots
        Places shown for a request; [3] if empty.
    mechanism
        How the auction charges.
    seed
        Of every split and market.
    """
    grid = list(product(budgets or [0.2, 1 / 3, 0.5, 1.0], reserves or [0.0], slots or [3]))
    if len(grid) > 200:
        raise UsageError(f"{len(grid)} combinations are more than 200: name fewer values.")
    tried = []
    for budget, reserve, n_slots in grid:
        setting = {"budget_fraction": budget, "reserve": reserve, "slots": n_slots}
        params = {"bidders": bidders, "mechanism": mechanism, **setting}
        name = f"budget {budget:.3g} reserve {reserve:g} slots {n_slots}"
        run = flow.run("bidding.MarketComparison", data, params=params, seed=seed, name=name, retries=1)
        tried.append({"setting": setting, "run": run["run"], "scores": run["scores"]})
    return flow.step(report, data, tried)


def report(here: Here, data: str, tried: list[dict[str, Any]]) -> dict[str, Any]:
    import pandas as pd

    from workbench.pipelines.html import write_page
    from workbench.plots.pipelines import sweep

    rows = [
        {**each["setting"], "bidder": name.removeprefix("gmv_"), "gmv": value, "run": each["run"]}
        for each in tried
        for name, value in each["scores"].items()
        if name.startswith("gmv_")
    ]
    table = pd.DataFrame(rows)
    table.to_csv(here.folder / "sweep.csv", index=False)
    settings = ["budget_fraction", "reserve", "slots"]
    best = table.loc[table.groupby(settings)["gmv"].idxmax()]
    wins = best["bidder"].value_counts()
    headline = (
        f"{wins.index[0]} earns the merchants most in {wins.iloc[0]} of {len(best)} settings; "
        f"best of all {best['gmv'].max():,.2f} GMV."
    )
    parts = [headline, ("GMV by budget", sweep(table)), ("Best bidder of each setting", best), ("All", table)]
    write_page(here.folder / "report.html", f"Bidding what-if on {data}", parts)
    return {"headline": headline, "scores": {"best_gmv": float(best["gmv"].max()), "settings": len(best)}}
