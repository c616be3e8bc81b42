"""One optimiser step: forward, backward, update, with what every large training wants and no names of losses."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from train.engine.distributed import World
from train.feed.data import Batch
from train.methods.objectives import Losses, Objective
from train.networks.models import Classifier
from train.protocol import BETAS

PRECISIONS = {"none": None, "bf16": torch.bfloat16, "fp16": torch.float16}
WARM = 10**9  #: updates after which an average is warm; checkpoints of earlier versions count none


class Forward(nn.Module):
    """Student and objective as one module: all of a step's passes lie in one forward, as DDP wants it."""

    def __init__(self, student: Classifier, objective: Objective):
        super().__init__()
        self.student, self.objective = student, objective

    def forward(self, batch: Batch) -> Losses:
        losses, logits = self.objective.losses(self.student, batch)
        return losses, logits.detach()


class Average:
    """Exponential moving average of weights and running statistics.

    It warms up: the decay of update t is at most t / (t + 9), as in TensorFlow's ``ExponentialMovingAverage`` with
    ``num_updates``, so that in a short run the starting weights do not dominate.
    """

    def __init__(self, student: Classifier, decay: float):
        self.decay, self.updates = decay, 0
        self.student = copy.deepcopy(student).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, student: Classifier) -> None:
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 9))
        for mine, new in zip(self.student.state_dict().values(), student.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(new, 1 - decay)
            else:
                mine.copy_(new)


class Stepper:
    """Holds what an optimiser step changes."""

    def __init__(
        self, student: Classifier, objective: Objective, world: World, *,
        lr: float, accumulate: int = 1, amp: str = "none", compile: bool = False,
        ema: float | None = None, flip: bool = False,
    ):  # fmt: skip
        self.world, self.objective, self.accumulate, self.flip = world, objective, accumulate, flip
        objective.prepare(student)
        self.student = student.to(world.device)
        self.average = None if ema is None else Average(self.student, ema)
        if compile:
            self.student.compile()
        self.forward = Forward(self.student, objective)
        self.module = self.forward
        if world.size > 1:
            ids = [world.device.index] if world.device.type == "cuda" else None
            self.module = DistributedDataParallel(self.forward, device_ids=ids)
        self.dtype = PRECISIONS[amp]
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=self.dtype is torch.float16)
        self.start_optimiser(lr)

    def start_optimiser(self, lr: float) -> None:
        trained = [parameter for parameter in self.student.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.Adam(trained, lr=lr, betas=BETAS)

    def set_lr(self, lr: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = lr

    @property
    def result(self) -> Classifier:
        """The classifier to be judged and kept: the average where there is one."""
        return self.average.student if self.average else self.student

    def autocast(self):
        device = self.world.device.type
        return torch.autocast(device, self.dtype) if self.dtype else nullcontext()

    def step(self, feed: Iterator[Batch]) -> tuple[dict[str, Tensor], list[str]]:
        """Take ``accumulate`` batches and update once.

        Returns the losses as scalars still on the device, means over this rank's samples, and their keys.
        """
        self.objective.train_mode(self.student)
        total: dict[str, Tensor] = {}
        keys: list[str] = []
        for i in range(self.accumulate):
            batch = next(feed).to(self.world.device)
            keys += batch.keys
            last = i == self.accumulate - 1
            with nullcontext() if last or self.world.size == 1 else self.module.no_sync():
                with self.autocast():
                    losses, _ = self.module(flipped(batch) if self.flip else batch)
                self.scaler.scale(losses["loss"] / self.accumulate).backward()
            for name, value in losses.items():
                total[name] = total.get(name, 0) + value.detach() / self.accumulate
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(self.student)
        return total, keys

    def state(self) -> dict:
        return {
            "model": self.student.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": self.average.student.net.state_dict() if self.average else None,
            "average_updates": self.average.updates if self.average else None,
        }

    def load(self, state: dict) -> None:
        self.student.net.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        if self.average:
            self.average.student.net.load_state_dict(state["average"])
            self.average.updates = state.get("average_updates", WARM)


def flipped(batch: Batch) -> Batch:
    """Mirror half of the samples, each in all of its columns or in none."""
    images = next(iter(batch.images.values()))
    which = (torch.rand(len(images), device=images.device) < 0.5).view(-1, 1, 1, 1)
    return batch._replace(images={name: torch.where(which, x.flip(2), x) for name, x in batch.images.items()})


def seed_step(seed: int, *place: int) -> None:
    """Dropout, flips and noise of a step depend on where it is, not on what was drawn before it.

    So a continued run draws what an uninterrupted one draws, and no generator state has to be saved.
    """
    torch.manual_seed(int(np.random.SeedSequence([seed, *place]).generate_state(1, np.uint64)[0]) >> 1)
