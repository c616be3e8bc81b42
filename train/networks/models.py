"""Networks by name, with fresh weights, with those of a file, or rebuilt from a checkpoint alone."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from shards.registry import Registry
from train.networks.kinds import Kind
from train.networks.network import ModelError, Network
from train.networks.weights import read_weights, save_weights, weights_sha256

__all__ = ["KINDS", "Loaded", "ModelError", "build", "load", "read_weights", "rebuild", "save_weights",
           "weights_sha256"]  # fmt: skip

KINDS = Registry(
    "codecproof.networks",
    "kind of network",
    {
        "torchvision": "train.networks.kinds:Torchvision",
        "timm": "train.networks.kinds:Timm",
        "function": "train.networks.kinds:Function",
        "lite0": "train.networks.kinds:Lite",
        "lite1": "train.networks.kinds:Lite",
        "lite2": "train.networks.kinds:Lite",
        "master": "train.networks.master:Master",
        "conditioned": "train.networks.conditioned:Conditioning",
        "masked": "train.networks.masked:Masked",
        "pretransform": "train.networks.transform:Pretransform",
        "rmb": "train.networks.repaired:ResidualMapping",
    },
)


@dataclass(frozen=True)
class Loaded:
    """A network and the metadata of its weights."""

    network: Network
    arch: str
    meta: dict[str, Any]  #: as ``save_weights`` wrote it; empty for weights from elsewhere


def parse(arch: str) -> tuple[str, str]:
    """``--arch`` as (kind, name): ``resnet50``, ``timm:resnet10t``, ``lite0``, or ``MODULE:FUNCTION``."""
    kind, colon, name = arch.partition(":")
    if kind in KINDS:
        return kind, name or kind
    return ("function" if colon else "torchvision"), arch


def make(kind: str, name: str, classes: int, **parameters: Any) -> Network:
    """A network with fresh weights and the description to rebuild it. Raises ModelError."""
    family: Kind = KINDS.load(kind)()
    built = family.build(name, classes, **parameters)
    network = built if isinstance(built, Network) else Network(built)
    network.description = {"kind": kind, "name": name, "classes": classes, **parameters}
    if package := KINDS.package(kind):
        network.description["package"] = package
    return network


def wrap(kind: str, network: Network, **parameters: Any) -> Network:
    """A network of a kind that ``wraps`` around ``network``, whose weights it keeps. Raises ModelError."""
    described = dict(network.description)
    inner, name, classes = (described.pop(part) for part in ("kind", "name", "classes"))
    described.pop("package", None)
    if described:
        raise ModelError(f"a network of kind '{inner}' already wraps another network: start from a plain one")
    made = KINDS.load(kind)().around(network, **parameters)
    arch = name if parse(name) == (inner, name) else f"{inner}:{name}"
    made.description = {"kind": kind, "name": arch, "classes": classes, **parameters}
    return made


def build(arch: str, classes: int) -> Network:
    """The network ``arch`` with fresh weights. Raises ModelError."""
    kind, name = parse(arch)
    return make(kind, name, classes)


def rebuild(file: str, meta: Mapping[str, Any], classes: int | None = None, named: str | None = None) -> Network:
    """The network that the metadata of ``file`` describe, with fresh weights and as many classes (None: its own).

    ``named`` is the user's ``--arch``. A network whose name selects code to run or a server to contact is built
    only if ``named`` is the same name. Raises ModelError.
    """
    described = meta.get("network") or {}
    kind, name = described.get("kind"), described.get("name")
    parameters = {k: v for k, v in described.items() if k not in ("kind", "name", "classes", "package")}
    if not described:  # weights of earlier versions, without a description
        kind, name = parse(meta["arch"])
    if not isinstance(kind, str) or not isinstance(name, str):
        raise ModelError(f"{file}: its metadata do not name a network (kind {kind!r:.40}, name {name!r:.40})")
    if kind not in KINDS:
        package = described.get("package")
        raise ModelError(
            f"{file} holds a network of kind '{kind:.60}', which no installed package provides"
            + (f"; it was made with the package {package!r:.60}" if package else "")
        )
    family = KINDS.load(kind)
    confirmed = named is not None and (parse(named) == (kind, name) or (family.wraps and named == name))
    # A further colon leads elsewhere: timm:hf-hub:… asks a server.
    if (family.must_be_named or ":" in name) and not confirmed:
        raise ModelError(
            f"{file} needs the network '{name:.100}', which imports code or downloads files of that name; "
            "if you trust it, name it with --arch"
        )
    if classes is None and not (isinstance(classes := described.get("classes"), int) and 0 < classes < 10**6):
        raise ModelError(f"{file}: its metadata say {classes!r:.40} classes, not a positive number")
    try:
        inspect.signature(KINDS.load(kind)().build).bind(name, classes, **parameters)
    except TypeError:
        odd = ", ".join(map(str, parameters)) or "none"
        raise ModelError(f"{file}: its network has parameters that '{kind}' does not have: {odd:.100}") from None
    return make(kind, name, classes, **parameters)


def load(arch: str, weights: str, classes: int, new_head: bool = False) -> Loaded:
    """``arch`` with weights ``imagenet``, ``none`` (fresh) or those of a file. Raises ModelError.

    ``new_head`` keeps the last layer fresh and does not load it.
    """
    kind, name = parse(arch)
    network = make(kind, name, classes)
    if weights == "none":
        return Loaded(network, arch, {})
    if weights == "imagenet":
        state, meta = KINDS.load(kind)().imagenet(name), dict[str, Any]()
    else:
        if not Path(weights).exists():
            near = difflib.get_close_matches(weights.lower(), ["imagenet", "none"], n=1, cutoff=0.7)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise ModelError(f"no weights at {weights}: {hint}--weights takes imagenet, none or a local file")
        state, meta = read_weights(weights)
        if meta.get("arch", arch) != arch:
            raise ModelError(f"{weights} holds a {meta['arch']}, not a {arch}")
    _fit(network, state, "ImageNet weights" if weights == "imagenet" else weights, arch, new_head)
    return Loaded(network, arch, meta)


def load_checkpoint(file: str, classes: int | None = None, named: str | None = None) -> Loaded:
    """A network and its weights from a file whose metadata name the network. Raises ModelError."""
    state, meta = read_weights(file)
    if "arch" not in meta:
        if named is None:
            raise ModelError(f"{file} does not name its network: name it with --arch")
        meta = {**meta, "arch": named}
        if classes is None:
            classes = _classes(named, state)
    if classes is not None and meta.get("method") == "master":
        raise ModelError(f"{file} is a master, which chooses among checkpoints: --router switched --master {file}")
    network = rebuild(file, meta, classes, named)
    _fit(network, state, file, meta["arch"], new_head=False)
    return Loaded(network, meta["arch"], meta)


def _classes(arch: str, state: Mapping[str, Tensor]) -> int | None:
    """How many classes weights of ``arch`` are for, by their last layer; None when they do not fit it."""
    shapes = [state[name].shape for name in build(arch, 2).head() if name in state]
    return shapes[0][0] if shapes and shapes[0] else None


def _fit(network: Network, given: Mapping[str, Tensor], source: str, arch: str, new_head: bool) -> None:
    net = network.net
    own, head = net.state_dict(), network.head()
    odd = [name for name in head if name in given and given[name].shape != own[name].shape]
    if odd and not new_head and given.keys() == own.keys():
        raise ModelError(
            f"{source}: {len(given[odd[0]])} classes, but the dataset has {len(own[odd[0]])}; "
            "'train finetune --new-head' starts with a fresh last layer; what it writes is the others' --weights"
        )
    state = {**given, **({name: own[name] for name in head} if new_head else {})}
    missing, extra = own.keys() - state.keys(), state.keys() - own.keys()
    shapes = [name for name in own.keys() & state.keys() if own[name].shape != state[name].shape]
    if missing or extra or shapes:
        parts = ((missing, "missing"), (extra, "unknown"), (shapes, "of another shape"))
        said = ", ".join(f"{len(names)} {what} (as {min(names)})" for names, what in parts if names)
        raise ModelError(f"{source} does not fit {arch}: {said}")
    net.load_state_dict(state)
