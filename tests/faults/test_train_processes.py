"""However a training ends, all of its processes end with it, within seconds and with a reason."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torchvision
from click.testing import CliRunner

from shards.dataset import Dataset
from train.cli import main
from train.feed import slices
from train.feed.data import Source, Stream
from train.feed.reading import survey
from train.feed.workers import batches
from train.networks.network import Network

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TRAIN = Path(sys.executable).parent / "train"
SECONDS = 20  #: more than an end may take even on a busy machine, less than any wait of PyTorch's


@pytest.fixture
def data(two_sets):
    return two_sets


def stream(data):
    counts = survey(Dataset(data[0]), ["jpeg-10"]).counts
    pool = slices.between(counts, 0, sum(counts))
    return Stream(Source(str(data[0]), ("jpeg-10",)), slices.evaluation(pool, rank=0, ranks=1, batch=1))


def children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()]


def test_workers_end_with_the_block_even_in_the_middle_or_stopped(data):
    before = children()
    with batches(stream(data), 3) as feed:
        next(feed)
        os.kill(children()[-1], signal.SIGSTOP)
    assert children() == before


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGKILL, r"a data worker was killed \(SIGKILL\): out of memory"),
        (signal.SIGUSR2, r"a data worker died \(signal SIGUSR2\)"),
    ],
)
def test_a_worker_that_dies_is_an_error_with_its_reason(data, number, reason):
    before = children()
    with batches(stream(data), 2) as feed:
        next(feed)
        os.kill(children()[-1], number)
        with pytest.raises(OSError, match=reason):
            list(feed)
    assert children() == before


def test_a_signal_to_the_whole_group_leaves_the_workers_to_the_main_process(data):
    before = children()
    with batches(stream(data), 2) as feed:
        next(feed)
        for pid in set(children()) - set(before):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
                os.kill(pid, number)
        assert len(list(feed)) == 23


def test_an_error_in_a_worker_keeps_its_traceback(data):
    broken = stream(data)
    broken.batches[1] += 10**6 << slices.ROW_BITS
    with pytest.raises((RuntimeError, ValueError, OSError)), batches(broken, 2) as feed:
        list(feed)


class Processes:
    """All processes of a group, or whose environment carries a mark: a training's launcher, ranks and workers."""

    group: int

    def __init__(self, mark: str):
        self.mark = f"MARK={mark}".encode()

    def alive(self) -> dict[int, str]:
        found = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdecimal():
                continue
            try:
                state, _, group, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
                marked = self.mark in (folder / "environ").read_bytes().split(b"\0")
                if (marked or int(group) == self.group) and state not in "ZX":
                    found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
            except OSError:  # it has ended
                continue
        return found

    def parents(self) -> dict[int, int]:
        return {
            pid: int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in self.alive()
        }

    def require_gone(self) -> None:
        until = time.monotonic() + SECONDS
        while self.alive() and time.monotonic() < until:
            time.sleep(0.05)
        left = self.alive()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left


