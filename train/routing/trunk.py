"""Branches that begin with the same layers: those run once per batch, and only the rest once per branch."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from train.networks.network import Network


class Shared(nn.Module):
    """``heads[k](trunk(images))`` is the answer of branch ``k``; heads and branches have the same weights."""

    def __init__(self, first: Network, trunk: Sequence[nn.Module], heads: Sequence[nn.Module]):
        super().__init__()
        self.first, self.layers, self.heads = first, nn.Sequential(*trunk), nn.ModuleList(heads)

    def trunk(self, images: Tensor) -> Tensor:
        """Features (batch, …) of pictures (batch, height, width, 3) in grey levels 0..255."""
        return self.layers(self.first.normalised(images))


@torch.no_grad()
def share(branches: Sequence[Any]) -> Shared | None:
    """The layers that all ``branches`` begin with, split off; None when there are none, or they cannot be split.

    Layers are shared when their weights and buffers are equal bit for bit, as after ``train augment``. The split
    is tried on random pictures before it is used.
    """
    if len(branches) < 2 or any(
        getattr(type(branch), "forward", None) is not Network.forward for branch in branches
    ):
        return None
    first, *others = branches
    if any(type(other.net) is not type(first.net) for other in others) or not all(
        torch.equal(other.mean, first.mean) and torch.equal(other.std, first.std) for other in others
    ):
        return None
    modes = [branch.training for branch in branches]
    side = first.input_size or 224
    images = torch.randint(
        0, 256, (2, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    images = images.to(first.mean.device)
    try:
        for branch in branches:
            branch.eval()
        names = _beginning(first, others, images)
        if not any(list(first.net.get_submodule(name).parameters()) for name in names):
            return None
        trunk = [first.net.get_submodule(name) for name in names]
        shared = Shared(first, trunk, [_without(branch.net, names) for branch in branches])
        features = shared.trunk(images)
        for branch, head in zip(branches, shared.heads, strict=True):
            if not torch.allclose(head(features).float(), branch(images), rtol=1e-4, atol=1e-5):
                return None
    except Exception:  # for example a network that reads the size of its pictures: it runs whole
        return None
    finally:
        for branch, mode in zip(branches, modes, strict=True):
            branch.train(mode)
    return shared


def _beginning(first: Network, others: Sequence[Network], images: Tensor) -> list[str]:
    """Names of the outermost equal layers that the pictures pass one after the other, from the input on."""
    calls: list[tuple[str, Any, Any]] = []
    inside: list[str] = []
    hooks = []
    for name in set.intersection(*(_equal(first.net, other.net) for other in others)):
        module = first.net.get_submodule(name)

        def enter(module: nn.Module, inputs: Any, name: str = name) -> None:
            inside.append(name)

        def leave(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
            inside.pop()
            if not inside:
                calls.append((name, inputs, output))

        hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        current = first.normalised(images)
        first.net(current)
    finally:
        for hook in hooks:
            hook.remove()
    found: list[str] = []
    called = [name for name, _, _ in calls]
    for name, inputs, output in calls:
        if (
            len(inputs) != 1
            or inputs[0] is not current
            or called.count(name) > 1
            or not isinstance(output, Tensor)
        ):
            break
        found.append(name)
        current = output
    return found


def _equal(module: nn.Module, other: nn.Module, name: str = "") -> set[str]:
    """Names of the layers, ``module`` itself included, that equal those of ``other`` with the same name."""
    found: set[str] = set()
    alike = type(module) is type(other) and module.extra_repr() == other.extra_repr()
    for part, child in module.named_children():
        inside, theirs = f"{name}.{part}".lstrip("."), getattr(other, part, None)
        found |= _equal(child, theirs, inside) if isinstance(theirs, nn.Module) else set()
        alike = alike and inside in found
    own, their = ({**dict(each.named_parameters(recurse=False)), **dict(each.named_buffers(recurse=False))}
                  for each in (module, other))  # fmt: skip
    if alike and own.keys() == their.keys() and all(torch.equal(own[key], their[key]) for key in own):
        found.add(name)
    return found


def _without(net: nn.Module, names: Sequence[str]) -> nn.Module:
    """``net`` with identities for the layers ``names``; it has the same tensors."""
    kept: dict[int, Any] = {id(tensor): tensor for tensor in [*net.parameters(), *net.buffers()]}
    return copy.deepcopy(net, kept | {id(net.get_submodule(name)): nn.Identity() for name in names})
