"""Make a small ImageNet-like source of the photographs that come with scikit-image: twelve classes of tiles.

Every photograph is a class; its pictures are tiles cut at random places and scales. It is a toy: the tiles
of one photograph share colours and textures, so a network learns them in a minute, and its accuracy means
nothing elsewhere.

Example: python examples/photographs.py demo/photographs
"""

import sys
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

NAMES = """
    astronaut.png brick.png camera.png chelsea.png coffee.png coins.png grass.png gravel.png
    hubble_deep_field.jpg motorcycle_left.png retina.jpg rocket.jpg
"""
TILES = {"train": 40, "val": 10}

rng = np.random.default_rng(0)
for name in NAMES.split():
    photograph = Image.open(Path(skimage.data.__file__).parent / name).convert("RGB")
    for split, count in TILES.items():
        folder = Path(sys.argv[1], split, Path(name).stem)
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            side = int(min(photograph.size) * rng.uniform(0.5, 0.9))
            left, top = (int(rng.integers(length - side)) for length in photograph.size)
            tile = photograph.resize((256, 256), Image.Resampling.LANCZOS, (left, top, left + side, top + side))
            tile.save(folder / f"{folder.name}_{split}_{i:02d}.png", compress_level=1)
