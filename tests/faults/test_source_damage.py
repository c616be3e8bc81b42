"""Tars and lists with random damage are listed or refused: no crash, no hang."""

import io
import random
import signal
import tarfile
from contextlib import suppress

import pytest

from distort import crops
from distort.pictures import BadPicture, load
from distort.planning import make_plan
from distort.sources import SourceError, list_pictures, read


@pytest.fixture
def soon():
    """Nothing may take longer than a minute."""

    def hang(*_):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


SIZES = [
    b"\xff" * 12,
    b"\xff" + (-512).to_bytes(11, "big", signed=True),
    b"\x80" + (2**70).to_bytes(11, "big"),
    b"7" * 12,
]


def damaged(tar: bytes, rng: random.Random) -> bytes:
    """A tar with wild sizes and types, mostly with checksums that fit."""
    data = bytearray(tar)
    headers = [at for at in range(0, len(data) - 512, 512) if data[at + 257 : at + 262] == b"ustar"]
    for _ in range(rng.randint(1, 4)):
        at = rng.choice(headers)
        if rng.random() < 0.5:
            data[at + 124 : at + 136] = rng.choice(SIZES)
        else:
            data[at + 156] = rng.choice(b"0123456LKxgSVD7\0")
        data[at + 148 : at + 156] = b" " * 8
        data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    return bytes(data[: rng.choice([None, rng.randrange(len(data))])])


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 10))])
def test_a_damaged_tar_is_listed_or_refused(tmp_path, cat, seed, soon):
    rng = random.Random(seed)
    long = "x" * 120
    members = [
        ("a.jpg", cat[:1000]),
        ("a.cls", b"3"),
        (f"{long}/b.png", b"b"),
        (f"{long}/b.cls", b"1"),
        ("é.jpg", b""),
    ]
    for _ in range(150):
        stream = io.BytesIO()
        with tarfile.open(
            fileobj=stream, mode="w", format=rng.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
        ) as tar:
            for name, data in members:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        (tmp_path / "a.tar").write_bytes(damaged(stream.getvalue(), rng))
        with suppress(SourceError):
            listing = list_pictures(str(tmp_path / "a.tar"))
            for picture in listing.pictures:
                with suppress(BadPicture):
                    load(read(listing.root, picture.source, picture.offset, picture.size))


PIECES = [
    '"',
    ",",
    "\n",
    "\r",
    "\0",
    "\xff",
    " ",
    "\t",
    "-1",
    "9" * 30,
    "n/a",
    "ImageId,PredictionString",
    "../",
    "::",
    "٣",
    "",
]


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 10))])
def test_a_damaged_list_is_planned_or_refused(tmp_path, tree, seed, soon):
    rng = random.Random(seed)
    for i in range(300):
        text = "path,label\na/1.jpg,3\nb/2.jpg,cat\nx.jpg 5\ny.jpg\t6\n"
        for _ in range(rng.randint(0, 5)):
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(PIECES) + text[at + rng.randint(0, 9) :]
        (tmp_path / "list.csv").write_text(text, encoding="latin-1" if text.isascii() else "utf-8", newline="")
        source, labels = [(tmp_path / "list.csv", None), (tree / "animals", tmp_path / "list.csv")][i % 2]
        with suppress(SourceError):
            make_plan(list_pictures(str(source), labels=labels and str(labels)), crops.parse("paper"), settings={})
