"""A whole experiment as the paper's: seeds x networks x methods x the ten columns of Table I, and its tables."""

import csv
import hashlib
import re
import shutil
import subprocess

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import norm

from report import api, look, published, writing
from report.figures import FIGURES
from report.intervals import wilson
from report.tables import main
from shards import results
from shards.dataset import Dataset

pytestmark = pytest.mark.slow
TABLE = published.load("marie2022")
COLUMNS, ARCHITECTURES = list(TABLE["rates"]), ("mnasnet1_0", "resnet50")


def identity(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def evaluated(dataset, arch, method, trained_on, seed, rng):
    """A result and its answers per sample, at about the published accuracies."""
    clean = dataset.table("clean", ["key", "label"])
    label, start = clean["label"].to_numpy(), identity(arch)
    columns, answers = {}, {"key": clean["key"], "label": clean["label"]}
    for name in COLUMNS:
        own = name == trained_on or (trained_on in (None, "clean") and method != "finetune" and method != "expert")
        said = method if own else "pretrained"
        right = rng.normal(size=len(label)) < norm.ppf(TABLE["accuracy"][arch][name][said] / 100)
        top1 = float(right.mean())
        columns[name] = {"n": len(label), "top1": top1, "top1_interval": list(wilson(top1, len(label), 1.96))}
        columns[name] |= {"top5": 1.0, "top5_interval": [0.8, 1.0], "loss": 1.0}
        answers[name] = pa.array(right)
        answers[f"{name}/predicted"] = pa.array(np.where(right, label, 1 - label).astype(np.int32))
        answers[f"{name}/confidence"] = pa.array(rng.uniform(0.5, 1, len(label)).astype(np.float32))
    fresh = method == "pretrained"
    settings = {} if fresh else {"lr": 1e-5, "starting_weights": start, "checkpoint": "best"}
    model = {
        "arch": arch, "method": method, "trained_on": trained_on, "seed": seed, "settings": settings,
        "protocol": None if fresh else "paper",
        "weights_sha256": start if fresh else identity(arch, method, trained_on, seed),
    }  # fmt: skip
    return {"model": model, "columns": columns}, pa.table(answers)


@pytest.fixture(scope="module")
def experiment(tree, run, tmp_path_factory):
    root = tmp_path_factory.mktemp("paper")
    made = run(
        "distort", "run", tree, root / "val", "--distortions", "paper", "--crop", "center:96", "--workers", 2
    )
    assert made.returncode == 0, made.stderr
    dataset, rng = Dataset(root / "val"), np.random.default_rng(0)
    for arch in ARCHITECTURES:
        models = [("pretrained", None, None)]
        for seed in range(3):
            models += [("stability", "clean", seed)]
            models += [(method, name, seed) for method in ("finetune", "expert") for name in COLUMNS]
        found = [evaluated(dataset, arch, *model, rng) for model in models]
        where = {"path": "val", "plan": dataset.plan.hash, "samples": 24}
        out = root / "runs" / arch / "results.json"
        results.write(out, where, *map(list, zip(*found, strict=True)), {"precision": "float32"})
    return api.collect([root / "val"], [root / "runs"])


@pytest.fixture(scope="module")
def table1(experiment):
    return main.table1(experiment)


def test_table_1_has_every_cell_of_the_papers_with_its_interval(table1):
    rows = list(csv.DictReader(table1.csv().splitlines()))
    assert [row["distortion"] for row in rows] == COLUMNS
    for row in rows:
        for arch in ARCHITECTURES:
            for method in ("pretrained", "stability", "finetune", "expert"):
                low, value, high = (float(row[f"{arch}/{method}/{name}"]) for name in ("low", "accuracy", "high"))
                assert low <= value <= high
                assert row[f"{arch}/{method}/seeds"] == ("1" if method == "pretrained" else "3")
            gain = float(row[f"{arch}/expert/accuracy"]) - float(row[f"{arch}/finetune/accuracy"])
            assert float(row[f"{arch}/expert/gain"]) == pytest.approx(gain)
            assert float(row[f"{arch}/expert/gain_low"]) < gain < float(row[f"{arch}/expert/gain_high"])


def test_the_latex_of_table_1_stacks_the_methods_under_ten_columns(table1):
    text = table1.latex()
    (layout,) = re.findall(r"begin\{tabular\}\{(\w+)\}", text)
    assert layout == "l" + 10 * "r"
    body = text.split("\\midrule", 1)[1]
    titles = [line.split(" & ")[0].replace("\\quad ", "") for line in body.splitlines() if " & " in line]
    methods = ["Pre-trained", "Stability", "Fine-tuned", "Expert", "Gain"]
    assert [title for title in titles if title in methods] == 2 * methods
    assert text.count("\\textbf") >= 20  # the best of each column and network
    assert "begin{tabular}" not in body


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex: apt-get install texlive-latex-recommended")
def test_table_and_figures_fit_their_page(experiment, table1, tmp_path):
    spec = next(spec for spec in FIGURES if spec.name == "fig4-rate-accuracy")
    _, part, _ = list(writing.parts(spec, experiment))[-1]  # of resnet50
    with mpl.rc_context(look.RC):
        for name, pdf in writing.typeset(spec, part).items():
            (tmp_path / name).write_bytes(pdf)
    (tmp_path / "table1.tex").write_text(table1.latex())
    (tmp_path / "t.tex").write_text(
        "\\documentclass[10pt]{article}\\usepackage{booktabs,graphicx}\\usepackage[textwidth=7in]{geometry}"
        "\\begin{document}\\input{table1}\n"
        + "\n\n".join(f"\\noindent\\includegraphics{{{width}.pdf}}" for width in look.WIDTHS)
        + "\\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull \\hbox" not in done.stdout
