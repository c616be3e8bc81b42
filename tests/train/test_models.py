"""Networks and weights: the right ones, or a sentence that says what is wrong."""

import io
import pickle
import urllib.request
from urllib.error import URLError

import pytest
import safetensors.torch
import torch

from train.networks import models
from train.networks.models import ModelError
from train.networks.network import IMAGENET_MEAN, IMAGENET_STD


def test_a_mistyped_network_is_answered_with_a_suggestion():
    with pytest.raises(ModelError, match="no classifier 'mnasnet1-0': did you mean 'mnasnet1_0'"):
        models.build("mnasnet1-0", 3)


def test_timm_is_an_extra():
    try:
        import timm  # noqa: F401
    except ImportError:
        with pytest.raises(ModelError, match=r"timm:resnet10t needs timm: pip install 'codecproof\[timm\]'"):
            models.build("timm:resnet10t", 3)
    else:
        assert models.build("timm:resnet10t", 3)(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)).shape == (1, 3)


def test_a_classifier_takes_grey_levels_and_normalises_them():
    classifier = models.build("shufflenet_v2_x0_5", 3).eval()
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    by_hand = classifier.net(((images / 255 - mean) / std).permute(0, 3, 1, 2).contiguous())
    assert torch.allclose(classifier(images), by_hand, atol=1e-5)
    assert set(classifier.state_dict()) == {f"net.{name}" for name in classifier.net.state_dict()}


@pytest.fixture
def saved(tmp_path):
    classifier = models.build("shufflenet_v2_x0_5", 3)
    file = tmp_path / "weights.safetensors"
    models.save_weights(classifier.net, file, {"arch": "shufflenet_v2_x0_5"})
    return file, models.weights_sha256(classifier.net)


@pytest.mark.parametrize("form", ["safetensors", "state_dict", "model", "data_parallel"])
def test_weights_are_the_same_from_any_kind_of_file(saved, tmp_path, form):
    file, identity = saved
    state, _ = models.read_weights(file)
    if form != "safetensors":
        prefix = "module." if form == "data_parallel" else ""
        state = {prefix + name: value for name, value in state.items()}
        file = tmp_path / "weights.pth"
        torch.save({"model": state} if form == "model" else state, file)
    loaded = models.load("shufflenet_v2_x0_5", str(file), 3)
    assert models.weights_sha256(loaded.network.net) == identity


class Bomb:
    def __reduce__(self):
        return (print, ("code ran",))


@pytest.mark.parametrize("wrap", [lambda bomb: bomb, lambda bomb: {"model": {"weight": bomb}}])
def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path, capsys, wrap):
    file = tmp_path / "weights.pth"
    torch.save(wrap(Bomb()), file)
    with pytest.raises(ModelError, match=r"weights\.pth is refused: it holds Python objects besides tensors"):
        models.read_weights(file)
    file.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError, match=r"weights\.pth is refused"):
        models.read_weights(file)
    assert "code ran" not in capsys.readouterr().out


def test_weights_of_another_network_are_refused(saved, tmp_path):
    file, _ = saved
    with pytest.raises(ModelError, match="holds a shufflenet_v2_x0_5, not a resnet18"):
        models.load("resnet18", str(file), 3)
    bare = tmp_path / "bare.safetensors"
    safetensors.torch.save_file(models.read_weights(file)[0], bare)
    with pytest.raises(ModelError, match=r"does not fit resnet18: \d+ missing \(as bn1.*\d+ unknown \(as"):
        models.load("resnet18", str(bare), 3)


def test_weights_of_another_number_of_classes_need_a_new_head(saved):
    file, _ = saved
    with pytest.raises(ModelError, match="3 classes, but the dataset has 7; 'train finetune --new-head'"):
        models.load("shufflenet_v2_x0_5", str(file), 7)
    loaded = models.load("shufflenet_v2_x0_5", str(file), 7, new_head=True)
    assert loaded.network.net.fc.weight.shape[0] == 7
    assert torch.equal(
        loaded.network.net.state_dict()["conv1.0.weight"], models.read_weights(file)[0]["conv1.0.weight"]
    )


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x02}q\x00."])
@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
def test_what_is_no_weights_file_is_said_to_be_none(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(ModelError, match=rf"{name} (is not a weights file|holds no state dict|is refused)"):
        models.load("resnet18", str(file), 3)
    with pytest.raises(ModelError, match="no weights at nowhere"):
        models.read_weights("nowhere")


def test_offline_imagenet_weights_say_where_to_put_the_file(monkeypatch, tmp_path):
    def offline(*arguments, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setattr(torch.hub, "urlopen", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ModelError) as caught:
        models.load("mnasnet1_0", "imagenet", 1000)
    message = str(caught.value)
    assert "cannot download https://download.pytorch.org/models/mnasnet1.0_top1_73.512-f206786ef8.pth" in message
    assert f"put it at {tmp_path}/hub/checkpoints/mnasnet1.0_top1_73.512-f206786ef8.pth" in message


def test_imagenet_weights_put_there_by_hand_are_used(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / "shufflenetv2_x0.5-f707e7126e.pth"
    place.parent.mkdir(parents=True)
    state = models.build("shufflenet_v2_x0_5", 1000).net.state_dict()
    buffer = io.BytesIO()
    torch.save(state, buffer)
    place.write_bytes(buffer.getvalue())
    loaded = models.load("shufflenet_v2_x0_5", "imagenet", 1000)
    assert torch.equal(loaded.network.net.state_dict()["fc.weight"], state["fc.weight"])


def test_the_identity_of_weights_is_their_values():
    one, two = models.build("shufflenet_v2_x0_5", 3), models.build("shufflenet_v2_x0_5", 3)
    assert models.weights_sha256(one.net) != models.weights_sha256(two.net)
    two.net.load_state_dict(one.net.state_dict())
    assert models.weights_sha256(one.net) == models.weights_sha256(two.net)
    two.net.state_dict()["fc.bias"][0] += 1e-7
    assert models.weights_sha256(one.net) != models.weights_sha256(two.net)
