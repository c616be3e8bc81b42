"""The numbers of Marie et al. 2022, and the base of expert training, fine-tuning and stability training.

Numbers that the article does not give come from its reference code (github.com/albmarie/expert_training).
"""

from __future__ import annotations

from dataclasses import dataclass

from train.methods.base import Defaults, Method
from train.recipes.schedules import FACTOR, Plateau

EPOCHS = 45
MNASNET, RESNET50 = "mnasnet1_0", "resnet50"
REFERENCE_BATCH = {MNASNET: 320, RESNET50: 384}

#: ResNet-50: column -> (fine-tuning lr, expert lr, expert alpha)
_RESNET50 = {
    "clean": (1e-6, 1e-6, 1e-3),
    "jpeg-75": (5e-6, 5e-6, 5e-3),
    "jpeg-10": (1e-5, 1e-5, 1e-2),
    "jpeg-5": (5e-6, 5e-6, 1e-2),
    "j2k-75": (5e-6, 5e-6, 1e-2),
    "j2k-200": (5e-6, 1e-5, 1e-2),
    "j2k-400": (5e-6, 1e-5, 1e-2),
    "bpg-41": (5e-6, 5e-6, 1e-2),
    "bpg-46": (5e-6, 5e-6, 1e-2),
    "bpg-51": (5e-6, 5e-6, 1e-2),
}
_STABILITY = {MNASNET: (1e-6, 5e-3, 4e-2), RESNET50: (1e-7, 5e-3, 5e-4)}  #: arch -> (lr, alpha, sigma)
FROM_SCRATCH_LR = 1e-3


@dataclass(frozen=True)
class Numbers:
    """The source's numbers for one network and column, or those of its most similar case."""

    lr: float
    alpha: float  #: weight of a KL summed over ``reference_batch`` samples
    sigma: float  #: of the stability noise, a fraction of the range
    reference_batch: int
    published: bool  #: whether lr and alpha are the source's own for this network and column


def numbers(method: str, arch: str, column: str | None, from_scratch: bool = False) -> Numbers:
    """The numbers of ``finetune``, ``expert`` or ``stability``."""
    batch = REFERENCE_BATCH.get(arch, 384)
    if from_scratch:
        return Numbers(FROM_SCRATCH_LR, 1e-2, 4e-2, batch, False)
    if method == "stability":
        lr, alpha, sigma = _STABILITY.get(arch, _STABILITY[MNASNET])
        return Numbers(lr, alpha, sigma, batch, arch in _STABILITY)
    if arch == RESNET50:
        tuning, expert, alpha = _RESNET50.get(column or "", (5e-6, 5e-6, 1e-2))
        return Numbers(tuning if method == "finetune" else expert, alpha, 0.0, batch, column in _RESNET50)
    return Numbers(1e-5, 1e-2, 0.0, batch, arch == MNASNET and column in _RESNET50)


#: Where the reference code differs from the article in a way that changes the numbers; docs/train.md explains.
SHARED_QUIRKS = {
    "early-stop": "stop when the learning rate is (1/5)³ of the first (stability: at the first decay)",
    "adam-reset": "Adam starts anew after each decay: its moments are lost",
}
KL_SUM = {"kl-sum": "KL is summed over the batch, so its weight is alpha times the batch actually used"}
FIRST_EPOCH = {"first-epoch": "the loss before training counts as the best, that of epoch 1 is ignored"}


class PaperMethod(Method):
    """A method of the article: its learning rates, its schedule, and the quirks of its code."""

    kind: str  #: as ``numbers`` has it
    stages = 3  #: decays after which the reference code stops

    @property
    def numbers(self) -> Numbers:
        """The article's numbers for this network and column."""
        return numbers(self.kind, self.context.arch, self.trained_on, self.context.from_scratch)

    def defaults(self) -> Defaults:
        """The article's learning rate, batch and epochs."""
        found = self.numbers
        return Defaults(found.lr, found.reference_batch, EPOCHS, found.published)

    def plateau(self, lr: float) -> Plateau:
        """Divided by 5 after 3 epochs without improvement; quirks change when it decays and stops."""
        quirks = self.context.quirks
        # As the reference code computes it: for 1e-5 and 5e-6 three divisions end just above this product,
        # so those runs get a fourth stage.
        stop_at = (1 / FACTOR**self.stages) * lr if "early-stop" in quirks else 0.0
        return Plateau(lr, count_before="first-epoch" in quirks, stop_at=stop_at, restarts="adam-reset" in quirks)

    def weight(self, alpha: float) -> float:
        """Weight of a mean KL that equals ``alpha`` times the KL summed over the reference batch."""
        summed = self.context.batch if "kl-sum" in self.context.quirks else None
        return alpha * (summed or self.numbers.reference_batch)
