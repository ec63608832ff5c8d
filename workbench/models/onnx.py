"""A fitted estimator as an ONNX file, for programs without Python; its values are compared with torch's.

An estimator that can be exported has a method ``_onnx_module() -> (module, example, expected)``: a torch
module that does all from the input to the output, an array to try it on, and what the estimator makes of it.
Needs the extra ``onnx``.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import ModelError

__all__ = ["TOLERANCE", "export"]

#: Largest difference from torch's own values, relative to their size where that is above 1.
TOLERANCE = 1e-5


def export(estimator: Any, path: str | os.PathLike[str]) -> float:
    """Write `estimator` to the file `path`, and run it there.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    path : path-like
        Must not exist.

    Returns
    -------
    float
        The largest difference between the file's values and the estimator's own; at most :data:`TOLERANCE`.

    Raises
    ------
    ModelError
        If the estimator cannot be exported, the extra is not installed, or the values differ: then no file
        is kept.
    """
    target = Path(path)
    make = getattr(estimator, "_onnx_module", None)
    if make is None:
        raise ModelError(f"A {type(estimator).__name__} cannot be exported to ONNX; timeseries.CSL can.")
    if target.exists():
        raise ModelError(f"{target} exists already; name a new file.")
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  torch's exporter needs it
    except ImportError as error:
        raise ModelError("ONNX needs an extra: pip install 'workbench[onnx]'.") from error
    module, example, expected = make()
    part = target.with_name(f".{target.name}.part")
    try:
        _write(module, example, part)
        session = onnxruntime.InferenceSession(part, providers=["CPUExecutionProvider"])
        found = session.run(None, {"series": example})[0]
        worst = float(np.max(np.abs(found - expected) / np.maximum(1.0, np.abs(expected))))
        if not worst <= TOLERANCE:
            raise ModelError(f"The exported model differs from torch by {worst:.2g}: it is not kept.")
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return worst


def _write(module: Any, example: Any, path: Path) -> None:
    import torch

    quiet = contextlib.redirect_stdout(io.StringIO())
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with quiet, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own use of torch
            program = torch.onnx.export(
                module.eval(),
                (torch.from_numpy(example),),
                dynamo=True,
                input_names=["series"],
                output_names=["features"],
                dynamic_shapes=({0: torch.export.Dim("n")},),
            )
            if program is not None:  # which it is only where the exporter writes the file itself
                program.save(path)
    except Exception as error:
        raise ModelError(f"torch cannot export this model: {' '.join(str(error).split())[:300]}") from error
    finally:
        logger.setLevel(level)
