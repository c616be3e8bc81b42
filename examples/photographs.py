"""Lay out the photographs that come with scikit-image as a source: one folder per picture, so one class each.

Example: python examples/photographs.py demo/photographs
"""

import shutil
import sys
from pathlib import Path

import skimage.data

NAMES = (
    "astronaut.png brick.png camera.png chelsea.png coffee.png coins.png grass.png gravel.png "
    "hubble_deep_field.jpg motorcycle_left.png retina.jpg rocket.jpg"
).split()

for name in NAMES:
    picture = Path(skimage.data.__file__).parent / name
    folder = Path(sys.argv[1], picture.stem)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(picture, folder)
