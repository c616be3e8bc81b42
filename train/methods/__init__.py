"""Training methods by name. Another package lists its own in the entry-point group ``codecproof.methods``."""

from __future__ import annotations

from shards.registry import Registry
from train.methods.base import Context, Defaults, Method
from train.methods.reads import CLEAN, Mixture, Reads
from train.options import option

__all__ = ["CLEAN", "METHODS", "Context", "Defaults", "Method", "Mixture", "Reads", "option"]

METHODS = Registry(
    "codecproof.methods",
    "method",
    {
        "finetune": "train.methods.finetune:FineTuning",
        "expert": "train.methods.expert:Expert",
        "stability": "train.methods.stability:Stability",
        "mixture": "train.methods.mixture:MixtureTuning",
        "consistency": "train.methods.consistency:Consistency",
        "augment": "train.methods.augment:Augment",
        "deepcloak": "train.methods.deepcloak:DeepCloak",
        "conditioned": "train.methods.conditioned:Conditioned",
        "progressive": "train.methods.progressive:Progressive",
        "augmix": "train.methods.augmix:AugMix",
        "pretransform": "train.methods.pretransform:Pretransform",
        "master": "train.methods.master:Master",
        "batchnorm": "train.methods.batchnorm:BatchNorm",
    },
)
