"""A fitted estimator as an ONNX file, for programs without Python; its values are compared with torch's.

An estimator that can be exported has a method ``_onnx_form() -> OnnxForm``. Needs the extra ``onnx``.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import ModelError

__all__ = ["TOLERANCE", "OnnxForm", "export", "exported"]

#: Largest difference from torch's own values, relative to their size where that is above 1.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class OnnxForm:
    """What is needed to write an estimator as an ONNX file.

    Attributes
    ----------
    module : torch.nn.Module
        Does all from the inputs to the output.
    inputs : dict of str to ndarray
        An example of each input by its name, in the module's order; the first dimension is that of the rows.
    output : str
        Name of the output.
    expected : ndarray
        What the estimator itself makes of the example.
    notes : dict
        What a reader must know to prepare the inputs; kept in the file as JSON under ``workbench``.
    """

    module: Any
    inputs: dict[str, NDArray[Any]]
    output: str
    expected: NDArray[Any]
    notes: dict[str, Any] = field(default_factory=dict)


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
    make = getattr(estimator, "_onnx_form", None)
    if make is None:
        raise ModelError(
            f"A {type(estimator).__name__} cannot be exported to ONNX; the encoders of series, "
            "CSLClassifier, the click models and late fusion can."
        )
    if target.exists():
        raise ModelError(f"{target} exists already; name a new file.")
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  torch's exporter needs it
    except ImportError as error:
        raise ModelError("ONNX needs an extra: pip install 'workbench[onnx]'.") from error
    form: OnnxForm = make()
    part = target.with_name(f".{target.name}.part")
    try:
        _write(form, part)
        if form.notes:
            model = onnx.load(part)
            onnx.helper.set_model_props(model, {"workbench": json.dumps(form.notes, default=str)})
            onnx.save(model, part)
        session = onnxruntime.InferenceSession(part, providers=["CPUExecutionProvider"])
        worst = max(
            _difference(session, form, n) for n in (len(form.expected), 2)
        )  # any number of rows will do
        if not worst <= TOLERANCE:
            raise ModelError(f"The exported model differs from torch by {worst:.2g}: it is not kept.")
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return worst


def exported(root: str | os.PathLike[str], ref: str, timeout: float = 300.0) -> bytes:
    """A saved model of the store at `root` as an ONNX file, made by another process: this one needs no torch.

    Raises
    ------
    ModelError
        As of :func:`export`, or if it takes longer than `timeout` seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        command = [sys.executable, "-m", "workbench", "models", "onnx", ref, "-o", str(path)]
        command += ["--store", os.fspath(root)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise ModelError(f"Writing {ref} as ONNX took longer than {timeout:g} seconds.") from error
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise ModelError(said[-1].removeprefix("workbench: ") if said else "The export failed.")
        return path.read_bytes()


def _difference(session: Any, form: OnnxForm, n: int) -> float:
    """How far the file is from the estimator on the first `n` rows of the example."""
    try:
        found = session.run(None, {name: value[:n] for name, value in form.inputs.items()})[0]
    except Exception as error:
        raise ModelError(f"The exported model cannot be run: {' '.join(str(error).split())[:300]}") from error
    expected = form.expected[:n]
    return float(np.max(np.abs(found - expected) / np.maximum(1.0, np.abs(expected))))


def _write(form: OnnxForm, path: Path) -> None:
    import torch

    rows = torch.export.Dim("n")
    arguments = tuple(torch.from_numpy(value) for value in form.inputs.values())

    quiet = contextlib.redirect_stdout(io.StringIO())
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with quiet, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own use of torch
            program = torch.onnx.export(
                form.module.eval(),
                arguments,
                dynamo=True,
                input_names=list(form.inputs),
                output_names=[form.output],
                dynamic_shapes=_dynamic(form.module, arguments, {0: rows}),
            )
            if program is not None:  # which it is only where the exporter writes the file itself
                program.save(path)
    except Exception as error:
        raise ModelError(f"torch cannot export this model: {' '.join(str(error).split())[:300]}") from error
    finally:
        logger.setLevel(level)


def _dynamic(module: Any, arguments: tuple[Any, ...], rows: Any) -> tuple[Any, ...]:
    """The same free first dimension for every input, in the shape of the module's signature."""
    named = [p for p in signature(module.forward).parameters.values() if p.kind is not p.VAR_POSITIONAL]
    rest = (rows,) * (len(arguments) - len(named))
    starred = len(named) < len(signature(module.forward).parameters)
    return (*((rows,) * len(named)), rest) if starred else (rows,) * len(arguments)
