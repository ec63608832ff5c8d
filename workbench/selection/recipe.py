"""The recipe of the family: search, rank, train anew on the best k beside other rankings, and compare."""

from __future__ import annotations

import time
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from workbench.arrays import Data, Split, TableData
from workbench.ctr import metrics
from workbench.ctr._base import CTRClassifier
from workbench.ctr._labels import binary_codes
from workbench.ctr.audit import audit_fields, audit_numbers
from workbench.ctr.encoded import Encoded
from workbench.ctr.encoder import FieldEncoder
from workbench.errors import DatasetError
from workbench.report import Report, Reporter
from workbench.selection._base import FieldSelector
from workbench.selection._size import field_bytes, latency_ms, n_bytes
from workbench.selection.evaluation import REQUEST, auc_by_k, default_ks, fit_on, judge, overlap, repeated
from workbench.selection.roles import ROLE_KINDS
from workbench.training import Callback, callbacks

if TYPE_CHECKING:
    from workbench.training.loop import Loop

__all__ = ["search", "select_sql"]

#: Searches with further seeds, which show how far the choice is one of chance.
_MORE_SEEDS = 2

Part = tuple[Encoded, NDArray[np.float64]]


def search(estimator: Any, data: Data, split: Split, seed: int, reporter: Reporter) -> Report:
    """Search for the fields that a click model needs, and show what leaving out the others costs.

    Parameters
    ----------
    estimator : FieldSelector
    data : Data
        A table with a label of two classes; rows without a label take no part.
    split, seed, reporter
        Stages: full model, search, the same search with other seeds, peers, one a retraining.

    Returns
    -------
    Report
        Tables importance (fields, and by how many seeds each is kept), seeds (scores of each seed's
        search), fields (each alone), gates (over the search), path (penalties tried),
        curve (AUC by number of fields, this method and its peers), models (full, pruned, retrained: AUC,
        log loss, bytes, latency), calibration, sql and notes.
    """
    table, codes = _labelled(data)
    train, test = split.indices(len(table.X), y=codes, column=table.split, seed=seed)
    selector = _prepared(estimator, table.roles, list(table.X.columns), len(train), seed)
    host = selector._host(len(train))
    if host.random_state is None:
        host.set_params(random_state=seed)
    encoder = clone(host.encoder) if host.encoder is not None else FieldEncoder()
    encoder.fit(table.X.iloc[train])
    parts: tuple[Part, Part] = tuple(  # type: ignore[assignment]
        (encoder.encode(table.X.iloc[rows]), codes[rows].astype(np.float64)) for rows in (train, test)
    )
    ks = default_ks(len(encoder.kinds_))
    reporter.plan(
        {"full model": 1.0, "search": 2.0, "other seeds": 4.0, "peers": 0.5, "retraining": 1.0 * len(ks)}
    )
    alone, notes = audit_fields(encoder, *parts)
    notes += audit_numbers(table.X, encoder.kinds_)
    for note in notes:
        reporter.log(note)
    began = time.perf_counter()
    with reporter.stage("full model"):
        full = fit_on(host, encoder, *parts[0], list(encoder.kinds_), seed=seed)
    with reporter.stage("search"), callbacks(_LiveGates(reporter)):
        start = time.perf_counter()
        selector.classes_ = np.array([0, 1])
        selector.fit_encoded(encoder, parts[0][0], parts[0][1])
        search_seconds = time.perf_counter() - start
    with reporter.stage("other seeds"):
        seeds = _by_seed(selector, encoder, parts[0], seed)
    rankings = {_title(selector): selector.ranking()["field"].tolist()}
    with reporter.stage("peers"):
        rankings |= _peers(host, encoder, parts[0], seed)
    known: dict[frozenset[str], tuple[float, ...]] = {}
    with reporter.stage("retraining"):
        own = int(selector.support_.sum())
        curve = pd.concat(
            [
                auc_by_k(
                    host,
                    encoder,
                    *parts,
                    ranked,
                    sorted({*ks, own}),
                    seed=seed,
                    around=reporter.stage,
                    known=known,
                ).assign(method=name)
                for name, ranked in rankings.items()
            ],
            ignore_index=True,
        )
        kept = selector.get_feature_names_out().tolist()
        retrained = fit_on(host, encoder, *parts[0], kept, seed=seed)
    pruned = selector.prune() if hasattr(selector, "prune") else retrained
    models = {"full": full, "pruned": pruned, "retrained": retrained}
    predictions = {name: judge(model, encoder, *parts[1]) for name, model in models.items()}
    compared = _compare(models, predictions, encoder, parts[1], seed)
    y = parts[1][1]
    for probe, score in enumerate(selector.probe_scores_, start=1):
        if score > 0 and hasattr(selector, "gates_") and hasattr(selector, "penalty"):
            notes.append(f"Probe {probe}, which holds nothing, was kept: raise the penalty.")
    tables = {
        "importance": _importance(selector, full, seeds),
        "seeds": seeds,
        "fields": alone,
        "curve": curve,
        "models": compared,
        "calibration": pd.concat(
            [metrics.calibration_curve(y, p).assign(model=name) for name, p in predictions.items()],
            ignore_index=True,
        ),
        "sql": pd.DataFrame({"sql": [select_sql(data.ref, _keep_order(table, kept))]}),
        "notes": pd.DataFrame({"note": notes}, dtype=object),
    }
    if hasattr(selector, "gates_"):
        tables["gates"] = selector.gate_path()
    if hasattr(selector, "path_") and "penalty" in selector.path_:
        tables["path"] = pd.DataFrame(selector.path_)
    scores = _scores(compared, selector, search_seconds, time.perf_counter() - began)
    scores["seed_overlap"] = overlap([part.loc[part["kept"], "field"] for _, part in seeds.groupby("seed")])
    before, after = scores["full_test_auc"], scores["test_auc"]
    headline = (
        f"{len(kept)} of {len(selector.fields_)} fields are kept; test AUC {after:.4f} with them, "
        f"{before:.4f} with all, in {scores['bytes'] / max(scores['full_bytes'], 1):.0%} of the bytes."
    )
    pruned.classes_ = np.unique(np.asarray(table.y)) if len(np.unique(codes)) == 2 else pruned.classes_
    return Report("selection.search", headline, scores, tables, pruned)


