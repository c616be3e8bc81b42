"""Datasets that were damaged under a training: one line that names the file, in seconds, never a sample twice."""

import os
import shutil

import pytest

from shards.dataset import Dataset
from train.feed.reading import survey

ENDS = 100  #: seconds after which a process counts as hanging; on a busy machine PyTorch takes long to import


def finish(process) -> str:
    try:
        output, error = process.communicate(timeout=ENDS)
    except BaseException:
        os.killpg(process.pid, 9)
        raise
    assert process.returncode == 1, output + error
    assert "Traceback" not in error
    return error


def copy_shard(root, column, source, target):
    for end in ("tar", "parquet"):
        shutil.copy(root / column / f"{source:06d}.{end}", root / column / f"{target:06d}.{end}")


def test_a_shard_that_is_there_twice_is_not_trained_on_twice(copied, train_set):
    root = copied(train_set)
    for column in ("jpeg-10", "clean"):
        copy_shard(root, column, 0, 2)
        with pytest.raises(
            ValueError, match=f"'{column}' holds the same samples twice, in shards 000000 and 000002"
        ):
            survey(Dataset(root), [column])


def put_fifo(path):
    path.unlink()
    os.mkfifo(path)


def put_device(path):
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.slow
@pytest.mark.parametrize("put", [put_fifo, put_device])
@pytest.mark.parametrize("end", ["tar", "parquet"])
def test_a_fifo_or_device_in_place_of_a_file_does_not_hang(start, training, copied, train_set, put, end):
    root = copied(train_set)
    put(root / "jpeg-10" / f"000001.{end}")
    error = finish(start(*training("finetune", "--workers", 2, train=root)))
    assert f"jpeg-10/000001.{end}" in error


@pytest.mark.parametrize("put", [put_fifo, put_device])
def test_a_fifo_that_comes_after_the_start_does_not_hang(copied, train_set, put):
    root = copied(train_set)
    samples = Dataset(root).select("jpeg-10")
    assert samples[0]
    put(root / "jpeg-10" / "000001.tar")
    with pytest.raises(ValueError, match=r"jpeg-10/000001\.tar is not a regular file"):
        samples[60]


@pytest.mark.slow
def test_fewer_held_out_samples_than_ranks_times_workers(start, training):
    process = start(*training("finetune", "--workers", 4, "--holdout", 0.02), ranks=2)
    _, error = process.communicate(timeout=ENDS)
    assert process.returncode == 0, error


@pytest.mark.slow
def test_fewer_samples_than_workers_are_evaluated(cli, val_source, make_set, weights, tmp_path, read_json):
    one = make_set(val_source, tmp_path / "one", "--limit", 1)
    out = tmp_path / "results.json"
    done = cli("evaluate", one, "--checkpoint", weights, "--workers", 3, "--out", out)
    assert done.exit_code == 0, done.output
    assert read_json(out)["results"][0]["columns"]["jpeg-10"]["n"] == 1
