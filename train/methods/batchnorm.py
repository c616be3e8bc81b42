"""Batch-norm re-estimation: only the running statistics change, to those of one column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from train.methods.base import Defaults, Losses, Method
from train.methods.reads import Reads
from train.options import option

if TYPE_CHECKING:
    from torch import nn

    from train.feed.data import Batch
    from train.networks.network import Network


class BatchNorm(Method):
    """Re-estimate batch norm's running statistics on one column; no weight changes (Li et al. 2017, AdaBN).

    One epoch of passes without gradient; every statistic is the mean over its batches. With several ranks, only
    rank 0's share of the data is used.
    """

    title = "Batch norm"
    example = "--column jpeg-10 --arch resnet50 --weights imagenet --out runs/bn-jpeg-10"

    @dataclass(frozen=True)
    class Options:
        column: str = option(help="The distortion to measure, as jpeg-10.")

    def defaults(self) -> Defaults:
        return Defaults(lr=0.0, batch=384, epochs=1, published=True)

    def reads(self) -> Reads:
        return Reads((self.options.column,))

    def model(self, network: Network) -> nn.Module:
        from train.networks.network import ModelError, batch_norms

        norms = batch_norms(network)
        if not norms:
            raise ModelError(f"{self.context.arch} has no batch norm to re-estimate")
        for norm in norms:
            norm.momentum = None  # the mean over all batches from now on
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.zero_()
        return network

    def parameter_groups(self, model: Any) -> list[dict[str, Any]]:
        return []

    def train_mode(self, model: Any) -> None:
        from train.networks.network import batch_norms

        model.eval()
        for norm in batch_norms(model):
            norm.train()

    def losses(self, model: Any, batch: Batch) -> Losses:
        logits = model(batch.images[self.options.column])
        ce = self.cross_entropy(model, logits, batch.labels)
        return {"loss": ce, "ce": ce}, logits
