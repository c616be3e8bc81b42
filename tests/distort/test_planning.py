"""The same pictures give the same plan; keys are unique, plain and stable."""

import re

import pyarrow as pa
import pytest

import distort.planning
from distort import crops
from distort.planning import KEY_LENGTH, make_plan
from distort.sources import Listing, Picture, Pictures, SourceError

PICTURES = [Picture(f"class/{i:03d}.jpg", i % 2) for i in range(10)]


def plan(pictures=PICTURES, crop="paper", **settings):
    return make_plan(Listing("root", Pictures(pictures), ("a", "b")), crops.parse(crop), settings={}, **settings)


def make_keys(sources: list[str]) -> list[str]:
    return distort.planning.make_keys(pa.chunked_array([sources], pa.large_string())).to_pylist()


def order(made):
    return made[1]["source"].to_pylist()


def test_the_order_is_shuffled_by_the_seed_and_not_by_the_listing():
    assert order(plan()) == order(plan(PICTURES[::-1]))
    assert order(plan()) != [p.source for p in PICTURES]
    assert order(plan(seed=1)) != order(plan())
    assert order(plan(keep_order=True)) == [p.source for p in PICTURES]


def test_limit_takes_a_random_sample():
    assert order(plan(limit=3)) == order(plan())[:3]


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"crop": "none"}, {"shard_size": 5}, {"limit": 9}, {"keep_order": True}]
)
def test_every_setting_changes_the_plan_and_is_named(change):
    old, new = plan()[0], plan(**change)[0]
    assert old.hash != new.hash
    (name,) = change
    expected = {"shard_size": "per_shard", "limit": "pictures", "keep_order": "shuffled"}.get(name, name)
    assert any(line.startswith(f"{expected}: ") for line in old.differences(new))


def test_shards_hold_whole_pictures_also_with_several_crops():
    made, _ = plan(crop="random:4", shard_size=10)
    assert (made.per_shard, made.crops, made.shards) == (2, 4, 5)


def test_keys_are_plain_names():
    sources = [
        "a/n01440764_10026.JPEG",
        "b/my.holiday.photo.jpg",
        "c/Grüße 1.png",
        "0.tar::x/y.jpg",
        "c/" + "n" * 300 + ".jpg",
    ]
    keys = make_keys(sources)
    assert keys[0] == "n01440764_10026"
    assert keys[3] == "y"
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,72}", key) for key in keys)
    assert len(set(keys)) == len(keys)


def test_two_sources_with_one_name_get_different_keys():
    first = make_keys(["a/1.jpg", "b/1.jpg", "b/2.jpg"])
    assert first[2] == "2"
    assert first[0].startswith("1-")
    assert first[0] != first[1]
    assert make_keys(["b/1.jpg", "a/1.jpg"]) == [first[1], first[0]]


def test_a_picture_listed_twice_is_refused():
    with pytest.raises(SourceError, match=r"a/1.jpg and a/1.jpg would get the same key"):
        make_keys(["a/1.jpg", "a/1.jpg"])


ODD = [
    "a/b/",
    "a/.",
    ".",
    "..",
    "/",
    "",
    "a.",
    ".jpg",
    "..jpg",
    "a..jpg",
    "x/y.z/n",
    "0.tar::a/b.jpg",
    "0.tar::",
    "a::b::c.jpg",
]
ODD += [
    "0.tar::d/",
    "a\nb.jpg",
    "a\nb/c.jpg",
    "a b.jpg",
    "é.jpg",
    "x" * KEY_LENGTH + ".jpg",
    "x" * (KEY_LENGTH + 1),
    "a//b.jpg",
]


def test_keys_made_in_one_go_are_those_made_one_by_one():
    for source in ODD:
        assert make_keys([source]) == [distort.planning._stem(source)]


def test_a_plan_of_many_batches_is_that_of_small_ones(monkeypatch):
    pictures = [Picture(f"{i % 7}/{i % 50}.jpg", i % 2, i, i + 1) for i in range(200)]
    expected = plan(pictures)
    for name in ("distort.planning", "distort.sources.listing"):
        monkeypatch.setattr(f"{name}.BATCH", 16)
    small = plan(pictures)
    assert small[0] == expected[0]
    assert small[1].equals(expected[1])


def test_equal_beginnings_of_hashes_are_ordered_by_the_rest(monkeypatch):
    expected = order(plan())

    class Short:
        def __init__(self, data):
            self.data = data

        def digest(self):
            return b"\0" * 8 + sha256(self.data).digest()

    sha256 = distort.planning.hashlib.sha256
    keys = pa.array([f"{i:03d}" for i in range(10)], pa.large_string())
    monkeypatch.setattr(distort.planning.hashlib, "sha256", Short)
    indices = distort.planning._order(keys, 0)
    assert [f"class/{i:03d}.jpg" for i in indices] == expected
