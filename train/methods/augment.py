"""Data augmentation (Ghosh et al. 2018): the last layers learn from clean and degraded pictures together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from train.methods.base import Context, Defaults, Losses, Method
from train.methods.reads import CLEAN, Mixture, Reads, listed
from train.options import option

FULLY_CONNECTED = {"fc8": slice(2, 3), "fc67": slice(0, 2), "fc678": slice(0, 3)}
HAVING = ("VGG", "AlexNet")  #: torchvision's networks with the layers fc6, fc7 and fc8

if TYPE_CHECKING:
    from torch import nn

    from train.feed.data import Batch
    from train.networks.network import Network


class Augment(Method):
    """Cross-entropy on clean and distorted pictures, last layers only (data augmentation, Ghosh et al. 2018).

    Half of the samples are clean crops, the others are drawn from the columns. Everything before the chosen layers
    is frozen, running statistics too. The article gives neither its mixture nor its learning rate.
    """

    title = "Augmentation"
    counts_everywhere = True
    example = "--columns jpeg-5,jpeg-10,jpeg-20 --layers fc678 --arch vgg16 --weights imagenet --out runs/da"

    @dataclass(frozen=True)
    class Options:
        columns: str = option(help="Distortions to draw from, comma-separated, as jpeg-10,jpeg-5.")
        layers: str = option(
            "last:3", help="What is trained: fc8, fc67 or fc678 of VGG and AlexNet, or last:K, the last K layers."
        )
        clean: bool = option(True, help="Half of the samples are clean crops.")

    def __init__(self, options: Any, context: Context) -> None:
        super().__init__(options, context)
        columns = listed(options.columns)
        if set(columns) == {CLEAN}:
            raise ValueError("--columns clean: augmentation needs a distortion: name one")
        self.mixture = Mixture(columns + (CLEAN,) * (len(columns) if options.clean else 0))
        name, colon, count = options.layers.partition(":")
        if name not in FULLY_CONNECTED and not (name == "last" and colon and count.isdigit() and int(count)):
            raise ValueError(
                f"--layers {options.layers}: choose {', '.join(FULLY_CONNECTED)} or last:K, as last:3"
            )

    def reads(self) -> Reads:
        return Reads((self.mixture,))

    def defaults(self) -> Defaults:
        return Defaults(lr=1e-5, batch=128, epochs=5)

    def check(self, network: Network) -> None:
        self.chosen(network)

    def chosen(self, network: Network) -> list[nn.Module]:
        """The layers that are trained. Raises ModelError when the network has no layer of that name."""
        from train.networks.network import ModelError

        part = FULLY_CONNECTED.get(self.options.layers)
        if part is None:
            return [layer for _, layer in network.last(int(self.options.layers.partition(":")[2]))]
        if type(network.net).__name__ not in HAVING:
            raise ModelError(
                f"--layers {self.options.layers} is for VGG and AlexNet, but {self.context.arch} has no such "
                "layers: use --layers last:K"
            )
        return [layer for _, layer in network.last(3)][part]

    def parameter_groups(self, model: Any) -> list[dict[str, Any]]:
        return [{"params": [p for layer in self.chosen(model) for p in layer.parameters()]}]

    def train_mode(self, model: Any) -> None:
        from train.networks.network import batch_norms

        model.train()
        for norm in batch_norms(model):
            norm.eval()

    def losses(self, model: Any, batch: Batch) -> Losses:
        logits = model(batch.images[self.mixture.name])
        ce = self.cross_entropy(model, logits, batch.labels)
        return {"loss": ce, "ce": ce}, logits
