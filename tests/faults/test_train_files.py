"""Files around a training: full disks, flipped bytes, two trainings in one folder, outputs on top of inputs."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from train.cli import main
from train.engine import checkpoint

pytestmark = pytest.mark.slow

ARCH = ("--arch", "shufflenet_v2_x0_5")


def cli(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def arguments(two_sets, tmp_path):
    """Of a training of one epoch into ``tmp_path / run``."""
    train, val = two_sets

    def arguments(*options, command="finetune", train=train, val=val, out=tmp_path / "run"):
        return [
            command, train, "--val", val, "--column", "jpeg-10", *ARCH, "--weights", "none", "--epochs", 1,
            "--batch", 4, "--select-on", "validation", "--workers", 0, "--device", "cpu", "--test-columns", "none",
            "--out", out, *options,
        ]  # fmt: skip

    return arguments


@pytest.fixture(scope="module")
def finished(two_sets, tmp_path_factory):
    """The folder of a finished training. Read only: copy it."""
    train, val = two_sets
    out = tmp_path_factory.mktemp("finished") / "run"
    done = cli("finetune", train, "--val", val, "--column", "jpeg-10", *ARCH, "--weights", "none", "--epochs", 1,
               "--batch", 4, "--select-on", "validation", "--workers", 0, "--device", "cpu", "--test-columns",
               "none", "--out", out)  # fmt: skip
    assert done.exit_code == 0, done.output
    return out


@pytest.mark.parametrize(
    "options", [("--seed", 3), ("--column", "clean"), ("--test-columns", "clean,jpg-10"), ("--batch", 1000)]
)
def test_a_refused_resume_touches_nothing(arguments, finished, tmp_path, digests, options):
    shutil.copytree(finished, tmp_path / "run")
    before = digests(tmp_path / "run")
    refused = cli(*arguments("--resume", *options))
    assert refused.exit_code == 1, refused.output
    assert digests(tmp_path / "run") == before
    assert (tmp_path / "run" / "finished").exists()


@pytest.mark.parametrize("options", [("--test-columns", "jpg-10"), ("--batch", 1000), ("--wandb",)])
def test_a_refused_training_leaves_no_folder(arguments, tmp_path, options):
    refused = cli(*arguments(*options))
    assert refused.exit_code == 1, refused.output
    assert not (tmp_path / "run").exists()


HOLD = """
import sys, time
from pathlib import Path
from train.engine.run import RunFolder
with RunFolder(sys.argv[1]).held():
    Path(sys.argv[2]).touch()
    time.sleep(60)
"""


def test_two_trainings_do_not_share_a_folder(server, arguments, tmp_path):
    held = tmp_path / "held"
    other = server.start("python", "-c", HOLD, str(tmp_path / "run"), str(held))
    try:
        while not held.exists():
            assert other.poll() is None, other.communicate()
            time.sleep(0.01)
        refused = cli(*arguments("--resume"))
        assert refused.exit_code == 1
        assert f"run is in use by another training (process {other.pid} on " in refused.output
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert cli(*arguments("--resume")).exit_code == 0


def test_a_checkpoint_that_changes_while_a_training_starts_is_not_overwritten(finished, tmp_path):
    from train.engine.run import RunFolder

    folder = RunFolder(shutil.copytree(finished, tmp_path / "run"))
    checkpoint.save(folder.last, checkpoint.load(folder.last))
    with pytest.raises(ValueError, match="another training has just written a checkpoint"), folder.held():
        pass


def test_a_flipped_byte_in_a_checkpoint_is_noticed_or_harmless(finished, tmp_path):
    whole = (finished / "last.pt").read_bytes()
    sound = checkpoint.load(finished / "last.pt")
    rng, noticed = random.Random(0), 0
    for _ in range(40):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        file = tmp_path / "last.pt"
        file.write_bytes(damaged)
        try:
            there = checkpoint.load(file)
        except checkpoint.CheckpointError:
            noticed += 1
        else:  # padding between the tensors
            assert all(torch.equal(value, there["model"][name]) for name, value in sound["model"].items())
    assert noticed > 30


def test_a_disk_that_is_full_while_the_checkpoint_is_written_leaves_the_one_before(tmp_path):
    file = tmp_path / "last.pt"
    checkpoint.save(file, {"value": torch.zeros(10)})
    before = file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match=r"File too large: '.*/last.pt'"):
            checkpoint.save(file, {"value": torch.randn(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("size", ["100k", "2m", "6m"])
def test_a_full_disk_ends_a_training_in_one_line(arguments, tmp_path, size):
    """At the first small file, at the weights, at the checkpoint."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk]).returncode:
        pytest.skip("needs root to mount a small disk")
    try:
        ended = cli(*arguments("--workers", 1, out=disk / "run"))
        assert ended.exit_code == 1
        assert ended.output.count("Error: ") == 1
        assert "No space left on device" in ended.output
        assert "Traceback" not in ended.output
        assert not list(disk.glob("run/.*.*"))
    finally:
        subprocess.run(["umount", disk], check=True)


