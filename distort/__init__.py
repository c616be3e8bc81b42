"""From pictures to a dataset: sources, crops, codecs, metrics, the plan, and engines that run it.

>>> import distort
>>> distort.run("imagenet/val", "val", distortions="paper", workers=8)
>>> distort.add("val", distortions=["avif-30", "jxl-40"])
>>> distort.measure("val", metrics=["ms-ssim", "psnr-y"])

``distort.codecs`` distorts single arrays: ``distort.codecs.get("jpeg-10").roundtrip(rgb)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distort.api import Incomplete, add, run
    from distort.job import Summary
    from distort.measuring import Measurements, measure

__all__ = ["Incomplete", "Measurements", "Summary", "add", "measure", "run"]


def __getattr__(name: str) -> object:
    # Imported when they are used: a reader that decodes JPEG needs neither sources nor engines.
    if name in ("Incomplete", "add", "run"):
        from distort import api

        return getattr(api, name)
    if name in ("Measurements", "measure"):
        from distort import measuring

        return getattr(measuring, name)
    if name == "Summary":
        from distort.job import Summary

        return Summary
    raise AttributeError(f"module 'distort' has no attribute {name!r}")
