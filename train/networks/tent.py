"""TENT (Wang et al. 2021, arXiv 2006.10726): a network that adapts to the test data, without labels."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from train.networks.network import ModelError, Network, batch_norms

if TYPE_CHECKING:
    from train.feed.data import Batch

LR, MOMENTUM = 2.5e-4, 0.9  #: of SGD, the article's for ImageNet at 64 pictures a batch


class Tent(nn.Module):
    """Batch norm uses the batch's statistics; one SGD step per batch on its scale and shift reduces the entropy.

    A batch is classified before its step. Each column has its own copy of the network. A result depends on the
    batch size and on the order, which is the dataset's; each rank adapts alone.
    """

    def __init__(self, network: Network, lr: float = LR):
        super().__init__()
        if not any(norm.affine for norm in batch_norms(network)):
            raise ModelError("TENT adapts batch norm, and this network has none")
        self.network, self.lr = network, lr
        self.needs_headers = network.needs_headers
        self.net = network.net  # identified by its starting weights
        self.adapted: dict[str, tuple[Network, torch.optim.Optimizer]] = {}

    def answer(self, batch: Batch, name: str) -> Tensor:
        """Logits, float32 (batch, classes), of the pictures called ``name``; adapts to them."""
        network, optimiser = self._own(name)
        with torch.enable_grad():
            logits = network.answer(batch, name)
            log_probs = logits.log_softmax(1)
            entropy = -(log_probs.exp() * log_probs).sum(1).mean()
            optimiser.zero_grad()
            entropy.backward()
        optimiser.step()
        return logits.detach()

    def _own(self, name: str) -> tuple[Network, torch.optim.Optimizer]:
        """This column's copy of the network and its optimiser."""
        if name not in self.adapted:
            network = copy.deepcopy(self.network).eval().requires_grad_(False)
            trained = []
            for norm in batch_norms(network):
                norm.train()
                norm.track_running_stats, norm.running_mean, norm.running_var = False, None, None
                if norm.affine:
                    trained += [parameter.requires_grad_(True) for parameter in norm.parameters(recurse=False)]
            self.adapted[name] = network, torch.optim.SGD(trained, lr=self.lr, momentum=MOMENTUM)
        return self.adapted[name]
