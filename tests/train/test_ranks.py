"""Two real ranks (gloo) give what one process gives; a process on a CPU keeps its memory."""

import csv
import sys
from statistics import median

import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F

from distort.codecs import decode
from shards.dataset import Dataset
from train.engine.distributed import World
from train.engine.evaluate import Candidate, evaluate
from train.networks import models

pytestmark = pytest.mark.slow


def test_two_ranks_evaluate_as_one_process_does(cli, start, val_set, weights, tmp_path, read_json):
    alone, together = tmp_path / "alone.json", tmp_path / "together.json"
    options = ("evaluate", val_set, "--checkpoint", weights, "--batch", 5)
    running = start(*options, "--workers", 2, "--out", together, ranks=2, torchrun=True)
    assert cli(*options, "--workers", 0, "--out", alone).exit_code == 0
    _, error = running.communicate(timeout=120)
    assert running.returncode == 0, error
    one, two = (read_json(file)["results"][0] for file in (alone, together))
    for name, column in one["columns"].items():
        losses = [answer["columns"][name].pop("loss") for answer in (one, two)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        assert two["columns"][name] == column
        assert column["n"] == 39
    answers = [pq.read_table(file.with_name(f"{file.stem}.0.parquet")) for file in (alone, together)]
    assert answers[0].equals(answers[1])


def test_two_ranks_train_select_and_teach(start, training, copied, train_set, weights, tmp_path):
    root = copied(train_set)
    taught = start("teach", root, "--arch", "shufflenet_v2_x0_5", "--weights", weights, ranks=2)
    output, error = taught.communicate(timeout=120)
    assert taught.returncode == 0, error
    assert "3 shards computed" in output
    run = start(*training("expert", "--teacher", "cached", "--workers", 2, train=root), ranks=2)
    _, error = run.communicate(timeout=120)
    assert run.returncode == 0, error
    with (tmp_path / "run" / "metrics.csv").open() as file:
        row = list(csv.DictReader(file))[-1]
    top1 = float(row["select_top1"]) * 12
    assert top1 == pytest.approx(round(top1), abs=1e-9)


def test_more_ranks_than_validation_samples_are_refused(val_source, make_set, weights, tmp_path):
    two = World(0, 2, torch.device("cpu"))
    data = Dataset(make_set(val_source, tmp_path / "one", "--limit", 1))
    candidate = Candidate.pretrained("shufflenet_v2_x0_5", str(weights), data)
    with pytest.raises(ValueError, match="one has 1 samples for 2 ranks: start fewer ranks"):
        evaluate(data, ["clean"], [candidate], two)


def test_an_average_on_two_ranks_is_selected_with_the_statistics_that_are_kept(
    start, training, train_set, state_of, tmp_path
):
    """Every rank judges its part of the held-out samples with rank 0's average, running statistics included."""
    run = start(*training("finetune", "--ema", 0.9, "--workers", 0), ranks=2)
    _, error = run.communicate(timeout=120)
    assert run.returncode == 0, error
    with (tmp_path / "run" / "metrics.csv").open() as file:
        selected = float(list(csv.DictReader(file))[-1]["select_loss"])
    net = models.load("shufflenet_v2_x0_5", str(tmp_path / "run" / "last.safetensors"), 3).network.eval()
    held_out = list(Dataset(train_set).select("jpeg-10"))[-12:]
    with torch.no_grad():
        logits = net(torch.stack([torch.from_numpy(decode(e.data, e.extension).copy()) for *_, e in held_out]))
        loss = F.cross_entropy(logits, torch.tensor([label for _, label, _ in held_out]))
    assert selected == pytest.approx(float(loss), rel=1e-4)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_on_a_cpu_a_network_uses_freed_memory_again(run):
    script = (
        "import resource, torch\n"
        "from torchvision.models import shufflenet_v2_x0_5\n"
        "from train.engine.distributed import world\n"
        "network, pictures = shufflenet_v2_x0_5().eval(), torch.rand(32, 3, 224, 224)\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    with torch.inference_mode():\n"
        "        network(pictures)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "print(*(faults() for _ in range(4)))\n"
        "with world('cpu'):\n"
        "    print(*(faults() for _ in range(9)))\n"
    )
    done = run("python", "-c", script)
    assert done.returncode == 0, done.stderr
    returned, kept = ([int(count) for count in line.split()[1:]] for line in done.stdout.splitlines())
    assert median(kept) < min(returned) / 10  # page faults of a batch; the first ones find nothing freed


def test_a_selection_loss_that_is_not_finite_ends_every_rank(start, training, tmp_path):
    run = start(*training("finetune", "--lr", 1e30, "--batch", 96), ranks=2)
    _, error = run.communicate(timeout=120)
    assert run.returncode == 1
    assert error.count("the loss is not finite in epoch 1 (select_loss ") == 2
    assert not (tmp_path / "run" / "best.safetensors").exists()
