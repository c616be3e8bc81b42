"""Wrong and hostile input to the report: refused before anything is written, or shown harmlessly."""

import cProfile
import csv
import json
import os
import pstats

import pytest

from report import contents, writing
from report.page import Inline, Shown
from shards.dataset import Dataset
from shards.results import find


@pytest.mark.slow
@pytest.mark.parametrize("out", ["", "report", "clean/report"])
def test_a_report_never_goes_into_a_dataset(dataset, run, digests, out):
    before = digests(dataset)
    done = run("report", "build", dataset, "--out", dataset / out)
    assert done.returncode == 1
    assert "is a dataset or inside one" in done.stderr
    assert digests(dataset) == before


def test_a_page_that_no_report_wrote_is_kept(dataset, run, tmp_path):
    (tmp_path / "index.html").write_text("mine")
    done = run("report", "build", dataset, "--out", tmp_path)
    assert done.returncode == 1
    assert "was not written by a report" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["index.html"]


@pytest.mark.parametrize("name", ["dataset.json", "clean/000000.parquet", "manifest.parquet"])
def test_a_comparison_never_overwrites_an_input(dataset, run, digests, name):
    before = digests(dataset)
    done = run("report", "compare", dataset, "--csv", dataset / name)
    assert done.returncode == 1
    assert "exists but is not a comparison" in done.stderr
    assert digests(dataset) == before


def test_a_report_that_cannot_be_written_leaves_the_earlier_one_whole(tmp_path, digests, monkeypatch):
    out = tmp_path / "out"
    writing.replace(out, {"index.html": b"old", "tables/table1.csv": b"old"})
    before = digests(out)
    real = writing.Path.write_bytes

    def full(path, data):
        if path.name == "table1.csv":
            raise OSError(28, "No space left on device", str(path))
        return real(path, data)

    monkeypatch.setattr(writing.Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        writing.replace(out, {"index.html": b"new", "tables/table1.csv": b"new"})
    assert digests(out) == before


def test_names_from_results_cannot_end_the_script_that_holds_them():
    shown = Shown("f", "t", "c", Inline("<svg></svg>", [(0.1, 0.2, "<!--<script></script>jpeg-10")]), b"")
    assert "<" not in shown.points
    assert json.loads(shown.points)[0][2] == "<!--<script></script>jpeg-10"


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)"])
def test_no_cell_of_a_csv_begins_a_formula(text):
    from report.tables.table import Column, Table

    made = Table("t", "t", "", [Column("x", lambda row: row["x"])], [{"x": text, text: -1.5}])
    first, second = csv.reader(made.csv().splitlines())
    assert first == ["x", f"'{text}"]
    assert second == [f"'{text}", "-1.5"]


def test_models_whose_names_differ_by_case_keep_their_own_figures():
    taken = set()
    assert [writing.free(writing.slug(name), taken) for name in ("ResNet", "resnet", "RESNET")] == [
        "resnet", "resnet-2", "resnet-3"]  # fmt: skip


@pytest.mark.slow
def test_a_pipe_among_the_results_is_named_not_read(dataset, run, tmp_path):
    os.mkfifo(tmp_path / "results.json")
    done = run("report", "build", dataset, "--results", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "results.json is not a regular file" in done.stderr


def result(k, plan):
    model = {"arch": "a", "method": "expert", "trained_on": "jpeg-10", "seed": k, "weights_sha256": f"{k:064x}"}
    score = {
        "n": 24,
        "top1": 0.5,
        "top1_interval": [0.3, 0.7],
        "top5": 1.0,
        "top5_interval": [0.9, 1],
        "loss": 1.0,
    }
    return {"model": model, "columns": {"jpeg-10": score}, "samples": None}


def test_work_grows_with_the_number_of_results_not_with_its_square(dataset, tmp_path):
    data = Dataset(dataset)
    where = {"path": "val", "plan": data.plan.hash, "samples": 24}
    calls = []
    for count in (250, 1000):
        folder = tmp_path / str(count)
        for k in range(count):
            (folder / str(k)).mkdir(parents=True)
            text = json.dumps({"schema": 2, "dataset": where, "results": [result(k, data.plan.hash)]})
            (folder / str(k) / "results.json").write_text(text)
        with cProfile.Profile() as profile:
            assert contents.collect([data], find([folder])).accuracy["seeds"].to_pylist() == [count]
        calls.append(pstats.Stats(profile).total_calls)
    assert calls[1] < 6 * calls[0]
