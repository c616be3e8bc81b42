"""Fine-tuning on a mixture: one network for several distortions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from train.methods.base import Context, Losses
from train.methods.paper import FIRST_EPOCH, SHARED_QUIRKS, PaperMethod
from train.methods.reads import Mixture, Reads, listed
from train.options import option

if TYPE_CHECKING:
    from train.feed.data import Batch


class MixtureTuning(PaperMethod):
    """Cross-entropy on several columns: every sample of an epoch is read from one of them, drawn at random.

    L = mean CE(f(x̃), y). The draw is seeded by seed, epoch and key; all columns are equally likely.
    """

    title = "Mixture"
    kind = "finetune"
    counts_everywhere = True
    may_start_fresh = True
    quirks = {**SHARED_QUIRKS, **FIRST_EPOCH}
    example = "--columns jpeg-5,jpeg-10,jpeg-75 --arch mnasnet1_0 --weights imagenet --out runs/mixture"

    @dataclass(frozen=True)
    class Options:
        columns: str = option(help="Distortions to draw from, comma-separated, as jpeg-10,jpeg-5.")
        new_head: bool = option(False, help="Start with a fresh last layer, for classes other than the weights'.")

    def __init__(self, options: Any, context: Context) -> None:
        super().__init__(options, context)
        self.mixture = Mixture(listed(options.columns))

    def reads(self) -> Reads:
        return Reads((self.mixture,))

    def losses(self, model: Any, batch: Batch) -> Losses:
        logits = model(batch.images[self.mixture.name])
        ce = self.cross_entropy(model, logits, batch.labels)
        return {"loss": ce, "ce": ce}, logits
