"""``distort status`` counts what is done and running and estimates the rest, whatever the clocks say."""

import os
import shutil
import time

import pytest

import shards
from distort.status import describe, look

from .conftest import BIN, WORK, until


@pytest.fixture
def half(undisturbed, tmp_path):
    """Four of six shards, committed 10 s apart; the plan is as old as the first would take."""
    d = tmp_path / "half"
    shutil.copytree(undisturbed, d)
    begun = time.time() - 60
    for path in d.rglob("*"):
        os.utime(path, (begun, begun))
    for column in d.glob("*/column.json"):
        for shard in range(6):
            for end in ("tar", "parquet"):
                file = column.with_name(f"{shard:06d}.{end}")
                os.utime(file, (begun + 10 * (shard + 1),) * 2) if shard < 4 else file.unlink()
    return d


def test_speed_and_time_left_come_from_the_times_of_the_commit_marks(half):
    (half / ".partial" / "elsewhere-1-00000abc").mkdir(parents=True)
    (half / ".partial" / "elsewhere-1-00000abc" / "000004").touch()
    status = look(shards.open(half))
    assert (status.done, status.running, status.missing, status.machines) == (4, 1, 1, 1)
    assert status.speed == pytest.approx(4 * 4 / 40)
    assert status.left == pytest.approx(8 / status.speed)


@pytest.mark.parametrize("hours", [-5, 5])
def test_machines_need_not_agree_about_the_clock(half, hours):
    (half / ".partial" / "elsewhere-1-00000abc").mkdir(parents=True)
    (half / ".partial" / "elsewhere-1-00000abc" / "000004").touch()
    for path in half.rglob("*"):
        moved = path.stat().st_mtime + 3600 * hours
        os.utime(path, (moved, moved))
    status = look(shards.open(half))
    assert status.speed == pytest.approx(4 * 4 / 40)
    assert status.done == 4
    if hours > 0:  # the others are ahead of us
        assert status.running == 1
        assert "last seen  00:00 ago" in describe(shards.open(half))


def test_a_finished_dataset_has_nothing_left(undisturbed, run):
    text = run("distort", "status", undisturbed).stdout
    assert "done 6, running 0, missing 0" in text
    assert "bad        0 pictures" in text


def test_a_running_job_is_seen_from_outside(ground, tree, tmp_path):
    job = ground.begin(BIN / "distort", "run", tree, tmp_path / "d", *WORK, "--workers", 2)
    until(lambda: list(tmp_path.glob("d/.partial/*/0*")), "a sign", 30)
    text = ground.run(BIN / "distort", "status", tmp_path / "d").stdout
    job.kill()
    job.communicate()
    assert "on 1 machine," in text
