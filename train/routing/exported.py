"""Networks as ONNX and torch.export files, to be served without this package, or by ``Router``."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from shards.atomic import write_atomically
from train.networks.network import ModelError, Network
from train.networks.weights import META, first_line

if TYPE_CHECKING:
    from torch.export import ExportedProgram

FORMATS = (".onnx", ".pt2")
NEEDED = "ONNX needs onnx, onnxruntime and onnxscript: pip install 'codecproof[onnx]'"
DIFFERENCE = 1e-3  #: allowed between logits of an exported file and of the network, relative to the largest


def export(network: Network, out: str | Path, side: int | None = None, meta: dict[str, Any] | None = None) -> Path:
    """Write a network as ``.onnx`` or ``.pt2``: uint8 (batch, side, side, 3) in, float32 (batch, classes) out.

    Normalisation is part of the file, and any batch size fits. ``side``: pixels, by default what the network was
    made for, else 224. ``meta`` is kept as JSON under ``codecproof``. The file is written only if its logits
    equal the network's. Raises ModelError, which says what to do.
    """
    file, side = Path(out), side or network.input_size or 224
    if file.suffix not in FORMATS:
        raise ModelError(f"--out {file}: the suffix chooses the format, one of {', '.join(FORMATS)}")
    if network.needs_headers:
        raise ModelError(
            "this network needs the header of every bitstream besides its pixels: it cannot be exported"
        )
    if file.suffix == ".onnx":
        _onnx()
    network = copy.deepcopy(network).cpu().eval()
    said = json.dumps({**(meta or {}), "side": side}, ensure_ascii=False)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns about its own internals
        try:
            program = torch.export.export(
                network, (_pictures(2, side),), dynamic_shapes={"images": {0: torch.export.Dim("batch")}}
            )
        except Exception as error:  # the network's code may raise anything
            raise ModelError(f"this network cannot be exported at {side}x{side}: {first_line(error)}") from error

        def write(path: Path) -> None:
            save = _save_onnx if file.suffix == ".onnx" else _save_pt2
            _require_equal(save(program, path, said), network, side)

        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, write)
    return file


def _pictures(count: int, side: int) -> Tensor:
    numbers = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=numbers)


def _save_pt2(program: ExportedProgram, path: Path, said: str) -> Callable[[Tensor], Tensor]:
    with path.open("wb") as opened:
        torch.export.save(program, opened, extra_files={f"{META}.json": said})
    return program.module()


def _save_onnx(program: ExportedProgram, path: Path, said: str) -> Callable[[Tensor], Tensor]:
    made = torch.onnx.export(program, dynamo=True, verbose=False, input_names=["images"], output_names=["logits"])
    assert made is not None  # with dynamo=True
    made.model.metadata_props[META] = said
    made.save(path, external_data=False)
    return Onnx(path)


def _require_equal(exported: Callable[[Tensor], Tensor], network: Network, side: int) -> None:
    for count in (1, 3):
        pictures = _pictures(count, side)
        wanted = network(pictures)
        found = exported(pictures)
        if found.shape != wanted.shape or found.ndim != 2:
            raise ModelError(f"this network answers {tuple(wanted.shape)}, not logits (batch, classes)")
        apart = float((found - wanted).abs().max())
        if not apart <= DIFFERENCE * max(1.0, float(wanted.abs().max())):
            raise ModelError(f"the logits of the exported file differ by {apart:.2g}, so it is not written")


def _onnx() -> Any:
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError:
        raise ModelError(NEEDED) from None
    return onnxruntime


class Onnx:
    """An ``.onnx`` file that ``export`` wrote, as an expert of ``Router``. It runs on ONNX Runtime.

    Unlike a ``.pt2`` file, which only its maker should open, it holds no Python objects. Raises ModelError.
    """

    def __init__(self, file: str | Path):
        try:
            import onnxruntime
        except ImportError:
            raise ModelError(NEEDED) from None
        self.file = str(file)
        if not Path(file).is_file():
            raise ModelError(f"no network at {file}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        there = [name for name in wanted if name in onnxruntime.get_available_providers()]
        try:
            self.session = onnxruntime.InferenceSession(self.file, options, providers=there)
        except Exception as error:  # ONNX Runtime raises many types
            raise ModelError(f"{file} is not an ONNX network: {first_line(error)}") from None
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        shape = inputs[0].shape
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type != "tensor(uint8)" or shape[3:] != [3]:
            raise ModelError(
                f"{file} does not take uint8 pictures (batch, height, width, 3): write it with 'train export'"
            )
        self.name, self.shape = inputs[0].name, tuple(shape[1:])
        try:
            self.meta: dict[str, Any] = json.loads(
                self.session.get_modelmeta().custom_metadata_map.get(META, "{}")
            )
        except ValueError as error:
            raise ModelError(f"{file}: its metadata are not JSON ({error}); export it again") from None

    def __call__(self, images: Tensor) -> Tensor:
        """Logits, float32 (batch, classes), of uint8 pictures (batch, height, width, 3)."""
        if any(
            isinstance(own, int) and own != given for own, given in zip(self.shape, images.shape[1:], strict=True)
        ):
            raise ModelError(
                f"{self.file} takes pictures of {self.shape[1]}x{self.shape[0]} pixels, not "
                f"{images.shape[2]}x{images.shape[1]}: export it with --side"
            )
        (logits,) = self.session.run(None, {self.name: images.cpu().numpy()})
        return torch.from_numpy(logits).to(images.device)
