"""The router: it reads codec and quality from the bitstream's header and uses the expert for them.

No network estimates the quality, so this bounds methods that have to estimate it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from distort import codecs
from distort.codecs.headers import LOSSLESS, Header, header_of, read_header
from train.networks.precision import exact
from train.networks.wrapped import quality
from train.routing.committee import grouped

if TYPE_CHECKING:
    from train.feed.data import Batch

OTHERWISE = ("nearest", "base", "error")  #: what to do with a bitstream that no expert was trained for
TOLERANCE = 0.1  #: relative, for values that a format gives only roughly (JPEG 2000's ratio)

Answering = Callable[[Tensor], Tensor]


class NoExpert(ValueError):
    """No expert was trained for a bitstream, and the policy offers nothing else; the message names both."""


class Router(nn.Module):
    """Experts by the column that each was trained for, as ``{"jpeg-10": network, "bpg-46": network}``.

    An expert is a ``Network`` or anything that takes uint8 pictures (batch, height, width, 3) and returns logits,
    as ``Onnx("expert.onnx")`` and ``torch.export.load("expert.pt2").module()`` do. ``base`` is used without an
    expert. ``otherwise``: ``nearest``, the expert of the same codec whose quality is nearest, else ``base``;
    ``base``; or ``error``.

    >>> Router({"jpeg-10": expert}, base=pretrained).predict([path.read_bytes()])
    """

    needs_headers = True

    def __init__(
        self, experts: Mapping[str, Answering], base: Answering | None = None, otherwise: str = "nearest"
    ):
        super().__init__()
        if otherwise not in OTHERWISE:
            raise ValueError(f"unknown policy '{otherwise}': there are {', '.join(OTHERWISE)}")
        if not experts:
            raise ValueError("a router needs at least one expert")
        if otherwise == "base" and base is None:
            raise ValueError("the policy 'base' needs a base network: give --arch with --weights")
        self.columns, self.otherwise = list(experts), otherwise
        self.headers = [header_of(column) for column in experts]
        self.experts: list[Answering] = [*experts.values(), *([] if base is None else [base])]
        self.base = None if base is None else len(experts)
        self.net = nn.ModuleList(expert for expert in self.experts if isinstance(expert, nn.Module))

    def train(self, mode: bool = True) -> Router:
        """Set the mode of the experts that have one: exported ones have not."""
        self.training = mode
        for expert in self.net:
            with suppress(NotImplementedError):
                expert.train(mode)
        return self

    def choose(self, header: Header) -> int:
        """Index in ``experts`` of the expert for this header. Raises NoExpert."""
        same = [i for i, own in enumerate(self.headers) if own.codec == header.codec]
        if header.value is None:
            fit = same if len(same) == 1 else []  # without a quality, several experts cannot be told apart
        else:
            fit = [i for i in same if _agree(self.headers[i], header)]
            if not fit and self.otherwise == "nearest":
                fit = same
        if fit:
            wanted = quality(header)
            return min(fit, key=lambda i: abs(quality(self.headers[i]) - wanted))
        if self.base is None or self.otherwise == "error":
            what = "lossless pictures, as the clean ones" if header.codec == LOSSLESS else str(header)
            raise NoExpert(
                f"no expert was trained for {what}; there are experts for {', '.join(self.columns)}"
                + ("" if self.otherwise == "error" else "; a base network would answer it (--arch with --weights)")
            )
        return self.base

    def route(self, bitstream: bytes) -> str:
        """The column whose expert answers this bitstream, or "base". Raises NoExpert, ValueError."""
        chosen = self.choose(read_header(bitstream))
        return "base" if chosen == self.base else self.columns[chosen]

    def answer(self, batch: Batch, name: str) -> Tensor:
        """Logits, float32 (batch, classes), of the pictures called ``name``, by ``batch.headers``."""
        return grouped(self.experts, batch.images[name], [self.choose(header) for header in batch.headers[name]])

    @torch.no_grad()
    def predict(self, bitstreams: Sequence[bytes], batch: int = 64) -> Tensor:
        """Logits, float32 (len(bitstreams), classes), in the order of the bitstreams, which may be of any codecs.

        Each expert answers in batches of its own of at most ``batch`` pictures of one size. Raises NoExpert, and
        ValueError when a bitstream cannot be decoded.
        """
        self.eval()
        device = next((p.device for p in self.parameters()), torch.device("cpu"))
        groups: dict[tuple, list[int]] = {}
        pictures: list[np.ndarray] = []
        for i, data in enumerate(bitstreams):
            header = read_header(data)
            pictures.append(codecs.decode(data, _extension(header, data)))
            groups.setdefault((self.choose(header), pictures[i].shape), []).append(i)
        found: dict[int, Tensor] = {}
        with exact(device):
            for (expert, _), rows in groups.items():
                for part in (rows[at : at + batch] for at in range(0, len(rows), batch)):
                    images = torch.from_numpy(np.stack([pictures[i] for i in part])).to(device)
                    found.update(zip(part, self.experts[expert](images).float().cpu(), strict=True))
        return torch.stack([found[i] for i in range(len(bitstreams))]) if found else torch.empty(0, 0)


def _agree(own: Header, header: Header) -> bool:
    """Whether an expert for ``own`` was trained for ``header``; both have values of the same codec."""
    assert own.value is not None
    assert header.value is not None
    rough = codecs.load(own.codec).log_scale
    return abs(math.log(header.value / own.value)) < TOLERANCE if rough else own.value == header.value


def _extension(header: Header, data: bytes) -> str:
    if header.codec != LOSSLESS:
        return codecs.load(header.codec).extension  # type: ignore[attr-defined]
    return "png" if data.startswith(b"\x89PNG") else "webp"
