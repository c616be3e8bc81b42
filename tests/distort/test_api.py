"""``distort.run`` and ``distort.add`` do what the commands do, twice in one process and from any script."""

import shutil
import subprocess
import sys

import pytest

import distort
import shards
from distort.sources import list_pictures

pytestmark = pytest.mark.slow

COLUMNS = ["jpeg-10", "j2k-75", "webp-20", "noise-20", "noise-20+jpeg-10"]


def test_run_and_add_make_the_files_of_the_commands(dataset, tree, tmp_path, digests, capfd):
    made = distort.run(tree, tmp_path / "d", distortions=COLUMNS[:1], shard_size=5, workers=2)
    assert (made.shards, made.skipped, made.pictures, made.bad) == (5, 0, 24, 0)
    added = distort.add(tmp_path / "d", distortions=",".join(COLUMNS[1:]), workers=2)
    assert added.columns == ["clean", *COLUMNS[1:]]
    assert digests(tmp_path / "d") == digests(dataset)
    again = distort.run(tree, tmp_path / "d", distortions=COLUMNS, shard_size=5)
    assert (again.shards, again.skipped) == (0, 5)
    assert capfd.readouterr() == ("", "")


def test_a_dataset_that_changed_between_two_calls_is_seen_anew(tree, tmp_path):
    source = shutil.copytree(tree, tmp_path / "tree")
    d = tmp_path / "d"
    assert distort.run(source, d, distortions="jpeg-10", shard_size=50).pictures == 24
    shutil.rmtree(d)
    (source / "animals" / "chelsea_0.jpg").unlink()
    assert distort.run(source, d, distortions="jpeg-10", shard_size=7).pictures == 23
    assert list(shards.verify(d, decode=True)) == []


def test_a_remote_source_is_listed_anew(tree, tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    for count, names in ((12, "animals"), (24, "things")):
        memory.put(str(tree / names), f"/api/{names}", recursive=True)
        assert len(list_pictures("memory://api").pictures) == count


def test_what_goes_wrong_is_an_exception_with_what_was_made(tree, tmp_path):
    source = shutil.copytree(tree, tmp_path / "tree")
    (source / "animals" / "bad.jpg").write_text("no picture")
    with pytest.raises(distort.Incomplete, match="of the pictures could not be read, more than") as error:
        distort.run(source, tmp_path / "d", distortions="jpeg-10")
    assert (error.value.summary.shards, error.value.summary.bad) == (1, 1)
    said = []
    assert distort.run(source, tmp_path / "d", distortions="jpeg-10", max_bad=1, say=said.append).skipped == 1
    assert "1 picture could not be read; 'shards errors" in said[-1]
    with pytest.raises(ValueError, match="did you mean 'jpeg-10'"):
        distort.run(source, tmp_path / "d", distortions="jpg-10")
    with pytest.raises(ValueError, match="takes no --address"):
        distort.add(tmp_path / "d", distortions="jpeg-10", address="head:1")


def test_a_script_needs_no_main_guard(tree, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"import distort\nprint(distort.run({str(tree)!r}, 'd', distortions='jpeg-10', workers=2).shards)"
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout == "1\n", done.stderr


def test_workers_import_nothing_from_the_current_folder(tree, tmp_path, run, monkeypatch):
    for name in ("json", "distort", "numpy", "struct"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the current folder')")
    monkeypatch.chdir(tmp_path)
    made = run("distort", "run", tree, tmp_path / "d", "--distortions", "clean", "--limit", 2, "--workers", 1)
    assert made.returncode == 0, made.stderr


def test_verify_and_export_take_a_path(dataset, tmp_path):
    assert list(shards.verify(dataset)) == []
    assert shards.export(dataset, tmp_path / "fat", ["clean", "jpeg-10"]) == 24
    assert len(list((tmp_path / "fat").glob("*.tar"))) == 5


def test_profile_prints_the_stages(tree, tmp_path, run):
    made = run("distort", "run", tree, tmp_path / "d", "--distortions", "jpeg-10,noise-20", "--profile")
    stages = {line.split("  ")[0] for line in made.stdout.splitlines()[1:]}
    assert {"stage", "read", "decode", "crop", "clean", "jpeg encode", "jpeg decode", "noise"} <= stages
    assert {"PSNR", "SSIM", "tar", "statistics", "waiting"} <= stages


def test_an_engine_that_cannot_work_is_noticed_before_anything_is_written(tree, tmp_path):
    for address in ("127.0.0.1:1", "nonsense"):
        with pytest.raises(OSError, match=r"needs Ray|no Ray cluster answers|has no port"):
            distort.run(tree, tmp_path / "d", distortions="jpeg-10", engine="ray", address=address)
    assert not list(tmp_path.iterdir())
