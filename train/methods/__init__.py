"""Training methods by name. Another package lists its own in the entry-point group ``codecproof.methods``."""

from __future__ import annotations

from train.registry import Registry

METHODS = Registry(
    "codecproof.methods",
    "method",
    {
        "finetune": "train.methods.finetune:FineTuning",
        "expert": "train.methods.expert:Expert",
        "stability": "train.methods.stability:Stability",
    },
)