@pytest.fixture
def training(data, start, tmp_path, monkeypatch):
    """``training(*options, before=…)`` starts a training with two data workers in its own process group."""
    processes = Processes(str(tmp_path))
    monkeypatch.setenv("MARK", str(tmp_path))

    def training(*options, before=(), ranks=1, torchrun=False, **environment):
        arguments = [
            "finetune", data[0], "--val", data[1], "--column", "jpeg-10",
            "--arch", "shufflenet_v2_x0_5", "--weights", "none", "--select-on", "validation", "--batch", 4,
            "--workers", 2, "--device", "cpu", "--test-columns", "none", "--out", tmp_path / "run", *options,
        ]  # fmt: skip
        if before:
            process = subprocess.Popen(
                [str(part) for part in (*before, TRAIN, *arguments)], env=os.environ | environment, cwd=tmp_path,
                text=True, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        else:
            process = start(*arguments, ranks=ranks, torchrun=torchrun)
        processes.group = process.pid
        return process, processes

    yield training
    for pid in processes.alive():
        os.kill(pid, signal.SIGKILL)


def until_trained(process, metrics: Path) -> None:
    """Until an epoch is done."""
    end = time.monotonic() + 60
    while not metrics.exists() or len(metrics.read_text().splitlines()) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_loss_that_is_not_finite_ends_the_process_and_its_workers(training):
    process, processes = training("--lr", 1e30, "--epochs", 3)
    _, error = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "the loss is not finite" in error
    processes.require_gone()


def test_a_training_does_not_depend_on_the_size_of_shared_memory(training):
    """Containers often have 64 MB of /dev/shm, which a data loader of PyTorch fills."""
    if os.geteuid() or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("needs root to mount a small /dev/shm")
    small = 'mount -t tmpfs -o size=20k tmpfs /dev/shm && exec "$@"'
    process, processes = training("--epochs", 1, before=("unshare", "-m", "sh", "-c", small, "sh"))
    _, error = process.communicate(timeout=100)
    assert process.returncode == 0, error
    processes.require_gone()


def test_a_killed_rank_takes_all_others_along(training, tmp_path):
    """As under srun: no launcher ends the others."""
    process, processes = training("--epochs", 10**6, ranks=2)
    until_trained(process, tmp_path / "run" / "metrics.csv")
    parents = processes.parents()
    (other,) = (pid for pid, parent in parents.items() if parent == parents[process.pid] and pid != process.pid)
    os.kill(other, signal.SIGKILL)
    _, error = process.communicate(timeout=100)
    assert process.returncode != 0
    assert "lost the others" in error
    processes.require_gone()


def test_a_killed_launcher_takes_all_ranks_along(training, tmp_path):
    process, processes = training("--epochs", 10**6, ranks=2, torchrun=True)
    until_trained(process, tmp_path / "run" / "metrics.csv")
    assert list(processes.parents().values()).count(process.pid) == 2
    process.kill()
    process.communicate(timeout=100)
    assert process.returncode != 0
    processes.require_gone()


def test_a_rank_whose_launcher_dies_before_it_meets_the_others_ends(training):
    process, processes = training(
        before=("sh", "-c", '"$@" & wait', "sh"), WORLD_SIZE="2", RANK="0", LOCAL_RANK="0",
        MASTER_ADDR="127.0.0.1", MASTER_PORT="29411", TORCHELASTIC_RUN_ID="none",
    )  # fmt: skip
    end = time.monotonic() + 60
    while not any("libtorch" in maps(pid) for pid in processes.alive()) and time.monotonic() < end:
        time.sleep(0.1)
    process.kill()
    processes.require_gone()


def maps(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return ""


@pytest.mark.parametrize("command", ["evaluate", "teach"])
def test_a_worker_that_dies_ends_evaluation_and_teaching_in_one_line(data, tmp_path, monkeypatch, command):
    arch = ("--arch", "shufflenet_v2_x0_5", "--weights")
    weights = Network(torchvision.models.shufflenet_v2_x0_5(num_classes=2)).net.state_dict()
    torch.save(weights, tmp_path / "weights.pth")
    before, forward = children(), Network.forward

    def dying(self, images):
        for pid in set(children()) - set(before):
            os.kill(pid, signal.SIGKILL)
        return forward(self, images)

    monkeypatch.setattr(Network, "forward", dying)
    options = ("--out", tmp_path / "r.json", "--columns", "clean") if command == "evaluate" else ()
    root = shutil.copytree(data[1], tmp_path / "val")
    arguments = (command, root, *arch, tmp_path / "weights.pth", "--batch", 1, "--device", "cpu", *options)
    ended = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert ended.exit_code == 1, ended.output
    assert "a data worker was killed (SIGKILL)" in ended.output
    assert isinstance(ended.exception, SystemExit)
    assert children() == before
    assert not (tmp_path / "r.json").exists()
