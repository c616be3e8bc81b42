"""docs/results.md, its figure and README.md's table from results/*.json. The same results give the same bytes.

Example: python experiments/imagenette/stage_6_write.py
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from report.intervals import Estimate, estimate, proportion

HERE = Path(__file__).parent
README, DOCS = HERE.parents[1] / "README.md", HERE.parents[1] / "docs"
BEGIN, END = "<!-- written by experiments/imagenette/stage_6_write.py -->\n", "<!-- end -->\n"  #: in README.md
CLAIM = 0.6  #: points of top-1, the published gain
ORDER = ("tiny", "cpu", "gpu")
PAPER = ("pre-trained", "stability", "finetune", "expert")  #: from worst to best in the paper's Table I
METHODS = {
    "stability": "stability",
    "batchnorm": "batch norm only",
    "mixture": "mixture",
    "finetune": "fine-tuned",
    "expert": "expert",
}


class Results:
    """The answers of one scale."""

    def __init__(self, contents: dict):
        self.contents, self.n = contents, contents["pictures"]
        self.columns: list[str] = contents["design"]["columns"]

    def right(self, answers: dict, kind: str, column: str) -> np.ndarray:
        """float (n,): 1 where top-1 is right."""
        packed = np.frombuffer(bytes.fromhex(answers[kind][column]["right"]), np.uint8)
        return np.unpackbits(packed, count=self.n).astype(float)

    def factors(self) -> list[float]:
        """The factors on alpha among the experts."""
        return sorted({run["factor"] for run in self.contents["runs"] if run["method"] == "expert"})

    def matrix(self, method: str, column: str, kind: str = "present", factor: float = 1.0) -> np.ndarray | None:
        """float (seeds, n) of the runs of a method at a column, by seed; None when there is none."""
        rows = [
            self.right(run["answers"], kind, column)
            for run in sorted(self.contents["runs"], key=lambda run: run["seed"])
            if (run["method"], run["factor"]) == (method, factor) and column in run["answers"].get(kind, {})
        ]
        return np.stack(rows) if rows else None

    def gain(self, columns: list[str], kind: str = "present", factor: float = 1.0) -> np.ndarray | None:
        """float (seeds, n): expert less fine-tuned by seed and picture, the mean over ``columns``."""
        parts = []
        for column in columns:
            ours, theirs = self.matrix("expert", column, kind, factor), self.matrix("finetune", column, kind)
            if ours is None or theirs is None:
                return None
            seeds = min(len(ours), len(theirs))
            parts.append(ours[:seeds] - theirs[:seeds])
        seeds = min(map(len, parts))
        return np.mean([part[:seeds] for part in parts], axis=0)

    def difference(self, better: str, worse: str, column: str) -> np.ndarray | None:
        """float (seeds, n): one method's answers less another's at a column, paired by seed and picture."""
        ours, theirs = self.matrix(better, column), self.matrix(worse, column)
        if worse == PAPER[0]:
            theirs = self.right(self.contents["pretrained"], "present", column)[None]
        if ours is None or theirs is None:
            return None
        if len(theirs) > 1:
            ours = ours[: len(theirs)]
            theirs = theirs[: len(ours)]
        return ours - theirs


def points(found: Estimate) -> str:
    low, high = found.interval()
    return f"{100 * found.mean:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"


def accuracy(answers: np.ndarray | None) -> str:
    """Percent with its 95 % interval, and the number of seeds."""
    if answers is None:
        return ""
    mean, low, high = (100 * value for value in proportion(answers))
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]" + (f" ({len(answers)})" if len(answers) > 1 else "")


def accuracies(results: Results, kind: str) -> Iterator[str]:
    """Rows of the table of one scale: a column of the dataset each."""
    for column in results.columns:
        before = results.right(results.contents["pretrained"], kind, column)[None]
        cells = [accuracy(results.matrix(method, column, kind)) for method in METHODS]
        gain = results.gain([column], kind)
        cells.append("" if gain is None else points(estimate([gain])))
        yield f"| {column} | {accuracy(before)} | {' | '.join(cells)} |"


def verdict(low: float, high: float) -> str:
    """What the interval of the pooled gain, in points, says of the claim, by the rules fixed beforehand."""
    if high < 0:
        return "The expert is worse here."
    if high < CLAIM:
        return (
            f"The interval lies below {CLAIM} points: the published gain is refuted for this network and task"
            + (", though the expert is better than fine-tuning." if low > 0 else ".")
        )
    if low > 0:
        return "The expert is better here" + (f", by {CLAIM} points at least." if low >= CLAIM else ".")
    return f"The interval holds 0 and {CLAIM}: nothing is settled at this number of runs."


def ordering(results: Results) -> Iterator[str]:
    """Which steps of the paper's ordering hold among the ten classes, by the interval of each difference."""
    names = {PAPER[0]: PAPER[0]} | METHODS
    yield f"The paper orders {' < '.join(names[method] for method in PAPER)}. Each step here, in points:\n"
    yield "| | " + " | ".join(f"{names[b]} − {names[a]}" for a, b in pairwise(PAPER)) + " |"
    yield "|---" * len(PAPER) + "|"
    for column in results.columns:
        cells = []
        for worse, better in pairwise(PAPER):
            gain = results.difference(better, worse, column)
            if gain is None:
                cells.append("")
                continue
            found = estimate([gain])
            low, high = found.interval()
            cells.append(f"{points(found)}: {'holds' if low > 0 else 'reversed' if high < 0 else 'open'}")
        yield f"| {column} | {' | '.join(cells)} |"
    yield ""


