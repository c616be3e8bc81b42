"""One network for all codecs and qualities: batch norm that depends on the bitstream's header.

``film`` scales and shifts every batch norm's output (feature-wise modulation). ``blend`` mixes several batch
norms, as the quantisation-aware batch norm of Ma et al. 2023 (arXiv 2304.10714) does from JPEG's quantisation
tables; here the weights come from codec and quality. Both start out equal to the wrapped network.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from distort.codecs.headers import LOSSLESS, Header
from train.networks.network import ModelError, Network, batch_norms
from train.networks.wrapped import Told, Wrapping, quality

FORMS = ("film", "blend")
HIDDEN = 32  #: features of the condition
BLENDED = 3  #: batch norms that ``blend`` mixes


class Conditioned(nn.Module):
    """``base`` whose batch norms depend on a condition, float32 (batch, ``inputs``)."""

    def __init__(self, base: nn.Module, inputs: int, form: str):
        super().__init__()
        self.base, self.form = base, form
        norms = batch_norms(base)
        self.condition = nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
        if form == "film":
            heads = [nn.Linear(HIDDEN, 2 * norm.num_features) for norm in norms]
            self.heads = nn.ModuleList(heads)
            for head in heads:
                nn.init.zeros_(head.weight)
                nn.init.zeros_(head.bias)
        else:
            self.weigh = nn.Linear(HIDDEN, BLENDED)
            self.others = nn.ModuleList(
                nn.ModuleList(copy.deepcopy(norm) for _ in range(BLENDED - 1)) for norm in norms
            )

    def forward(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """Logits (batch, classes) of NCHW floats; without a condition those of ``base``."""
        if told is None:
            return self.base(x)
        features = self.condition(told)
        norms = batch_norms(self.base)
        if self.form == "film":
            hooks = [self._scaled(head(features)) for head in self.heads]
        else:
            weights = self.weigh(features).softmax(1)
            hooks = [self._blended(others, weights) for others in self.others]  # type: ignore[arg-type]
        handles = [norm.register_forward_hook(hook) for norm, hook in zip(norms, hooks, strict=True)]
        try:
            return self.base(x)
        finally:
            for handle in handles:
                handle.remove()

    @staticmethod
    def _scaled(numbers: Tensor) -> Callable:
        scale, shift = numbers.chunk(2, 1)

        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            shape = (*scale.shape, *[1] * (output.ndim - 2))
            return output * (1 + scale.view(shape)) + shift.view(shape)

        return hook

    @staticmethod
    def _blended(others: nn.ModuleList, weights: Tensor) -> Callable:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            shape = (-1, *[1] * (output.ndim - 1))
            made = output * weights[:, 0].view(shape)
            for i, other in enumerate(others, 1):
                made = made + other(inputs[0]) * weights[:, i].view(shape)
            return made

        return hook


class ConditionedNetwork(Told):
    """A network around ``Conditioned``; its extra inputs are the codec (one of ``codecs``) and the quality."""

    codecs: Sequence[str] = ()

    def told(self, headers: Sequence[Header]) -> Tensor:
        """float32 (batch, 3 + codecs): lossless, quality or 0, whether that is known, 1 for the codec."""
        rows = []
        for header in headers:
            known = quality(header)
            value = 0.0 if math.isnan(known) else known
            kind = [float(header.codec == codec) for codec in self.codecs]
            rows.append([float(header.codec == LOSSLESS), value, float(not math.isnan(known)), *kind])
        return torch.tensor(rows, device=self.mean.device)


class Conditioning(Wrapping):
    """``conditioned``: a network with codec and quality as inputs; ``codecs`` are those it distinguishes."""

    def around(self, network: Network, codecs: str = "", form: str = "film") -> Network:
        """``codecs``: comma-separated. Raises ModelError for another ``form`` or a network without batch norm."""
        names = [name for name in codecs.split(",") if name] if isinstance(codecs, str) else []
        if form not in FORMS or len(names) > 100:
            raise ModelError(f"a conditioned network of form {form!r:.40} cannot be built")
        if not batch_norms(network.net):
            raise ModelError(f"{type(network.net).__name__} has no batch norm to condition")
        made = ConditionedNetwork(Conditioned(network.net, 3 + len(names), form), network)
        made.codecs = names
        return made
