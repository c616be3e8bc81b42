"""Files of weights: read without running code, checked, and written with a description of the network."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import warnings
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from train.networks.network import ModelError

Scalar = str | int | float | bool | None
PICKLES = b"PK\x03\x04", b"\x80"  #: how files of torch.save begin, new and old ones
META = "codecproof"  #: key of our entry in the metadata of a .safetensors file
#: Field of the metadata -> its allowed types. Other fields are kept unchanged.
_FIELDS: dict[str, tuple[type, ...]] = {
    "arch": (str,),
    "network": (dict,),
    "method": (str,),
    "title": (str,),
    "trained_on": (str, type(None)),
    "seed": (int, type(None)),
    "protocol": (str, type(None)),
    "counts_everywhere": (bool,),
    "settings": (dict,),
    "classes": (int,),
    "classes_sha256": (str,),
    "epoch": (int,),
}


def read_weights(file: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """``(state dict, metadata)`` of a .safetensors file or of one that ``torch.save`` wrote. Raises ModelError.

    Of a pickle only tensors are loaded; no code in it is run.
    """
    path = Path(file)
    if path.is_dir():
        best = path / "best.safetensors"
        raise ModelError(f"{file} is a folder: give {best if best.is_file() else 'a file of weights'}")
    if not path.is_file():
        raise ModelError(f"no weights at {file}")
    refused = ModelError(
        f"{file} is refused: it holds Python objects besides tensors, and loading those could run code "
        "(or it is damaged); save its state_dict alone, or as .safetensors"
    )
    try:
        if path.suffix == ".safetensors":
            with safetensors.safe_open(path, "pt") as opened:
                text = (opened.metadata() or {}).get(META, "{}")
                return {name: opened.get_tensor(name) for name in opened.keys()}, _checked(file, text)  # noqa: SIM118
        with path.open("rb") as opened:
            head = opened.read(4)
        if not head.startswith(PICKLES):
            raise ModelError(f"{file} is not a weights file: neither .safetensors nor written by torch.save")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's own, about files that are refused in the end
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise refused from None
    except ModelError:
        raise
    except (safetensors.SafetensorError, RuntimeError, ValueError, EOFError, OSError, KeyError) as error:
        if "weights_only" in str(error):  # a TorchScript program; PyTorch advises to run its code
            raise refused from None
        raise ModelError(f"{file} is not a weights file: {first_line(error)}") from None
    meta = state.get("meta", {}) if isinstance(state, dict) else {}
    for name in ("model", "state_dict"):
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{file} holds no state dict")
    return {str(name).removeprefix("module."): value for name, value in state.items()}, _checked(file, meta)


def _checked(file: str | Path, meta: Any) -> dict[str, Any]:
    """Metadata, as text or decoded. Raises ModelError when a field has a wrong type or value."""
    try:
        meta = json.loads(meta) if isinstance(meta, str) else meta
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file}: its metadata are not JSON ({error}); save it again") from None
    if not isinstance(meta, dict):
        raise ModelError(f"{file}: its metadata are {meta!r:.40}, not an object; save it again")
    for name, value in meta.items():
        wanted = _FIELDS.get(name)
        odd = wanted and (not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted))
        if odd or (name in ("classes", "seed", "epoch") and isinstance(value, int) and not 0 <= value < 2**63):
            raise ModelError(f"{file}: '{name}' in its metadata is {value!r:.40}; save it again")
    for name, value in meta.get("settings", {}).items():
        if not isinstance(value, Scalar) or (isinstance(value, float) and not math.isfinite(value)):
            raise ModelError(f"{file}: setting '{name}' in its metadata is {value!r:.40}; save it again")
    return meta


def first_line(error: Exception) -> str:
    """The message of an error, shortened for one line."""
    return (str(error) or "it ends too early").splitlines()[0]


def save_weights(net: nn.Module, file: Path, meta: dict[str, Any]) -> None:
    """Write a state dict as .safetensors, with ``meta`` (plain JSON) in its header."""
    state = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    # Not save_file: only the owner could read its files.
    file.write_bytes(safetensors.torch.save(state, {META: json.dumps(meta, ensure_ascii=False)}))


def weights_sha256(net: nn.Module) -> str:
    """Hash of a network's weights and buffers, independent of the file format."""
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        array = value.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def classes_sha256(classes: tuple[str, ...]) -> str:
    """Identity of a list of classes and of their order."""
    return hashlib.sha256("\n".join(classes).encode()).hexdigest()
