"""Sources that lie, loop, hang or vanish: one line that names the file, or a row in errors/. Nothing else."""

import io
import os
import shutil
import socket
import struct
import tarfile
import tempfile

import pytest
from PIL import Image

import distort
from distort.pictures import BadPicture, load
from distort.places import Disk
from distort.sources import SourceError, list_pictures, read


def make_tar(path, members):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


# Pictures


def iptc(content: bytes, claimed: int | None = None) -> bytes:
    """A picture in an IPTC wrapper; ``claimed`` is the size it states for its content."""

    def field(record, number, data):
        return struct.pack(">BBBH", 0x1C, record, number, len(data)) + data

    head = field(3, 60, b"\1\0") + field(3, 20, struct.pack(">H", 8)) + field(3, 30, struct.pack(">H", 8))
    size = len(content) if claimed is None else claimed
    return head + field(3, 120, b"\5") + struct.pack(">BBBBI", 0x1C, 8, 10, 132, size) + content


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("data", [EPS, iptc(EPS), iptc(EPS, 2**31), iptc(iptc(EPS))])
def test_no_program_is_started_on_a_picture(data, tmp_path, monkeypatch):
    gs = tmp_path / "gs"
    gs.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    gs.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # found again, in PATH
    with pytest.raises(BadPicture):
        load(data)
    assert not (tmp_path / "started").exists()


def test_a_picture_of_another_size_than_its_header_says_is_bad(cat):
    stream = io.BytesIO()
    Image.open(io.BytesIO(cat)).convert("L").save(stream, "PNG")
    with pytest.raises(BadPicture):
        load(iptc(stream.getvalue()))


# Files that are none


