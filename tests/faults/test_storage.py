"""Links, strangers and devices where the files of a dataset should be: nothing foreign is touched."""

import os
import shutil
import time
from pathlib import Path

import pytest

import shards
from shards.errors import StorageError
from shards.storage import PARTIAL, Storage

LEFTOVER = "elsewhere-1-0123456789abcdef"


def age(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (time.time() - 48 * 3600,) * 2, follow_symlinks=False)


def stranger(folder: Path) -> Path:
    """Somebody's old folder with a precious file in it."""
    (folder / LEFTOVER).mkdir(parents=True)
    (folder / LEFTOVER / "thesis.tex").write_text("precious")
    age(folder / LEFTOVER / "thesis.tex", folder / LEFTOVER)
    return folder / LEFTOVER / "thesis.tex"


@pytest.fixture
def copy(dataset, tmp_path):
    return Path(shutil.copytree(dataset, tmp_path / "val"))


def test_a_linked_scratch_folder_is_refused_and_what_it_leads_to_untouched(tree, tmp_path, run):
    precious = stranger(tmp_path / "home")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / PARTIAL).symlink_to(tmp_path / "home")
    made = run("distort", "run", tree, tmp_path / "d", "--distortions", "jpeg-10")
    assert made.returncode == 1
    assert f"{PARTIAL} is a symbolic link or a file" in made.stderr
    assert precious.read_text() == "precious"
    assert os.listdir(tmp_path / "d") == [PARTIAL]


def test_a_linked_scratch_folder_of_urls_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    precious = stranger(tmp_path / "home")
    mine = tmp_path / f"codecproof-{os.getuid()}"
    mine.symlink_to(tmp_path / "home")
    storage = Storage("memory://faults/linked")
    for use in (storage.sweep, lambda: storage.write("x", b"")):
        with pytest.raises(StorageError, match="is a symbolic link or a file"):
            use()
    mine.unlink()
    mine.mkdir(mode=0o777)
    mine.chmod(0o777)
    with pytest.raises(StorageError, match=r"other users may write to .* set TMPDIR"):
        storage.write("x", b"")
    assert precious.exists()


def test_the_sweep_removes_nothing_that_is_not_called_as_ours(tmp_path):
    strange = [
        tmp_path / PARTIAL / name for name in (".DS_Store", "notes", "a-b-c", "host-12-XYZ", "link-1-01234567")
    ]
    strange[0].parent.mkdir()
    strange[0].touch()
    for folder in strange[1:4]:
        folder.mkdir()
    (tmp_path / "home").mkdir()
    strange[4].symlink_to(tmp_path / "home")
    age(*strange, tmp_path / "home")
    Storage(tmp_path).sweep()
    assert all(path.exists() for path in strange)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make another user's folder")
def test_the_sweep_leaves_other_users_folders_alone(tmp_path):
    precious = stranger(tmp_path / PARTIAL)
    os.chown(precious.parent, 65534, 65534)
    Storage(tmp_path).sweep()
    assert precious.exists()


@pytest.mark.parametrize("use", [
    lambda storage: storage.write("jpeg-10/000000.tar", b"new"),
    lambda storage: storage.create("jpeg-10/new.json", b"new"),
    lambda storage: storage.remove("jpeg-10/000000.tar"),
])  # fmt: skip
def test_nothing_is_written_through_a_linked_folder(tmp_path, use):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "000000.tar").write_bytes(b"precious")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "jpeg-10").symlink_to(tmp_path / "home")
    with pytest.raises(StorageError, match="jpeg-10 is a symbolic link"):
        use(Storage(tmp_path / "d"))
    assert {path.name: path.read_bytes() for path in (tmp_path / "home").iterdir()} == {"000000.tar": b"precious"}


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("put", [fifo, device])
@pytest.mark.parametrize(
    "file", ["jpeg-10/000001.tar", "jpeg-10/000001.parquet", "jpeg-10/column.json", "dataset.json"]
)
def test_a_pipe_or_device_in_a_dataset_is_named_and_not_waited_for(copy, put, file):
    put(copy / file)
    with pytest.raises((shards.DatasetError, StorageError), match=f"{file} is not a regular file"):
        list(shards.open(copy).read("jpeg-10"))