def test_no_output_lands_in_a_dataset_or_on_a_strangers_file(arguments, two_sets, tmp_path, digests, finished):
    train, val = two_sets
    before = [digests(root) for root in two_sets]
    weights = finished / "best.safetensors"
    own = tmp_path / "notes.json"
    own.write_text('{"mine": true}')
    (tmp_path / "file").write_text("")
    for command in (
        ("evaluate", val, "--checkpoint", weights, "--out", val / "dataset.json"),
        ("evaluate", val, "--checkpoint", weights, "--out", val / "results" / "new.json"),
        ("evaluate", val, "--checkpoint", weights, "--out", own),
        ("evaluate", val, "--checkpoint", weights, "--out", tmp_path / "file" / "x.json"),
        arguments(out=train),
        arguments(out=val / "run"),
        arguments(out=tmp_path / "file"),
    ):
        refused = cli(*command)
        assert refused.exit_code == 1, refused.output
        assert "Error: " in refused.output
        assert "--out" in refused.output
    assert [digests(root) for root in two_sets] == before
    assert json.loads(own.read_text()) == {"mine": True}


def test_options_without_effect_and_a_validation_set_that_is_trained_on_are_refused(arguments, two_sets):
    refused = cli(*arguments("--quirks", "adam-reset", "--protocol", "refcode"))
    assert refused.exit_code == 2
    assert "give one" in refused.output
    refused = cli(*arguments(val=two_sets[0]))
    assert refused.exit_code == 1
    assert "are the same dataset" in refused.output
    said = cli(*arguments("--cache", "somewhere", "--holdout", 0.1)).output
    assert "note: --cache has no effect" in said
    assert "note: --holdout has no effect with --select-on validation" in said


@pytest.mark.parametrize("name", ["teacher.json"])
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"shards": 3}', '{"plan": [], "shards": [{}], "classes": "x"}'])
def test_a_damaged_teacher_is_named(two_sets, tmp_path, finished, arguments, name, text):
    root = shutil.copytree(two_sets[0], tmp_path / "train")
    weights = finished / "best.safetensors"
    assert cli("teach", root, *ARCH, "--weights", weights, "--workers", 0).exit_code == 0
    (file,) = root.glob(f"teachers/*/{name}")
    file.write_text(text)
    ended = cli(*arguments("--weights", weights, command="expert", train=root))
    assert ended.exit_code == 1, ended.output
    assert isinstance(ended.exception, SystemExit), ended.exception
    assert "teachers/" in ended.output


def test_damaged_starting_weights_are_named(arguments, finished, tmp_path):
    for name, content in (("a.safetensors", b"\xff" * 100), ("b.safetensors", b""), ("c.pt", b"PK\x03\x04junk")):
        file = Path(tmp_path, name)
        file.write_bytes(content)
        ended = cli(*arguments("--weights", file))
        assert ended.exit_code == 1
        assert isinstance(ended.exception, SystemExit), ended.exception
        assert str(file) in ended.output