def rates(results: Results) -> str:
    """The tuned learning rate of every method, and whether the grid ended there."""
    grid = results.contents["design"]["rates"]
    chosen = {run["method"]: run["lr"] for run in results.contents["runs"] if run["lr"] is not None}
    cells = [
        f"{METHODS[method]} {rate:g}{' (end of the grid)' * (rate in (min(grid), max(grid)))}"
        for method, rate in chosen.items()
    ]
    return f"Learning rates, the best of {', '.join(f'{rate:g}' for rate in grid)}: {', '.join(cells)}.\n"


def components(gain: np.ndarray) -> tuple[float, float, float]:
    """Variances (seeds, pictures, residual) of a (seeds, n) table without replication, none below 0."""
    seeds, n = gain.shape
    residual = gain - gain.mean(1, keepdims=True) - gain.mean(0) + gain.mean()
    rest = float((residual**2).sum() / ((seeds - 1) * (n - 1)))
    of_seeds = max(float(gain.mean(1).var(ddof=1)) - rest / n, 0.0)
    return of_seeds, max(float(gain.mean(0).var(ddof=1)) - rest / seeds, 0.0), rest


def seeds_needed(parts: tuple[float, float, float], n: int) -> str:
    """Seeds per method at which a gain of CLAIM is found with a power of 80 % at the 5 % level, on n pictures."""
    of_seeds, of_pictures, rest = parts
    wanted = (CLAIM / 100 / (1.959964 + 0.841621)) ** 2
    left = wanted - of_pictures / n
    return str(max(2, math.ceil((of_seeds + rest / n) / left))) if left > 0 else "not with so few pictures"


def section(results: Results) -> Iterator[str]:
    contents, design = results.contents, results.contents["design"]
    machine, versions = contents["machine"], contents["versions"]
    yield f"## Scale `{contents['scale']}`\n"
    yield (
        f"{contents['arch']}, crop `{design['crop']}`, {10 * design['train']:,} training and {results.n:,} test "
        f"pictures, "
        f"{design['epochs']} epoch{'s' * (design['epochs'] > 1)}, batch {design['batch']}. "
        f"{machine['processor']}, {machine['cores']} cores; "
        + ", ".join(f"{name} {number}" for name, number in versions.items())
        + f". `experiments/imagenette/run.sh PICTURES WORK {contents['scale']}`\n"
    )
    yield rates(results)
    for kind, title in (("present", "among the ten classes (primary)"), ("all", "among all 1000 classes")):
        if kind not in contents["pretrained"]:
            continue
        yield f"Top-1 {title}, percent, 95 % interval, (seeds):\n"
        yield f"| | pre-trained | {' | '.join(METHODS.values())} | expert − fine-tuned, points |"
        yield "|---" * (len(METHODS) + 3) + "|"
        yield from accuracies(results, kind)
        yield ""
    pooled = results.gain(results.columns)
    if pooled is None or len(pooled) < 2:
        return
    found = estimate([pooled])
    low, high = (100 * value for value in found.interval())
    yield (
        f"**Primary comparison**, pooled over {len(results.columns)} columns and {len(pooled)} seeds: "
        f"{points(found)} points. {verdict(low, high)}\n"
    )
    yield from ordering(results)
    yield from curve(results)
    parts = components(pooled)
    needs = ", ".join(f"{seeds_needed(parts, n)} on {n:,}" for n in (results.n, 10_000, 50_000))
    of_seeds, of_pictures, rest = (100 * math.sqrt(part) for part in parts)
    yield (
        "**How many runs does such a claim need?** The paired difference has a standard deviation of "
        f"{of_seeds:.2f} points between seeds, {of_pictures:.1f} between pictures, {rest:.1f} besides. "
        f"To find {CLAIM} points with a power of 80 % takes so many seeds per method and column: "
        f"{needs} test pictures.\n"
    )


def curve(results: Results) -> Iterator[str]:
    """The gain by the weight of the teacher's term, at the tuning column."""
    column = results.contents["design"]["tuning_column"]
    rows = [(factor, results.gain([column], factor=factor)) for factor in results.factors()]
    if len(rows) < 2:
        return
    yield f"Expert − fine-tuned at {column}, by the factor on alpha (0: no teacher, the expert's learning rate):\n"
    yield "| factor | seeds | points |\n|---|---|---|"
    for factor, gain in rows:
        if gain is not None:
            yield f"| {factor:g} | {len(gain)} | {points(estimate([gain]))} |"
    yield ""


