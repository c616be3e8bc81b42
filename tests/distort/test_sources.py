"""Every kind of source lists the same pictures with the right labels, or says what it expected."""

import io
import tarfile

import pytest

from distort.sources import SourceError, list_pictures, read


def names(listing):
    return [(picture.source, picture.label) for picture in listing.pictures]


def test_a_folder_per_class_is_labelled_by_sorted_class(tree):
    listing = list_pictures(str(tree))
    assert listing.classes == ("animals", "things")
    assert len(listing.pictures) == 24
    assert names(listing)[0] == ("animals/astronaut_0.jpg", 0)
    assert names(listing)[-1] == ("things/rocket_5.jpg", 1)


def test_a_flat_folder_has_no_labels(tree):
    listing = list_pictures(str(tree / "animals"))
    assert listing.classes is None
    assert len(listing.pictures) == 12
    assert {picture.label for picture in listing.pictures} == {None}


def test_other_and_hidden_files_are_not_pictures(tmp_path, tree):
    for name in ("notes.txt.bak", ".hidden.jpg", "._cat.jpg", "README.md"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "cat.JPEG").write_bytes(b"x")
    assert names(list_pictures(str(tmp_path))) == [("cat.JPEG", None)]


def test_a_list_has_paths_relative_to_itself_and_named_or_numbered_labels(tree):
    (tree / "named.csv").write_text("path,label\nanimals/chelsea_0.jpg,cat\nthings/coffee_0.jpg,beverage\n")
    named = list_pictures(str(tree / "named.csv"))
    assert named.classes == ("beverage", "cat")
    assert names(named) == [("animals/chelsea_0.jpg", 1), ("things/coffee_0.jpg", 0)]
    (tree / "numbered.txt").write_text("animals/chelsea_0.jpg,3\nthings/coffee_0.jpg,0\n\n")
    numbered = list_pictures(str(tree / "numbered.txt"))
    assert numbered.classes == ("0", "1", "2", "3")
    assert names(numbered) == [("animals/chelsea_0.jpg", 3), ("things/coffee_0.jpg", 0)]
    (tree / "plain.txt").write_text("animals/chelsea_0.jpg\n")
    assert names(list_pictures(str(tree / "plain.txt"))) == [("animals/chelsea_0.jpg", None)]
    for name in ("named.csv", "numbered.txt", "plain.txt"):
        (tree / name).unlink()


def make_tar(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def test_webdataset_tars_are_read_in_place(tmp_path, tree):
    cat, coffee = ((tree / name).read_bytes() for name in ("animals/chelsea_0.jpg", "things/coffee_0.jpg"))
    make_tar(tmp_path / "0.tar", [("a.jpg", cat), ("a.cls", b"7"), ("a.json", b"{}")])
    make_tar(tmp_path / "1.tar", [("b.cls", b"2\n"), ("b.jpg", coffee)])
    listing = list_pictures(str(tmp_path))
    assert names(listing) == [("0.tar::a.jpg", 7), ("1.tar::b.jpg", 2)]
    assert len(listing.classes) == 8
    assert [read(listing.root, p.source, p.offset, p.size) for p in listing.pictures] == [cat, coffee]
    assert names(list_pictures(str(tmp_path / "1.tar"))) == [("1.tar::b.jpg", 2)]


def test_a_root_with_splits_wants_one_chosen(tmp_path, tree):
    for split in ("train", "val"):
        (tmp_path / split).symlink_to(tree)
    with pytest.raises(SourceError, match="splits train, val: choose one, as in --split"):
        list_pictures(str(tmp_path))
    assert names(list_pictures(str(tmp_path), "val")) == names(list_pictures(str(tree)))


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: d / "nowhere", "no such file or folder: .*nowhere$"),
        (lambda d: write(d / "list.csv", "") / "../lists.csv", r"lists.csv; did you mean list.csv\?"),
        (lambda d: "", "SOURCE is empty"),
        (lambda d: "nfs://a/b", "nfs://a/b: Protocol not known: nfs"),
        (lambda d: write(d / "dataset.json", "{}").parent, "is a dataset; 'distort add' adds columns to it"),
        (lambda d: d, "no pictures in .*: expected one folder per class"),
        (lambda d: write(d / "a.json", "{}"), "neither a folder, nor a list"),
        (lambda d: write(d / "a.csv", "path,label\n"), "lists no pictures"),
        (lambda d: write(d / "a.csv", "a.jpg,1\nb.jpg\n"), "line 2: either all lines have a label or none"),
        (lambda d: write(d / "a.csv", "a.jpg,1,2\n"), "line 1: expected 'path' or 'path,label'"),
        (lambda d: write(d / "a.tar", "not a tar"), "is damaged or not an uncompressed tar"),
    ],
)
def test_a_source_without_pictures_says_what_was_expected(tmp_path, make, message):
    with pytest.raises(ValueError, match=message):
        list_pictures(str(make(tmp_path)))


