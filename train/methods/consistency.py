"""Feature consistency training (Wan et al. 2020): the same features in a picture and in its compressed copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distort.distortion import parse, require_crops_only
from shards.console import names
from train.methods.base import Context, Defaults, Losses, Method
from train.methods.reads import CLEAN, Mixture, Reads, listed
from train.options import option

DISTORTED = "distorted"

if TYPE_CHECKING:
    from torch import nn

    from train.feed.data import Batch
    from train.networks.network import Network


class Consistency(Method):
    """The same features in a clean crop and in its distorted copy (feature consistency, Wan et al. 2020).

    L = CE(f(x), y) + beta · CE(f(x̃), y) + weight · Σ mean (F(x) - F(x̃))² over the tapped layers F, x and x̃ in
    one pass. x̃ is drawn from the columns anew for every sample and epoch. With --rmb the network gets a residual
    mapping block, with the quality from the bitstream's header as input. Only the article's abstract is public:
    layers, weights and the block's shape are ours. If both weights are 0, only x is used.
    """

    title = "Feature consistency"
    counts_everywhere = True
    example = "--columns jpeg-75,jpeg-10,jpeg-5 --arch resnet50 --weights imagenet --out runs/fct"

    @dataclass(frozen=True)
    class Options:
        columns: str = option(help="Distortions to draw from, comma-separated, as jpeg-10,jpeg-5.")
        online: bool = option(False, help="Make the distortions of the clean crops while training.")
        taps: str | None = option(
            None, metavar="LAYERS", help="Layers to compare, comma-separated. Default: the last four stages."
        )
        weight: float = option(1.0, minimum=0, help="Of the distance of the features.")
        beta: float = option(0.0, minimum=0, help="Of the cross-entropy on the distorted pictures.")
        stop_gradient: bool = option(False, help="No gradient through the clean pictures' features.")
        rmb: bool = option(False, help="Add a residual mapping block after the first stage.")

    def __init__(self, options: Any, context: Context) -> None:
        super().__init__(options, context)
        self.mixture = Mixture(listed(options.columns), DISTORTED, options.online)
        if options.online:
            # Fail now, not at the first picture.
            require_crops_only(map(parse, self.mixture.columns), "--online sees")
        self.layers: list[str] = []

    def reads(self) -> Reads:
        return Reads((CLEAN, self.mixture), headers=self.options.rmb)

    def defaults(self) -> Defaults:
        return Defaults(lr=1e-5, batch=128, epochs=10)

    def check(self, network: Network) -> None:
        chosen = self.options.taps
        self.layers = names(chosen, "--taps") if chosen else network.stages()
        for name in self.layers:
            network.layer(name)

    def model(self, network: Network) -> nn.Module:
        from train.networks.models import wrap

        self.check(network)
        return wrap("rmb", network, layer=network.stages()[0]) if self.options.rmb else network

    def losses(self, model: Any, batch: Batch) -> Losses:
        import torch
        import torch.nn.functional as F

        chosen, clean = self.options, batch.images[CLEAN]
        if not chosen.weight and not chosen.beta:
            logits = model(clean)
            ce = self.cross_entropy(model, logits, batch.labels)
            return {"loss": ce, "ce": ce}, logits
        told = []
        if chosen.rmb:
            known = model.told(batch.headers[DISTORTED])
            told = [torch.cat([torch.full_like(known, torch.nan), known])]
        both, found = model.taps(torch.cat([clean, batch.images[DISTORTED]]), self.layers, *told)
        logits, distorted = both.chunk(2)
        ce = self.cross_entropy(model, logits, batch.labels)
        distance = torch.zeros((), device=ce.device)
        for features in found.values():
            own, copy = features.float().chunk(2)
            distance = distance + F.mse_loss(copy, own.detach() if chosen.stop_gradient else own)
        distorted_ce = self.cross_entropy(model, distorted, batch.labels)
        loss = ce + chosen.beta * distorted_ce + chosen.weight * distance
        return {"loss": loss, "ce": ce, "distorted_ce": distorted_ce, "distance": distance}, distorted
