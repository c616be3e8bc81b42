"""Files of weights whose headers were crafted or damaged: named, and nothing is imported or asked."""

import json

import pytest
import safetensors.torch

from train.networks import kinds
from train.networks.models import ModelError, build, load_checkpoint
from train.networks.weights import save_weights

ARCH = "shufflenet_v2_x0_5"


@pytest.mark.parametrize(
    "meta",
    [
        {"arch": "timm:hf-hub:somebody/something"},
        {"arch": ARCH, "network": {"kind": "timm", "name": "hf-hub:somebody/something", "classes": 3}},
        {"arch": "timm:local-dir:/tmp"},
        {"arch": "os:system"},
        {"arch": ARCH, "network": {"kind": "function", "name": "os:system"}},
        {"arch": ARCH, "network": {"kind": "torchvision", "name": "function:os:system"}},
    ],
)
def test_a_crafted_header_imports_nothing_and_asks_nobody(meta, tmp_path, monkeypatch):
    def forbidden(*arguments, **options):
        raise AssertionError(f"reached {arguments}")

    monkeypatch.setattr(kinds.Function, "build", forbidden)
    monkeypatch.setattr(kinds.Timm, "_create", forbidden)
    file = tmp_path / "crafted.safetensors"
    save_weights(build(ARCH, 3).net, file, meta)
    with pytest.raises(ModelError, match="imports code or downloads files"):
        load_checkpoint(str(file), 3)


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ("{", "its metadata are not JSON"),
        ("[1]", r"its metadata are \[1\], not an object"),
        ("[" * 100_000, "its metadata are not JSON"),
        ({"arch": 5}, "'arch' in its metadata is 5"),
        ({"arch": None}, "'arch' in its metadata is None"),
        ({"arch": ARCH, "seed": "x"}, "'seed' in its metadata is 'x'"),
        ({"arch": ARCH, "seed": True}, "'seed' in its metadata is True"),
        ({"arch": ARCH, "classes": -1}, "'classes' in its metadata is -1"),
        ({"arch": ARCH, "settings": {"lr": [1]}}, r"setting 'lr' in its metadata is \[1\]"),
        ({"arch": ARCH, "settings": {"lr": float("nan")}}, "setting 'lr' in its metadata is nan"),
        ({"arch": ARCH, "network": "x"}, "'network' in its metadata is 'x'"),
        ({"arch": ARCH, "network": {"kind": 3}}, "its metadata do not name a network"),
        ({"arch": ARCH, "network": {"kind": "router", "name": "x", "package": "far"}},
         "kind 'router', which no installed package provides; it was made with the package 'far'"),
        ({"arch": ARCH, "network": {"kind": "torchvision", "name": ARCH, "colour": "red"}},
         "parameters that 'torchvision' does not have: colour"),
        ({"arch": "resnet_0"}, "torchvision has no classifier 'resnet_0'"),
    ],
)  # fmt: skip
def test_odd_metadata_are_named(meta, message, tmp_path):
    file = tmp_path / "odd.safetensors"
    text = meta if isinstance(meta, str) else json.dumps(meta)
    state = {name: value.contiguous() for name, value in build(ARCH, 3).net.state_dict().items()}
    safetensors.torch.save_file(state, file, {"codecproof": text})
    with pytest.raises(ModelError, match=message) as caught:
        load_checkpoint(str(file), 3)
    assert str(caught.value).startswith(str(file)) or "torchvision has no" in str(caught.value)