def select_sql(ref: str, columns: list[str]) -> str:
    """The query that reads the kept columns of a data set."""
    names = ", ".join('"' + name.replace('"', '""') + '"' for name in columns)
    source = '"' + ref.replace('"', '""') + '"'
    return f"SELECT {names} FROM {source}"  # noqa: S608 - shown to people, identifiers quoted above


class _LiveGates(Callback):
    """Tells a run where each gate stands, now and then."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self._told = -1
        self._before = self._last = 0  # steps of the trainings before this one, of a path of penalties

    def on_train_begin(self, loop: Loop) -> None:
        self._tell(loop)  # where the gates start

    def on_batch_end(self, loop: Loop) -> None:
        self._tell(loop)

    def _tell(self, loop: Loop) -> None:
        learner = loop.extras.get("gates")
        if learner is None:
            return
        step, gates = learner.last()  # type: ignore[attr-defined]
        if step < self._last:
            self._before += self._last
        self._last = step
        if step != self._told and (step == 0 or step % learner.every_told == 0):  # type: ignore[attr-defined]
            self._told = step
            for name, value in gates.items():
                self.reporter.metric(f"gate/{name}", value, self._before + step)


def _prepared(
    estimator: Any, roles: dict[str, list[str]], names: list[str], n_rows: int, seed: int
) -> FieldSelector:
    """The selector with its seed set, and with kinds where the data set's roles give them."""
    selector: FieldSelector = clone(estimator)
    if selector.random_state is None:
        selector.set_params(random_state=seed)
    kinds = {c: kind for role, kind in ROLE_KINDS.items() for c in roles.get(role, []) if c in names}
    if kinds:
        host = selector._host(n_rows)
        encoder = host.encoder if host.encoder is not None else FieldEncoder()
        shared = encoder.shared
        if shared is None and roles.get("item") and roles.get("history"):
            shared = dict.fromkeys(roles["history"], roles["item"][0])
        encoder = clone(encoder).set_params(kinds={**kinds, **(encoder.kinds or {})}, shared=shared)
        selector.set_params(estimator=host.set_params(encoder=encoder))
    return selector


def _labelled(data: Data) -> tuple[TableData, NDArray[np.intp]]:
    table = data.to_table()
    if table.y is None:
        raise DatasetError(f"{data.ref} has no label: give a column the role 'label'.")
    known = np.flatnonzero(~pd.isna(np.asarray(table.y, dtype=object)))
    split = None if table.split is None else table.split[known]
    X, y = table.X.iloc[known], table.y[known]  # its index: row numbers for people
    _, codes = binary_codes(np.asarray(y))
    return TableData(X, y, split, table.roles), codes


def _title(selector: FieldSelector) -> str:
    name = type(selector).__name__
    return {"LPFSPlusPlus": "LPFS++"}.get(name, name.removesuffix("Selector"))


