"""Classifiers by name, their weights from files, and the identity of weights."""

from __future__ import annotations

import copy
import difflib
import hashlib
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import safetensors
import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn

from train.networks import lite
from train.networks.precision import exact

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
TIMM = "timm:"
NOT_PLAIN = {"googlenet", "inception_v3"}  #: their output is not a tensor of logits while training


class ModelError(ValueError):
    """A model or its weights are not what was asked for; the message says what would be."""


class Classifier(nn.Module):
    """A network with its normalisation: uint8 RGB pictures in, logits out."""

    def __init__(self, net: nn.Module, mean=IMAGENET_MEAN, std=IMAGENET_STD):
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor(mean) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std) * 255, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, float32 (batch, classes), of pictures (batch, height, width, 3) in grey levels 0..255."""
        x = (images.float() - self.mean) / self.std
        return self.net(x.permute(0, 3, 1, 2)).float()  # the permuted view is channels_last as it stands


class Teacher:
    """A frozen copy of a classifier. Not an ``nn.Module``: no ``.train()`` or ``.parameters()`` reaches it."""

    def __init__(self, classifier: Classifier, device: torch.device | str = "cpu"):
        self._classifier = copy.deepcopy(classifier).to(device).eval().requires_grad_(False)
        self._device = torch.device(device)

    @torch.no_grad()
    def log_probs(self, images: Tensor) -> Tensor:
        """float16 (batch, classes) log-probabilities, computed in float32 without TF32, whatever the student uses.

        They are rounded to what the cache stores, so that a cached and a live teacher say the same.
        """
        self._classifier.eval()
        with exact(self._device):
            return self._classifier(images.to(self._device)).log_softmax(1).half()


@dataclass(frozen=True)
class Loaded:
    """A classifier and what is known of its weights."""

    classifier: Classifier
    arch: str
    meta: dict  #: as ``save_weights`` wrote it; empty for weights from elsewhere


def build(arch: str, classes: int) -> Classifier:
    """A network with fresh weights, of torchvision, ``timm:NAME`` or ``lite0``. Raises ModelError."""
    if arch.startswith(TIMM):
        return _timm(arch, classes, pretrained=False)
    if arch in lite.FILES:
        return Classifier(lite.build(arch, classes), lite.MEAN, lite.STD)
    names = [name for name in torchvision.models.list_models(module=torchvision.models) if name not in NOT_PLAIN]
    if arch not in names:
        near = difflib.get_close_matches(arch, names, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else "torchvision.models.list_models() lists them"
        raise ModelError(f"torchvision has no classifier '{arch}': {hint} (other networks: timm:NAME)")
    return Classifier(torchvision.models.get_model(arch, weights=None, num_classes=classes))


def _timm(arch: str, classes: int, pretrained: bool) -> Classifier:
    try:
        import timm
    except ImportError:
        raise ModelError(f"--arch {arch} needs timm: pip install 'codecproof[timm]'") from None
    try:
        net = timm.create_model(arch.removeprefix(TIMM), pretrained=pretrained, num_classes=classes)
    except RuntimeError as error:
        raise ModelError(f"--arch {arch}: {error}") from None
    known = net.pretrained_cfg or {}
    return Classifier(net, known.get("mean", IMAGENET_MEAN), known.get("std", IMAGENET_STD))


def load(arch: str, weights: str, classes: int, new_head: bool = False) -> Loaded:
    """``arch`` with weights ``imagenet``, ``none`` (fresh) or those of a file. Raises ModelError.

    ``new_head`` keeps a fresh last layer where the file's has another number of classes.
    """
    if weights == "none":
        return Loaded(build(arch, classes), arch, {})
    if weights == "imagenet":
        if arch.startswith(TIMM):
            return Loaded(_timm(arch, classes, pretrained=True), arch, {})
        classifier = build(arch, classes)  # says so first when there is no such network
        state, meta = lite.imagenet_weights(arch) if arch in lite.FILES else _imagenet(arch), {}
    else:
        state, meta = read_weights(weights)
        if meta.get("arch", arch) != arch:
            raise ModelError(f"{weights} holds a {meta['arch']}, not a {arch}")
        classifier = build(arch, classes)
    _fit(classifier.net, state, "ImageNet weights" if weights == "imagenet" else weights, arch, new_head)
    return Loaded(classifier, arch, meta)


def _imagenet(arch: str) -> dict[str, Tensor]:
    # The paper's networks are torchvision's first weights (V1); DEFAULT would be V2 where there is one.
    weights = next(iter(torchvision.models.get_model_weights(arch)))
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError) as error:
        place = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
        raise ModelError(
            f"cannot download {weights.url} ({error}); fetch it elsewhere and put it at {place}, "
            "or give it as --weights FILE"
        ) from None


def _fit(net: nn.Module, state: dict[str, Tensor], source: str, arch: str, new_head: bool) -> None:
    own = net.state_dict()
    head = _last_layer_names(net)
    odd = [name for name in head if name in state and state[name].shape != own[name].shape]
    if odd and not new_head and state.keys() == own.keys():
        raise ModelError(
            f"{source}: {len(state[odd[0]])} classes, the dataset has {len(own[odd[0]])}; "
            "'train finetune --new-head' starts with a fresh last layer"
        )
    state = state | {name: own[name] for name in odd if new_head}
    missing, extra = own.keys() - state.keys(), state.keys() - own.keys()
    shapes = [name for name in own.keys() & state.keys() if own[name].shape != state[name].shape]
    if missing or extra or shapes:
        parts = ((missing, "missing"), (extra, "unknown"), (shapes, "of another shape"))
        said = ", ".join(f"{len(names)} {what} (as {min(names)})" for names, what in parts if names)
        raise ModelError(f"{source} does not fit {arch}: {said}")
    net.load_state_dict(state)


def last_layer(net: nn.Module) -> tuple[str, nn.Linear]:
    """Name and module of the final fully connected layer. Raises ModelError when there is none."""
    found = [(name, module) for name, module in net.named_modules() if isinstance(module, nn.Linear)]
    if not found:
        raise ModelError(f"{type(net).__name__} has no fully connected last layer")
    return found[-1]


def _last_layer_names(net: nn.Module) -> list[str]:
    try:
        name, module = last_layer(net)
    except ModelError:
        return []
    return [parameter for parameter, _ in module.named_parameters(name)]


def read_weights(file: str | Path) -> tuple[dict[str, Tensor], dict]:
    """``(state dict, meta)`` of a .safetensors file or of one that ``torch.save`` wrote. Raises ModelError.

    A pickle is only read as far as it holds tensors: no code in it is run.
    """
    path = Path(file)
    if not path.is_file():
        raise ModelError(f"no weights at {file}")
    try:
        if path.suffix == ".safetensors":
            with safetensors.safe_open(path, "pt") as opened:
                meta = json.loads((opened.metadata() or {}).get("codecproof", "{}"))
                return {name: opened.get_tensor(name) for name in opened.keys()}, meta  # noqa: SIM118
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ModelError(
            f"{file} is refused: it holds Python objects besides tensors, and loading those could run code "
            "(or it is damaged); save its state_dict alone, or as .safetensors"
        ) from None
    except (safetensors.SafetensorError, RuntimeError, ValueError, EOFError, OSError, KeyError) as error:
        raise ModelError(f"{file} is not a weights file: {first_line(error)}") from None
    meta = state.get("meta", {}) if isinstance(state, dict) else {}
    for name in ("model", "state_dict"):
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{file} holds no state dict")
    return {name.removeprefix("module."): value for name, value in state.items()}, meta


def first_line(error: Exception) -> str:
    return (str(error) or "it ends too early").splitlines()[0]


def save_weights(net: nn.Module, file: Path, meta: dict) -> None:
    """Write a state dict as .safetensors, with ``meta`` (plain JSON) in its header."""
    state = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    # Not save_file: it makes files that only their owner can read.
    file.write_bytes(safetensors.torch.save(state, {"codecproof": json.dumps(meta, ensure_ascii=False)}))


def weights_sha256(net: nn.Module) -> str:
    """Identity of a network's weights and buffers, whatever file they came in."""
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        array = value.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def classes_sha256(classes: tuple[str, ...]) -> str:
    """Identity of a list of classes and of their order."""
    return hashlib.sha256("\n".join(classes).encode()).hexdigest()
