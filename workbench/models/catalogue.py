"""The models of a store: saved estimators with a name, versions and a card."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import Any

from workbench.errors import ModelError, UsageError
from workbench.models.persistence import load
from workbench.naming import check_name, split_ref
from workbench.store import StoreDir, highest

__all__ = ["Model", "Models"]

_MODELS = (
    "SELECT *, (SELECT json_group_array(alias) FROM aliases"
    " WHERE aliases.name = models.name AND aliases.version = models.version) AS called FROM models"
)


@dataclass(frozen=True)
class Model:
    """One version of a saved estimator.

    Attributes
    ----------
    name : str
    version : int
    path : Path
        The folder that :func:`workbench.models.load` reads.
    run : str or None
        The run that made it.
    estimator : str
        Name of its class.
    dataset : str
        ``name@version`` of what it was fitted on.
    card : dict
        Scores, parameters and headline, as of its making.
    n_bytes : int
    created : float
        Unix seconds.
    aliases : tuple of str
        What this version is called, such as ``"champion"``, as of when it was looked up.
    """

    name: str
    version: int
    path: Path
    run: str | None
    estimator: str
    dataset: str
    card: dict[str, Any]
    n_bytes: int
    created: float
    aliases: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    def learned(self, name: str) -> Any:
        """A number or word that the estimator has learnt, without loading it; None where it has none."""
        head = json.loads((self.path / "estimator.json").read_text())
        value = head["state"].get(name)
        return value if isinstance(value, str | int | float) else None

    def load(self) -> Any:
        """The fitted estimator."""
        return load(self.path, trusted=[self.estimator])


class Models:
    """The models of a store.

    Parameters
    ----------
    directory : StoreDir
    """

    def __init__(self, directory: StoreDir) -> None:
        self._dir = directory

    def add(
        self,
        folder: str | Path,
        name: str,
        *,
        run: str | None = None,
        dataset: str = "",
        card: dict[str, Any] | None = None,
    ) -> Model:
        """Copy a saved estimator's folder into the store as the next version of `name`."""
        check_name(name)
        self._dir.check_writable()
        folder = Path(folder)
        try:
            estimator = json.loads((folder / "estimator.json").read_text())["class"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ModelError(f"{folder} holds no saved estimator.") from error
        n_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        temporary = self._dir.tmp / f"model-{name}-{time.time_ns()}"
        try:
            shutil.copytree(folder, temporary)
            with self._dir.write() as connection:
                (last,) = connection.execute(
                    "SELECT coalesce(max(version), 0) FROM models WHERE name = ?", (name,)
                ).fetchone()
                # What lies there and is not known may come from a copy: a check will enter it.
                last = max(last, highest(self._dir.models / name))
                self._dir.place(temporary, self._dir.inside("models", name, str(last + 1)))
                connection.execute(
                    "INSERT INTO models (name, version, run, estimator, dataset, card, n_bytes, created)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (name, last + 1, run, estimator, dataset, json.dumps(card or {}), n_bytes, time.time()),
                )
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return self.get(f"{name}@{last + 1}")

    def list(self) -> list[Model]:
        """Every model, newest first."""
        rows = self._dir.connection.execute(f"{_MODELS} ORDER BY created DESC, version DESC")
        return [self._model(row) for row in rows]

    def get(self, ref: str) -> Model:
        """The model ``name`` (its latest version), ``name@version`` or ``name@alias``."""
        name, _, word = ref.partition("@")
        if word and not word.isdecimal():
            return self._called(name, word)
        name, version = split_ref(ref)
        row = self._dir.connection.execute(
            f"{_MODELS} WHERE name = ?1 AND (version = ?2 OR ?2 IS NULL) ORDER BY version DESC LIMIT 1",
            (name, version),
        ).fetchone()
        if row is None:
            names = [r[0] for r in self._dir.connection.execute("SELECT DISTINCT name FROM models")]
            raise UsageError(f"There is no model {ref!r}. Saved: {', '.join(names) or 'none yet'}.")
        return self._model(row)

    def _called(self, name: str, alias: str) -> Model:
        """The version that has the alias, which one must have."""
        self.get(check_name(name))
        found = self.aliased(name, alias)
        if found is None:
            known = ", ".join(f"{word} (version {version})" for word, version in self.aliases(name).items())
            raise UsageError(
                f"No version of the model {name} is called {alias!r}; its aliases are: {known or 'none'}."
            )
        return found

    def set_alias(self, ref: str, alias: str, *, instead_of: int | EllipsisType | None = ...) -> bool:
        """Call a version by a word such as ``"champion"``, which another may have had so far.

        Parameters
        ----------
        ref : str
            ``name@version``.
        alias : str
        instead_of : int or None, optional
            Only if that version has the alias now (None: no version); what was compared with the one that is
            replaced must not replace another.

        Returns
        -------
        bool
            Whether the version has the alias now.
        """
        if check_name(alias).isdecimal():
            raise UsageError(f"{alias!r} cannot be an alias: it would be read as a version.")
        model = self.get(ref)
        with self._dir.write() as connection:
            now = connection.execute(
                "SELECT version FROM aliases WHERE name = ? AND alias = ?", (model.name, alias)
            ).fetchone()
            held = None if now is None else now["version"]
            if instead_of is not ... and held not in (instead_of, model.version):
                return False
            if held != model.version:
                connection.execute(
                    "INSERT OR REPLACE INTO aliases (name, alias, version, since) VALUES (?, ?, ?, ?)",
                    (model.name, alias, model.version, time.time()),
                )
        return True

    def aliased(self, name: str, alias: str = "champion") -> Model | None:
        """The version of the model `name` that has the alias; None if none has."""
        version = self.aliases(name).get(alias)
        return None if version is None else self.get(f"{name}@{version}")

    def aliases(self, name: str) -> dict[str, int]:
        """The versions of the model `name` that have an alias, by alias."""
        rows = self._dir.connection.execute(
            "SELECT alias, version FROM aliases WHERE name = ? ORDER BY alias", (name,)
        )
        return {row["alias"]: row["version"] for row in rows}

    def remove_alias(self, name: str, alias: str) -> None:
        """Let no version of the model `name` have the alias any more."""
        model = self._called(name, alias)
        with self._dir.write() as connection:
            connection.execute("DELETE FROM aliases WHERE name = ? AND alias = ?", (model.name, alias))

    def of_run(self, run: str, name: str) -> Model | None:
        """The version of the model `name` that was made by a run; None if there is none."""
        row = self._dir.connection.execute(
            f"{_MODELS} WHERE run = ? AND name = ? ORDER BY version LIMIT 1", (run, name)
        ).fetchone()
        return None if row is None else self._model(row)

    def delete(self, ref: str) -> None:
        """Remove one version for good; refused while it has an alias."""
        model = self.get(ref)
        with self._dir.write() as connection:
            held = connection.execute(
                "SELECT alias FROM aliases WHERE name = ? AND version = ?", (model.name, model.version)
            ).fetchone()
            if held is not None:
                raise ModelError(
                    f"{model.ref} is the {held['alias']} of {model.name}: remove that alias first, or give "
                    "it to another version."
                )
            connection.execute(
                "DELETE FROM models WHERE name = ? AND version = ?", (model.name, model.version)
            )
            self._dir.discard(model.path)

    def _model(self, row: Any) -> Model:
        return Model(
            name=row["name"],
            version=row["version"],
            path=self._dir.inside("models", row["name"], str(row["version"])),
            run=row["run"],
            estimator=row["estimator"],
            dataset=row["dataset"],
            card=json.loads(row["card"]),
            n_bytes=row["n_bytes"],
            created=row["created"],
            aliases=tuple(sorted(json.loads(row["called"]))),
        )
