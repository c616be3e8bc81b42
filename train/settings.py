"""The settings of a training that all methods share; methods and recipes have their own options."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from shards.registry import unknown
from train.methods import METHODS
from train.options import check, option
from train.recipes import Recipe

_MISSING = object()
ARCH_HELP = "mnasnet1_0, resnet50, … (torchvision), lite0 to lite2, timm:NAME, or MODULE:FUNCTION."


@dataclass(frozen=True)
class Settings:
    """A training. ``options`` are those of the method; ``config.json`` holds all of them."""

    method: str
    options: Any
    train: str
    val: str = option(metavar="VAL", help="The validation dataset.")
    arch: str = option(help=ARCH_HELP)
    weights: str = option(help="imagenet (converged), a file, or none (fresh).")
    out: str = option(metavar="FOLDER", help="Folder of this run.")
    recipe: Recipe = field(default_factory=Recipe)
    protocol: Literal["paper", "refcode"] = option("paper", help="refcode: with the quirks of the authors' code.")
    quirks: str | None = option(None, help="Exactly these quirks, comma-separated; docs/train.md lists them.")
    accumulate: int = option(1, minimum=1, help="Pieces in which a rank computes its part of the batch.")
    seed: int = option(
        0, minimum=0, maximum=2**63 - 1, help="Of the order of samples, fresh layers, dropout, flips and noise."
    )
    select_on: Literal["holdout", "validation"] = option(
        "holdout", help="What steers learning rate and best epoch. validation: as the paper did."
    )
    holdout: float = option(0.02, above=0, below=1, help="Fraction of TRAIN kept away from training.")
    flip: bool = option(False, help="Mirror half of the samples, clean and distorted alike.")
    shuffle: int = option(1000, minimum=1, help="Bitstreams each worker holds to shuffle them.")
    amp: Literal["none", "bf16", "fp16"] = option(
        "none", help="Mixed precision while training and selecting; results are float32."
    )
    compile: bool = option(False, help="torch.compile the network that is trained.")
    ema: float | None = option(
        None, above=0, below=1, help="Keep and judge an exponential moving average with this decay, as 0.9999."
    )
    checkpoint_minutes: float = option(
        10.0, minimum=0, infinite=True, help="Minutes between checkpoints; inf: only at the end of an epoch."
    )
    resume: bool = option(False, help="Go on from OUT's checkpoint, if there is one.")
    test_columns: str = option(
        "all", help="Columns of VAL on which the best weights are evaluated at the end; none: skip it."
    )
    profile: bool = option(False, help="Write a torch profiler trace of steps 4 to 6 to OUT.")
    wandb: bool = option(False, help="Log to Weights & Biases as well.")
    workers: int = option(2, minimum=0, help="Processes per rank that read and decode; 0: the main process.")
    cache: str | None = option(None, metavar="FOLDER", help="Local folder for copies of remote shards.")
    device: Literal["auto", "cpu", "cuda"] = option("auto", help="auto: a GPU where there is one.")
    tf32: bool = option(True, help="The same, of GPUs that have it. Teachers and results never use it.")

    @classmethod
    def of(cls, method: str, **values: Any) -> Settings:
        """Settings from options by name: those of every training, of the recipe and of the method.

        Lists become comma-separated text and paths text. Raises UnknownName for an option that the method does not
        have, ValueError for one that is missing or invalid.
        """
        own = METHODS.load(method).Options
        places = {item.name: part for part in (own, Recipe, cls) for item in fields(part) if item.metadata}
        for name in values:
            if name not in places and name != "train":
                raise unknown(f"option of {method}", name, places)
        given = {name: _plain(value) for name, value in values.items()}
        for name, part in places.items():
            if name not in given and getattr(part, name, _MISSING) is _MISSING:
                raise ValueError(f"{method} needs the option '{name}'")

        def take(part: type) -> dict[str, Any]:
            return {name: value for name, value in given.items() if places.get(name) is part}

        if given.get("quirks") is not None and given.get("protocol") == "refcode":
            raise ValueError("the protocol refcode uses all quirks, quirks only those listed: give one of them")
        settings = cls(method, own(**take(own)), given["train"], recipe=Recipe(**take(Recipe)), **take(cls))
        for part in (settings, settings.recipe, settings.options):
            check(part)
        settings.recipe.require_sensible()
        return settings

    def plain(self) -> dict[str, Any]:
        """All values in one dict, including those of options and recipe."""
        contents = asdict(self)
        return {**contents, **contents.pop("options"), **contents.pop("recipe")}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return os.fspath(value) if isinstance(value, os.PathLike) else value
