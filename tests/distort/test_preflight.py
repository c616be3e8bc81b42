"""Before the work starts a run says what the pictures are and what it will take."""

import pytest

import distort
from distort import api, crops, estimate
from distort.distortion import parse_list
from distort.planning import make_plan
from distort.sources import list_pictures
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


@pytest.mark.slow
def test_a_long_run_says_at_its_start_what_it_will_take(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "LONG", 1)
    said = []
    distort.run(tree, tmp_path / "d", distortions="jpeg-10", workers=2, say=said.append)
    assert said[-1].startswith("1 shards to make, 24 pictures: about ")
