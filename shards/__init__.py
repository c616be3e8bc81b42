"""The dataset on disk: columns of tar shards. Bytes, names, counts and hashes; no pixels, no models.

>>> import shards
>>> for key, label, clean, jpeg in shards.open("val").read("clean", "jpeg-10"):
...     print(key, label, len(clean.data), jpeg.bytes, jpeg.psnr, jpeg.ssim)
>>> samples = shards.open("val").select("clean", "jpeg-10")
>>> key, label, clean, jpeg = samples[0]
>>> problems = list(shards.verify("val"))
"""

from shards.access import Entry, Samples
from shards.dataset import Dataset, open
from shards.errors import DatasetError
from shards.export import export
from shards.urls import urls
from shards.verify import verify

__all__ = ["Dataset", "DatasetError", "Entry", "Samples", "export", "open", "urls", "verify"]
