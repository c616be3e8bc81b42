"""Networks: rebuilt from their weights alone, asked for layers by name, and never chosen by a stranger's file."""

import sys

import pytest
import torch
from torch import nn

from train.networks import kinds, models
from train.networks.models import KINDS, ModelError, build, load_checkpoint
from train.networks.network import Network
from train.networks.weights import save_weights

ARCH = "shufflenet_v2_x0_5"


def saved(tmp_path, arch, network, **meta):
    file = tmp_path / "weights.safetensors"
    save_weights(network.net, file, {"arch": arch, "network": network.description, **meta})
    return str(file)


@pytest.mark.parametrize("arch", [ARCH, "torchvision:" + ARCH, "timm:resnet10t", "lite0"])
def test_a_network_is_rebuilt_from_its_weights_alone(arch, tmp_path):
    if not arch.endswith(ARCH):
        pytest.importorskip("timm")
    network = build(arch, 7).eval()
    again = load_checkpoint(saved(tmp_path, arch, network)).network.eval()
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    assert torch.equal(again(images), network(images))
    assert (again.mean.tolist(), again.input_size) == (network.mean.tolist(), network.input_size)


def test_weights_of_before_networks_described_themselves_are_still_read(tmp_path):
    network = build(ARCH, 3)
    save_weights(network.net, tmp_path / "old.safetensors", {"arch": ARCH, "classes": 3})
    assert load_checkpoint(str(tmp_path / "old.safetensors"), 3).network.description == network.description


@pytest.fixture
def own_network(tmp_path, monkeypatch):
    """``own_net:small``, a function of the user's."""
    source = """
        import pathlib
        from torch import nn
        pathlib.Path(__file__).with_name("imported").touch()
        def small(classes):
            return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, classes))
    """
    (tmp_path / "own_net.py").write_text("\n".join(line[8:] for line in source.splitlines()))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "imported"
    sys.modules.pop("own_net", None)


def test_a_function_of_the_users_is_a_network(own_network):
    network = build("own_net:small", 5)
    assert network(torch.zeros(2, 32, 32, 3, dtype=torch.uint8)).shape == (2, 5)
    with pytest.raises(ModelError, match="has no attribute 'large'"):
        build("own_net:large", 5)
    with pytest.raises(ModelError, match="No module named 'tim'; use MODULE:FUNCTION"):
        build("tim:resnet10t", 5)


def test_code_named_by_a_file_runs_only_when_the_person_names_it_too(own_network, tmp_path):
    net = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 5))
    network = Network(net)
    network.description = {"kind": "function", "name": "own_net:small", "classes": 5}
    file = saved(tmp_path, "own_net:small", network)
    for named in (None, "own_net:other", ARCH):
        with pytest.raises(
            ModelError, match=r"needs the network 'own_net:small', which imports code.*with --arch"
        ):
            load_checkpoint(file, 5, named)
    assert not own_network.exists()
    assert load_checkpoint(file, 5, "own_net:small").network.description == network.description


def test_layers_are_asked_for_by_name():
    network = build(ARCH, 3).eval()
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    logits, features = network.taps(images, ["stage2", "fc"])
    assert torch.equal(logits, network(images))
    assert torch.equal(features["fc"], logits)
    assert features["stage2"].shape == (2, 48, 8, 8)
    with pytest.raises(ModelError, match="no layer 'stage_2': did you mean 'stage2'"):
        network.layer("stage_2")


def test_the_last_layers_are_the_fully_connected_ones_where_there_are_enough():
    vgg = Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 6)))
    assert [name for name, _ in vgg.last(2)] == ["1", "3"]
    assert [name for name, _ in vgg.last(3)] == ["0", "1", "3"]
    assert [name for name, _ in build("squeezenet1_0", 3).last(1)] == ["classifier.1"]
    with pytest.raises(ModelError, match="has 3 layers with weights, not 4"):
        vgg.last(4)


def test_every_kind_of_network_is_listed_and_loads():
    assert all(issubclass(KINDS.load(name), kinds.Kind) for name in KINDS.own)
    assert models.parse("resnet50") == ("torchvision", "resnet50")
    assert models.parse("lite0") == ("lite0", "lite0")


def test_a_network_of_ones_own_is_trained_and_measured_where_the_command_names_it(
    own_network, cli, training, val_set, tmp_path
):
    out = tmp_path / "run" / "best.safetensors"
    done = cli(*training("finetune", "--arch", "own_net:small", "--weights", "none", "--test-columns", "clean"))
    assert done.exit_code == 0, done.output
    evaluate = ("evaluate", val_set, "--checkpoint", out, "--columns", "clean", "--out", tmp_path / "r.json")
    assert "if you trust it, name it with --arch" in cli(*evaluate).output
    done = cli(*evaluate, "--arch", "own_net:small")
    assert done.exit_code == 0, done.output
