"""A frozen network whose scores are soft targets."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from train.networks.network import Network
from train.networks.precision import exact


class Teacher:
    """A frozen copy of a network. Not an ``nn.Module``: no ``.train()`` or ``.parameters()`` reaches it."""

    def __init__(self, network: Network, device: torch.device | str = "cpu"):
        self._network = copy.deepcopy(network).to(device).eval().requires_grad_(False)
        self._device = torch.device(device)

    @torch.no_grad()
    def log_probs(self, images: Tensor) -> Tensor:
        """float16 (batch, classes) log-probabilities, computed in float32 without TF32, whatever the student uses.

        They are rounded as in the cache, so that cached and live teachers agree.
        """
        self._network.eval()
        with exact(self._device):
            return self._network(images.to(self._device)).log_softmax(1).half()
