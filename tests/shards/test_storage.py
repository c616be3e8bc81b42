"""Files appear whole or not at all; what dead processes left is swept, what living ones write is not."""

import os
import socket
import subprocess
import sys

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
