"""Branches combined by a master network or by their own predictions (Ghosh et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from train.routing.trunk import share

if TYPE_CHECKING:
    from train.feed.data import Batch

#: Decision -> what it does.
DECISIONS = {
    "switched": "the branch of the master's most likely bin answers",
    "soft": "the branches' probabilities, weighted by the master's",
    "max": "every class has its highest probability in any branch; no master",
    "oracle": "the branch that is right, if any is: the upper bound of 'switched' and 'max'",
}
MASTERED = ("switched", "soft")  #: decisions that need a master


def grouped(networks: Sequence[Callable[[Tensor], Tensor]], images: Tensor, chosen: Sequence[int]) -> Tensor:
    """Logits, float32 (batch, classes): picture i goes to network ``chosen[i]``; one batch per network."""
    found: list[Tensor | None] = [None] * len(chosen)
    for number in sorted(set(chosen)):
        rows = [row for row, own in enumerate(chosen) if own == number]
        for row, logits in zip(rows, networks[number](images[rows]).float(), strict=True):
            found[row] = logits
    return torch.stack(found)  # type: ignore[arg-type]


class Committee(nn.Module):
    """Branches, one for each bin of the master in its order, and a decision, one of ``DECISIONS``.

    A branch takes uint8 pictures (batch, height, width, 3) and returns logits; so does the master, whose classes
    are the branches. Layers that all branches begin with run once per batch (``trunk.share``).
    """

    needs_headers = False

    def __init__(self, branches: Sequence[nn.Module], decision: str, master: nn.Module | None = None):
        super().__init__()
        if decision in MASTERED and master is None:
            raise ValueError(
                f"the decision '{decision}' needs a master: --master FILE, which 'train master' makes"
            )
        self.branches, self.decision, self.master = list(branches), decision, master
        self.shared = share(self.branches)
        self.net = nn.ModuleList([*branches, *([master] if master is not None and decision in MASTERED else [])])

    def answer(self, batch: Batch, name: str) -> Tensor:
        """Scores, float32 (batch, classes), of the pictures called ``name``: log-probabilities, or logits.

        Those of ``max`` do not sum to 1. Only ``oracle`` looks at the labels.
        """
        images = batch.images[name]
        shared = self.shared
        branches, given = (list(shared.heads), shared.trunk(images)) if shared else (self.branches, images)
        if self.decision == "switched":
            assert self.master is not None
            return grouped(branches, given, self.master(images).argmax(1).tolist())
        every = torch.stack([branch(given).float() for branch in branches]).log_softmax(2)
        if self.decision == "soft":
            assert self.master is not None
            bins = self.master(images).float().log_softmax(1)
            return (every + bins.T[:, :, None]).logsumexp(0)
        if self.decision == "max":
            return every.amax(0)
        labels = batch.labels.expand(len(every), -1)[..., None]
        own = every.gather(2, labels)[..., 0]
        others = every.scatter(2, labels, -torch.inf).amax(2)
        best = (own - others).argmax(0)
        return every[best, torch.arange(len(images), device=best.device)]
