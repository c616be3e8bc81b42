"""A run that was killed goes on as if nothing had happened, alone and with two ranks."""

import csv
import os
import shutil
import signal
import time

import pytest
import torch

from train.engine import checkpoint, job
from train.engine.loop import Training

CHANGING = {"images_per_s", "waiting", "select_seconds"}


def history(out):
    with (out / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k not in CHANGING} for row in csv.DictReader(file)]


def wait_for_mid_epoch(process, last, seconds=120):
    """Until the checkpoint says that the second epoch has begun."""
    until, seen = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        if last.exists() and seen != (seen := last.stat().st_mtime_ns) and len(history(last.parent)) == 2:
            state = checkpoint.load(last)["state"]
            if state["epoch"] == 1 and state["step"] >= 2:
                return
        time.sleep(0.01)
    raise AssertionError("the second epoch did not begin in time")


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def assert_same_run(one, two, state_of):
    a, b = (checkpoint.load(out / "last.pt") for out in (one, two))
    for name in a["model"]:
        assert torch.equal(a["model"][name], b["model"][name]), name
    moments = [run["optimiser"]["state"] for run in (a, b)]
    for i, state in moments[0].items():
        assert all(torch.equal(value, moments[1][i][name]) for name, value in state.items())
    assert history(one) == history(two)
    best = [state_of(out / "best.safetensors") for out in (one, two)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


LONG = ("--epochs", 2, "--batch", 8, "--flip")
KILLED = ("--checkpoint-minutes", 0)  #: a checkpoint after every step


@pytest.fixture
def killed(once, cli, start, training, tmp_path):
    """The folders of an uninterrupted training, read only, and of one that was killed in its second epoch."""

    def make(folder):
        whole = cli(*training("expert", *LONG, "--workers", 2, out=folder / "whole"))
        assert whole.exit_code == 0, whole.output
        process = start(*training("expert", *LONG, *KILLED, "--workers", 2, out=folder / "killed"))
        wait_for_mid_epoch(process, folder / "killed" / "last.pt")
        kill(process)

    folder = once("killed-training", make)
    return folder / "whole", shutil.copytree(folder / "killed", tmp_path / "run")


def test_killed_in_mid_epoch_and_resumed_equals_uninterrupted_bit_for_bit(cli, training, killed, state_of):
    whole, run = killed
    there = checkpoint.load(run / "last.pt")["state"]
    assert (there["epoch"], len(there["history"])) == (1, 2)
    assert not (run / "finished").exists()
    resumed = cli(*training("expert", *LONG, "--resume", "--workers", 2))
    assert resumed.exit_code == 0, resumed.output
    assert "epoch 1/2" not in resumed.output
    assert_same_run(whole, run, state_of)


def test_in_mid_epoch_workers_and_shuffle_may_change_and_nothing_else_does(cli, training, killed, state_of):
    """The rest of the epoch keeps the order in which it began."""
    resumed = cli(*training("expert", *LONG, "--resume", "--workers", 3, "--shuffle", 7))
    assert resumed.exit_code == 0, resumed.output
    assert_same_run(*killed, state_of)


def test_one_rank_goes_on_as_two(start, training, interrupted):
    assert checkpoint.load(interrupted)["order"]["ranks"] == 1
    process = start(*training("finetune", "--resume", "--workers", 2), ranks=2)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    after = checkpoint.load(interrupted)
    assert (after["state"]["epoch"], after["order"]["ranks"]) == (1, 2)
    # Two of the epoch's six steps were counted with a loss of 0.5 each before; see ``interrupted``.
    assert 1 / 6 < after["state"]["history"][-1]["train_loss"] < 5


def test_two_ranks_killed_and_resumed_equal_two_ranks_uninterrupted(start, training, tmp_path, state_of):
    whole = start(*training("expert", *LONG, "--accumulate", 2, out="whole"), ranks=2)
    arguments = training("expert", *LONG, "--accumulate", 2, out="killed")
    process = start(*arguments, *KILLED, ranks=2)
    wait_for_mid_epoch(process, tmp_path / "killed" / "last.pt")
    kill(process)
    again = start(*arguments, "--resume", ranks=2)
    for run in (whole, again):
        output, error = run.communicate()
        assert run.returncode == 0, error
    assert "epoch 1/2" not in output
    assert_same_run(tmp_path / "whole", tmp_path / "killed", state_of)


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_while_an_epoch_is_evaluated_and_resumed_equals_uninterrupted(
    cli, training, monkeypatch, tmp_path, state_of, workers
):
    arguments = training("finetune", "--epochs", 2, "--workers", workers)
    whole = cli(*training("finetune", "--epochs", 2, "--workers", workers, out="whole"))
    assert whole.exit_code == 0, whole.output
    select = Training.select
    with monkeypatch.context() as patch:
        patch.setattr(Training, "select", lambda self: select(self) if not self.state.epoch else exit(9))
        assert cli(*arguments, *KILLED).exit_code == 9
    there = checkpoint.load(tmp_path / "run" / "last.pt")["state"]
    assert (there["epoch"], there["step"]) == (0, 119 * 9 // 10 // 16)
    resumed = cli(*arguments, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert_same_run(tmp_path / "whole", tmp_path / "run", state_of)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 0)])
