"""A codec with a model, written and installed as another package, works like one of ours from end to end."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

COLUMNS = "patches-8,patches-16,patches-32,patches-64,noise-20+patches-16,jpeg-5,jpeg-10,jpeg-30,jpeg-75"


@pytest.fixture(scope="module")
def codec(plugin):
    return plugin("codec")


@pytest.fixture(scope="module")
def made(codec, tree, tmp_path_factory):
    """A dataset with columns of the plugin's codec. Read only."""
    root = tmp_path_factory.mktemp("codec") / "val"
    done = codec.run("distort", "run", tree, root, "--distortions", COLUMNS, "--limit", 6, "--workers", 1)
    assert done.returncode == 0, done.stderr
    return root


def test_it_is_listed_with_its_meaning(codec):
    listed = codec.run("distort", "list").stdout
    assert "patches-16" in listed
    assert ".ptch" in listed
    assert "quantisation step of 16 learned coefficients" in listed


def test_column_json_names_the_model_and_verify_decodes_with_it(codec, made):
    column = json.loads((made / "patches-16" / "column.json").read_text())
    assert column["extension"] == "ptch"
    assert set(column["steps"][0]["settings"]) == {"step", "model"}
    found = codec.run("shards", "verify", made, "--decode")
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.slow
def test_the_report_gives_it_title_parameter_colour_and_marker(codec, made, tmp_path):
    built = codec.run("report", "build", made, "--out", tmp_path / "report")
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Learned patches" in page
    assert "Δ 16" in page
    assert "--c-patches:#8b1a4a;" in page
    assert "var(--c-patches)" in page  # a curve in its colour, which the dark page exchanges


@pytest.mark.slow
def test_the_loader_decodes_its_batches(codec, made):
    code = (
        "import sys; from train.feed.data import Reader, Source\n"
        "reader = Reader(Source(sys.argv[1], ('patches-16', 'clean')))\n"
        "batch = reader.batch(reader.samples(0, range(4)))\n"
        "error = (batch.images['patches-16'].float() - batch.images['clean'].float()).abs().mean().item()\n"
        "print(batch.images['patches-16'].shape, 0 < error < 20)"
    )
    done = codec.run("python", "-c", code, made)
    assert done.stdout == "torch.Size([4, 224, 224, 3]) True\n", done.stderr


@pytest.mark.slow
def test_another_model_is_noticed_before_it_decodes_or_writes_anything(codec, installed, made, tmp_path, digests):
    other = installed(shutil.copytree(codec.path, tmp_path / "other"))
    model = other.path / "codecproof_patches" / "basis.npy"
    np.save(model, np.load(model)[::-1])
    found = other.run("shards", "verify", made, "--decode")
    assert found.returncode == 1
    assert "column 'patches-16': it was made with the model" in found.stdout
    before = digests(made)
    added = other.run("distort", "add", made, "--distortions", "patches-16")
    assert added.returncode == 1
    assert "new shards of column 'patches-16' would differ" in added.stderr
    assert digests(made) == before


@pytest.mark.slow
def test_without_the_plugin_its_columns_are_named_and_the_report_is_still_built(made, run, tmp_path):
    found = run("shards", "verify", made, "--decode")
    assert found.returncode == 1
    assert "column 'patches-16': the codec 'patches' is not installed here" in found.stdout
    built = run("report", "build", made, "--out", tmp_path / "report")
    assert built.returncode == 0, built.stderr
    assert "patches" in (tmp_path / "report" / "index.html").read_text()
