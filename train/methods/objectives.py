"""What is learned: each objective owns its loss, its teacher and its columns. The loop knows none by name.

An objective is used as ``objective.losses(student, batch) -> (losses, logits)``: ``losses["loss"]`` is what is
minimised, the other entries are its terms before weighting, all float32 means over the batch; ``logits``
(batch, classes) are those that accuracy is counted on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.feed.data import Batch
from train.networks.models import Classifier, Teacher, last_layer

CLEAN = "clean"
Losses = tuple[dict[str, Tensor], Tensor]


class Objective(ABC):
    name: ClassVar[str]

    def __init__(self, column: str):
        self.column = column

    def columns(self, cached_teacher: bool) -> tuple[str, ...]:
        """The columns whose pictures a batch must hold."""
        return (self.column,)

    def prepare(self, student: Classifier) -> None:
        """Choose what is trained, once, before the optimiser is made."""
        student.requires_grad_(True)

    def train_mode(self, student: Classifier) -> None:
        """Put the student into the mode it is trained in."""
        student.train()

    @abstractmethod
    def losses(self, student: nn.Module, batch: Batch) -> Losses: ...


class FineTuning(Objective):
    """Cross-entropy on the distorted picture: L = mean CE(f(x̃), y)."""

    name = "finetune"

    def losses(self, student, batch):
        logits = student(batch.images[self.column])
        ce = F.cross_entropy(logits, batch.labels)
        return {"loss": ce, "ce": ce}, logits


class Expert(Objective):
    """Expert training (Marie et al. 2022): what the frozen clean network says of x teaches f what to say of x̃.

    L = mean CE(f(x̃), y) + weight · mean KL(softmax g(x) ‖ softmax f(x̃)). The reference code sums KL over its
    batch; ``weight`` is alpha times that batch, so that the result does not depend on the batch used here.
    """

    name = "expert"

    def __init__(self, column: str, weight: float, teacher: Teacher | None = None):
        super().__init__(column)
        self.weight, self.teacher = weight, teacher

    def columns(self, cached_teacher):
        return (self.column,) if cached_teacher or self.column == CLEAN else (self.column, CLEAN)

    def losses(self, student, batch):
        target = self.teacher.log_probs(batch.images[CLEAN]) if batch.teacher is None else batch.teacher
        logits = student(batch.images[self.column])
        ce = F.cross_entropy(logits, batch.labels)
        # Normalised again after rounding: the error of KL is then of second order.
        kl = divergence(target.float().log_softmax(1), logits.log_softmax(1))
        return {"loss": ce + self.weight * kl, "ce": ce, "kl": kl}, logits


class Stability(Objective):
    """Stability training (Zheng et al. 2016): f should say the same of x and of a noisy copy x′.

    L = mean CE(f(x), y) + weight · mean KL(softmax f(x) ‖ softmax f(x′)); only the last layer is trained.
    ``sigma`` is a fraction of the range. By default noise is added in float and rounded, gradients flow through
    both branches, and batch norm keeps its statistics. The reference code differs in three ways:
    ``truncated_noise``, ``one_sided`` (none through x′) and ``bn_drift`` (running statistics follow both passes).
    """

    name = "stability"

    def __init__(
        self, column: str, weight: float, sigma: float, *,
        truncated_noise: bool = False, one_sided: bool = False, bn_drift: bool = False,
    ):  # fmt: skip
        super().__init__(column)
        self.weight, self.sigma = weight, sigma
        self.truncated_noise, self.one_sided, self.bn_drift = truncated_noise, one_sided, bn_drift

    def prepare(self, student):
        student.requires_grad_(False)
        last_layer(student.net)[1].requires_grad_(True)

    def train_mode(self, student):
        student.train()
        if not self.bn_drift:
            for module in student.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def losses(self, student, batch):
        images = batch.images[self.column]
        noisy = add_noise(images, self.sigma, self.truncated_noise)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.one_sided):
            noisy_log_probs = student(noisy).log_softmax(1)
        logits = student(images)
        ce = F.cross_entropy(logits, batch.labels)
        kl = divergence(logits.log_softmax(1), noisy_log_probs)
        return {"loss": ce + self.weight * kl, "ce": ce, "kl": kl}, logits


def divergence(target: Tensor, student: Tensor) -> Tensor:
    """Mean over the batch of KL(target ‖ student), both (batch, classes) log-probabilities."""
    return F.kl_div(student, target, reduction="batchmean", log_target=True)


def add_noise(images: Tensor, sigma: float, truncated: bool = False) -> Tensor:
    """White Gaussian noise on uint8 pictures (batch, height, width, 3), per pixel and channel, clipped; uint8.

    ``sigma`` is a fraction of 255. ``truncated`` does as the reference code: a fraction of 256, and the cast
    back to integers drops the fraction, which darkens by half a grey level.
    """
    noise = torch.randn(images.shape, device=images.device) * (sigma * (256 if truncated else 255))
    noisy = images + noise
    return (noisy.clamp(0, 255) if truncated else noisy.round().clamp(0, 255)).to(torch.uint8)
