"""What people type wrongly when they train: refused in a line before any work, or answered with what to do."""

import os

import pytest
from click.testing import CliRunner

from report.cli import main as report
from shards.atomic import require_local
from train import export, fit
from train.methods import METHODS
from train.options import check
from train.recipes import Recipe
from train.settings import Settings


@pytest.fixture
def refused(cli, digests, tmp_path, monkeypatch):
    """``refused(*arguments)``: what ``train`` says before it ends without having written anything."""
    monkeypatch.chdir(tmp_path)

    def refused(*arguments, program=None):
        before = digests(tmp_path)
        run = CliRunner().invoke(program, [str(part) for part in arguments]) if program else cli(*arguments)
        assert isinstance(run.exception, SystemExit), run.exception
        assert run.exit_code in (1, 2), run.output
        assert digests(tmp_path) == before
        assert not (tmp_path / "s3:").exists()
        return run.output.rpartition("Error: ")[2].strip()

    return refused


@pytest.mark.parametrize(
    ("method", "option"),
    [
        *[("finetune", name) for name in ("--lr", "--clip", "--weight-decay", "--warmup")],
        ("expert", "--alpha"), ("stability", "--sigma"), ("augmix", "--weight"), ("pretransform", "--tv"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", ["inf", "1e999"])
def test_infinity_is_refused_before_training(refused, training, method, option, value):
    said = refused(*training(method), option, value)
    assert said == f"Invalid value for '{option}': '{value}' is not a finite number."


def test_infinity_is_refused_from_python_too():
    for values in (Recipe(clip=float("inf")), METHODS.load("pretransform").Options(tv=10**400)):
        with pytest.raises(ValueError, match=r"(clip|tv): .* is not a finite number"):
            check(values)
    with pytest.raises(ValueError, match="lr: inf is not a finite number"):
        fit("finetune", "t", val="v", arch="resnet18", weights="none", out="o", column="clean", lr=float("inf"))


def test_infinity_is_accepted_where_it_means_something():
    given = {"val": "v", "arch": "resnet18", "weights": "none", "out": "o", "column": "clean"}
    assert Settings.of("finetune", train="t", checkpoint_minutes=float("inf"), **given)
    option = next(item for item in report.commands["choose"].params if item.name == "bytes_")
    assert option.type.convert("inf", option, None) == float("inf")


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
            require_local(url)
    for path in ("run:1", "runs/a:b/c", tmp_path / "s3:", os.fspath(tmp_path)):
        require_local(path)


def test_a_file_goes_into_a_folder_that_is_not_there_yet(weights, tmp_path):
    file = tmp_path / "new" / "folder" / "expert.pt2"
    assert export(weights, file, side=64) == file
    assert file.is_file()
