"""A folder and an object store that hold the same files are the same source."""

import fsspec
import pytest

from distort.sources import list_pictures, read

FILES = ["a/1.jpg", "a/z/2.jpg", "a/b/3.png", "b/4.jpg", "empty/notes.md", "b/.hidden.jpg", "b/.thumbs/5.jpg"]
FILES += ["@eaDir/6.jpg", "a/@eaDir/7.jpg", ".git/8.jpg", "a/10.jpg"]


@pytest.fixture
def places(tmp_path):
    store = fsspec.filesystem("memory")
    for name in FILES:
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(name.encode())
        store.pipe_file(f"/places/{name}", name.encode())
    (tmp_path / "tree" / "list.csv").write_text("a/1.jpg,1\nb/4.jpg,0\n")
    store.pipe_file("/places/list.csv", b"a/1.jpg,1\nb/4.jpg,0\n")
    yield str(tmp_path / "tree"), "memory://places"
    store.rm("/places", recursive=True)


@pytest.mark.parametrize("name", ["", "/b", "/list.csv"])
def test_both_list_and_read_the_same(places, name):
    disk, store = (list_pictures(place + name) for place in places)
    assert list(disk.pictures) == list(store.pictures)
    assert (disk.classes, disk.notes) == (store.classes, store.notes)
    for picture in disk.pictures:
        assert read(disk.root, picture.source) == read(store.root, picture.source)


def test_files_of_a_folder_come_before_those_of_its_folders(places):
    expected = ["a/1.jpg", "a/10.jpg", "a/b/3.png", "a/z/2.jpg", "b/4.jpg"]
    assert [picture.source for picture in list_pictures(places[0]).pictures] == expected
