"""DeepCloak (Gao et al. 2017) against compression, as Ghosh et al. 2018 compare with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from train.methods.base import Context, Defaults, Losses, Method
from train.methods.reads import CLEAN, Reads
from train.options import option

if TYPE_CHECKING:
    from torch import nn

    from train.feed.data import Batch
    from train.networks.network import Network


class DeepCloak(Method):
    """Switch off the features that react most to a distortion (DeepCloak); nothing is trained.

    The score of a feature before the last layer is Σ |F(x̃) - F(x)| over TRAIN; the highest --percent of them
    become zero. The original distorts with adversarial noise; Ghosh et al. average one mask per class: here there
    is one for all classes. With several ranks, only rank 0's share of the data is used.
    """

    title = "DeepCloak"
    example = "--column jpeg-10 --percent 1 --arch vgg16 --weights imagenet --out runs/deepcloak"

    @dataclass(frozen=True)
    class Options:
        column: str = option(help="The distortion whose features are masked, as jpeg-10.")
        percent: float = option(1.0, minimum=0, below=100, help="Of the features that become zero.")

    def __init__(self, options: Any, context: Context) -> None:
        super().__init__(options, context)
        if options.column == CLEAN:
            raise ValueError("--column clean: DeepCloak compares a distortion with the clean pictures: name one")

    def reads(self) -> Reads:
        return Reads((CLEAN, self.options.column))

    def defaults(self) -> Defaults:
        return Defaults(lr=0.0, batch=128, epochs=1, published=True)

    def model(self, network: Network) -> nn.Module:
        import torch

        from train.networks.models import wrap

        made = wrap("masked", network)
        made.register_buffer("score", torch.zeros_like(made.net.get_buffer("mask")))
        return made

    def parameter_groups(self, model: Any) -> list[dict[str, Any]]:
        return []

    def train_mode(self, model: Any) -> None:
        # Module.train would also switch dropout and batch norm; set only the flag of the outermost module.
        model.eval()
        model.training = True

    def losses(self, model: Any, batch: Batch) -> Losses:
        distorted = model.normalised(batch.images[self.options.column])
        logits, own = model.net.seen(distorted)
        if model.training:
            _, clean = model.net.seen(model.normalised(batch.images[CLEAN]))
            model.score += (own - clean).abs().sum(0).detach()
        ce = self.cross_entropy(model, logits, batch.labels)
        return {"loss": ce, "ce": ce}, logits

    def predictor(self, model: Any) -> Network:
        count = round(len(model.score) * self.options.percent / 100)
        model.net.mask.fill_(1)
        if model.score.any():  # before the first epoch there are no scores
            model.net.mask[model.score.topk(count).indices] = 0
        return model
