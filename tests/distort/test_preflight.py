"""Before the work starts a run says what the pictures are and what it will take."""

from itertools import pairwise

import pyarrow as pa
import pytest

import distort
from distort import api, crops, estimate, preflight
from distort.distortion import parse_list
from distort.planning import make_plan
from distort.sources import SourceError, list_pictures
from shards.dataset import Dataset
from shards.plan import manifest_rows


@pytest.mark.slow
def test_a_run_says_what_it_found_before_it_works(tree, tmp_path, run):
    made = run("distort", "run", tree, tmp_path / "d", "--distortions", "jpeg-10")
    assert made.stderr.startswith(f"{tree}: 24 pictures, 2 classes (animals, things)\n")


@pytest.mark.slow
def test_a_flat_folder_says_before_it_works_how_to_give_labels(tree, tmp_path, run):
    made = run("distort", "run", tree / "animals", tmp_path / "d", "--distortions", "jpeg-10")
    assert made.stderr.startswith(
        f"{tree}/animals: 12 pictures\nno labels, which training and evaluation need: use"
    )
    (tmp_path / "labels.txt").write_text("cat\n" * 6 + "woman\n" * 6)
    labelled = run(
        "distort", "run", tree / "animals", tmp_path / "e", "--distortions", "jpeg-10",
        "--labels", tmp_path / "labels.txt",
    )  # fmt: skip
    assert "12 pictures, 2 classes (cat, woman)" in labelled.stderr


@pytest.mark.slow
def test_a_dry_run_says_what_it_would_take_and_writes_nothing(tree, tmp_path, run):
    work = ["distort", "run", tree, tmp_path / "d", "--distortions", "jpeg-10,webp-20", "--shard-size", 5]
    made = run(*work, "--dry-run", "--workers", 3)
    assert made.returncode == 0, made.stderr
    assert "24 pictures, 2 classes" in made.stderr
    assert "24 pictures tried: all can be read" in made.stderr
    assert "5 of 5 shards to make, 24 pictures, 3 columns" in made.stdout
    assert "with 3 workers" in made.stdout
    assert "of memory per worker" in made.stdout
    assert {line.partition(" ")[0] for line in made.stdout.splitlines()} >= {
        "reading,",
        "clean",
        "jpeg-10",
        "webp-20",
    }
    assert not (tmp_path / "d").exists()


@pytest.mark.slow
def test_a_dry_run_refuses_what_a_run_would_refuse(dataset, tree, run, digests):
    before = digests(dataset)
    work = ["distort", "run", tree, dataset, "--distortions", "jpeg-10,webp-5", "--dry-run", "--shard-size"]
    assert "5 of 5 shards to make" in run(*work, 5).stdout
    assert "per_shard: 5 in the dataset, 6 now" in run(*work, 6).stderr
    assert digests(dataset) == before
    assert not (dataset / "webp-5").exists()


def test_the_disk_that_is_estimated_is_the_disk_that_is_used(dataset, tree):
    plan = Dataset(dataset).plan
    rows = [row for shard in range(plan.shards) for row in manifest_rows(Dataset(dataset).storage, plan, shard)]
    distortions = parse_list("jpeg-10,webp-20")
    found = estimate.measure(str(tree), plan, rows, distortions, budget=60)
    assert found.pictures == 23  # all but the first
    for name in ("clean", "jpeg-10", "webp-20"):
        used = sum(file.stat().st_size for file in (dataset / name).iterdir())
        assert found.stored[name] * 24 == pytest.approx(used, rel=0.5 if name != "clean" else 0.1)
    assert " with 1 worker (" in estimate.describe(found, 24, 1, str(dataset))
    assert "only 0 B are free" not in estimate.describe(found, 24, 1, str(dataset))
    assert "are free at" in estimate.describe(found, 10**12, 1, str(dataset))


def test_pictures_that_cannot_be_read_do_not_stop_an_estimate(tmp_path, tree):
    for i in range(3):
        (tmp_path / f"{i}.jpg").write_bytes(b"")
    (tmp_path / "3.jpg").write_bytes((tree / "animals" / "chelsea_0.jpg").read_bytes())
    listing = list_pictures(str(tmp_path))
    plan, manifest = make_plan(
        listing, crops.parse("paper"), settings={"clean": "png", "ssim": "uniform", "exif_orientation": False}
    )
    assert estimate.measure(listing.root, plan, manifest.to_pylist(), parse_list("jpeg-10"), 60) is None


@pytest.mark.parametrize("count", [1, 23, 24, 25, 47, 1000])
def test_the_sample_is_as_large_as_it_may_be_and_spread_over_the_source(count):
    rows = [row["i"] for row in preflight.sample(pa.table({"i": range(count)}))]
    assert len(rows) == len(set(rows)) == min(count, 24)
    steps = {b - a for a, b in pairwise([*rows, count])}
    assert max(steps) - min(steps) <= 1


def test_several_crops_per_picture_are_told_and_one_is_tried(tree, tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(crops.Crop, "one", lambda self, image, seed, key: tried.append(key))
    monkeypatch.setattr(preflight.isolated, "each", map)
    said = []
    options = {"distortions": "jpeg-10", "crop": "random:3", "say": said.append}
    monkeypatch.setattr(api.job, "create", None)
    with pytest.raises(TypeError):  # it stops after the plan
        distort.run(tree, tmp_path / "d", **options)
    assert "24 pictures x 3 crops = 72 samples" in said
    assert len(tried) == 24


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("these are notes\n", r"list.txt: 1 of 1 picture tried .*\n  1 x No such file .*, as these are notes\n"),
        ("a.jpg;0\nb.jpg;1\n", r"list.txt, line 1: put a comma or a tab instead of ';' before the label"),
        ("nosuch.jpg,0\nother.jpg,1\n", r"list.txt: 2 of 2 pictures .*\n  2 x No such .*, as nosuch.jpg\n"),
    ],
)
def test_a_list_of_no_pictures_is_named_with_its_first_line(tmp_path, text, message):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(SourceError, match=message):
        distort.run(tmp_path / "list.txt", tmp_path / "d", distortions="jpeg-10", keep_order=True)


@pytest.mark.slow
def test_a_long_run_says_at_its_start_what_it_will_take(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "LONG", 1)
    said = []
    distort.run(tree, tmp_path / "d", distortions="jpeg-10", workers=2, say=said.append)
    assert said[-1].startswith("1 shard to make, 24 pictures: about ")
