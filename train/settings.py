"""What the command line says of a training; plain values, as they go into ``config.json``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """``train COMMAND --help`` explains them."""

    objective: str
    train: str
    val: str
    column: str
    arch: str
    weights: str
    out: str
    protocol: str = "paper"
    quirks: str | None = None
    epochs: int | None = None
    batch: int | None = None  #: samples of one optimiser step, over all ranks
    accumulate: int = 1
    lr: float | None = None
    alpha: float | None = None
    sigma: float | None = None
    seed: int = 0
    select_on: str = "holdout"
    holdout: float = 0.02
    teacher: str = "auto"
    new_head: bool = False
    flip: bool = False
    workers: int = 2
    shuffle: int = 1000
    cache: str | None = None
    amp: str = "none"
    compile: bool = False
    ema: float | None = None
    tf32: bool = True
    checkpoint_minutes: float = 10.0
    test_columns: str = "all"
    profile: bool = False
    wandb: bool = False
    resume: bool = False
