"""``crop``: the place in a chain where the source picture is resized and cropped."""

from __future__ import annotations

from typing import Any

from distort.codecs.base import Step


class Crop(Step):
    name = "crop"
    parameter = None
    meaning = "the --crop of the dataset; steps before it see the whole source picture"
    example = "jpeg-10+crop"
    title = "cropped"
    higher_is_better = False
    colour = ("#5f5b3a", "#b5b08a")
    marker = "1"

    def settings(self) -> dict[str, Any]:
        return {}

    def versions(self) -> dict[str, str]:
        return {}
