"""The workbench's training loop, with an episode of a game in the place of an epoch over samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch

from workbench.errors import RunError
from workbench.training.loop import Loop, Stateful

__all__ = ["EpisodeLoop"]


class EpisodeLoop(Loop):
    """Runs ``episode(number) -> figures`` so many times, with the loop's callbacks and checkpoints.

    An episode draws its random numbers from generators seeded by its number, so that nothing but the
    networks, the optimizer and the extras has to be kept between two of them.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        episode: Callable[[int], Mapping[str, float]],
        *,
        n_episodes: int,
        generator: torch.Generator,
        extras: Mapping[str, Stateful] | None = None,
        fingerprint: str = "",
    ) -> None:
        super().__init__(
            model, optimizer, _no_step, n_samples=1, n_epochs=n_episodes, batch_size=1,
            generator=generator, extras=extras, fingerprint=fingerprint,
        )  # fmt: skip
        self._episode = episode

    def _run_epoch(self) -> None:
        self._check_interrupt()
        self._tell("on_epoch_begin")
        figures = {name: float(value) for name, value in self._episode(self.epoch).items()}
        if not all(map(math.isfinite, figures.values())):
            raise RunError(f"Learning diverged in episode {self.epoch + 1}: lower the learning rates.")
        self.history.append(figures)
        self.epoch, self.batch = self.epoch + 1, 0
        self._tell("on_epoch_end")
        self.finished = self.stop


def _no_step(indices: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """An episode takes its own gradient steps."""
    raise RunError("An episode loop has no batches of samples.")
