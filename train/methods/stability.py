"""Stability training (Zheng et al. 2016): the same prediction with and without noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from train.methods.base import Context, Defaults, Losses, Scalar
from train.methods.paper import EPOCHS, KL_SUM, SHARED_QUIRKS, PaperMethod
from train.methods.reads import CLEAN, Reads
from train.options import option
from train.recipes.schedules import PATIENCE, Plateau

if TYPE_CHECKING:
    from train.feed.data import Batch


class Stability(PaperMethod):
    """The same answer with and without noise, last layer only (Zheng et al. 2016).

    L = mean CE(f(x), y) + weight · mean KL(softmax f(x) ‖ softmax f(x′)). By default noise is added in float and
    rounded, gradients flow through both branches, and batch norm keeps its statistics.
    """

    title = "Stability"
    kind = "stability"
    counts_everywhere = True
    stages = 1
    quirks = {
        **KL_SUM,
        **SHARED_QUIRKS,
        "patience": "the learning rate falls after the 4th bad epoch, not the 3rd",
        "epochs": "44 epochs, not 45",
        "one-sided": "no gradient through the noisy branch",
        "bn-drift": "the frozen layers' running statistics follow the batches, noisy and clean",
        "truncated-noise": "noise times 256, fractions cut off",
    }
    example = "--arch resnet50 --weights imagenet --protocol refcode --out runs/st"

    @dataclass(frozen=True)
    class Options:
        column: str = option(CLEAN, help="The pictures that noise is added to.")
        alpha: float | None = option(
            None, minimum=0, help="Weight of KL summed over the paper's batch. Default: the protocol's."
        )
        sigma: float | None = option(
            None, minimum=0, maximum=1, help="Of the noise, a fraction of the range. Default: the protocol's."
        )

    def __init__(self, options: Any, context: Context) -> None:
        super().__init__(options, context)
        self.alpha = self.numbers.alpha if options.alpha is None else options.alpha
        self.sigma = self.numbers.sigma if options.sigma is None else options.sigma

    def settings(self) -> dict[str, Scalar]:
        return {"alpha": self.alpha, "sigma": self.sigma}

    def reads(self) -> Reads:
        return Reads((self.options.column,))

    def defaults(self) -> Defaults:
        found = super().defaults()
        return replace(found, epochs=EPOCHS - 1) if "epochs" in self.context.quirks else found

    def plateau(self, lr: float) -> Plateau:
        found = super().plateau(lr)
        found.patience = PATIENCE + ("patience" in self.context.quirks)
        return found

    def parameter_groups(self, model: Any) -> list[dict[str, Any]]:
        return [{"params": [p for _, layer in model.last(1) for p in layer.parameters()]}]

    def train_mode(self, model: Any) -> None:
        from train.networks.network import batch_norms

        model.train()
        if "bn-drift" not in self.context.quirks:
            for norm in batch_norms(model):
                norm.eval()

    def losses(self, model: Any, batch: Batch) -> Losses:
        import torch

        from train.methods.terms import add_noise, divergence

        quirks, images = self.context.quirks, batch.images[self.options.column]
        noisy = add_noise(images, self.sigma, "truncated-noise" in quirks)
        with torch.set_grad_enabled(torch.is_grad_enabled() and "one-sided" not in quirks):
            noisy_log_probs = model(noisy).log_softmax(1)
        logits = model(images)
        ce = self.cross_entropy(model, logits, batch.labels)
        kl = divergence(logits.log_softmax(1), noisy_log_probs)
        return {"loss": ce + self.weight(self.alpha) * kl, "ce": ce, "kl": kl}, logits
