"""The whole pipeline in Python: distort pictures, inspect them, train, evaluate, report.

PICTURES has train/CLASS/* and val/CLASS/*. A small network learns the clean crops from scratch; fine-tuned and
expert twins of it learn those under a codec. A few epochs show the steps; they do not measure the benefit.

Example: python examples/pipeline.py imagenette out
"""

import sys
from pathlib import Path

import distort
import report
import shards
import train

DISTORTION, ARCH = "jpeg-5", "shufflenet_v2_x0_5"


def main(pictures: Path, out: Path, epochs: int = 2, batch: int = 64) -> None:
    """A second call skips what is finished and resumes trainings."""
    for split in ("train", "val"):
        distort.run(pictures / split, out / split, distortions=[DISTORTION, "webp-20"])

    samples = shards.open(out / "val").select("clean", DISTORTION)
    key, label, clean, distorted = samples[0]
    print(f"{len(samples)} samples; {key} of class {label}: {len(clean.data)} bytes clean, {distorted.bytes} as "
          f"{DISTORTION} at {distorted.psnr:.1f} dB")  # fmt: skip

    shared = {"val": out / "val", "arch": ARCH, "epochs": epochs, "batch": batch, "holdout": 0.1, "resume": True,
              "test_columns": "none"}  # fmt: skip
    scratch = train.fit("finetune", out / "train", column="clean", weights="none", flip=True,
                        out=out / "runs" / "start", **shared)  # fmt: skip
    start = scratch / "last.safetensors"
    train.teach(out / "train", arch=ARCH, weights=start)
    learn = {"column": DISTORTION, "weights": start, "lr": 1e-4, **shared}
    twins = [
        train.fit(method, out / "train", out=out / "runs" / method, **learn) for method in ("finetune", "expert")
    ]
    found = train.evaluate(out / "val", [run / "last.safetensors" for run in twins], arch=ARCH, weights=start,
                           out=out / "runs" / "results.json")  # fmt: skip
    for result in found.results:
        print(f"{result.model.title}: {result.columns[DISTORTION].top1:.1%} right on {DISTORTION}")

    print(report.build(out / "val", results=[out / "runs"], out=out / "report"))


if __name__ == "__main__":  # data workers start as processes of their own
    main(Path(sys.argv[1]), Path(sys.argv[2]))
