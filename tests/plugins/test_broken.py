"""A codec's package that is installed and broken costs nobody else anything, and says what is wrong with it."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def broken(tmp_path_factory, installed):
    """Runs commands with three registered codecs: without a library, without the class, and something else."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "broken-1.0.dist-info").mkdir()
    (folder / "broken-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n"
    )
    (folder / "broken-1.0.dist-info" / "entry_points.txt").write_text(
        "[codecproof.codecs]\nlost = broken_lost:Codec\nempty = broken_empty:Codec\n"
        "[distort.codecs]\nother = broken_empty:other\n"
    )
    (folder / "broken_lost.py").write_text("import a_library_that_is_not_here\n")
    (folder / "broken_empty.py").write_text("other = 3\n")
    return installed(folder).run


def test_the_others_are_listed_and_the_broken_ones_with_their_reason(broken):
    done = broken("distort", "list")
    assert done.returncode == 0, done.stderr
    assert "jpeg-10" in done.stdout
    assert "cannot be loaded: No module named 'a_library_that_is_not_here'" in done.stdout
    assert "'empty' is registered as broken_empty:Codec" in done.stdout
    assert "'other' is registered as broken_empty:other, which is neither a Codec nor a Filter" in done.stdout


@pytest.mark.parametrize("name", ["lost", "empty", "other"])
def test_using_a_broken_one_is_one_line_before_anything_is_made(broken, tree, tmp_path, name):
    done = broken("distort", "run", tree, tmp_path / "d", "--distortions", f"jpeg-10,{name}-3")
    assert done.returncode != 0
    assert f"'{name}-3': {name} cannot be loaded here:" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "d").exists()


@pytest.mark.slow
def test_columns_of_others_are_decoded_and_reported_all_the_same(broken, dataset, tmp_path):
    found = broken("shards", "verify", dataset, "--decode")
    assert found.returncode == 0, found.stdout + found.stderr
    assert broken("report", "build", dataset, "--out", tmp_path / "report").returncode == 0
