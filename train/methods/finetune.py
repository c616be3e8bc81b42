"""Fine-tuning: cross-entropy on one column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from train.methods.base import Losses
from train.methods.paper import FIRST_EPOCH, SHARED_QUIRKS, PaperMethod
from train.methods.reads import Reads
from train.options import option

if TYPE_CHECKING:
    from train.feed.data import Batch


class FineTuning(PaperMethod):
    """Cross-entropy on one column of TRAIN: L = mean CE(f(x̃), y). With --weights none: training from scratch."""

    title = "Fine-tuned"
    kind = "finetune"
    may_start_fresh = True
    quirks = {**SHARED_QUIRKS, **FIRST_EPOCH}
    example = "--column jpeg-10 --arch mnasnet1_0 --weights imagenet --out runs/ft-jpeg-10"

    @dataclass(frozen=True)
    class Options:
        column: str = option(help="The distortion to train for, as jpeg-10.")
        new_head: bool = option(False, help="Start with a fresh last layer, for classes other than the weights'.")

    def reads(self) -> Reads:
        return Reads((self.options.column,))

    def losses(self, model: Any, batch: Batch) -> Losses:
        logits = model(batch.images[self.options.column])
        ce = self.cross_entropy(model, logits, batch.labels)
        return {"loss": ce, "ce": ce}, logits
