"""What travels between a store and a node that does not mount it: folders as tar files, whole or not at all.

::

    to the node     inputs: spec.json, the estimator's source, checkpoint/, and the saved models it names
    from the node   log.txt and events.jsonl, appended to at a known offset; checkpoint/ and artifacts/ as
                    they are by then; usage.json; and last result.json
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from workbench.errors import FULL, RunError
from workbench.naming import split_ref
from workbench.runs import spec as specs

__all__ = ["APPENDED", "FILES", "FOLDERS", "append", "inputs", "pack", "put_file", "put_folder", "unpack"]

APPENDED = ("log.txt", "events.jsonl")
FILES = ("usage.json", "result.json")
FOLDERS = ("checkpoint", "artifacts")

_REF = re.compile(r"[\w.-]+@\d+", re.ASCII)


def inputs(folder: Path) -> list[tuple[Path, str]]:
    """Everything a node needs of the run in `folder`, with the path it has below a store."""
    root = folder.parent.parent
    spec = specs.load(folder)
    chosen = [folder / "spec.json", folder / "checkpoint", folder / "steps"]
    if spec.get("source"):
        chosen.append(folder / spec["source"])
    chosen += [_model(root, ref) for ref in _models(spec)]
    return [(path, str(path.relative_to(root))) for path in chosen if path.exists()]


def _models(spec: dict[str, Any]) -> set[str]:
    """The saved models that a run uses."""
    found: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if "$model" in value:
                found.add(str(value["$model"]))
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(spec["params"])
    if spec["estimator"].startswith(specs.MODEL):
        found.add(spec["estimator"])
    return found


def _model(root: Path, ref: str) -> Path:
    ref = ref.removeprefix(specs.MODEL)
    if not _REF.fullmatch(ref):
        raise RunError(f"{ref!r} is no version of a model.")
    name, version = split_ref(ref)
    return root / "models" / name / str(version)


def pack(members: Iterable[tuple[Path, str]], to: IO[bytes]) -> None:
    """Write files and folders as a tar file.

    Raises
    ------
    FileNotFoundError
        If a file went away meanwhile, as old checkpoints do: try again.
    """
    with tarfile.open(fileobj=to, mode="w") as tar:
        for path, name in members:
            tar.add(path, name, filter=_plain)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Only files and folders travel, and none that is still being written."""
    if not (member.isfile() or member.isdir()) or Path(member.name).name.startswith(".writing-"):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def unpack(source: IO[bytes], into: Path) -> None:
    """Take a tar file's content into the folder `into`, below which all of it must stay."""
    try:
        with tarfile.open(fileobj=source, mode="r:") as tar:
            for member in tar:
                if not (member.isfile() or member.isdir()):
                    raise RunError(f"{member.name!r} is neither a file nor a folder.")
                tar.extract(member, into, filter="data")
    except (tarfile.TarError, EOFError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise  # not the sender's fault
        raise RunError(f"What was sent is no tar file, or leaves its folder: {error}.") from error


def append(folder: Path, name: str, offset: int, data: bytes) -> int:
    """Add `data` to a file, if that is `offset` bytes long; returns its length afterwards."""
    with open(folder / name, "ab") as file:
        length = file.seek(0, os.SEEK_END)
        if length == offset:
            file.write(data)
            length += len(data)
    return length


def put_file(folder: Path, name: str, source: Path) -> None:
    """Move a file into its place."""
    os.replace(source, folder / name)


def put_folder(folder: Path, name: str, source: Path, scratch: Path) -> None:
    """Put the folder that a tar file holds into the place of an earlier one."""
    made = scratch / name
    made.mkdir(parents=True)
    with open(source, "rb") as file:
        unpack(file, made)
    old = scratch / f"{name}.old"
    if (folder / name).exists():
        os.rename(folder / name, old)
    os.rename(made, folder / name)
    shutil.rmtree(scratch, ignore_errors=True)
