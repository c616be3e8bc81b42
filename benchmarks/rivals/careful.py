"""A straightforward script for the work of ``distort run``, with the usual libraries.

Pillow opens, resizes, encodes and decodes; scikit-image computes PSNR and SSIM; the clean crop is a PNG;
webdataset writes the tars; a process pool makes one shard per task. JPEG and JPEG 2000 only. It does not
handle resuming, damaged pictures, hashes or exact repeatability.

Example: python benchmarks/rivals/careful.py imagenette224/val /tmp/out --distortions jpeg-75,jpeg-10 --workers 2
"""

import argparse
import csv
import io
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import webdataset
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def clean_crop(path):
    """Short side to 256, bicubic, then the central 224 x 224."""
    with Image.open(path) as file:
        image = file.convert("RGB")
    width, height = image.size
    scale = 256 / min(width, height)
    image = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    return image.crop((left, top, left + 224, top + 224))


def encode(image, distortion):
    name, _, value = distortion.partition("-")
    file = io.BytesIO()
    if name == "jpeg":
        image.save(file, "JPEG", quality=int(value))
        return "jpg", file.getvalue()
    image.save(file, "JPEG2000", quality_mode="rates", quality_layers=[float(value)])
    return "jp2", file.getvalue()


def make_shard(task):
    number, pictures, out, distortions = task
    tars = {name: webdataset.TarWriter(f"{out}/{name}/{number:06d}.tar") for name in ["clean", *distortions]}
    rows = []
    for path, label in pictures:
        crop = clean_crop(path)
        pixels = np.asarray(crop)
        file = io.BytesIO()
        crop.save(file, "PNG")
        tars["clean"].write({"__key__": path.stem, "png": file.getvalue(), "cls": str(label).encode()})
        for distortion in distortions:
            extension, data = encode(crop, distortion)
            with Image.open(io.BytesIO(data)) as decoded:
                seen = np.asarray(decoded.convert("RGB"))
            row = {
                "key": path.stem,
                "distortion": distortion,
                "bytes": len(data),
                "psnr": float(peak_signal_noise_ratio(pixels, seen, data_range=255)),
                "ssim": float(structural_similarity(pixels, seen, channel_axis=2, data_range=255)),
            }
            rows.append(row)
            record = {"__key__": path.stem, extension: data, "cls": str(label).encode()}
            tars[distortion].write(record | {"json": json.dumps(row).encode()})
    for tar in tars.values():
        tar.close()
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--distortions", default="jpeg-75,jpeg-10,jpeg-5")
    parser.add_argument("--shard-size", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()

    distortions = options.distortions.split(",")
    classes = sorted(folder.name for folder in options.pictures.iterdir() if folder.is_dir())
    pictures = [
        (path, label) for label, name in enumerate(classes) for path in sorted((options.pictures / name).iterdir())
    ]
    for name in ["clean", *distortions]:
        (options.out / name).mkdir(parents=True)
    tasks = [
        (number, pictures[start : start + options.shard_size], options.out, distortions)
        for number, start in enumerate(range(0, len(pictures), options.shard_size))
    ]
    with (
        open(options.out / "statistics.csv", "w", newline="") as file,
        ProcessPoolExecutor(options.workers) as pool,
    ):
        writer = csv.DictWriter(file, ["key", "distortion", "bytes", "psnr", "ssim"])
        writer.writeheader()
        for rows in pool.map(make_shard, tasks):
            writer.writerows(rows)


if __name__ == "__main__":
    main()