def test_what_is_no_file_is_a_bad_picture_and_never_waited_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    os.mkfifo("fifo.jpg")
    os.symlink("/dev/zero", "endless.jpg")
    os.symlink("self.jpg", "self.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        listing = list_pictures(str(tmp_path))
        reasons = {}
        for picture in listing.pictures:
            with pytest.raises(BadPicture) as caught:
                read(listing.root, picture.source)
            reasons[picture.source] = str(caught.value)
    assert reasons == {
        "endless.jpg": "not a regular file",
        "fifo.jpg": "not a regular file",
        "self.jpg": "Too many levels of symbolic links",
        "socket.jpg": "No such device or address",
    }


@pytest.mark.parametrize("name", ["x.tar", "x.csv", "x.txt"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_a_fifo_or_device_as_source_is_refused(tmp_path, name, make):
    make(tmp_path / name)
    with pytest.raises(SourceError, match=rf"{name} cannot be read: not a regular file"):
        list_pictures(str(tmp_path / name))


def test_a_picture_larger_than_memory_is_not_read(tmp_path):
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(BadPicture, match="File too large"):
        read(str(tmp_path), "a.jpg")


@pytest.mark.parametrize("name", ["a/" * 3000 + "b.jpg", "n" * 300 + ".jpg", "a\0b.jpg"])
def test_a_name_that_no_file_can_have_is_a_bad_picture(tmp_path, name):
    (tmp_path / "cat.jpg").touch()
    with pytest.raises(BadPicture, match=r"File name too long|No such file|contains a NUL"):
        read(str(tmp_path), name)


@pytest.mark.slow
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_name_that_is_not_utf8_is_a_bad_picture_in_every_locale(tree, tmp_path, run, monkeypatch, locale):
    monkeypatch.setenv("LC_ALL", locale)
    source = tmp_path / "source"
    shutil.copytree(tree / "animals", source)
    shutil.copy(os.fsencode(source / "chelsea_0.jpg"), os.fsencode(source) + b"/caf\xe9.jpg")
    shutil.copy(source / "chelsea_0.jpg", source / "Füße.jpg")
    made = run("distort", "run", source, tmp_path / "d", "--distortions", "jpeg-10", "--max-bad", 0.2)
    assert made.returncode == 0, made.stderr
    assert "13 of 14 pictures" in made.stdout
    listed = run("shards", "errors", tmp_path / "d")
    assert r"caf\xe9.jpg" in listed.stdout
    assert "is not UTF-8; rename the file" in listed.stdout


# Folders


def test_a_link_back_to_a_folder_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "1.jpg").touch()
    (tmp_path / "a" / "loop").symlink_to("..")
    with pytest.raises(
        SourceError, match=r"a/loop cannot be listed: a symbolic link makes it the same folder as \."
    ):
        list_pictures(str(tmp_path))
    (tmp_path / "a" / "loop").unlink()
    (tmp_path / "a" / "loop").symlink_to("../b")
    with pytest.raises(
        SourceError, match=r"b cannot be listed: a symbolic link makes it the same folder as a/loop"
    ):
        list_pictures(str(tmp_path))


@pytest.fixture
def nobody():
    """Lose root's rights for a while, which no file mode can hide anything from."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.fixture
def forbidden():
    with tempfile.TemporaryDirectory() as root:  # pytest's own folders are closed to nobody
        os.chmod(root, 0o755)
        for name in ("a", "b"):
            os.mkdir(f"{root}/{name}")
            open(f"{root}/{name}/1.jpg", "w").close()
        os.chmod(f"{root}/a", 0)
        yield root


def test_a_folder_that_cannot_be_listed_is_not_passed_over(forbidden, nobody):
    with pytest.raises(SourceError, match="a cannot be listed: Permission denied"):
        list_pictures(str(forbidden))


def test_a_class_behind_a_dead_link_or_an_odd_name_is_not_passed_over(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.jpg").touch()
    (tmp_path / "dog").symlink_to("/nowhere/dog")
    with pytest.raises(SourceError, match="dog cannot be listed: No such file or directory"):
        list_pictures(str(tmp_path))
    (tmp_path / "dog").unlink()
    os.mkdir(os.fsencode(tmp_path) + b"/caf\xe9")
    with pytest.raises(SourceError, match=r"caf\\xe9 cannot be listed: its name is not UTF-8; rename it"):
        list_pictures(str(tmp_path))


def test_empty_folders_and_what_systems_leave_are_no_classes(tmp_path):
    for name in ("cat", "dog", "empty", "@eaDir", "__MACOSX", "cat/@eaDir", "cat/.thumbnails"):
        (tmp_path / name).mkdir()
        if name != "empty":
            (tmp_path / name / "1.jpg").touch()
    listing = list_pictures(str(tmp_path))
    assert listing.classes == ("cat", "dog")
    assert [(p.source, p.label) for p in listing.pictures] == [("cat/1.jpg", 0), ("dog/1.jpg", 1)]
    assert listing.notes == ("skipped folders without pictures: empty/",)


def test_an_empty_mount_point_is_a_source_that_is_gone(tmp_path):
    (tmp_path / "a.jpg").touch()
    listing = list_pictures(str(tmp_path))
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(OSError, match=r"the source .* is gone"):
        read(listing.root, "a.jpg")
    (tmp_path / "b.jpg").touch()
    with pytest.raises(BadPicture, match="No such file or directory"):
        read(listing.root, "a.jpg")


@pytest.mark.slow
def test_a_dataset_inside_its_source_goes_on(tree, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(tree, source)
    work = {"distortions": "jpeg-10", "shard_size": 12, "workers": 1}
    assert distort.run(source, source / "out", **work).shards == 2
    assert distort.run(source, source / "out", **work).skipped == 2


# Lists


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a.jpg,1\n"b.jpg,1\n' + "c.jpg,1\n" * 100, "line 2: unexpected end of data"),
        ("a.jpg,1\nb.jpg,2\nc.jpg,n/a\n", "the label of c.jpg is 'n/a', but the others are numbers"),
        ("a.jpg,1\nb.jpg,4294967295\n", "the label of b.jpg is 4294967295; class numbers are 0 to 99999"),
        ("a.jpg,1\nb.jpg,-1\n", "the label of b.jpg is -1"),
        ('"' + "a" * 200_000 + '.jpg",1\n', "line 1: field larger than field limit"),
        ("a.jpg,1\nb\0.jpg,1\n", "line 2: contains a NUL"),
        ("a.jpg,1\n./a.jpg,2\n", "lists a picture twice"),
        (b"caf\xe9.jpg,1\n", "is not UTF-8 text"),
        ("490\n361\n", "line 1: '490' is not a path. For a list of labels, give the folder"),
        ("ImageId,PredictionString\nILSVRC2012_val_1,n1 2 3 4 5\n", "labels Kaggle's ImageNet: give the folder"),
    ],
)
def test_a_damaged_list_names_its_line(tmp_path, text, message):
    (tmp_path / "list.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SourceError, match=message):
        list_pictures(str(tmp_path / "list.csv"))


# Tars


def set_size(path, size: bytes):
    """Change the size in the first header, with a checksum that fits."""
    data = bytearray(path.read_bytes())
    data[124:136] = size
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    path.write_bytes(data)


@pytest.mark.parametrize("size", [-512, -1024, -(2**40)])
def test_a_negative_size_in_a_tar_is_refused(tmp_path, cat, size):
    make_tar(tmp_path / "a.tar", [("a.jpg", cat), ("b.jpg", cat)])
    set_size(tmp_path / "a.tar", b"\xff" + size.to_bytes(11, "big", signed=True))
    with pytest.raises(SourceError, match=r"a\.tar"):
        list_pictures(str(tmp_path / "a.tar"))


def test_a_compressed_tar_is_not_read_at_the_offsets_of_what_is_in_it(tmp_path, cat):
    with tarfile.open(tmp_path / "a.tar", "w:gz") as tar:
        member = tarfile.TarInfo("a.jpg")
        member.size = len(cat)
        tar.addfile(member, io.BytesIO(cat))
    with pytest.raises(SourceError, match="not an uncompressed tar"):
        list_pictures(str(tmp_path / "a.tar"))


def test_a_label_that_is_no_number_is_named(tmp_path, cat):
    make_tar(tmp_path / "a.tar", [("a.jpg", cat), ("a.cls", b"cat")])
    with pytest.raises(SourceError, match=r"a.cls is b'cat', not a number"):
        list_pictures(str(tmp_path / "a.tar"))
    make_tar(tmp_path / "b.tar", [("a.jpg", cat), ("a.cls", b"1" * 5000)])
    with pytest.raises(SourceError, match=r"a.cls has 5000 bytes"):
        list_pictures(str(tmp_path / "b.tar"))


def test_a_file_that_is_back_at_the_second_look_was_never_gone(tmp_path, monkeypatch):
    (tmp_path / "cat.jpg").write_bytes(b"cat")
    (tmp_path / "dog.jpg").write_bytes(b"dog")
    os.rename(tmp_path / "cat.jpg", tmp_path / "away")
    alive = Disk.alive

    def back(self):
        os.rename(tmp_path / "away", tmp_path / "cat.jpg")
        return alive(self)

    monkeypatch.setattr(Disk, "alive", back)  # asked between the first look and the second
    assert read(str(tmp_path), "cat.jpg") == b"cat"


def test_a_tar_cut_short_after_planning_makes_bad_pictures(tmp_path, cat):
    make_tar(tmp_path / "a.tar", [("a.jpg", cat)])
    listing = list_pictures(str(tmp_path / "a.tar"))
    with (tmp_path / "a.tar").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(BadPicture, match=r"the tar is truncated: .* bytes of the picture are missing"):
        read(listing.root, *listing.pictures[0][::2], listing.pictures[0].size)


# Outputs


def test_preview_of_a_pipe_does_not_wait(tmp_path, run):
    os.mkfifo(tmp_path / "fifo.jpg")
    made = run("distort", "preview", tmp_path / "fifo.jpg", tmp_path / "sheet.png", "--distortions", "jpeg-10")
    assert "fifo.jpg: not a regular file" in made.stderr
