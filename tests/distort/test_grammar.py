"""Names are taken apart in one place, by text alone, and put together again."""

import hashlib
from pathlib import Path

import pytest

from distort import codecs
from distort.codecs import Filter
from distort.distortion import DistortionError, parse, parse_list
from distort.grammar import StepName, join, number, split


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("jpeg-10", [("jpeg", "10", ())]),
        ("jpeg-75:422:optimize", [("jpeg", "75", ("422", "optimize"))]),
        ("noise-0.5+jpeg-10", [("noise", "0.5", ()), ("jpeg", "10", ())]),
        ("two-words-7", [("two-words", "7", ())]),
        ("pre:small+jpeg-10", [("pre", None, ("small",)), ("jpeg", "10", ())]),
        ("learned-3:s3://bucket/m.bin", [("learned", "3", ("s3", "//bucket/m.bin"))]),
        ("clean", [("clean", None, ())]),
        ("", [("", None, ())]),
        ("jpeg-nan", [("jpeg-nan", None, ())]),
    ],
)
def test_a_name_is_split_into_steps_and_joined_again(name, steps):
    assert split(name) == tuple(StepName(*step) for step in steps)
    assert join(split(name)) == name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10, "10"),
        (75.0, "75"),
        (0.5, "0.5"),
        (100, "100"),
        (1e-05, "0.00001"),
        (1234567.0, "1234567"),
        (0.1, "0.1"),
    ],
)
def test_values_are_written_exactly_and_without_an_exponent(value, text):
    assert number(value) == text
    assert float(text) == value


def test_a_value_keeps_all_its_digits_so_that_a_name_means_one_setting():
    assert parse("j2k-75.1234567").name == "j2k-75.1234567"
    assert parse(parse("j2k-75.1234567").name).steps[0].value == 75.1234567


class Brighter(Filter):
    """A step that takes a file and no number, as a network in front of a codec does."""

    name, parameter, file = "pre", None, "weights"
    meaning, example = "adds what the file says", "pre:best.txt"

    def settings(self):
        return {"sha256": hashlib.sha256(Path(self.path).read_bytes()).hexdigest()}

    def versions(self):
        return {}

    def apply(self, rgb, rng):
        return rgb + int(Path(self.path).read_text())


@pytest.fixture
def pre(monkeypatch):
    monkeypatch.setattr(codecs, "_registry", lambda: codecs.REGISTRY | {"pre": "-"})
    load = codecs.load
    monkeypatch.setattr(codecs, "load", lambda name: Brighter if name == "pre" else load(name))


def test_a_step_with_a_file_keeps_a_label_in_the_name_and_the_whole_path_in_the_spec(pre, tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "best 1.txt").write_text("3")
    monkeypatch.chdir(tmp_path)
    made = parse("pre:runs/best 1.txt+jpeg-10")
    assert made.name == "pre:best_1+jpeg-10"
    assert made.steps[0].path == str(tmp_path / "runs" / "best 1.txt")
    assert parse("pre:small=runs/best 1.txt+jpeg-10").name == "pre:small+jpeg-10"
    monkeypatch.chdir("/")
    again = parse(made.spec)  # as a worker does
    assert (again.name, again.settings()) == (made.name, made.settings())


def test_a_wrong_file_is_refused_by_name(pre, tmp_path):
    with pytest.raises(DistortionError, match=r"pre needs its weights after a colon, as in 'pre:best\.txt'"):
        parse("pre+jpeg-10")
    with pytest.raises(DistortionError, match=r"there is no file .*/none\.txt"):
        parse(f"pre:{tmp_path}/none.txt+jpeg-10")
    with pytest.raises(DistortionError, match="pre takes no number"):
        parse("pre-3:best.txt")


def test_two_files_cannot_share_a_column(pre, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "best.txt").write_text("1")
    one, two = f"pre:{tmp_path}/a/best.txt", f"pre:{tmp_path}/b/best.txt"
    with pytest.raises(DistortionError, match="would both be the column 'pre:best'"):
        parse_list(f"{one},{two}")
    assert [d.name for d in parse_list(f"{one},pre:b={tmp_path}/b/best.txt")] == ["pre:best", "pre:b"]
