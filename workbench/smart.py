"""Tuning by Optuna: its tree-structured Parzen estimator draws, successive halving ends what is no good.

What is drawn comes from an estimator's own description (:func:`workbench.parameters.describe`). A trial is
a run, or several with more epochs each; who carries them out is the pipeline ``smart_search``, whose steps
survive a restart. So that it meets the same trials when it is called again, a tuner is told of results in the
order in which it was asked, and draws by its seed alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from workbench.errors import UsageError
from workbench.parameters import Parameter, describe

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

__all__ = ["RUNGS", "Tuner", "bounds", "can_vary", "resource", "space"]

#: Trials, at least, of which the best third goes on to three times as many epochs; and how often at most.
REDUCTION, RUNGS = 3, 3
#: Epochs of the last rung where an estimator leaves them to its encoders.
_USUAL_EPOCHS = 9
#: Trials that are drawn at random before the estimator of promising values is asked.
_STARTUP = 6
#: A number is looked for between its default divided and multiplied by this.
_SPAN = 8.0
#: Words of a joined parameter that are tried together.
_MOST_WORDS = 2


def space(cls: type, params: Mapping[str, Any], vary: Sequence[str]) -> dict[str, BaseDistribution]:
    """Optuna's distributions of the parameters to `vary`, around the values in `params` or the defaults.

    Raises
    ------
    UsageError
        If a parameter does not exist, or nothing can be drawn for it.
    """
    known = {p.name: p for p in describe(cls)}
    found = {}
    for name in vary:
        value = params.get(name, known[name].default) if name in known else None
        if name not in known or not can_vary(known[name], value):
            raise UsageError(f"{name} of {cls.__name__} cannot be searched: give it a number to look around.")
        found[name] = _distribution(known[name], value)
    return found


def can_vary(p: Parameter, value: Any) -> bool:
    """Whether values can be drawn for a parameter that stands at `value`."""
    if p.kind in ("choice", "choices", "bool"):
        return True
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return p.kind in ("int", "float") and is_number and value > 0 and math.isfinite(value)


def _distribution(p: Parameter, around: Any) -> BaseDistribution:
    from optuna import distributions

    if p.kind == "bool":
        return distributions.CategoricalDistribution([False, True])
    if p.kind == "choice":
        return distributions.CategoricalDistribution(list(p.choices))
    if p.kind == "choices":
        sets = [words for n in range(1, _MOST_WORDS + 1) for words in combinations(sorted(p.choices), n)]
        joined = [p.joined_by.join(words) for words in sets]
        return distributions.CategoricalDistribution(list(dict.fromkeys([*joined, str(around)])))
    low, high = bounds(p, around)
    if p.kind == "int":
        return distributions.IntDistribution(max(1, round(low)), max(1, round(high)), log=True)
    return distributions.FloatDistribution(low, high, log=True)


def bounds(p: Parameter, around: float) -> tuple[float, float]:
    """Least and largest number that is drawn: an eighth to eight times `around`, as far as it is allowed."""
    low, high = around / _SPAN, around * _SPAN
    if p.low is not None and p.low > 0:
        low = max(low, p.low)
    if p.high is not None:
        high = min(high, p.high * (1 - 1e-6) if p.high_open else p.high)
    return low, high


def resource(cls: type, params: Mapping[str, Any]) -> tuple[str, int] | None:
    """The parameter that says how long is trained, and its value in the last rung; None if there is none."""
    known = {p.name: p for p in describe(cls)}
    for name in ("pretrain_epochs", "n_epochs"):
        if name in known:
            value = params.get(name, known[name].default)
            return name, _USUAL_EPOCHS if value is None else max(int(value), 1)
    return None


class Tuner:
    """Asks Optuna for parameters, and tells it what came of them.

    Parameters
    ----------
    cls : type
        The estimator.
    params : mapping
        What is fixed; of what is varied, the value that is tried first.
    vary : sequence of str
        Parameters to draw.
    maximize : bool
        Whether a larger score is better.
    seed : int
    halve : bool
        Judge first with a ninth of the epochs, and go on with what is among the best third.

    Attributes
    ----------
    epochs : list of int or None
        Epochs of each rung; None where the estimator has none, or nothing is halved.
    """

    def __init__(
        self,
        cls: type,
        params: Mapping[str, Any],
        vary: Sequence[str],
        *,
        maximize: bool,
        seed: int = 0,
        halve: bool = True,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._params = dict(params)
        found = resource(cls, params) if halve else None
        self._resource, most = found or ("", 0)
        steps = [most // REDUCTION**k for k in reversed(range(RUNGS))]
        self.epochs = [e for e in dict.fromkeys(steps) if e > 0] if found else None
        self.space = space(cls, params, [name for name in vary if name != self._resource])
        if not self.space:
            raise UsageError("A search needs at least one parameter to vary, other than the epochs.")
        self._maximize = maximize
        least = self.epochs[0] if self.epochs else 1
        self._study = optuna.create_study(
            direction="maximize" if maximize else "minimize",
            sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP),
            pruner=optuna.pruners.SuccessiveHalvingPruner(least, REDUCTION),
        )
        known = {p.name: p for p in describe(cls)}
        self._study.enqueue_trial({name: params.get(name, known[name].default) for name in self.space})
        self._drawn: set[tuple[tuple[str, Any], ...]] = set()

    def ask(self) -> Trial:
        """Parameters to try; none twice, as long as there are others."""
        import optuna

        for _ in range(20):
            trial = self._study.ask(self.space)
            key = tuple(sorted(trial.params.items()))
            if key not in self._drawn:
                break
            # Told to the study as what it was, so that it looks elsewhere.
            earlier = next(t for t in self._study.trials if t.params == trial.params)
            known = earlier.value if earlier.state == optuna.trial.TrialState.COMPLETE else None
            if known is None:
                self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                self._study.tell(trial, known)
        self._drawn.add(key)
        return trial

    def params(self, trial: Trial, rung: int) -> dict[str, Any]:
        """An estimator's parameters of a trial's rung, counted from 0."""
        drawn = {**self._params, **trial.params}
        return drawn if self.epochs is None else {**drawn, self._resource: self.epochs[rung]}

    def tell(self, trial: Trial, rung: int, score: float | None) -> bool:
        """Say what a rung gave, None if it failed; returns whether the trial is to go on to the next one."""
        import optuna

        if score is None or not math.isfinite(score):
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return False
        if self.epochs is None or rung + 1 == len(self.epochs):
            self._study.tell(trial, score)
            return False
        trial.report(score, self.epochs[rung])
        if trial.should_prune():
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return False
        return True

    def best(self) -> dict[str, Any] | None:
        """The parameters of the best trial; of those that went to the end, if any did. None if all failed."""
        import optuna

        for state in (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED):
            found = [(t.value, -t.number, t.params) for t in self._study.trials if t.state == state]
            judged = [one for one in found if one[0] is not None]
            if judged:
                sign = 1 if self._maximize else -1
                _, _, best = max(judged, key=lambda one: (sign * (one[0] or 0.0), one[1]))
                drawn = {**self._params, **best}
                return drawn if self.epochs is None else {**drawn, self._resource: self.epochs[-1]}
        return None
