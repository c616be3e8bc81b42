"""Files appear whole or not at all; what dead processes left is swept, what living ones write is not."""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

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


LEAVE = """
import os, signal, sys
from shards.storage import Storage
with Storage(sys.argv[1]).scratch() as folder:
    (folder / "half.tar").write_bytes(b"half")
    print(folder, flush=True)
    sys.stdin.read(1)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@contextmanager
def another_process(root, *prefix):
    """A process with a scratch folder in ``root``: ``(folder, kill)``."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", LEAVE, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    folder = Path(process.stdout.readline().strip())
    assert folder.name

    def kill():
        process.stdin.close()
        process.wait(timeout=20)

    yield folder, kill
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("url", ["{folder}/d", "memory://{folder}/d"])
def test_only_what_dead_processes_left_is_swept(tmp_path, url, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    storage = Storage(url.format(folder=tmp_path))
    with another_process(storage.url) as (theirs, kill), storage.scratch() as ours:
        storage.sweep()
        assert (theirs / "half.tar").exists()
        kill()
        storage.sweep()
        assert not theirs.exists()
        assert ours.exists()
    assert not ours.parent.exists()


def test_a_process_in_another_container_is_not_taken_for_dead(tmp_path):
    """It shares our host name, and its process ID is nobody's here."""
    apart = ("unshare", "--pid", "--fork", "--kill-child")
    if subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("needs PID namespaces")
    with another_process(tmp_path, *apart) as (theirs, kill):
        assert theirs.name.rsplit("-", 2)[1] == "1"
        Storage(tmp_path).sweep()
        assert (theirs / "half.tar").exists()
        kill()
        Storage(tmp_path).sweep()
        assert not theirs.exists()


def test_a_leftover_whose_process_id_lives_again_is_swept(tmp_path):
    with another_process(tmp_path) as (theirs, kill):
        kill()
        host, _, mark = theirs.name.rsplit("-", 2)
        reused = theirs.rename(theirs.with_name(f"{host}-{os.getpid()}-{mark}"))
        Storage(tmp_path).sweep()
        assert not reused.exists()


def test_what_other_machines_left_is_swept_after_a_day(tmp_path):
    storage = Storage(tmp_path)
    old, new = (tmp_path / PARTIAL / f"elsewhere-1-{name}" for name in ("0000000000000001", "00000002"))
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
        (marker,) = storage.markers()
        assert (marker.shard, marker.who) == (7, scratch.name)
        assert abs(marker.seen - time.time()) < 60
        storage.sweep()  # we live
        assert len(storage.markers()) == 1
    assert storage.markers() == []
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
