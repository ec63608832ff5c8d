"""What each of several processes does in the tests: train, and keep the curve and the weights."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

torch.set_num_threads(1)


def csl(**options):
    from workbench.timeseries import CSL

    X = np.random.default_rng(0).normal(size=(20, 40, 2)).cumsum(axis=1)
    defaults = {"n_epochs": 5, "batch_size": 8, "n_scales": 2, "n_shapelets": 6}
    model = CSL(**defaults | options, random_state=0, device="cpu").fit(X)
    return model.history_, model.state_


def ctr(name, **options):
    from workbench import ctr as family

    random = np.random.default_rng(0)
    n = 500
    X = pd.DataFrame({"a": random.integers(0, 20, n).astype(str), "b": random.integers(0, 7, n).astype(str),
                      "x": random.normal(size=n)})  # fmt: skip
    if name == "DINClassifier":
        X["seen"] = [[str(v) for v in random.integers(0, 20, random.integers(0, 5))] for _ in range(n)]
    y = (X["x"] + (X["a"].astype(int) % 3) + random.normal(size=n) > 1).astype(int)
    model = getattr(family, name)(n_epochs=3, batch_size=64, random_state=0, device="cpu", **options)
    model.fit(X, y)
    return model.history_, model.weights_


if __name__ == "__main__":
    what, options, folder = json.loads(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3])
    history, weights = csl(**options) if what == "CSL" else ctr(what, **options)
    rank = os.environ.get("RANK", "0")
    (folder / f"{rank}.json").write_text(json.dumps(history))
    np.savez(folder / f"{rank}.npz", **weights)
