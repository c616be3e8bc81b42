"""The master of a master-slave network (Ghosh et al. 2018): it predicts the branch for a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from train.methods.base import Context, Defaults, Losses, Method
from train.methods.reads import Mixture, Reads, listed
from train.options import option

if TYPE_CHECKING:
    from torch import Tensor, nn

    from train.feed.data import Batch
    from train.networks.network import Network


class Master(Method):
    """Predict the kind of degradation, to choose a branch (master-slave, Ghosh et al. 2018).

    Mean cross-entropy on bins of columns, all bins equally likely. --arch master is the article's small network
    (its layer sizes are ours); any other works too. Its top-1 counts bins. 'train evaluate --router switched
    --master RUN/best.safetensors' lets it choose among checkpoints, one for each bin.
    """

    title = "Master"
    counts_everywhere = True
    may_start_fresh = True
    evaluated = False
    example = "--bins clean,jpeg-75/jpeg-10,jpeg-5/j2k-200 --arch master --weights none --out runs/master"

    @dataclass(frozen=True)
    class Options:
        bins: str = option(
            help="Columns of a branch joined by commas, branches by slashes, as clean/jpeg-10,jpeg-5."
        )

    def __init__(self, options: Any, context: Context) -> None:
        super().__init__(options, context)
        self.bins = [
            listed(part, f"bin {number} of --bins") for number, part in enumerate(options.bins.split("/"), 1)
        ]
        names = [name for part in self.bins for name in part]
        if len(self.bins) < 2 or len(set(names)) < len(names):
            raise ValueError(
                "--bins needs at least two bins, each column in one of them, as in clean/jpeg-10,jpeg-5"
            )
        # Every bin as often as the others: the columns of small bins are listed several times.
        common = math.lcm(*map(len, self.bins))
        drawn = [(name, i) for i, part in enumerate(self.bins) for name in part * (common // len(part))]
        self.mixture = Mixture(tuple(name for name, _ in drawn))
        self.bin_of = [i for _, i in drawn]

    new_head = True

    def reads(self) -> Reads:
        return Reads((self.mixture,))

    def defaults(self) -> Defaults:
        return Defaults(lr=1e-4, batch=128, epochs=5)

    def model(self, network: Network) -> nn.Module:
        from train.networks import models

        described = {k: v for k, v in network.description.items() if k not in ("classes", "package")}
        own = models.make(classes=len(self.bins), **described)
        head = set(own.head())
        kept = {name: value for name, value in network.net.state_dict().items() if name not in head}
        own.net.load_state_dict(kept, strict=False)
        return own

    def targets(self, batch: Batch) -> Tensor:
        import torch

        drawn = batch.drawn[self.mixture.name]
        return torch.tensor(self.bin_of, device=drawn.device)[drawn]

    def losses(self, model: Any, batch: Batch) -> Losses:
        logits = model(batch.images[self.mixture.name])
        ce = self.cross_entropy(model, logits, self.targets(batch))
        return {"loss": ce, "ce": ce}, logits
