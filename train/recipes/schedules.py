"""Learning-rate schedules: ``at(progress)`` before every step; they receive every epoch's selection loss."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

FACTOR = 5.0  #: factor by which a plateau divides the learning rate
PATIENCE = 3  #: epochs without improvement before the rate is divided


@dataclass
class Schedule:
    """A constant learning rate, and the base of all schedules. All fields are plain values and are saved.

    The rate rises linearly during the first ``warmup`` epochs.
    """

    lr: float
    warmup: float = 0.0
    stopped: bool = False  #: training is over, whatever the number of epochs

    def at(self, progress: float) -> float:
        """The learning rate after ``progress`` epochs, which need not be whole."""
        return self.rate(progress) * (progress / self.warmup if progress < self.warmup else 1.0)

    def rate(self, progress: float) -> float:
        """The learning rate without the warm-up."""
        return self.lr

    def update(self, epoch: int, loss: float) -> bool:
        """Count the selection loss after ``epoch`` epochs (0: before any). True: start the optimiser anew."""
        return False

    def state(self) -> dict[str, Any]:
        """All fields, as plain values."""
        return asdict(self)

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a saved ``state``."""
        vars(self).update(state)


@dataclass
class Cosine(Schedule):
    """Half a cosine from ``lr`` to zero over ``epochs`` (Loshchilov and Hutter 2017, without restarts)."""

    epochs: int = 1

    def rate(self, progress: float) -> float:
        """The learning rate without the warm-up."""
        return self.lr * (1 + math.cos(math.pi * min(progress / self.epochs, 1.0))) / 2


@dataclass
class Plateau(Schedule):
    """The learning rate, divided by 5 after some epochs without improvement of the selection loss.

    As in Marie et al. 2022; ``count_before``, ``stop_at`` and ``restarts`` are quirks of its reference code.
    """

    patience: int = PATIENCE
    count_before: bool = False  #: count the loss before training, ignore that of the first epoch
    stop_at: float = 0.0  #: stop when a decay brings the learning rate here or below
    restarts: bool = False  #: the optimiser starts anew after each decay
    best: float = math.inf
    bad: int = 0
    decays: int = 0

    def update(self, epoch: int, loss: float) -> bool:
        """Count the selection loss after ``epoch`` epochs (0: before any). True: start the optimiser anew."""
        if epoch == (1 if self.count_before else 0):
            return False
        if loss < self.best:
            self.best, self.bad = loss, 0
            return False
        self.bad += 1
        if self.bad < self.patience:
            return False
        self.lr, self.bad, self.decays = self.lr / FACTOR, 0, self.decays + 1
        self.stopped = self.lr <= self.stop_at
        return self.restarts