def _peers(host: CTRClassifier, encoder: FieldEncoder, train: Part, seed: int) -> dict[str, list[str]]:
    """Rankings that cost a training at most, to stand beside.

    SHARK judges by rows that its model has not seen: on the model's own, what it memorised looks useful.
    """
    from workbench.selection.scores import field_gradients, mutual_information

    rng = np.random.default_rng(seed)
    order = rng.permutation(len(train[1]))
    held, rest = np.split(order, [max(len(order) // 5, 1)])
    layout = encoder.layout()
    model = fit_on(host, encoder, train[0][rest], train[1][rest], layout.names, seed=seed)
    shark = field_gradients(model, train[0][held], train[1][held])
    shared = mutual_information(layout, *train)
    drawn = rng.permutation(layout.names).tolist()
    return {
        **{
            f"SHARK ({kind})": [layout.names[i] for i in (-score).argsort(kind="stable")]
            for kind, score in shark.items()
        },
        "Mutual information": [layout.names[i] for i in (-shared).argsort(kind="stable")],
        "At random": drawn,
    }


def _by_seed(selector: FieldSelector, encoder: FieldEncoder, train: Part, seed: int) -> pd.DataFrame:
    """Scores and choice of this search and of some with other seeds."""
    own = selector.random_state if isinstance(selector.random_state, Integral) else seed
    first = selector.ranking()[["field", "score", "kept"]].assign(seed=int(own))
    others = repeated(selector, encoder, train, [int(own) + i for i in range(1, 1 + _MORE_SEEDS)])
    return pd.concat([first, others], ignore_index=True)[["seed", "field", "score", "kept"]]


def _compare(
    models: dict[str, CTRClassifier],
    predictions: dict[str, NDArray[np.float64]],
    encoder: FieldEncoder,
    test: Part,
    seed: int,
) -> pd.DataFrame:
    layout = encoder.layout()
    rows = []
    for name, model in models.items():
        p = predictions[name]
        area = metrics.bootstrap("auc", test[1], p, n_resamples=200, random_state=seed)
        gain = metrics.bootstrap(
            "auc_gain", test[1], p, base=predictions["full"], n_resamples=200, random_state=seed
        )
        own = np.isin(layout.names, [field["name"] for field in model.layout_])
        request = test[0][:REQUEST].keep(layout, own)
        rows.append(
            (
                name,
                int(own.sum()),
                *area,
                metrics.logloss(test[1], p),
                metrics.normalized_entropy(test[1], p),
                metrics.calibration_error(test[1], p),
                n_bytes(model),
                latency_ms(model, request),
                *gain,
            )
        )
    columns = ["model", "n_fields", "auc", "low", "high", "logloss", "normalized_entropy"]
    columns += ["calibration_error", "bytes", "latency_ms", "gain", "gain_low", "gain_high"]
    return pd.DataFrame(rows, columns=columns)


def _importance(selector: FieldSelector, full: CTRClassifier, seeds: pd.DataFrame) -> pd.DataFrame:
    cost = field_bytes(full)
    times_kept = seeds.groupby("field")["kept"].sum()
    table = pd.DataFrame(
        {
            "component": selector.fields_,
            "kind": "field",
            "score": selector.importance_,
            "cost": [float(cost[name]) for name in selector.fields_],
            "kept": selector.support_,
            "seeds": times_kept[selector.fields_].to_numpy(dtype=np.int64),
        }
    )
    return table.sort_values("score", ascending=False, ignore_index=True)


def _scores(
    compared: pd.DataFrame, selector: FieldSelector, search_seconds: float, seconds: float
) -> dict[str, float]:
    by: dict[str, dict[str, float]] = compared.set_index("model").to_dict("index")  # type: ignore[assignment]
    return {
        "test_auc": float(by["pruned"]["auc"]),
        "full_test_auc": float(by["full"]["auc"]),
        "retrained_test_auc": float(by["retrained"]["auc"]),
        "test_logloss": float(by["pruned"]["logloss"]),
        "full_test_logloss": float(by["full"]["logloss"]),
        "n_kept": float(selector.support_.sum()),
        "n_fields": float(len(selector.fields_)),
        "bytes": float(by["pruned"]["bytes"]),
        "full_bytes": float(by["full"]["bytes"]),
        "search_seconds": search_seconds,
        "seconds": seconds,
    }


def _keep_order(table: TableData, kept: list[str]) -> list[str]:
    return [name for name in table.X.columns if name in set(kept)]
