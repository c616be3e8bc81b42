"""The same from Python: train, measure, teach; again and again in one process."""

import gc

import pytest
import torch

import train
from shards.results import load
from train.networks import weights as files

pytestmark = pytest.mark.slow

ARCH = "shufflenet_v2_x0_5"
SHORT = {"epochs": 1, "batch": 16, "holdout": 0.1, "lr": 1e-3, "shuffle": 20, "workers": 0}


@pytest.fixture
def fit(train_set, val_set, weights, tmp_path):
    def fit(method="finetune", out="run", **options):
        options = {"column": "jpeg-10", "test_columns": "none", **SHORT, **options}
        return train.fit(method, train_set, val=val_set, arch=ARCH, weights=weights, out=tmp_path / out, **options)

    return fit


def test_python_and_the_command_make_the_same_weights(fit, cli, training, tmp_path, state_of):
    assert fit() == tmp_path / "run"
    assert cli(*training("finetune", out="command")).exit_code == 0
    one, two = (state_of(tmp_path / out / "last.safetensors") for out in ("run", "command"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_nothing_of_a_training_stays_in_the_process(fit, tmp_path, state_of):
    torch.manual_seed(5)
    before = torch.get_rng_state(), torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark
    for out in "ab":
        fit(out=out, new_head=True, flip=True)
    a, b = (state_of(tmp_path / out / "last.safetensors") for out in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)
    after = torch.get_rng_state(), torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert gc.isenabled()


def test_networks_are_measured_with_and_without_a_file(fit, val_set, weights, tmp_path):
    run = fit(test_columns=["jpeg-10"])
    found = train.evaluate(
        val_set, [run / "best.safetensors"], arch=ARCH, weights=weights, columns=["clean", "jpeg-10"], workers=0
    )
    assert [result.model.title for result in found.results] == ["Pre-trained", "Fine-tuned"]
    at_the_end = load(run / "results.json").results[0]
    assert found.results[1].columns["jpeg-10"] == at_the_end.columns["jpeg-10"]
    written = train.evaluate(val_set, [run / "best.safetensors"], workers=0, out=tmp_path / "r.json")
    assert written == load(tmp_path / "r.json")
    assert set(written.results[0].columns) == {"clean", "j2k-75", "jpeg-10"}


def test_a_taught_dataset_is_used(fit, train_set, copied, weights, val_set, tmp_path):
    root = copied(train_set)
    name, made = train.teach(root, arch=ARCH, weights=weights, workers=0)
    assert made == 3
    assert (root / "teachers" / name / "teacher.json").exists()
    run = train.fit("expert", root, val=val_set, arch=ARCH, weights=weights, out=tmp_path / "cached",
                    column="jpeg-10", teacher="cached", test_columns="none", **SHORT)  # fmt: skip
    assert files.read_weights(run / "last.safetensors")[1]["settings"]["alpha"] == 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "expret"}, "unknown method 'expret': did you mean 'expert'? there are finetune, expert"),
        ({"alpha": 0.1}, "unknown option of finetune 'alpha': "),
        ({"colunm": "jpeg-10"}, "unknown option of finetune 'colunm': did you mean 'column'?"),
        ({"lr": "0.1"}, "lr: '0.1' is not a number"),
        ({"lr": -1.0}, "lr: -1.0 is not in the range x>0"),
        ({"flip": "yes"}, "flip: 'yes' is not True or False"),
        ({"column": 10}, "column: 10 is not text"),
        ({"schedule": "step"}, "schedule: 'step' is not one of 'plateau', 'cosine', 'constant'"),
        ({"quirks": "adam-reset", "protocol": "refcode"}, "uses all quirks, quirks only those listed"),
        ({"optimiser": "sgd", "lr": None}, "--optimiser sgd needs --lr"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_touched(fit, tmp_path, options, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        fit(**options)
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_missing_option_is_named(train_set, val_set, weights, tmp_path):
    with pytest.raises(ValueError, match="finetune needs the option 'column'"):
        train.fit("finetune", train_set, val=val_set, arch=ARCH, weights=weights, out=tmp_path / "run")
