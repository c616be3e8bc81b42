"""A small labelled set of real pictures, made from the photographs and a converged network in pip packages.

Tiles are cut from the photographs that come with scikit-image, at random places and scales. The label of a tile
is the answer of EfficientNet-Lite0, a converged ImageNet network; tiles of which it is unsure are left out.
So the task is to **keep the network's answer to the clean picture.** On clean tiles the network is right by
construction; the effect of a codec is measured in answers that change. Training and validation tiles are cut
from the same photographs.

Example: python examples/photographs.py demo/photographs
writes demo/photographs/train.csv and val.csv ("path,label" lines) and the tiles beside them.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image

from distort import classes
from train.networks import models

NAMES = "astronaut.png chelsea.png coffee.png hubble_deep_field.jpg motorcycle_left.png retina.jpg rocket.jpg"
TILES = {"train": 320, "val": 100}
SURE = 0.3  #: smallest probability of an answer that becomes a label
SIDE = 224


def tiles(rng: np.random.Generator):
    """Endless (name, tile): uint8 (224, 224, 3), half to nine tenths of a photograph's short side."""
    photographs = {
        Path(name).stem: Image.open(Path(skimage.data.__file__).with_name(name)).convert("RGB")
        for name in NAMES.split()
    }
    while True:
        for name, photograph in photographs.items():
            side = int(min(photograph.size) * rng.uniform(0.5, 0.9))
            left, top = (int(rng.integers(length - side)) for length in photograph.size)
            box = (left, top, left + side, top + side)
            yield name, np.asarray(photograph.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box))


def answer(network: torch.nn.Module, pictures: list[np.ndarray]) -> tuple[list[int], list[float]]:
    """Class and its probability for each picture."""
    with torch.no_grad():
        sure, found = network(torch.from_numpy(np.stack(pictures))).softmax(1).max(1)
    return found.tolist(), sure.tolist()


def main(root: Path) -> None:
    network, names = models.load("lite0", "imagenet", 1000).network.eval(), classes.read("imagenet")
    source = tiles(np.random.default_rng(0))
    for split, count in TILES.items():
        rows: list[tuple[str, str]] = []
        (root / split).mkdir(parents=True, exist_ok=True)
        while len(rows) < count:
            batch = [next(source) for _ in range(32)]
            for (name, tile), found, sure in zip(
                batch, *answer(network, [tile for _, tile in batch]), strict=True
            ):
                if sure >= SURE and len(rows) < count:
                    path = f"{split}/{name}_{split}_{len(rows):04d}.png"
                    Image.fromarray(tile).save(root / path, compress_level=1)
                    rows.append((path, names[found]))
        with (root / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        print(f"{root / split}.csv: {count} tiles, {len({label for _, label in rows})} classes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
