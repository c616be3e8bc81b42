"""Files appear whole or not at all; what dead processes left is swept, what living ones write is not."""

import os
import socket
import subprocess
import sys
import time

import pytest

from shards.storage import PARTIAL, Storage


def test_a_file_is_published_whole(tmp_path):
    storage = Storage(tmp_path / "d")
    with storage.scratch() as folder:
        (folder / "x").write_bytes(b"data")
        assert not storage.exists("column/x")
        storage.publish(folder / "x", "column/x")
    assert storage.read("column/x") == b"data"
    assert os.listdir(tmp_path / "d") == ["column"]


def test_an_exception_leaves_nothing(tmp_path):
    storage = Storage(tmp_path / "d")

    def write_and_fail():
        with storage.scratch() as folder:
            (folder / "x").write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert os.listdir(tmp_path / "d") == []


def test_only_what_dead_processes_left_is_swept(tmp_path):
    storage = Storage(tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    folders = {name: tmp_path / PARTIAL / f"{name}-00000000" for name in (
        f"{socket.gethostname()}-{dead.pid}", f"{socket.gethostname()}-{os.getpid()}", f"elsewhere-{dead.pid}"
    )}  # fmt: skip
    for folder in folders.values():
        folder.mkdir(parents=True)
    storage.sweep()
    assert [folder.exists() for folder in folders.values()] == [False, True, True]


def test_a_dead_process_that_nobody_has_buried_is_dead(tmp_path):
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    folder = tmp_path / PARTIAL / f"{socket.gethostname()}-{zombie.pid}-00000000"
    folder.mkdir(parents=True)
    Storage(tmp_path).sweep()
    assert not folder.exists()
    zombie.wait()


def test_what_other_machines_left_is_swept_after_a_day(tmp_path):
    storage = Storage(tmp_path)
    old, new = (tmp_path / PARTIAL / f"elsewhere-1-{name}" for name in ("old", "new"))
    for folder, hours in ((old, 25), (new, 23)):
        folder.mkdir(parents=True)
        (folder / "clean-000000.tar").touch()
        for path in (folder / "clean-000000.tar", folder):
            os.utime(path, (time.time() - 3600 * hours,) * 2)
    storage.sweep()
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize("url", ["{folder}/d", "memory://{folder}/d"])
def test_of_several_who_create_a_file_one_succeeds(tmp_path, url):
    storage = Storage(url.format(folder=tmp_path))
    storage.create("dataset.json", b"first")
    with pytest.raises(FileExistsError):
        storage.create("dataset.json", b"second")
    assert storage.read("dataset.json") == b"first"


@pytest.mark.parametrize("url", ["{folder}/d", "memory://{folder}/d"])
def test_who_makes_a_shard_is_seen_while_it_lasts(tmp_path, url):
    storage = Storage(url.format(folder=tmp_path))
    with storage.scratch(7) as scratch:
        (sign,) = storage.signs()
        assert (sign.shard, sign.who) == (7, scratch.name)
        assert abs(sign.seen - time.time()) < 60
        storage.sweep()  # we live
        assert len(storage.signs()) == 1
    assert storage.signs() == []
    assert not scratch.exists()


def test_listing_gives_sizes_and_marks_folders(tmp_path):
    storage = Storage(tmp_path)
    storage.write("a/b", b"12345")
    assert storage.listing() == {"a": None}
    assert storage.listing("a") == {"b": 5}
    assert storage.listing("nowhere") == {}


def test_any_fsspec_url_holds_a_dataset():
    storage = Storage("memory://bucket/val")
    storage.write("clean/000000.tar", b"tar")
    assert storage.read("clean/000000.tar") == b"tar"
    assert storage.listing("clean") == {"000000.tar": 3}
