"""Exported experts answer as the live ones, one by one and behind a router."""

import json
import sys

import pytest
import torch

from distort import codecs
from train.networks import models
from train.networks.network import ModelError
from train.networks.wrapped import Told
from train.routing import Onnx, Router, export

pytestmark = pytest.mark.slow

SIDE = 56


def network(seed):
    torch.manual_seed(seed)
    return models.build("master", 4).eval()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Columns -> (live, exported) networks, one by torch.export and one by ONNX."""
    folder = tmp_path_factory.mktemp("exported")
    live = {"jpeg-10": network(0), "webp-20": network(1)}
    pt2 = export(live["webp-20"], folder / "webp-20.pt2", SIDE)
    found = {"webp-20": torch.export.load(pt2).module()}
    try:
        found["jpeg-10"] = Onnx(export(live["jpeg-10"], folder / "jpeg-10.onnx", SIDE, {"trained_on": "jpeg-10"}))
    except ModelError as error:
        pytest.skip(str(error))
    return {column: (live[column], found[column]) for column in live}


@pytest.mark.parametrize("column", ["jpeg-10", "webp-20"])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_an_exported_network_answers_as_the_live_one_at_any_batch(served, column, count):
    live, exported = served[column]
    images = torch.randint(0, 256, (count, SIDE, SIDE, 3), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.allclose(exported(images), live(images), atol=1e-5)


def test_a_router_of_exported_experts_answers_as_one_of_live_experts(served, crop):
    columns = ["jpeg-10", "webp-20", "jpeg-10", "jpeg-10", "webp-20"]
    pictures = [crop[10 * i : 10 * i + SIDE, :SIDE] for i in range(len(columns))]
    data = [codecs.get(c).roundtrip(p).bitstream for c, p in zip(columns, pictures, strict=True)]
    live, exported = ({column: pair[i] for column, pair in served.items()} for i in (0, 1))
    wanted = Router(live).predict(data)
    for batch in (1, 2, 64):
        assert torch.allclose(Router(exported).predict(data, batch=batch), wanted, atol=1e-5)
    mixed = Router({"jpeg-10": served["jpeg-10"][1], "webp-20": served["webp-20"][0]})
    assert torch.allclose(mixed.predict(data), wanted, atol=1e-5)


def test_what_an_exported_network_is_stays_with_it_and_another_size_is_refused(served):
    expert = served["jpeg-10"][1]
    assert expert.meta == {"trained_on": "jpeg-10", "side": SIDE}
    with pytest.raises(ModelError, match=r"takes pictures of 56x56 pixels, not 64x56: export it with --side"):
        expert(torch.zeros(1, 56, 64, 3, dtype=torch.uint8))


def test_the_command_exports_a_checkpoint(cli, weights, tmp_path):
    made = cli("export", weights, "--out", tmp_path / "a.pt2", "--side", 64)
    assert made.exit_code == 0, made.output
    said = {"codecproof.json": ""}
    exported = torch.export.load(tmp_path / "a.pt2", extra_files=said).module()
    assert json.loads(said["codecproof.json"])["trained_on"] == "clean"
    live = models.load_checkpoint(str(weights)).network.eval()
    images = torch.randint(0, 256, (5, 64, 64, 3), dtype=torch.uint8)
    assert torch.equal(exported(images), live(images))


class Odd(torch.nn.Module):
    """Another answer at every call."""

    def forward(self, x):
        return torch.rand(x.shape[0], 4)


def test_what_cannot_be_exported_is_refused_and_nothing_is_written(tmp_path, val_set):
    plain = network(0)
    with pytest.raises(ModelError, match=r"the suffix chooses the format, one of \.onnx, \.pt2"):
        export(plain, tmp_path / "a.pt", SIDE)
    told = Told(plain.net, plain)
    with pytest.raises(ModelError, match="needs the header of every bitstream"):
        export(told, tmp_path / "a.pt2", SIDE)
    with pytest.raises(ModelError, match="file differ by"):
        export(models.Network(Odd()), tmp_path / "a.pt2", SIDE)
    with pytest.raises(ModelError, match="cannot be exported at 1x1"):
        export(plain, tmp_path / "a.pt2", 1)
    assert not list(tmp_path.iterdir())


def test_an_exported_file_never_goes_into_a_dataset(cli, weights, val_set):
    made = cli("export", weights, "--out", val_set / "a.pt2")
    assert made.exit_code == 1
    assert "would write into the dataset" in str(made.output) + str(made.exception)


def test_a_file_that_is_no_network_is_refused(tmp_path):
    pytest.importorskip("onnxruntime", reason="needs codecproof[onnx]")
    with pytest.raises(ModelError, match="no network at"):
        Onnx(tmp_path / "none.onnx")
    (tmp_path / "a.onnx").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="is not an ONNX network"):
        Onnx(tmp_path / "a.onnx")


def test_without_onnx_the_error_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for call in (lambda: Onnx(tmp_path / "a.onnx"), lambda: export(network(0), tmp_path / "a.onnx")):
        with pytest.raises(ModelError, match=r"pip install 'codecproof\[onnx\]'"):
            call()
