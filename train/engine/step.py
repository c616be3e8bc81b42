"""One optimiser step: forward, backward, update, with AMP, DDP, accumulation, clipping and EMA."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from train.engine.distributed import World
from train.feed.data import Batch
from train.methods.base import Losses, Method
from train.methods.reads import CLEAN
from train.networks.network import Network
from train.networks.teacher import Teacher
from train.recipes import Recipe, optimisers

PRECISIONS = {"none": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Forward(nn.Module):
    """Model and method as one module: DDP needs all passes of a step in one ``forward``."""

    def __init__(self, model: nn.Module, method: Method, teacher: Teacher | None = None):
        super().__init__()
        self.model, self.method, self.teacher = model, method, teacher

    def forward(self, batch: Batch) -> Losses:
        """The method's losses. A live teacher runs here, if the batch lacks its scores."""
        if self.teacher and batch.teacher is None:
            batch = batch._replace(teacher=self.teacher.log_probs(batch.images[CLEAN]))
        losses, logits = self.method.losses(self.model, batch)
        return losses, logits.detach()


class Average:
    """Exponential moving average of weights and running statistics.

    It warms up: the decay of update t is at most t / (t + 9), as in TensorFlow's ``ExponentialMovingAverage`` with
    ``num_updates``, so that in a short run the starting weights do not dominate.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay, self.updates = decay, 0
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move a step towards ``model``."""
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 9))
        for mine, new in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(new, 1 - decay)
            else:
                mine.copy_(new)


class Stepper:
    """Holds what an optimiser step changes."""

    def __init__(
        self, network: Network, method: Method, world: World, *,
        lr: float, recipe: Recipe | None = None, teacher: Teacher | None = None, accumulate: int = 1,
        amp: str = "none", compile: bool = False, ema: float | None = None, flip: bool = False,
    ):  # fmt: skip
        self.world, self.method, self.accumulate, self.flip = world, method, accumulate, flip
        self.recipe = recipe or Recipe()
        self.model = method.model(network).to(world.device)
        self.groups = method.parameter_groups(self.model)
        self.trained = [parameter for group in self.groups for parameter in group["params"]]
        self.model.requires_grad_(False)
        for parameter in self.trained:
            parameter.requires_grad_(True)
        self.average = None if ema is None else Average(self.model, ema)
        if compile:
            method.predictor(self.model).compile()
        self.forward = Forward(self.model, method, teacher)
        self.judged = Forward(self.average.model, method, teacher) if self.average else self.forward
        self.module: nn.Module = self.forward
        if world.size > 1 and self.trained:  # DDP wants gradients to exchange
            ids = [world.device.index] if world.device.type == "cuda" else None
            self.module = DistributedDataParallel(self.forward, device_ids=ids)
        self.dtype = PRECISIONS[amp]
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=self.dtype is torch.float16)
        self.start_optimiser(lr)

    def start_optimiser(self, lr: float) -> None:
        """Start with a fresh optimiser, without moments."""
        self.optimiser = optimisers.make(self.recipe, self.groups, lr) if self.trained else None
        self.set_lr(lr)

    def set_lr(self, lr: float) -> None:
        """Learning rate of the next step."""
        if self.optimiser:
            optimisers.set_lr(self.optimiser, lr)

    @property
    def result(self) -> Network:
        """The network to evaluate and save: the averaged one, if there is an average."""
        return self.method.predictor(self.judged.model)

    def autocast(self) -> AbstractContextManager[Any]:
        """Context in which the forward pass runs."""
        device = self.world.device.type
        return torch.autocast(device, self.dtype) if self.dtype else nullcontext()

    def step(self, feed: Iterator[Batch]) -> tuple[dict[str, Tensor], list[str]]:
        """Take ``accumulate`` batches and update once.

        Returns the losses as scalars still on the device, means over this rank's samples, and their keys.
        """
        self.method.train_mode(self.model)
        total: dict[str, Tensor] = {}
        keys: list[str] = []
        for i in range(self.accumulate):
            batch = next(feed).to(self.world.device)
            keys += batch.keys
            last = i == self.accumulate - 1
            single = last or not isinstance(self.module, DistributedDataParallel)
            with nullcontext() if single else self.module.no_sync():  # type: ignore[operator]
                with self.autocast(), torch.set_grad_enabled(bool(self.trained)):
                    losses, _ = self.module(flipped(batch) if self.flip else batch)
                if self.trained:
                    self.scaler.scale(losses["loss"] / self.accumulate).backward()
            for name, value in losses.items():
                total[name] = total.get(name, 0) + value.detach() / self.accumulate
        if self.optimiser:
            self._update()
        if self.average:
            self.average.update(self.model)
        return total, keys

    def _update(self) -> None:
        assert self.optimiser is not None  # there is something to train
        if self.recipe.clip is not None:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.trained, self.recipe.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)

    def state(self) -> dict:
        """Everything a continued run needs; ``model`` is the network, readable as weights."""
        return {
            "model": self.method.predictor(self.model).net.state_dict(),
            "trained": self.model.state_dict(),  # the same tensors, plus those of further layers
            "optimiser": self.optimiser.state_dict() if self.optimiser else None,
            "scaler": self.scaler.state_dict(),
            "average": self.average.model.state_dict() if self.average else None,
            "average_updates": self.average.updates if self.average else None,
        }

    def load(self, state: dict) -> None:
        """Continue from a saved ``state``."""
        self.model.load_state_dict(state["trained"])
        if self.optimiser:
            self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        if self.average:
            self.average.model.load_state_dict(state["average"])
            self.average.updates = state["average_updates"]


def flipped(batch: Batch) -> Batch:
    """Mirror half of the samples, each in all of its columns or in none."""
    images = next(iter(batch.images.values()))
    which = (torch.rand(len(images), device=images.device) < 0.5).view(-1, 1, 1, 1)
    return batch._replace(images={name: torch.where(which, x.flip(2), x) for name, x in batch.images.items()})


def seed_step(seed: int, *place: int) -> None:
    """Seed dropout, flips and noise by the position of a step, not by earlier draws.

    So a continued run draws the same numbers as an uninterrupted one, and saves no generator state.
    """
    torch.manual_seed(int(np.random.SeedSequence([seed, *place]).generate_state(1, np.uint64)[0]) >> 1)