def test_a_signal_leaves_a_checkpoint_to_go_on_from(cli, start, training, tmp_path, number, status):
    arguments = training("finetune", "--resume", "--epochs", 50)
    process = start(*arguments, *KILLED)
    last = tmp_path / "run" / "last.pt"
    wait_for_mid_epoch(process, last)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == status
    assert f"stopped by {number.name} in epoch" in error
    assert "repeat the command with --resume to continue" in error
    assert not (tmp_path / "run" / "finished").exists()
    there = checkpoint.load(last)["state"]
    resumed = cli(*arguments, "--epochs", there["epoch"] + 1)
    assert resumed.exit_code == 0, resumed.output
    assert checkpoint.load(last)["state"]["epoch"] == there["epoch"] + 1
    assert (tmp_path / "run" / "finished").exists()


@pytest.mark.parametrize("moment", ["prepare", "tested_columns"])
def test_the_warning_of_a_scheduler_before_or_after_the_epochs_ends_the_run_at_once(
    cli, training, monkeypatch, tmp_path, moment
):
    step = getattr(job, moment)

    def warned(*arguments):
        os.kill(os.getpid(), signal.SIGUSR1)
        return step(*arguments)

    arguments = training("finetune", "--resume")
    with monkeypatch.context() as patch:
        patch.setattr(job, moment, warned)
        stopped = cli(*arguments)
    assert stopped.exit_code == 0
    assert "stopped by SIGUSR1 before or after the epochs; repeat the command" in stopped.output
    assert not (tmp_path / "run" / "finished").exists()
    assert cli(*arguments).exit_code == 0
    assert (tmp_path / "run" / "finished").exists()


def test_a_folder_in_use_needs_resume(cli, training):
    assert cli(*training("finetune")).exit_code == 0
    again = cli(*training("finetune"))
    assert again.exit_code == 1
    assert "holds a run; --resume continues it, or choose another --out" in again.output
    assert cli(*training("finetune", "--resume")).exit_code == 0


@pytest.fixture
def interrupted(once, cli, training, tmp_path):
    """A run folder whose checkpoint is in mid-epoch."""

    def make(folder):
        assert cli(*training("finetune", out=folder / "run")).exit_code == 0
        contents = checkpoint.load(folder / "run" / "last.pt")
        contents["state"] |= {"epoch": 0, "step": 2, "sums": [{"loss": 1.0, "ce": 1.0}]}
        contents["state"]["history"] = contents["state"]["history"][:1]
        checkpoint.save(folder / "run" / "last.pt", contents)

    shutil.copytree(once("interrupted", make) / "run", tmp_path / "run")
    return tmp_path / "run" / "last.pt"


@pytest.mark.parametrize(
    ("objective", "options", "difference"),
    [
        ("finetune", ["--batch", 8], "batch: 16 in the checkpoint, 8 now"),
        ("finetune", ["--lr", 1e-4], "lr: 0.001 in the checkpoint, 0.0001 now"),
        ("finetune", ["--column", "j2k-75"], "column: jpeg-10 in the checkpoint, j2k-75 now"),
        ("expert", [], "method: finetune in the checkpoint, expert now"),
        ("finetune", ["--seed", 3], "seed: 0 in the checkpoint, 3 now"),
    ],
)
def test_a_run_with_other_settings_is_not_continued(cli, training, interrupted, objective, options, difference):
    result = cli(*training(objective, *options, "--resume"))
    assert result.exit_code == 1
    assert "belongs to another run" in result.output
    assert difference in result.output


def test_another_dataset_is_not_continued(cli, training, interrupted, make_tiles, make_set, tmp_path):
    other = make_set(make_tiles(tmp_path / "source", 40, 9), tmp_path / "other")
    result = cli(*training("finetune", "--resume", train=other))
    assert result.exit_code == 1
    assert "train_dataset: " in result.output


def test_between_epochs_the_number_of_workers_may_change(cli, training):
    assert cli(*training("finetune")).exit_code == 0
    result = cli(*training("finetune", "--workers", 2, "--epochs", 2, "--resume"))
    assert result.exit_code == 0, result.output
    assert "epoch 2/2" in result.output


class Bomb:
    def __reduce__(self):
        return (print, ("code ran",))


@pytest.mark.parametrize("content", ["bomb", b"", b"x" * 100, "half"])
def test_a_damaged_or_dangerous_checkpoint_is_refused(cli, training, interrupted, content):
    if content == "bomb":
        torch.save({"schema": 1, "model": Bomb()}, interrupted)
    elif content == "half":
        interrupted.write_bytes(interrupted.read_bytes()[:20000])
    else:
        interrupted.write_bytes(content)
    result = cli(*training("finetune", "--resume"))
    assert result.exit_code == 1
    assert "last.pt is damaged" in result.output or "last.pt is refused" in result.output
    assert "code ran" not in result.output


def test_a_checkpoint_of_an_older_version_is_evaluated_and_not_continued(
    cli, training, interrupted, val_set, tmp_path
):
    contents = checkpoint.load(interrupted)
    del contents["trained"]
    contents["meta"] = {
        name: contents["meta"][name] for name in ("arch", "method", "trained_on", "seed", "protocol")
    }
    torch.save({**contents, "schema": 1}, interrupted)
    result = cli(*training("finetune", "--resume"))
    assert result.exit_code == 1
    assert "one of an older version can be evaluated, but only that version can resume it" in result.output
    done = cli(
        "evaluate", val_set, "--checkpoint", interrupted, "--columns", "clean", "--out", tmp_path / "r.json"
    )
    assert done.exit_code == 0, done.output
