"""Pre-transformation: the network, its losses, and the trained transform as a step of a chain."""

import configparser
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from distort.codecs import decoder
from shards.dataset import Dataset
from train.engine.distributed import World
from train.engine.step import Stepper
from train.methods.base import Context
from train.methods.pretransform import Pretransform
from train.networks import models
from train.networks.network import ModelError
from train.pretransform import Pre

pytestmark = pytest.mark.slow

CPU = World(0, 1, torch.device("cpu"))
ARCH = "shufflenet_v2_x0_5"


def method(**options):
    return Pretransform(Pretransform.Options(**{"width": 4, "reconstruct": 0} | options), Context(ARCH))


def batch_of(count=4):
    numbers = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 64, 64, 3), dtype=torch.uint8, generator=numbers)
    batch = SimpleNamespace(images={"clean": images}, labels=torch.arange(count) % 4, keys=[], headers={})
    batch.to = lambda device: batch
    return batch


def stepper(lr=1e-3, **options):
    torch.manual_seed(0)
    return Stepper(models.build(ARCH, 4), method(**options), CPU, lr=lr)


def test_a_residual_transform_is_the_identity_at_the_start():
    network, images = models.build(ARCH, 4), batch_of().images["clean"]
    plain = network.eval()(images)
    made = models.wrap("pretransform", network, bypass="residual", width=4).eval()
    assert torch.equal(made.rewrite(images), images)
    assert torch.allclose(made(images), plain, atol=1e-4)


@pytest.mark.parametrize("bypass", ["none", "stage", "residual"])
@pytest.mark.parametrize("size", [(64, 64), (50, 71), (224, 32)])
def test_pictures_of_any_size_keep_it(bypass, size):
    made = models.wrap("pretransform", models.build(ARCH, 4), bypass=bypass, width=4)
    assert made.rewrite(torch.zeros(1, *size, 3, dtype=torch.uint8)).shape == (1, *size, 3)


def test_the_full_width_is_that_of_segnet():
    made = models.wrap("pretransform", models.build(ARCH, 4)).net.transform
    widths = [[layer.out_channels for layer in stage if hasattr(layer, "out_channels")] for stage in made.encoder]
    assert widths == [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3]
    back = [[layer.out_channels for layer in stage if hasattr(layer, "out_channels")] for stage in made.decoder]
    assert [stage[-1] for stage in back[::-1]] == [512, 256, 128, 64, 64]


def test_the_loss_is_cross_entropy_and_total_variation_through_the_frozen_classifier():
    own, batch = method(tv=0.5, tv_scale=255.0), batch_of()
    model = own.model(models.build(ARCH, 4)).eval()
    losses, logits = own.losses(model, batch)
    made = model.rewrite(batch.images["clean"]).float()
    tv = (made[:, 1:] - made[:, :-1]).abs().mean() + (made[:, :, 1:] - made[:, :, :-1]).abs().mean()
    assert torch.allclose(losses["tv"], tv, rtol=1e-4)
    assert torch.allclose(losses["loss"], losses["ce"] + 0.5 * tv, rtol=1e-4)
    assert torch.allclose(logits, model(batch.images["clean"]))


def test_only_the_transform_learns_and_first_it_reconstructs():
    own = stepper(reconstruct=4, bypass="stage")
    before = {name: value.clone() for name, value in own.model.net.base.state_dict().items()}
    losses = [own.step(iter([batch_of()]))[0] for _ in range(6)]
    for loss in losses[:4]:
        assert torch.equal(loss["loss"], loss["mse"])
    assert torch.equal(losses[4]["loss"], losses[4]["ce"] + losses[4]["tv"])
    assert losses[3]["mse"] < losses[0]["mse"]
    assert all(torch.equal(value, before[name]) for name, value in own.model.net.base.state_dict().items())


def test_with_the_decoder_only_the_encoder_keeps_its_weights():
    own = stepper(decoder_only=True, bypass="none", tv=0.0)
    encoder, decoding = ([p.clone() for p in part.parameters()] for part in
                         (own.model.net.transform.encoder, own.model.net.transform.decoder))  # fmt: skip
    own.step(iter([batch_of()]))
    assert all(map(torch.equal, encoder, own.model.net.transform.encoder.parameters()))
    assert not all(map(torch.equal, decoding, own.model.net.transform.decoder.parameters()))


def test_a_crafted_width_is_refused():
    with pytest.raises(ModelError, match="a transform with bypass 'stage' and width 100000 cannot be built"):
        models.make("pretransform", ARCH, 4, bypass="stage", width=100000)


@pytest.fixture(scope="module")
def trained(cli, train_set, val_set, weights, tmp_path_factory):
    out = tmp_path_factory.mktemp("pre") / "run"
    done = cli(
        "pretransform", train_set, "--val", val_set, "--arch", ARCH, "--weights", weights, "--width", 4,
        "--epochs", 1, "--holdout", 0.1, "--workers", 0, "--bypass", "residual", "--tv", 5, "--lr", 1e-2,
        "--reconstruct", 0, "--out", out, "--test-columns", "clean",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return out / "last.safetensors"


@pytest.fixture
def installed(tmp_path):
    """An environment in which this tree's entry points are announced, whatever was installed when."""
    declared = configparser.ConfigParser()
    declared.read(Path(__file__).parents[2] / "setup.cfg")
    info = tmp_path / "site" / "announced-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: announced\nVersion: 0\n")
    codecs = declared["options.entry_points"]["codecproof.codecs"]
    (info / "entry_points.txt").write_text(f"[codecproof.codecs]{codecs}\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])}


def test_a_trained_transform_is_a_step_of_a_chain(copied, trained, val_set, installed):
    root, name = copied(val_set), f"pre:small={trained}"
    program = Path(sys.executable).parent / "distort"
    arguments = [program, "add", root, "--distortions", f"{name}+jpeg-10,{name}", "--workers", "1"]
    made = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, env=installed)
    assert made.returncode == 0, made.stderr
    opened = Dataset(root)
    described = opened.column("pre:small+jpeg-10")
    assert described["steps"][0]["settings"] == Pre(file=str(trained)).settings()
    assert len(described["steps"][0]["settings"]["sha256"]) == 64
    rewritten = decoder(opened.column("pre:small"))
    for (key, _, clean), (_, _, stored) in zip(opened.read("clean"), opened.read("pre:small"), strict=True):
        before = decoder(opened.column("clean"))(clean.data)
        own = Pre(file=str(trained)).apply(before, np.random.default_rng())
        assert np.array_equal(rewritten(stored.data), own), key
        break
    bytes_of = {name: np.mean([entry.bytes for *_, entry in opened.read(name)]) for name in
                ("jpeg-10", "pre:small+jpeg-10")}  # fmt: skip
    assert bytes_of["pre:small+jpeg-10"] < bytes_of["jpeg-10"]


def test_a_file_that_holds_no_transform_is_refused(weights, tmp_path):
    (tmp_path / "x").write_bytes(b"nonsense")
    for file in (weights, tmp_path / "x"):
        with pytest.raises(ValueError, match="is not a transform: 'train pretransform' makes one"):
            Pre(file=str(file))
