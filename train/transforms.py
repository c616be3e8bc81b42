"""Distortions as a torchvision transform for your own pipeline, without a dataset of shards.

::

    from torchvision.transforms import v2
    from train.transforms import Distort

    v2.Compose([v2.RandomResizedCrop(224), Distort("jpeg-10"), v2.ToImage(), v2.ToDtype(torch.float32, True)])

To compare accuracies, distort a dataset once instead: then everybody reads the same bitstreams, and nothing is
encoded again in every epoch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from distort.distortion import DistortionError, parse, require_crops_only


class Distort(v2.Transform):
    """Encode and decode pictures with a codec, or apply a filter; boxes, masks and labels pass through.

    ``names``: distortions as in ``distort list``, "clean" for none. With several, each call draws one, all equally
    likely: ``Distort(*(f"jpeg-{quality}" for quality in range(5, 31)))`` is JPEG of a random quality.
    Draws come from torch's random numbers: a seed repeats them, in a DataLoader with the same number of workers.

    Takes RGB PIL images and uint8 tensors (…, 3, height, width), and returns the same type.
    Raises ValueError for a name that does not exist, with the nearest one, and for other pictures.
    """

    def __init__(self, *names: str):
        super().__init__()
        if not names or not all(isinstance(name, str) for name in names):
            raise DistortionError("Distort takes names of distortions, as in Distort('jpeg-10', 'webp-20')")
        self.names = names
        self.distortions = [None if name == "clean" else parse(name) for name in names]
        require_crops_only(filter(None, self.distortions), "this transform sees")

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        """Refuse arrays, which torchvision would pass through undistorted."""
        if any(isinstance(given, np.ndarray) and given.ndim > 2 for given in flat_inputs):
            raise ValueError(
                "Distort takes PIL images and uint8 tensors, got a NumPy array: put v2.ToImage() before it"
            )

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the distortion of one call, and the seed of its noise."""
        which = int(torch.randint(len(self.distortions), ()))
        return {"distortion": self.distortions[which], "seed": int(torch.randint(2**62, ()))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Distort one input."""
        distortion = params["distortion"]
        if distortion is None or _is_annotation(inpt):
            return inpt
        rng = np.random.default_rng(params["seed"])
        if isinstance(inpt, Image.Image):
            if inpt.mode != "RGB":
                raise ValueError(f"Distort takes RGB pictures, but this one is {inpt.mode}: convert it first")
            return Image.fromarray(distortion.roundtrip(np.asarray(inpt), rng).rgb)
        if inpt.dtype != torch.uint8 or inpt.ndim < 3 or inpt.shape[-3] != 3:
            raise ValueError(
                f"Distort takes uint8 tensors (…, 3, height, width), got {inpt.dtype} {tuple(inpt.shape)}: "
                "put it before the conversion to floating point"
            )
        pictures = inpt.movedim(-3, -1).cpu().numpy().reshape(-1, *inpt.shape[-2:], 3)
        made = np.stack([distortion.roundtrip(np.ascontiguousarray(rgb), rng).rgb for rgb in pictures])
        out = torch.from_numpy(made).movedim(-1, -3).reshape(inpt.shape).to(inpt.device)
        return tv_tensors.wrap(out, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else out

    # Their names before torchvision 0.21.
    _check_inputs, _get_params, _transform = check_inputs, make_params, transform

    def extra_repr(self) -> str:
        return ", ".join(self.names)


def _is_annotation(inpt: Any) -> bool:
    """Boxes, masks and key points, which torchvision hands to every transform."""
    return isinstance(inpt, tv_tensors.TVTensor) and not isinstance(inpt, tv_tensors.Image | tv_tensors.Video)
