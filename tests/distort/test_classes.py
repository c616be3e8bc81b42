"""A class list decides the labels, so a part of a dataset keeps the labels of the whole."""

import os

import pytest
from click.testing import CliRunner
from PIL import Image

import shards
from distort import classes
from distort.cli import main
from distort.sources import SourceError, list_pictures


def folder(root, *names):
    for name in names:
        (root / name).mkdir(parents=True)
        Image.new("RGB", (32, 32), "teal").save(root / name / f"{name}.png")
    return root


def test_imagenet_has_1000_synsets_in_the_order_of_sorted_folders():
    names = classes.read("imagenet")
    assert len(names) == 1000
    assert list(names) == sorted(names)
    assert names.index("n01440764") == 0  # tench
    assert names.index("n03888257") == 701  # parachute


def test_a_folder_with_two_of_imagenets_classes_keeps_imagenets_labels(tmp_path):
    source, dataset = folder(tmp_path / "two", "n03888257", "n01440764"), tmp_path / "val"
    arguments = ["run", source, dataset, "--distortions", "jpeg-10", "--crop", "none", "--classes", "imagenet"]
    done = CliRunner().invoke(main, [*map(str, arguments), "--workers", "1"])
    assert done.exit_code == 0, done.output
    made = shards.open(dataset)
    assert len(made.plan.classes) == 1000
    assert {key: label for key, label, _ in made.read("jpeg-10")} == {"n01440764": 0, "n03888257": 701}


def test_numbers_are_labels_already(tmp_path):
    folder(tmp_path / "pictures", "a")
    (tmp_path / "list.csv").write_text("pictures/a/a.png,1\n")
    listing = classes.relabel(list_pictures(str(tmp_path / "list.csv")), ("x", "y", "z"))
    assert [picture.label for picture in listing.pictures] == [1]
    with pytest.raises(SourceError, match="label 1; the class list ends at 0"):
        classes.relabel(list_pictures(str(tmp_path / "list.csv")), ("x",))


def test_a_class_outside_the_list_is_refused_with_the_nearest(tmp_path):
    listing = list_pictures(str(folder(tmp_path / "tree", "n03888258")))
    with pytest.raises(SourceError, match="'n03888258' is not among the 1000 classes; the nearest is 'n03888257'"):
        classes.relabel(listing, classes.read("imagenet"))


@pytest.mark.parametrize("name", ["tench", "Parachute", "french_horn"])
def test_a_folder_with_a_classes_name_is_told_its_synset(tmp_path, name):
    synset = {"tench": "n01440764", "Parachute": "n03888257", "french_horn": "n03394916"}[name]
    with pytest.raises(
        SourceError, match=f"class '{name}' is not among the 1000 classes; the nearest is '{synset}'"
    ):
        classes.relabel(list_pictures(str(folder(tmp_path / "tree", name))), classes.read("imagenet"))


def test_folders_named_by_numbers_are_not_taken_for_labels(tmp_path):
    listing = list_pictures(str(folder(tmp_path / "tree", "0", "1", "2", "10")))
    assert "10 before 2" in listing.notes[0]
    ten = tuple(map(str, range(11)))
    assert [picture.label for picture in classes.relabel(listing, ten).pictures] == [0, 1, 10, 2]
    with pytest.raises(SourceError, match="'0' is not among"):
        classes.relabel(listing, ("a", "b", "c", "d"))


def test_a_source_without_labels_is_refused(tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    with pytest.raises(SourceError, match="has no labels"):
        classes.relabel(list_pictures(str(tmp_path)), ("x",))


@pytest.mark.parametrize(
    ("text", "said"),
    [("a\nb\na\n", "'a' is listed twice"), ("\n \n", "lists no classes"), (None, "No such file")],
)
def test_a_list_that_cannot_be_used_is_refused(tmp_path, text, said):
    file = tmp_path / "classes.txt"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SourceError, match=said):
        classes.read(str(file))


def test_a_line_is_a_class_or_begins_with_its_synset(tmp_path):
    (tmp_path / "classes.txt").write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish\ngolden retriever\n")
    assert classes.read(str(tmp_path / "classes.txt")) == ("n01440764", "n01443537", "golden retriever")


def test_a_pipe_instead_of_a_class_list_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "classes.txt")
    with pytest.raises(SourceError, match="not a regular file"):
        classes.read(str(tmp_path / "classes.txt"))


def test_a_class_that_resembles_none_is_answered_with_how_classes_look(tree):
    with pytest.raises(
        SourceError, match=r"class 'animals' is not .*; they are n01440764, n01443537, n01484850, …"
    ):
        classes.relabel(list_pictures(str(tree)), classes.read("imagenet"))
    with pytest.raises(SourceError, match=r"is not among the 2 classes; they are xyz, 123$"):
        classes.relabel(list_pictures(str(tree)), ("xyz", "123"))
