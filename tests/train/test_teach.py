"""A cached teacher is the live one, or it is refused."""

import hashlib
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import load_file

from distort.codecs import decode
from shards.dataset import Dataset
from train.networks import models

pytestmark = pytest.mark.slow

ARCH = "shufflenet_v2_x0_5"


@pytest.fixture
def taught(cli, train_set, weights, copied):
    """A copy of the training set with a cached teacher, and the teacher's folder."""
    root = copied(train_set)
    result = teach(cli, root, weights)
    assert result.exit_code == 0, result.output
    return root, next((root / "teachers").iterdir())


def teach(cli, root, weights):
    return cli("teach", root, "--arch", ARCH, "--weights", weights, "--workers", 0, "--batch", 16)


def history(out):
    rows = (out / "metrics.csv").read_text().splitlines()
    names = rows[0].split(",")
    keep = [i for i, name in enumerate(names) if name not in ("images_per_s", "waiting", "select_seconds")]
    return [[row.split(",")[i] for i in keep] for row in rows]


def test_the_cache_holds_the_log_probabilities_of_every_clean_crop(taught, weights):
    root, folder = taught
    net = models.load(ARCH, str(weights), 3).network.eval()
    for shard in range(3):
        scores = load_file(folder / f"{shard:06d}.safetensors")["log_probs"]
        assert scores.dtype == np.float16
        rows = list(Dataset(root).read("clean", shards=[shard]))
        assert scores.shape == (len(rows), 3)
        for score, (_, _, clean) in zip(scores, rows, strict=True):
            with torch.no_grad():
                expected = net(torch.from_numpy(decode(clean.data, clean.extension).copy())[None]).log_softmax(1)[
                    0
                ]
            assert np.allclose(score, expected, atol=2e-3)


def test_an_expert_learns_the_same_from_the_cache_as_live_and_reads_no_clean_crop(
    taught, cli, training, train_set, state_of, tmp_path
):
    root, _ = taught
    live = cli(*training("expert", out="live", train=train_set))
    assert "the teacher runs live" in live.output
    cached = cli(*training("expert", "--teacher", "cached", out="cached", train=root))
    assert cached.exit_code == 0, cached.output
    one, two = (state_of(tmp_path / name / "last.safetensors") for name in ("live", "cached"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert history(tmp_path / "live") == history(tmp_path / "cached")


def test_the_loader_of_an_expert_with_cache_has_no_clean_column(
    taught, training, train_set, val_set, weights, tmp_path
):
    from train.engine.distributed import World
    from train.engine.job import prepare
    from train.methods.expert import Expert
    from train.recipes import Recipe
    from train.settings import Settings

    root, folder = taught
    settings = Settings(
        "expert", Expert.Options("jpeg-10"), str(root), str(val_set), ARCH, str(weights), str(tmp_path),
        recipe=Recipe(batch=16),
    )  # fmt: skip
    job = prepare(settings, World(0, 1, torch.device("cpu")))
    assert job.training.source.columns == ("jpeg-10",)
    assert job.training.source.teacher == folder.name


def test_teaching_again_computes_nothing_and_after_an_interruption_only_what_is_missing(taught, cli, weights):
    root, folder = taught
    assert "0 shards computed" in teach(cli, root, weights).output
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    (folder / "teacher.json").unlink()
    (folder / "000001.safetensors").unlink()
    assert "1 shards computed" in teach(cli, root, weights).output
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_an_incomplete_cache_does_not_count(taught, cli, training):
    root, folder = taught
    (folder / "teacher.json").unlink()
    result = cli(*training("expert", "--teacher", "cached", train=root))
    assert result.exit_code == 1
    assert f"has no cache of teacher {folder.name}; 'train teach" in result.output


def test_other_weights_are_another_teacher(taught, cli, training, tmp_path):
    root, _ = taught
    other = tmp_path / "other.safetensors"
    models.save_weights(models.build(ARCH, 3).net, other, {"arch": ARCH})
    result = cli(*training("expert", "--weights", other, "--teacher", "cached", train=root))
    assert "has no cache of teacher" in result.output


def test_clean_crops_that_changed_since_are_noticed(taught, cli, training, make_set, train_source, tmp_path):
    root, _ = taught
    other = make_set(train_source, tmp_path / "png", "--shard-size", 50, "--clean", "png")
    # The same plan's commit mark with another tar, as after a repair with another encoder.
    mark = dict(pq.read_schema(root / "clean" / "000001.parquet").metadata)
    table = pq.read_table(root / "clean" / "000001.parquet")
    tar = (other / "clean" / "000001.tar").read_bytes()
    mark |= {b"tar_size": str(len(tar)).encode(), b"tar_sha256": hashlib.sha256(tar).hexdigest().encode()}
    pq.write_table(table.replace_schema_metadata(mark), root / "clean" / "000001.parquet")
    (root / "clean" / "000001.tar").write_bytes(tar)
    result = cli(*training("expert", train=root))
    assert result.exit_code == 1
    assert "clean shard 000001 has changed since its teacher was cached" in result.output


def roll(file):
    """Damage that leaves a file of the same size with the scores of other classes."""
    data = file.read_bytes()
    scores = load_file(file)["log_probs"]
    file.write_bytes(data[: -scores.nbytes] + np.roll(scores, 1, axis=1).tobytes())


def test_scores_that_are_not_the_teachers_are_noticed_at_the_start(taught, cli, training):
    root, folder = taught
    record = json.loads((folder / "teacher.json").read_text())
    for shard, entry in enumerate(record["shards"]):
        file = folder / f"{shard:06d}.safetensors"
        roll(file)
        entry["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (folder / "teacher.json").write_text(json.dumps(record))
    result = cli(*training("expert", train=root))
    assert result.exit_code == 1
    assert "the scores of 16 samples" in result.output
    assert "differ from recomputed ones (mean KL" in result.output


def test_a_truncated_cache_is_named(taught, cli, training):
    root, folder = taught
    for file in folder.glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-2])
    result = cli(*training("expert", train=root))
    assert result.exit_code == 1
    assert ".safetensors has" in result.output
    assert "truncated or replaced" in result.output


def test_a_flip_and_a_cached_teacher_exclude_each_other(taught, cli, training):
    root, _ = taught
    result = cli(*training("expert", "--flip", "--teacher", "cached", train=root))
    assert result.exit_code == 1
    assert "use --flip with --teacher live" in result.output


def test_a_teacher_cached_by_another_version_is_used_with_a_note(taught, cli, training):
    root, folder = taught
    record = folder / "teacher.json"
    record.write_text(record.read_text().replace(f'"torch": "{torch.__version__}"', '"torch": "1.0"'))
    result = cli(*training("expert", train=root))
    assert result.exit_code == 0, result.output
    assert f"cached with torch 1.0, here {torch.__version__}" in result.output


def test_a_dataset_with_a_teacher_is_still_a_sound_dataset(taught):
    from shards.verify import verify

    root, _ = taught
    assert list(verify(Dataset(root))) == []


def test_fresh_weights_teach_nothing(cli, train_set, training):
    result = cli("teach", train_set, "--arch", ARCH, "--weights", "none")
    assert "a teacher needs trained weights" in result.output
    result = cli(*training("expert", "--weights", "none"))
    assert "expert starts from trained weights" in result.output


def test_nothing_is_left_behind(taught):
    root, _ = taught
    assert not (root / ".partial").exists()
    shutil.rmtree(root)
