"""Optimisers by name."""

from __future__ import annotations

from typing import Any

import torch

from train.recipes import Recipe

ADAM_BETAS = (0.5, 0.99)  #: Marie et al. 2022


def make(recipe: Recipe, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    """The recipe's optimiser over parameter ``groups`` (dicts with ``params`` and perhaps ``scale``)."""
    if recipe.weight_decay:
        groups = [part for group in groups for part in _decayed(group)]
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=0.9, weight_decay=recipe.weight_decay)
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=lr, weight_decay=recipe.weight_decay)
    return torch.optim.Adam(groups, lr=lr, betas=ADAM_BETAS, weight_decay=recipe.weight_decay)


def _decayed(group: dict[str, Any]) -> list[dict[str, Any]]:
    """Weights are decayed; biases and the parameters of norms, which have one dimension, are not."""
    weights = [parameter for parameter in group["params"] if parameter.ndim > 1]
    others = [parameter for parameter in group["params"] if parameter.ndim <= 1]
    parts = [{**group, "params": weights}, {**group, "params": others, "weight_decay": 0.0}]
    return [part for part in parts if part["params"]]


def set_lr(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Give every group the learning rate ``lr`` times its own ``scale``."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group.get("scale", 1.0)
