"""Distortions in a torchvision pipeline give the pixels that a dataset would hold."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from distort import codecs
from train.transforms import Distort


def test_pictures_come_out_as_they_came_in_and_with_the_codecs_pixels(crop):
    expected = codecs.get("jpeg-10").roundtrip(crop).rgb
    distort = Distort("jpeg-10")
    assert np.array_equal(np.asarray(distort(Image.fromarray(crop))), expected)
    planes = torch.from_numpy(crop.copy()).permute(2, 0, 1)
    out = distort(planes)
    assert torch.equal(out.permute(1, 2, 0), torch.from_numpy(expected))
    batch = distort(torch.stack([planes, planes.flip(-1)]))
    assert torch.equal(batch[0], out)
    assert batch.shape == (2, 3, 224, 224)
    assert not torch.equal(batch[1], out)


def test_it_fits_into_a_pipeline_and_leaves_boxes_and_labels_alone(crop):
    pipeline = v2.Compose([v2.ToImage(), v2.CenterCrop(128), Distort("webp-20"), v2.ToDtype(torch.float32, True)])
    boxes = tv_tensors.BoundingBoxes([[50, 50, 150, 150]], format="XYXY", canvas_size=(224, 224))
    image, kept, label = pipeline(Image.fromarray(crop), boxes, 7)
    assert isinstance(image, tv_tensors.Image)
    assert image.shape == (3, 128, 128)
    assert kept.tolist() == [[2, 2, 102, 102]]
    assert label == 7


def test_qualities_are_drawn_from_torchs_random_numbers(crop):
    distort = Distort("clean", *(f"jpeg-{quality}" for quality in range(5, 31)), "noise-20")
    image = torch.from_numpy(crop.copy()).permute(2, 0, 1)

    def draw(seed):
        torch.manual_seed(seed)
        return [distort(image) for _ in range(12)]

    first, again, other = draw(0), draw(0), draw(1)
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, other))
    assert len({made.numpy().tobytes() for made in first}) > 6


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "as in Distort"),
        ((["jpeg-10", "jpeg-20"],), "takes names"),
        (("jpg-10",), "did you mean 'jpeg-10'"),
        (("jpeg-10", "jpeg"), "needs its quality"),
    ],
)
def test_wrong_names_are_refused_when_the_pipeline_is_built(names, message):
    with pytest.raises(ValueError, match=message):
        Distort(*names)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (torch.zeros(3, 32, 32), "put it before the conversion to floating point"),
        (torch.zeros(1, 32, 32, dtype=torch.uint8), r"uint8 tensors \(…, 3, height, width\), got torch.uint8"),
        (Image.new("L", (32, 32)), "takes RGB pictures, but this one is L"),
        (np.zeros((32, 32, 3), np.uint8), "got a NumPy array"),
    ],
)
def test_other_pictures_are_refused(picture, message):
    with pytest.raises(ValueError, match=message):
        Distort("jpeg-10")(picture)


def test_the_example_of_the_readme_runs(crop, capsys):
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (example,) = [block for block in re.findall(r"```python\n(.*?)```", readme, re.S) if "roundtrip" in block]
    exec(example.replace("bpg-41", "bpg-41:fast"), {"rgb": crop})
    assert "(224, 224, 3)" in capsys.readouterr().out
