"""How it is learned: the paper's optimiser, learning rates, weights and schedule, and the reference code's quirks.

Numbers are those of Marie et al. 2022 (expert training, fine-tuning, and its stability training after Zheng
et al. 2016) and, where the article gives none, of its reference code.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

EPOCHS = 45
BETAS = (0.5, 0.99)  #: of Adam; no weight decay
FACTOR = 5.0  #: by which the learning rate is divided
PATIENCE = 3  #: epochs in a row without a lower loss until then

#: The reference code, where it departs from the article in a way that changes the numbers. docs/train.md explains.
QUIRKS = {
    "kl-sum": "KL is summed over the batch, so its weight is alpha times the batch actually used",
    "early-stop": "stop when the learning rate is (1/5)³ of the first (stability: at the first decay)",
    "patience": "stability: the learning rate falls after the 4th bad epoch, not the 3rd",
    "epochs": "stability: 44 epochs, not 45",
    "first-epoch": "not stability: the loss before training counts as the best, that of epoch 1 is ignored",
    "adam-reset": "Adam starts anew after each decay: its moments are lost",
    "one-sided": "stability: no gradient through the noisy branch",
    "bn-drift": "stability: the frozen layers' running statistics follow the batches, noisy and clean",
    "truncated-noise": "stability: noise times 256, fractions cut off",
}
PROTOCOLS = {"paper": frozenset(), "refcode": frozenset(QUIRKS)}

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
class Recipe:
    """The numbers of one training."""

    lr: float
    alpha: float  #: weight of a KL summed over a batch of ``reference_batch``
    sigma: float  #: of the stability noise, a fraction of the range
    reference_batch: int
    published: bool  #: whether lr and alpha are the source's own for this network and column


def recipe(objective: str, arch: str, column: str, from_scratch: bool = False) -> Recipe:
    """The source's numbers where it has any, otherwise those of its most similar case."""
    batch = REFERENCE_BATCH.get(arch, 384)
    if from_scratch:
        return Recipe(FROM_SCRATCH_LR, 1e-2, 4e-2, batch, False)
    if objective == "stability":
        lr, alpha, sigma = _STABILITY.get(arch, _STABILITY[MNASNET])
        return Recipe(lr, alpha, sigma, batch, arch in _STABILITY)
    if arch == RESNET50:
        tuning, expert, alpha = _RESNET50.get(column, (5e-6, 5e-6, 1e-2))
        return Recipe(tuning if objective == "finetune" else expert, alpha, 0.0, batch, column in _RESNET50)
    return Recipe(1e-5, 1e-2, 0.0, batch, arch == MNASNET and column in _RESNET50)


def parse_quirks(protocol: str, chosen: str | None) -> frozenset[str]:
    """The protocol's quirks, or those of a comma-separated list. Raises ValueError for an unknown one."""
    if chosen is None:
        return PROTOCOLS[protocol]
    quirks = frozenset(name.strip() for name in chosen.split(",") if name.strip())
    unknown = quirks - QUIRKS.keys()
    if unknown:
        raise ValueError(f"unknown quirk '{min(unknown)}'; there are {', '.join(QUIRKS)}")
    return quirks


@dataclass
class Plateau:
    """The learning rate, divided by 5 after some epochs in a row without a lower validation loss."""

    lr: float
    patience: int = PATIENCE
    count_before: bool = False  #: quirk first-epoch
    stop_at: float = 0.0  #: stop when a decay brings the learning rate here or below
    best: float = math.inf
    bad: int = 0
    decays: int = 0
    stopped: bool = False

    @classmethod
    def of(cls, objective: str, lr: float, quirks: frozenset[str]) -> Plateau:
        stability = objective == "stability"
        # As the reference code computes it: for 1e-5 and 5e-6 three divisions end just above this product,
        # so those runs get a fourth stage.
        stop_at = (1 / FACTOR ** (1 if stability else 3)) * lr if "early-stop" in quirks else 0.0
        return cls(
            lr,
            patience=PATIENCE + 1 if stability and "patience" in quirks else PATIENCE,
            count_before="first-epoch" in quirks and not stability,
            stop_at=stop_at,
        )

    def update(self, epoch: int, loss: float) -> bool:
        """Count the validation loss after ``epoch`` epochs of training (0: before any). True when lr fell."""
        if self.count_before and epoch == 1:
            return False
        if epoch == 0 and not self.count_before:
            return False
        if loss < self.best:
            self.best, self.bad = loss, 0
            return False
        self.bad += 1
        if self.bad < self.patience:
            return False
        self.lr, self.bad, self.decays = self.lr / FACTOR, 0, self.decays + 1
        self.stopped = self.lr <= self.stop_at
        return True

    def state(self) -> dict:
        return asdict(self)


def epochs(objective: str, quirks: frozenset[str]) -> int:
    return EPOCHS - 1 if objective == "stability" and "epochs" in quirks else EPOCHS
