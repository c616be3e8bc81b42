"""The small commands: list and preview, help with examples."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from distort import codecs
from distort.cli import main


def test_list_prints_every_distortion_with_range_extension_and_example(run):
    listed = run("distort", "list")
    assert listed.returncode == 0
    for name in codecs.names():
        step = codecs.load(name)
        line = next(line for line in listed.stdout.splitlines() if line.startswith(step.example + " "))
        if step.parameter:
            assert f"{step.low:g}..{step.high:g}" in line
        assert step.meaning in line
    assert "preset paper: jpeg-75, jpeg-10, jpeg-5, j2k-75" in listed.stdout


def test_preview_draws_one_panel_per_distortion(tree, tmp_path, run):
    out = tmp_path / "sheet.png"
    made = run("distort", "preview", tree / "animals" / "chelsea_0.jpg", out, "--distortions", "jpeg-10,j2k-75")
    assert made.returncode == 0, made.stderr
    assert "3 panels of 224x224" in made.stdout
    sheet = np.asarray(Image.open(out))
    assert sheet.shape[1] > 3 * 224
    assert len(np.unique(sheet[12:236, 12:236].reshape(-1, 3), axis=0)) > 5000  # the clean panel is a photograph


def test_preview_of_no_picture_says_so(tmp_path, run):
    (tmp_path / "a.jpg").write_text("no picture")
    made = run("distort", "preview", tmp_path / "a.jpg", tmp_path / "o.png", "--distortions", "jpeg-10")
    assert made.returncode == 1
    assert "a.jpg: UnidentifiedImageError" in made.stderr


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("cat.jpg", "cat.jpg exists and is not overwritten"),
        ("other.jpg", "other.jpg exists and is not overwritten"),
        ("link.png", "link.png exists and is not overwritten"),
        ("o.fits", "'.fits' is no picture format that can be written"),
        ("o.mpg", "'.mpg' is no picture format that can be written"),
        ("o.doc", "'.doc' is no picture format that can be written"),
        ("nodir/o.png", "there is no folder nodir; create it first"),
    ],
)
def test_preview_refuses_what_it_cannot_write_before_it_works(tree, tmp_path, monkeypatch, digests, out, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("distort.sources.read", None)
    for name in ("cat.jpg", "other.jpg"):
        shutil.copy(tree / "animals" / "chelsea_0.jpg", name)
    Path("link.png").symlink_to("cat.jpg")
    before = digests(tmp_path)
    made = CliRunner().invoke(main, ["preview", "cat.jpg", out, "--distortions", "jpeg-10"])
    assert made.exit_code == 1
    assert message in made.stderr
    assert digests(tmp_path) == before


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        ("o", ["--shard-size", "9" * 20], "is not in the range 1<=x<=10000000"),
        ("o", ["--crop", "random:1000000"], "at most 1,000 crops of every picture"),
        ("val/sub", [], "val/sub is inside the dataset"),
        ("val/sub", ["--dry-run"], "val/sub is inside the dataset"),
        ("file/o", [], "file is a file, not a folder"),
    ],
)
def test_a_dataset_that_cannot_be_is_refused_before_anything_is_written(
    tmp_path, monkeypatch, digests, dataset, options, message
):
    monkeypatch.chdir(tmp_path)
    for file in ("val/dataset.json", "file", "tree/animals/cat.jpg"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text("{}")
    before = digests(tmp_path)
    made = CliRunner().invoke(main, ["run", "tree", dataset, "--distortions", "jpeg-10", *options])
    assert made.exit_code in (1, 2)
    assert message in made.stderr
    assert digests(tmp_path) == before


@pytest.mark.parametrize("command", [["run"], ["add"], ["list"], ["preview"]])
def test_help_shows_an_example(run, command):
    assert "Example: distort" in run("distort", *command, "--help").stdout


@pytest.mark.slow
def test_wrong_arguments_are_explained_in_one_line(tree, tmp_path, run):
    for arguments, message in (
        (["--distortions", "jpg-10"], "did you mean 'jpeg-10'?"),
        (["--distortions", "jpeg-10", "--crop", "middle"], "unknown crop 'middle'"),
        (["--distortions", "jpeg-10", "--part", "3/2"], "'3/2' is not K/N with 1 <= K <= N"),
        (["--distortions", ","], "no distortion given"),
        (
            ["--distortions", "jpeg-10", "--engine", "rya"],
            "did you mean 'ray'? there are local, ray",
        ),
        (
            ["--distortions", "jpeg-10", "--address", "head:6379"],
            "--engine local takes no --address",
        ),
    ):
        made = run("distort", "run", tree, tmp_path / "d", *arguments)
        assert made.returncode == 2
        assert message in made.stderr
        assert "Traceback" not in made.stderr
    assert not (tmp_path / "d").exists()


def test_a_part_without_shards_says_so(dataset, tree, run):
    made = run("distort", "run", tree, dataset, "--distortions", "jpeg-10", "--shard-size", 5, "--part", "6/9")
    assert made.returncode == 0
    assert f"--part 6/9 has no shards: {dataset} has 5" in made.stderr


@pytest.mark.slow
def test_names_from_files_cannot_command_the_terminal(tmp_path, run):
    folder = tmp_path / "\x1b[31mred\a"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "\x1b]0;title\a.png")
    (folder / "\x1b[2J.png").write_bytes(b"")
    work = [
        "distort",
        "run",
        tmp_path,
        tmp_path / "d",
        "--distortions",
        "jpeg-10",
        "--crop",
        "none",
        "--max-bad",
        1,
    ]
    made = run(*work)
    assert made.returncode == 0, made.stderr
    assert r"\x1b[31mred\x07" in made.stderr
    listed = run("shards", "errors", tmp_path / "d").stdout
    refused = run("distort", "run", tmp_path, tmp_path / "e", "--distortions", "jpeg-10", "--classes", "imagenet")
    assert r"\x1b[31mred\x07" in refused.stderr
    assert "\x1b" not in made.stdout + made.stderr + listed + refused.stderr


@pytest.mark.parametrize("option", ["--split", "--classes", "--labels"])
def test_an_empty_value_is_a_variable_that_was_not_set(tree, tmp_path, option):
    work = ["run", str(tree), str(tmp_path / "d"), "--distortions", "jpeg-10", option, ""]
    done = CliRunner().invoke(main, work)
    assert done.exit_code == 2
    assert f"'{option}': it is empty" in done.stderr


def test_a_dataset_is_no_file_and_a_class_list_has_a_name(tree, tmp_path):
    (tmp_path / "d").write_text("precious")
    work = ["run", str(tree), str(tmp_path / "d"), "--distortions", "jpeg-10"]
    assert "d is a file, not a folder" in CliRunner().invoke(main, work).stderr
    assert (tmp_path / "d").read_text() == "precious"
    work[2] = str(tmp_path / "e")
    assert "did you mean imagenet?" in CliRunner().invoke(main, [*work, "--classes", "imagnet"]).stderr
