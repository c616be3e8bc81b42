"""Decodes any picture that Pillow reads to RGB; every refusal gives a reason."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps

#: Larger pictures are refused: a worker would need gigabytes of memory for them.
MAX_PIXELS: int = Image.MAX_IMAGE_PIXELS or 2**30 // 12

Image.init()
#: Formats that Pillow decodes by itself. Never EPS, which it passes to another program, nor formats that may
#: contain EPS (IPTC).
FORMATS = sorted(
    {
        "AVIF", "BMP", "DDS", "DIB", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "PSD", "QOI",
        "SGI", "SUN", "TGA", "TIFF", "WEBP", "XBM", "XPM",
    }
    & Image.OPEN.keys()
)  # fmt: skip


class BadPicture(ValueError):
    """A source picture cannot be used; the message is the reason recorded in ``errors/``."""


def load(data: bytes, exif_orientation: bool = False) -> Image.Image:
    """Decode a picture file to RGB.

    Grey and palette pictures are expanded, transparent ones are blended with white, CMYK is converted by Pillow,
    16-bit grey keeps its high byte, and of an animation the first frame is used. The EXIF orientation is ignored,
    as in the usual ImageNet loaders, unless ``exif_orientation``. Raises BadPicture.
    """
    if not data:
        raise BadPicture("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                image.load()
                if image.size != image.im.size:
                    raise BadPicture(f"the header says {image.size}, but the pixels are {image.im.size}")
                if exif_orientation:
                    ImageOps.exif_transpose(image, in_place=True)
                return _rgb(image)
    except BadPicture:
        raise
    except Image.DecompressionBombWarning as error:
        raise BadPicture(f"decompression bomb: {error}") from None
    except Exception as error:  # Pillow's readers raise all kinds of exceptions on malicious files
        reason = str(error).partition(" <_io.BytesIO")[0]
        raise BadPicture(f"{type(error).__name__}: {reason}") from None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        high = np.asarray(image, dtype=np.int64) >> 8
        if high.min() < 0 or high.max() > 255:
            raise BadPicture("grey values beyond 16 bits")
        return Image.fromarray(high.astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise BadPicture("floating-point pixels have no defined range; convert the picture to 8 or 16 bits")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
