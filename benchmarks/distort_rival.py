"""A whole ``distort run`` against a careful script with the usual libraries, and against the bare codecs.

CPU seconds of whole commands, start-up included, the three in turn in every round:
- run: ``distort run`` with one worker
- careful: benchmarks/rivals/careful.py with one worker (JPEG and JPEG 2000 only)
- bare: the unavoidable work: decode the source, resize and crop, the codecs' own encode and decode

Pictures are enlarged to ImageNet's size, unless ``--as-they-are``.

Example: python benchmarks/distort_rival.py imagenette224/val --distortions jpeg-75,jpeg-10,jpeg-5 paper
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from pictures import enlarge, machine, record

from distort import metrics

BARE = """
import sys
from pathlib import Path
from distort import crops, pictures
from distort.codecs import Codec
from distort.distortion import generator, parse_list
crop, distortions = crops.parse("paper"), parse_list(sys.argv[2])
for path in sorted(Path(sys.argv[1]).rglob("*.jpg")):
    ((_, clean),) = crop.apply(pictures.load(path.read_bytes()), 0, "")
    for distortion in distortions:
        distortion.roundtrip(clean, generator(0, path.stem, distortion.name))
"""


def seconds(*command) -> float:
    """CPU seconds of a command and all its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--distortions", nargs="+", default=["jpeg-75,jpeg-10,jpeg-5"])
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clean", default="webp-fast")
    parser.add_argument("--as-they-are", action="store_true", help="do not enlarge the pictures")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    print(
        f"{machine()}; metrics.c {'compiled' if metrics.kernel() else 'not compiled'}; {options.pictures} pictures"
    )
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "pictures")
        enlarge(options.folder, options.pictures, source, keep=options.as_they_are)
        size = statistics.fmean(path.stat().st_size for path in source.rglob("*.jpg"))
        print(f"{size / 1e3:.0f} kB a picture")
        for names in options.distortions:
            compare(source, names, options)


def compare(source: Path, names: str, options: argparse.Namespace) -> None:
    here = Path(__file__).parent
    taken: dict[str, list[float]] = {}
    careful = all(name.startswith(("jpeg-", "j2k-")) for name in names.split(","))
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as out:
            run = [Path(sys.executable).parent / "distort", "run", source, f"{out}/ours", "--workers", 1]
            run += ["--distortions", names, "--clean", options.clean]
            taken.setdefault("run", []).append(seconds(*run))
            if careful:
                rival = [sys.executable, here / "rivals" / "careful.py", source, f"{out}/careful"]
                taken.setdefault("careful", []).append(seconds(*rival, "--distortions", names))
            taken.setdefault("bare", []).append(seconds(sys.executable, "-c", BARE, source, names))
    print(f"\n{names}, clean crops as {options.clean}")
    for name, times in taken.items():
        ratios = [other / ours for ours, other in zip(taken["run"], times, strict=True)]
        print(
            f"  {name:8} {1e3 * statistics.median(times) / options.pictures:7.2f} ms a picture   "
            f"{statistics.median(ratios):5.2f} x run ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    if careful:
        ratios = [theirs / ours for ours, theirs in zip(taken["run"], taken["careful"], strict=True)]
        record(f"careful script / distort run: {names}", ratios, 2.0 if "j2k" in names else 4.0)
    overhead = [ours / bare for ours, bare in zip(taken["run"], taken["bare"], strict=True)]
    print(f"  run / bare: {statistics.median(overhead):.3f} ({min(overhead):.3f} to {max(overhead):.3f})")


if __name__ == "__main__":
    main()