def forest(found: list[Results]) -> str:
    """An SVG: one line per scale and column, the interval of the gain, with 0 and the claim marked."""
    rows: list[tuple[str, Estimate]] = []
    for results in found:
        for label, columns in [*((column, [column]) for column in results.columns), ("pooled", results.columns)]:
            gain = results.gain(columns)
            if gain is not None:
                rows.append((f"{results.contents['scale']}: {label}", estimate([gain])))
        column = results.contents["design"]["tuning_column"]
        for factor in results.factors():
            gain = results.gain([column], factor=factor)
            if factor != 1 and gain is not None:
                rows.append((f"{column}, alpha × {factor:g}", estimate([gain])))
    span = max([1.0, *(abs(100 * end) for _, each in rows for end in each.interval())]) * 1.1
    height, left, width = 24 * len(rows) + 60, 150, 480

    def x(value: float) -> str:
        return f"{left + width * (value + span) / (2 * span):.1f}"

    def text(x: object, y: float, anchor: str, what: str) -> str:
        return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{what}</text>'

    def line(a: float, b: float, top: float, bottom: float, style: str) -> str:
        return f'<line x1="{x(a)}" x2="{x(b)}" y1="{top}" y2="{bottom}" {style}/>'

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 20} {height}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        "<title>Gain of expert training over fine-tuning</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        line(0, 0, 20, height - 36, 'stroke="#555"'),
        text(x(0), 14, "end", "0"),
        line(CLAIM, CLAIM, 20, height - 36, 'stroke="#555" stroke-dasharray="4 3"'),
        text(x(CLAIM), 14, "start", f"published +{CLAIM}"),
    ]
    for i, (name, each) in enumerate(rows):
        y, (low, high) = 36 + 24 * i, each.interval()
        lines += [
            text(left - 8, y + 4, "end", name),
            line(100 * low, 100 * high, y, y, 'stroke="#0b5fa5" stroke-width="2"'),
            f'<circle cx="{x(100 * each.mean)}" cy="{y}" r="4" fill="#0b5fa5"/>',
        ]
    whole = math.floor(span)
    ticks = range(-whole, whole + 1, max(1, whole // 5))
    lines += [text(x(tick), height - 18, "middle", f"{tick:+d}" if tick else "0") for tick in ticks]
    title = "expert − fine-tuned, points of top-1, 95 % interval"
    lines += [text(left + width / 2, height - 3, "middle", title), "</svg>"]
    return "\n".join(lines) + "\n"


def summary(results: Results) -> str:
    """The table of README.md."""
    design = results.contents["design"]
    lines = [
        f"Top-1 in percent of {results.contents['arch']} among ten classes, {results.n:,} test pictures cropped "
        f"as `{design['crop']}`, 95 % interval over pictures and seeds, (seeds):\n",
        "| | pre-trained | fine-tuned | expert | expert − fine-tuned, points |\n|---|---|---|---|---|",
    ]
    for column in results.columns:
        before = results.right(results.contents["pretrained"], "present", column)[None]
        cells = [before, *(results.matrix(method, column) for method in ("finetune", "expert"))]
        gain = results.gain([column])
        last = "" if gain is None else points(estimate([gain]))
        lines.append(f"| {column} | {' | '.join(map(accuracy, cells))} | {last} |")
    lines.append(
        "\nThis is scale `tiny`: it shows that everything works and says nothing else."
        if results.contents["scale"] == "tiny"
        else "\nSome of the pictures were training pictures of the network, so all accuracies are inflated alike."
    )
    return "\n".join(lines) + "\n"


def between(text: str, new: str) -> str:
    """``text`` with ``new`` between the markers. Raises ValueError if it has no markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{README} lacks the lines {BEGIN.strip()} and {END.strip()}")
    return f"{before}{BEGIN}{new}{END}{after}"


HEAD = """# Results: does expert training help?

Written by `python experiments/imagenette/stage_6_write.py` from `experiments/imagenette/results/*.json`; the
design, fixed before the first run, is in `experiments/imagenette/README.md`. Intervals count pictures and seeds
both ([report.md](report.md)). The pictures are ImageNet pictures, some of them training pictures of the network:
**clean accuracy, and with it every accuracy here, is inflated**; differences between methods share that. The scale
`tiny` shows that everything works and says nothing else. What was not run is blank.

![Gain of the expert over fine-tuning, by column](results-gain.svg)
"""

if __name__ == "__main__":
    files = [HERE / "results" / f"{scale}.json" for scale in ORDER]
    every = [Results(json.loads(file.read_text())) for file in files if file.exists()]
    page = "\n".join([HEAD, *(line for results in every for line in section(results))])
    (DOCS / "results.md").write_text(page.rstrip() + "\n")
    (DOCS / "results-gain.svg").write_text(forest(every[1:] or every))  # tiny's intervals would dwarf the others
    README.write_text(between(README.read_text(), summary(every[-1])))
    print(f"{DOCS / 'results.md'}: {', '.join(results.contents['scale'] for results in every)}")
