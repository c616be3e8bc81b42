"""Places where nothing can or should be written, and results that a report cannot use: refused before any work."""

import os
import subprocess
import sys

import pytest

from report.cli import main as report
from shards.atomic import require_writable
from shards.cli import main as shards


def test_a_url_as_output_is_refused_before_any_work(refused, training, val_set, weights, dataset):
    url = "s3://bucket/run"
    checkpoint = ["--checkpoint", weights]
    for said in (
        refused(*training("finetune"), "--out", url),
        refused("evaluate", val_set, *checkpoint, "--out", f"{url}.json"),
        refused("export", weights, "--out", f"{url}.onnx"),
        refused("build", dataset, "--out", url, program=report),
        refused("compare", dataset, "--csv", f"{url}.csv", program=report),
    ):
        assert "s3:/" in said
        assert "is a url: results are written to local folders and files only" in said


def test_a_path_made_of_a_url_is_a_url_and_a_colon_in_a_name_is_not(tmp_path):
    for url in ("gs://b/x", tmp_path.__class__("gs://b/x"), "simplecache::s3://b", "file:///tmp/x"):
        with pytest.raises(ValueError, match="is a url"):
            require_writable(url)
    for path in ("run:1", "runs/a:b/c", tmp_path / "s3:", os.fspath(tmp_path)):
        require_writable(path)


def test_an_output_below_a_file_is_refused_before_any_work(refused, training, val_set, weights, dataset, tmp_path):
    (tmp_path / "file").write_text("")
    for said in (
        refused(*training("finetune"), "--out", "file/run"),
        refused("evaluate", val_set, "--checkpoint", weights, "--out", "file/r.json"),
        refused("build", dataset, "--out", "file/report", program=report),
        refused("compare", dataset, "--csv", "file/c.csv", program=report),
    ):
        assert f"cannot be written: {tmp_path / 'file'} is not a folder or is read-only" in said


def test_a_writable_folder_in_a_read_only_one_is_an_output(tmp_path):
    """As a volume in a container whose root is read-only."""
    code = f"from shards.atomic import require_writable; require_writable({str(tmp_path / 'out')!r})"
    mounted = f"mount -t tmpfs x {tmp_path} && mkdir {tmp_path}/out && mount -t tmpfs x {tmp_path}/out"
    command = f'{mounted} && mount -o remount,ro {tmp_path} && "$@"'
    if os.geteuid() or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("needs root to mount folders")
    subprocess.run(["unshare", "-m", "sh", "-c", command, "sh", sys.executable, "-c", code], check=True)


def test_a_folder_of_other_things_is_no_output(refused, training, dataset, tmp_path):
    other = tmp_path / "runs"
    (other / "et").mkdir(parents=True)
    (other / "et" / "config.json").write_text("{}")
    said = refused(*training("finetune"), "--out", other)
    assert said == f"{other} holds another run, et; choose another --out"
    said = refused("build", dataset, "--out", other, program=report)
    assert said == f"{other / 'et'} exists but was not written by a report: choose another --out"
    said = refused("export", dataset, other, "--columns", "clean", program=shards)
    assert said == f"{other} already holds et; choose a new folder or empty it"


def test_the_report_says_what_is_missing(refused, dataset, val_set, weights, cli, tmp_path):
    assert refused("compare", program=report) == "name a dataset to compare"
    said = refused("build", dataset, "--results", "nope.json", "--out", "o", program=report)
    assert said == "nope.json: it does not exist; 'train evaluate' writes one"
    out = tmp_path / "results.json"
    made = cli("evaluate", val_set, "--checkpoint", weights, "--out", out, "--columns", "clean", "--workers", 0)
    assert made.exit_code == 0, made.output
    said = refused("choose", val_set, "--results", out, "--bytes", 400, program=report)
    assert said == "nothing to choose from: no result is of a column with a bitstream that DATASET has"
