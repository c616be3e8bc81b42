"""Mistakes in a codec of another package: each is one clear line, and nothing of it stays in the dataset."""

from __future__ import annotations

import shutil
import sys
import types
from collections.abc import Callable

import numpy as np
import pytest

import distort
import shards
from distort import codecs
from distort.codecs.webp import WebP
from distort.columns import declare
from distort.distortion import DistortionError

SOUND = {
    "name": "odd", "extension": "odd", "parameter": "quality", "low": 1, "high": 100, "meaning": "what it is",
    "example": "odd-10", "settings": lambda self: {"quality": self.value}, "versions": lambda self: {"odd": "1"},
    "encode": lambda self, rgb: WebP(10).encode(rgb), "decode": staticmethod(WebP.decode),
}  # fmt: skip


@pytest.fixture
def register(monkeypatch) -> Callable[..., None]:
    """``register(without, **other)`` registers a sound codec ``odd`` without some attributes, or with others."""

    def register(*without: str, **other: object) -> None:
        namespace = {name: value for name, value in (SOUND | other).items() if name not in without}
        module = types.ModuleType("odd_codecs")
        module.Odd = type(codecs.Codec)("Odd", (codecs.Codec,), namespace)
        monkeypatch.setitem(sys.modules, "odd_codecs", module)
        monkeypatch.setattr(codecs, "_registry", lambda: codecs.REGISTRY | {"odd": "odd_codecs:Odd"})
        codecs.load.cache_clear()

    yield register
    codecs.load.cache_clear()


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (32, 24, 3), np.uint8)


def test_the_sound_one_works(register, rgb):
    register()
    assert codecs.get("odd-10").roundtrip(rgb).bytes == codecs.get("webp-10").roundtrip(rgb).bytes


@pytest.mark.parametrize(
    ("without", "other", "said"),
    [
        (["encode", "versions"], {}, "it lacks encode, versions"),
        (["low", "meaning"], {}, "it lacks meaning, low"),
        (["extension"], {}, "it lacks extension"),
        (["decode"], {}, r"it lacks decode \(or"),
        ([], {"decode": lambda self, data: data}, "its decode must be a @staticmethod"),
        ([], {"extension": ".odd"}, "without a dot, not '.odd'"),
        ([], {"extension": None}, "without a dot, not None"),
        ([], {"colour": "red"}, "its colour must be two"),
        ([], {"name": "even"}, "its name is 'even'"),
    ],
)
def test_an_incomplete_class_is_refused_when_it_is_named(register, without, other, said):
    register(*without, **other)
    with pytest.raises(DistortionError, match=f"'odd-10': odd cannot be loaded here: .*odd_codecs:Odd: .*{said}"):
        codecs.get("odd-10")


def test_a_codec_with_a_model_needs_no_decode(register):
    register("decode", decoder=classmethod(lambda cls, settings, device="cpu": codecs.Decoder(WebP.decode)))
    assert codecs.get("odd-10").name == "odd-10"


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"encode": lambda self, rgb: None}, "odd: encode must return bytes, not None"),
        ({"encode": lambda self, rgb: b""}, "odd: encode must return bytes, not b''"),
        ({"decode": staticmethod(lambda data: None)}, r"decode must return a uint8 array .*, not NoneType"),
        (
            {"decode": staticmethod(lambda data: np.zeros((32, 24, 3)))},
            r"\(32, 24, 3\), not float64 \(32, 24, 3\)",
        ),
        ({"decode": staticmethod(lambda data: np.zeros((9, 9, 3), np.uint8))}, r"not uint8 \(9, 9, 3\)"),
        ({"encode": lambda self, rgb: [].remove(1)}, "list.remove"),
        ({"encode": lambda self, rgb: exec("raise ValueError")}, "odd: ValueError: "),
    ],
)
def test_what_is_no_bitstream_or_no_picture_is_refused(register, rgb, other, said):
    register(**other)
    with pytest.raises((ValueError, RuntimeError), match=said):
        codecs.get("odd-10").roundtrip(rgb)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"settings": lambda self: None}, r"odd: settings\(\) and versions\(\) must return dicts"),
        ({"settings": lambda self: {"quality": np.int64(3)}}, r"odd-10: settings\(\) must return plain JSON"),
        ({"versions": lambda self: {"odd": None}}, r"odd: versions\(\) must give strings"),
    ],
)
def test_settings_that_cannot_be_recorded_are_refused_before_anything_is_written(
    register, dataset, digests, tmp_path, other, said
):
    copy = shutil.copytree(dataset, tmp_path / "val")
    before = digests(copy)
    register(**other)
    with pytest.raises(ValueError, match=said):
        distort.add(copy, distortions="odd-10", workers=1)
    assert digests(copy) == before
    assert not (copy / "odd-10").exists()


def test_a_column_without_a_finished_shard_says_that_its_folder_can_go(register, dataset, tmp_path):
    copy = shutil.copytree(dataset, tmp_path / "val")
    register()
    declare(shards.open(copy), [codecs.get("odd-10")])
    register(settings=lambda self: {"quality": self.value, "fast": True})
    with pytest.raises(shards.DatasetError, match=r"No shard of it is finished: remove .*odd-10 if no other job"):
        declare(shards.open(copy), [codecs.get("odd-10")])
    shutil.rmtree(copy / "odd-10")
    declare(shards.open(copy), [codecs.get("odd-10")])
    assert shards.open(copy).columns["odd-10"]["steps"][-1]["settings"] == {"quality": 10, "fast": True}
