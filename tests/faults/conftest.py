"""Small inputs for attacks on whole commands; and the datasets and networks of tests/train."""

import importlib.util
from pathlib import Path

import pytest
from click.testing import CliRunner

_spec = importlib.util.spec_from_file_location(
    "train_conftest", Path(__file__).parents[1] / "train" / "conftest.py"
)
_train = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_train)
globals().update({name: value for name, value in vars(_train).items() if not name.startswith("_")})


@pytest.fixture(scope="session")
def two_sets(tree, run, once):
    """Training and validation: 24 samples of two classes in two orders, 64x64. Read only."""

    def make(folder: Path) -> None:
        for seed, name in enumerate(("train", "val")):
            made = run(
                "distort", "run", tree, folder / name, "--distortions", "jpeg-10", "--crop", "center:64",
                "--seed", seed, "--shard-size", 12, "--workers", 1,
            )  # fmt: skip
            assert made.returncode == 0, made.stderr

    folder = once("two-sets", make)
    return [folder / "train", folder / "val"]


@pytest.fixture
def cat(tree):
    """The bytes of a JPEG picture."""
    return (tree / "animals" / "chelsea_0.jpg").read_bytes()


@pytest.fixture
def refused(cli, digests, tmp_path, monkeypatch):
    """``refused(*arguments)``: what ``train``, or ``program``, says before it ends, having written nothing."""
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
