"""Pre-transformation (Suzuki et al. 2019): pictures that need fewer bits at the same accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from train.methods.base import Defaults, Losses, Method
from train.methods.reads import CLEAN, Reads
from train.options import option

if TYPE_CHECKING:
    from torch import nn

    from train.feed.data import Batch
    from train.networks.network import Network


class Pretransform(Method):
    """Rewrite pictures before an encoder, for a frozen classifier (pre-transformation, Suzuki et al. 2019).

    L = CE(g(y), label) + tv · tv_scale · (mean |∂x y| + mean |∂y y|): y the rewritten picture, g the frozen
    network. The first steps only reconstruct: mean (y - x)². 'distort add DATASET --distortions pre:FILE+jpeg-10'
    encodes the results. The ablation: --bypass none and --tv 0. Palacio et al. 2018: both, and --decoder-only.
    """

    title = "Pre-transformed"
    example = "--arch vgg16 --weights imagenet --out runs/pre"

    @dataclass(frozen=True)
    class Options:
        column: str = option(CLEAN, help="The pictures to rewrite.")
        bypass: Literal["stage", "residual", "none"] = option("stage", help="Ways around the encoder-decoder.")
        tv: float = option(1.0, minimum=0, help="Weight of total variation.")
        tv_scale: float = option(1.0, above=0, help="Unit of it: 1 is fractions of 255, 255 is grey levels.")
        reconstruct: int = option(500, minimum=0, help="Steps of plain reconstruction at the start.")
        decoder_only: bool = option(False, help="After those, only the decoder learns.")
        width: int = option(64, minimum=1, maximum=512, help="Channels of the first stage.")

    def reads(self) -> Reads:
        return Reads((self.options.column,))

    def defaults(self) -> Defaults:
        return Defaults(lr=1e-4, batch=32, epochs=3)

    def remarks(self, epochs: int, steps: int) -> list[str]:
        """A note when the classifier's answers are never learned from."""
        if epochs * steps > self.options.reconstruct:
            return []
        return [
            f"this training has {epochs * steps} steps, of which the first {self.options.reconstruct} only "
            "reconstruct: the classifier's loss is never minimised; use a smaller --reconstruct or more --epochs"
        ]

    def model(self, network: Network) -> nn.Module:
        import torch

        from train.networks.models import wrap

        made = wrap("pretransform", network, bypass=self.options.bypass, width=self.options.width)
        made.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        return made

    def parameter_groups(self, model: Any) -> list[dict[str, Any]]:
        return [{"params": list(model.net.transform.parameters())}]

    def train_mode(self, model: Any) -> None:
        model.train()
        model.net.base.eval()

    def losses(self, model: Any, batch: Batch) -> Losses:
        import torch.nn.functional as F

        chosen, images = self.options, batch.images[self.options.column]
        rebuilding = model.steps < chosen.reconstruct
        pixels = model.pixels(images, chosen.decoder_only and not rebuilding)
        logits = model.classify(pixels)
        ce = self.cross_entropy(model, logits, batch.labels)
        tv = (pixels.diff(dim=3).abs().mean() + pixels.diff(dim=2).abs().mean()) * chosen.tv_scale
        mse = F.mse_loss(pixels, images.permute(0, 3, 1, 2) / 255)
        loss = mse if rebuilding else ce + chosen.tv * tv
        if model.training:
            model.steps += 1
        return {"loss": loss, "ce": ce, "tv": tv, "mse": mse}, logits
