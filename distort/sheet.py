"""The artifact sheet: one picture under every distortion, labelled (Marie et al. 2022, Fig. 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP = 12
INK, PAPER, MUTED = (20, 20, 20), (255, 255, 255), (95, 95, 95)


@dataclass(frozen=True)
class Panel:
    """A picture and its caption. ``bytes`` None: no bitstream; ``psnr`` inf: identical to the clean crop."""

    title: str
    rgb: np.ndarray
    bytes: int | None
    psnr: float
    ssim: float | None

    @property
    def caption(self) -> str:
        parts = [] if self.bytes is None else [f"{self.bytes:,} B"]
        parts.append("lossless" if self.psnr == float("inf") else f"{self.psnr:.1f} dB")
        if self.ssim is not None:
            parts.append(f"SSIM {self.ssim:.3f}")
        return " · ".join(parts)


def draw(panels: list[Panel]) -> Image.Image:
    """A sheet of equally large panels, up to five per row, each with its title and caption below."""
    height, width, _ = panels[0].rgb.shape
    cell_width = max(width, 224)
    columns = min(len(panels), 5 if len(panels) > 4 else len(panels))
    rows = -(-len(panels) // columns)
    title_font, font = (ImageFont.load_default(size) for size in (17, 13))
    cell_height = height + 48
    sheet = Image.new("RGB", (columns * (cell_width + GAP) + GAP, rows * (cell_height + GAP) + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    for i, panel in enumerate(panels):
        x = GAP + i % columns * (cell_width + GAP)
        y = GAP + i // columns * (cell_height + GAP)
        sheet.paste(Image.fromarray(panel.rgb), (x, y))
        pen.text((x, y + height + 5), panel.title, INK, title_font)
        pen.text((x, y + height + 27), panel.caption, MUTED, font)
    return sheet