def test_a_tar_with_two_pictures_per_sample_or_half_the_labels_is_refused(tmp_path):
    make_tar(tmp_path / "two.tar", [("a.clean.png", b"x"), ("a.jpeg-10.jpg", b"y")])
    with pytest.raises(SourceError, match="sample 'a' has several pictures"):
        list_pictures(str(tmp_path / "two.tar"))
    make_tar(tmp_path / "half.tar", [("a.jpg", b"x"), ("a.cls", b"1"), ("b.jpg", b"y")])
    with pytest.raises(SourceError, match=r"half.tar::b.jpg has no label, but others have"):
        list_pictures(str(tmp_path / "half.tar"))


def test_pictures_beside_class_folders_are_refused(tmp_path):
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "a.jpg").write_bytes(b"x")
    (tmp_path / "b.jpg").write_bytes(b"x")
    with pytest.raises(SourceError, match="both in itself and in its folders"):
        list_pictures(str(tmp_path))


def test_a_list_may_be_separated_by_spaces_or_tabs(tmp_path):
    for text in ("my cat.jpg 3\nb.jpg 0\n", "my cat.jpg\t3\nb.jpg\t0\n", '"my cat.jpg",3\nb.jpg,0\n'):
        listing = list_pictures(str(write(tmp_path / "list.txt", text)))
        assert names(listing) == [("my cat.jpg", 3), ("b.jpg", 0)]
    assert names(list_pictures(str(write(tmp_path / "plain.txt", "my cat.jpg\n")))) == [("my cat.jpg", None)]


KAGGLE = "ImageId,PredictionString\nILSVRC2012_val_2,n02 1 2 3 4 n02 1 1 1 1\nILSVRC2012_val_1,n03 1 2 3 4 \n"


@pytest.mark.parametrize(
    ("text", "classes", "labels"),
    [
        (KAGGLE, ("n02", "n03"), [1, 0]),
        ("n03\nn02\n", ("n02", "n03"), [1, 0]),
        ("1\n0\n", ("0", "1"), [1, 0]),
        ("ILSVRC2012_val_2.JPEG 0\nILSVRC2012_val_1.JPEG 1\n", ("0", "1"), [1, 0]),
        ("path,label\nILSVRC2012_val_2,cat\nILSVRC2012_val_1,dog\nelsewhere,cow\n", ("cat", "dog"), [1, 0]),
    ],
)
def test_a_flat_folder_gets_its_labels_from_a_file(tmp_path, text, classes, labels):
    (tmp_path / "val").mkdir()
    for i in (1, 2):
        (tmp_path / "val" / f"ILSVRC2012_val_{i}.JPEG").touch()
    listing = list_pictures(str(tmp_path / "val"), labels=str(write(tmp_path / "labels.txt", text)))
    assert listing.classes == classes
    assert [p.label for p in listing.pictures] == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n2\n3\n", "has 3 labels, but .* has 2 pictures"),
        ("a,1\n", "has no label for b.jpg"),
        ("a,1\nb,2\na,3\n", "gives a two labels"),
        ("a,1,2\n", "expected one label per line, or 'name,label'"),
        ("", "expected one label per line"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path, text, message):
    (tmp_path / "flat").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "flat" / name).touch()
    with pytest.raises(SourceError, match=message):
        list_pictures(str(tmp_path / "flat"), labels=str(write(tmp_path / "labels.txt", text)))


def test_labels_for_class_folders_are_refused(tree, tmp_path):
    with pytest.raises(SourceError, match="already has labels"):
        list_pictures(str(tree), labels=str(write(tmp_path / "labels.txt", "a,1\n")))


def test_numbers_from_one_are_noted(tmp_path):
    listing = list_pictures(str(write(tmp_path / "list.csv", "a.jpg,1\nb.jpg,2\n")))
    assert listing.notes == ("labels run from 1 to 2; networks count classes from 0",)
