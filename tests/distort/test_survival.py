"""``distort run`` survives signals, kills and full disks, and leaves the same files."""

import os
import re
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from distort.shard import ShardJob, ShardMaker
from distort.units import CommitColumn, MakePictures, OpenShard
from shards.dataset import Dataset

from ..conftest import COLUMNS


@pytest.fixture
def distort(server):
    """Start a job of two workers that makes ``dataset``."""

    def distort(tree, d, *more):
        options = ("--shard-size", 5, "--workers", 2, "--distortions", COLUMNS, *more)
        return server.start("distort", "run", *map(str, (tree, d, *options)))

    return distort


def wait_until(condition, process):
    for _ in range(3000):
        if condition() or process.poll() is not None:
            return
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_job_keeps_what_is_committed_and_goes_on(
    distort, dataset, tree, tmp_path, digests, sent, status
):
    d = tmp_path / "d"
    process = distort(tree, d)
    wait_until(lambda: list(d.glob("clean/*.parquet")), process)
    process.send_signal(sent)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == status
    assert f"stopped by {sent.name}" in stderr
    assert not (d / ".partial").exists()
    assert digests(d).items() <= digests(dataset).items()
    again = distort(tree, d)
    assert again.wait(timeout=120) == 0
    assert digests(d) == digests(dataset)


def resident(pid: int) -> int:
    """Memory of a process in kB; 0 when it is gone."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="watches the planning through /proc")
def test_a_job_stopped_while_it_plans_leaves_nothing(distort, tmp_path):
    (tmp_path / "list.csv").write_text("".join(f"class/{i}.jpg,{i % 10}\n" for i in range(1_000_000)))
    process = distort(tmp_path / "list.csv", tmp_path / "d")
    wait_until(lambda: resident(process.pid) > 250_000, process)  # the libraries alone take half of that
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped by SIGINT" in stderr
    assert not (tmp_path / "d").exists()


@pytest.mark.slow
def test_five_sigkills_later_the_files_are_the_same(distort, dataset, tree, tmp_path, digests):
    d = tmp_path / "d"
    for delay in (0.1, 0.5, 0.9, 1.3, 1.7):
        process = distort(tree, d)
        time.sleep(delay)
        process.kill()
        process.communicate()
    last = distort(tree, d)
    _, stderr = last.communicate(timeout=120)
    assert last.returncode == 0, stderr
    assert digests(d) == digests(dataset)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers through /proc")
def test_a_killed_worker_costs_pictures_and_not_a_shard(distort, dataset, tree, tmp_path, digests):
    d = tmp_path / "d"
    process = distort(tree, d)
    for _ in range(3):
        wait_until(lambda: len(children(process.pid)) == 2 and list(d.glob(".partial/*/*.part")), process)
        os.kill(children(process.pid)[0], signal.SIGKILL)
        time.sleep(0.3)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert "failed" not in stderr
    assert digests(d) == digests(dataset)


def test_a_commit_is_repeated_when_its_worker_died_in_it(dataset, tmp_path, digests):
    d = tmp_path / "d"
    shutil.copytree(dataset, d)
    for path in d.glob("jpeg-10/*000001.*"):
        path.unlink()
    make = partial(ShardMaker(ShardJob(str(d), ("jpeg-10",))), report=lambda done, bad: None)
    with Dataset(d).storage.scratch(1) as scratch:
        contents = make(OpenShard(1, scratch))
        columns, rows = contents.columns, contents.rows
        part = make(MakePictures(1, scratch, columns, 0, rows)).part
        (scratch / "jpeg-10-000001.tar").write_bytes(b"cut short")
        make(CommitColumn(1, scratch, columns, "jpeg-10", [part]))
    assert digests(d) == digests(dataset)


@pytest.fixture
def mount(tmp_path):
    """Mount a tmpfs with options and give its folder; needs root."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def tmpfs(options: str) -> Path:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], capture_output=True)
        if mounted.returncode:
            pytest.skip(f"needs a tmpfs: {mounted.stderr.decode().strip()}")
        return disk

    yield tmpfs
    if disk.is_mount():
        subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_a_full_disk_stops_the_job_with_its_reason_and_nothing_half_written(tree, mount, run):
    d = mount("size=1m") / "d"
    made = run("distort", "run", tree, d, "--distortions", "jpeg-10", "--shard-size", 6)
    assert made.returncode == 1
    assert "No space left on device" in made.stderr
    assert not (d / ".partial").exists()
    for parquet in d.glob("*/*.parquet"):
        size = parquet.with_suffix(".tar").stat().st_size
        assert pq.read_metadata(parquet).metadata[b"tar_size"] == str(size).encode()


def test_a_read_only_folder_says_so(tree, mount, run):
    made = run("distort", "run", tree, mount("ro") / "d", "--distortions", "jpeg-10")
    assert made.returncode == 1
    assert "Read-only file system" in made.stderr
    assert "Traceback" not in made.stderr
