"""Datasets of tar shards in, trained networks and their accuracy out. Needs the extra ``[train]``.

>>> import train
>>> run = train.fit("expert", "data/train", val="data/val", column="jpeg-10", arch="lite0", weights="imagenet",
...                 out="runs/et-jpeg-10")
>>> found = train.evaluate("data/val", [run / "best.safetensors"], columns=["clean", "jpeg-10"])
>>> found.results[0].columns["jpeg-10"].top1

PyTorch is imported on first access to one of the functions. To add methods and networks, see
``train.methods`` and ``train.networks``.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from train.api import evaluate, export, fit, teach
    from train.engine.signals import Stopped

__all__ = ["Stopped", "evaluate", "export", "fit", "teach"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'train' has no attribute '{name}'")
    if name == "Stopped":
        from train.engine.signals import Stopped

        return Stopped
    collecting = gc.isenabled()
    gc.disable()  # it would look through PyTorch's million new objects again and again: a fifth of the import
    try:
        from train import api
    finally:
        if collecting:
            gc.enable()
    return getattr(api, name)
