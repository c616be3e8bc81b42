"""What a training refuses, in a line, and how it says that data are damaged."""

import pytest
import torch

from train.networks.network import Network


def refusals():
    return {
        "missing column": (["--column", "bpg-41"], "has no column 'bpg-41'; it has clean, j2k-75, jpeg-10"),
        "batch": (
            ["--batch", 7, "--accumulate", 2],
            "--batch 7 cannot be divided among 1 ranks x 2 accumulated parts",
        ),
        "too few": (["--batch", 1000], "samples to train on, fewer than one --batch of 1000"),
        "nothing held out": (["--holdout", 0.001], "--holdout 0.001 keeps none of the 119 samples of "),
        "all held out": (
            ["--holdout", 0.95],
            "that --holdout 0.95 keeps away, fewer than one --batch of 16: use a",
        ),
        "network": (["--arch", "resnet18"], "holds a shufflenet_v2_x0_5, not a resnet18"),
        "quirk": (["--quirks", "bn"], "unknown quirk 'bn'"),
        "weights": (["--weights", "nowhere.pth"], "no weights at nowhere.pth"),
        "gpu": (["--device", "cuda"], "PyTorch finds no GPU here"),
        "wandb": (["--wandb"], "--wandb needs its client: pip install wandb"),
    }


@pytest.mark.parametrize("case", refusals())
def test_what_cannot_be_trained_is_said_in_a_line(cli, training, case):
    options, message = refusals()[case]
    if case == "gpu" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    result = cli(*training("finetune", *options))
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


def test_other_classes_in_validation_are_refused(cli, training, make_tiles, make_set, tmp_path):
    source = make_tiles(tmp_path / "source", 3, 7)
    (source / "cat").rename(source / "tiger")
    result = cli(*training("finetune", val=make_set(source, tmp_path / "other")))
    assert result.exit_code == 1
    assert (
        "has 3, not the same ('cat' is in one of them only), so equal labels would mean different classes"
        in result.output
    )


def test_a_label_outside_the_classes_is_refused(cli, training, copied, train_set):
    import pyarrow as pa
    import pyarrow.parquet as pq

    root = copied(train_set)
    file = root / "jpeg-10" / "000001.parquet"
    table = pq.read_table(file)
    column = table.column_names.index("label")
    labels = [*table["label"].to_pylist()[:-1], 3]
    pq.write_table(table.set_column(column, table.schema.field("label"), pa.array(labels, pa.int64())), file)
    result = cli(*training("finetune", train=root))
    assert result.exit_code == 1
    assert "jpeg-10/000001.parquet has label 3, but the dataset has 3 classes (0..2)" in result.output


def test_a_truncated_dataset_is_refused_before_training(cli, training, copied, train_set):
    root = copied(train_set)
    tar = root / "jpeg-10" / "000000.tar"
    tar.write_bytes(tar.read_bytes()[:-512])
    assert (
        "truncated or replaced; delete both and run distort again" in cli(*training("finetune", train=root)).output
    )


def test_a_shard_that_disappears_in_mid_epoch_is_named(cli, training, copied, train_set, monkeypatch):
    root = copied(train_set)
    forward, steps = Network.forward, []

    def removing(self, images):
        if self.training:
            steps.append(1)
            (root / "jpeg-10" / "000001.tar").unlink(missing_ok=True)
        return forward(self, images)

    monkeypatch.setattr(Network, "forward", removing)
    result = cli(*training("finetune", "--epochs", 2, "--shuffle", 1, train=root))
    assert steps
    assert result.exit_code == 1
    assert "jpeg-10/000001.tar is missing; run distort again" in result.output


def test_columns_of_the_last_evaluation_are_checked_before_training(cli, training, tmp_path):
    result = cli(*training("finetune", "--test-columns", "clean,jpg-10"))
    assert result.exit_code == 1
    assert "has no column 'jpg-10'; it has clean, j2k-75, jpeg-10" in result.output
    assert not (tmp_path / "run" / "metrics.csv").exists()
