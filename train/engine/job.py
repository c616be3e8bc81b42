"""Build the parts of a training from its settings, and check them: datasets, model, method, recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from shards.console import names as names_in
from shards.dataset import Dataset
from train.engine import checks, remarks
from train.engine.distributed import World
from train.feed import cached, slices
from train.feed.data import Source
from train.feed.reading import Survey, survey
from train.methods import METHODS
from train.methods.base import Context, Method, choose_quirks
from train.methods.reads import CLEAN, Mixture
from train.networks import models
from train.networks.network import Network
from train.networks.teacher import Teacher
from train.networks.weights import classes_sha256, weights_sha256
from train.options import check
from train.recipes import FullRecipe, Recipe
from train.recipes.schedules import Schedule
from train.settings import Settings

PROTOCOLS = ("paper", "refcode")


@dataclass
class Part:
    """Samples to be read for one purpose."""

    source: Source
    pool: slices.Slice
    #: Neighbours are similar (crops of one picture, or one class), so samples are drawn one by one.
    scattered: bool = False

    @property
    def samples(self) -> int:
        return slices.size(self.pool)


@dataclass
class Job:
    """A training that is ready to start."""

    settings: Settings
    method: Method
    recipe: FullRecipe
    schedule: Schedule
    classes: tuple[str, ...]
    network: Network  #: with its starting weights
    teacher: Teacher | None  #: of a method that asks for its scores
    training: Part
    selection: Part
    said: dict[str, Any]  #: plain values that distinguish this run's result from other runs', except the seed
    identity: dict[str, Any]  #: must be the same when the run is continued
    foreign: bool  #: the starting weights are not known to be for these classes in this order
    notes: list[str]  #: notes for the user

    @property
    def batch(self) -> int:
        """Samples of one optimiser step over all ranks."""
        return self.recipe.batch

    @property
    def epochs(self) -> int:
        """Epochs of the whole training."""
        return self.recipe.epochs

    @property
    def steps(self) -> int:
        """Optimiser steps of one epoch."""
        return slices.steps_per_epoch(self.training.samples, self.batch)

    def meta(self, epoch: int, checkpoint: str, network: Network) -> dict[str, Any]:
        """Metadata of the weights: how to build the network, and the settings of this run."""
        chosen = self.settings
        return {
            "arch": chosen.arch,
            "network": network.description,
            "method": chosen.method,
            "title": self.method.title,
            "counts_everywhere": self.method.counts_everywhere,
            "trained_on": self.method.trained_on,
            "seed": chosen.seed,
            "protocol": chosen.protocol,
            "settings": {**self.said, "checkpoint": checkpoint},
            "epoch": epoch,
            "classes": len(self.classes),
            "classes_sha256": classes_sha256(self.classes),
        }


def prepare(settings: Settings, world: World) -> Job:
    """Build and check a training. Raises ValueError, which says what to do, before the first step."""
    method = _method(settings)
    reads = method.reads()
    train, val = Dataset(settings.train), Dataset(settings.val)
    found, found_val = (survey(dataset, reads.columns) for dataset in (train, val))
    checks.require_same_classes(found, found_val)
    checks.require_other_pictures(found, found_val)
    tested_columns(settings, val)
    recipe, notes = _recipe(settings, method)
    pools = _pools(settings, found, found_val)
    checks.require_sizes(settings, world, recipe.batch, *pools)
    notes += method.remarks(recipe.epochs, slices.steps_per_epoch(slices.size(pools[0]), recipe.batch))
    loaded = _starting_weights(settings, method, found)
    checks.require_logits(loaded.network, train, reads.columns[0])
    method.check(loaded.network)
    notes += [
        *remarks.without_effect(settings, train, val),
        *remarks.reading(settings, found, slices.size(pools[1]), train),
        *remarks.sizes(settings, loaded.network, train, reads.columns[0]),
    ]
    teacher, caches = None, {}
    if reads.teacher:
        teacher = Teacher(loaded.network, world.device)
        caches = cached.find(settings, reads.teacher, loaded, train, val, teacher, notes)
    parts = []
    judged = tuple(part.judged() if isinstance(part, Mixture) else part for part in reads.pictures)
    both = (train, reads.pictures), (val if settings.select_on == "validation" else train, judged)
    for (dataset, pictures), pool in zip(both, pools, strict=True):
        scores = caches.get(dataset.storage.url)
        if reads.teacher and scores is None and CLEAN not in pictures:
            survey(dataset, [CLEAN])
            pictures = (*pictures, CLEAN)
        source = Source(dataset.storage.url, pictures, scores, settings.cache, reads.headers)
        parts.append(Part(source, pool, found.scattered))
    said = _said(settings, method, recipe, world, found, loaded)
    identity = {
        "validation dataset": found_val.plan,
        "training samples": slices.size(pools[0]),
        "method": settings.method,
        "column": method.trained_on,
        "quirks": ", ".join(sorted(method.context.quirks)),
        **{name: getattr(settings, name) for name in ("arch", "protocol", "seed")},
        **{name: value for name, value in said.items() if name not in _may_change(recipe)},
    }
    return Job(
        settings, method, recipe, recipe.make_schedule(method.plateau(recipe.lr)), found.classes, loaded.network,
        teacher, parts[0], parts[1], said, identity, _foreign(settings, method, loaded), notes,
    )  # fmt: skip


def _foreign(settings: Settings, method: Method, loaded: models.Loaded) -> bool:
    """Whether the classes of the starting weights, and their order, are not known."""
    return settings.weights != "none" and not method.new_head and "classes_sha256" not in loaded.meta


def _may_change(recipe: Recipe) -> set[str]:
    """Settings that may change when a run is continued: the number of ranks, the length of the training."""
    return {"samples_per_pass"} | ({"epochs"} if recipe.schedule != "cosine" else set())


def tested_columns(settings: Settings, val: Dataset) -> list[str]:
    """The columns of the last evaluation, if there is one.

    Raises DatasetError when VAL does not have them, ValueError for columns of a method that is never evaluated.
    """
    if settings.test_columns == "none":
        return []
    if not METHODS.load(settings.method).evaluated:
        if settings.test_columns != "all":
            raise ValueError(f"--test-columns {settings.test_columns}: {settings.method} trains no classifier")
        return []
    names = list(val.columns)
    if settings.test_columns != "all":
        names = names_in(settings.test_columns)
        for name in names:
            val.require_complete(name)
    return names


def _method(settings: Settings) -> Method:
    kind: type[Method] = METHODS.load(settings.method)
    if settings.protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol '{settings.protocol}': there are {', '.join(PROTOCOLS)}")
    for part in (settings, settings.recipe, settings.options):
        check(part)
    settings.recipe.require_sensible()
    fresh = settings.weights == "none"
    if fresh and not kind.may_start_fresh:
        raise ValueError(f"{settings.method} starts from trained weights: --weights FILE or imagenet")
    context = Context(
        settings.arch,
        from_scratch=fresh,
        quirks=choose_quirks(kind, settings.protocol, settings.quirks),
        batch=settings.recipe.batch,
        label_smoothing=settings.recipe.label_smoothing,
    )
    return kind(settings.options, context)


def _starting_weights(settings: Settings, method: Method, found: Survey) -> models.Loaded:
    torch.manual_seed(settings.seed)  # of fresh layers
    loaded = models.load(settings.arch, settings.weights, len(found.classes), method.new_head)
    if not method.new_head:
        checks.require_classes(settings.weights, loaded.meta, found.classes)
    return loaded


def _recipe(settings: Settings, method: Method) -> tuple[FullRecipe, list[str]]:
    """The recipe with all values, and notes."""
    given, default, notes = settings.recipe, method.defaults(), []
    if not default.published and given.lr is None:
        where = f" on {method.trained_on}" if method.trained_on else ""
        notes.append(
            f"the paper gives no learning rate for {settings.method} of {settings.arch}{where}"
            f"{' from scratch' if settings.weights == 'none' else ''}: using {default.lr:g}"
        )
    if default.published and not default.lr and given.lr is not None:
        notes.append(f"--lr has no effect: {settings.method} trains no weights by gradients")
    return given.filled(default.lr, default.batch, default.epochs), notes


def _said(
    settings: Settings, method: Method, recipe: FullRecipe, world: World, train: Survey, loaded: models.Loaded
) -> dict:
    """Everything that distinguishes this run's result from other runs', except the seed. Plain values."""
    return {
        **method.settings(),
        **vars(recipe),
        # Without --quirks the protocol says them, and methods have different ones.
        **{
            f"quirk {name}": name in method.context.quirks for name in method.quirks if settings.quirks is not None
        },
        "starting_weights": None if settings.weights == "none" else weights_sha256(loaded.network.net),
        "train_dataset": train.plan,
        "select_on": settings.select_on,
        "holdout": settings.holdout if settings.select_on == "holdout" else None,
        **{name: getattr(settings, name) for name in ("flip", "amp", "ema")},
        "samples_per_pass": (recipe.batch or 0) // (world.size * settings.accumulate),  # what batch norm sees
    }


def _pools(settings: Settings, train: Survey, val: Survey) -> tuple[slices.Slice, slices.Slice]:
    if settings.select_on == "validation":
        return slices.between(train.counts, 0, train.samples), slices.between(val.counts, 0, val.samples)
    return slices.held_out(train.counts, settings.holdout, train.crops, train.shuffled)
