"""The router: every bitstream to the expert for it, by its own header."""

import pytest
import torch
from torch import nn

from distort import codecs
from distort.codecs.headers import Header, header_of
from distort.codecs.lossless import LOSSLESS
from shards.dataset import Dataset
from train.routing import NoExpert, Router


class Says(nn.Module):
    """An expert whose answer is its number and the mean of the picture."""

    def __init__(self, number):
        super().__init__()
        self.number, self.calls = number, []

    def forward(self, images):
        self.calls.append(len(images))
        means = images.float().mean((1, 2, 3))
        return torch.stack([torch.full_like(means, self.number), means], 1)


def router(*columns, base=False, otherwise="nearest"):
    experts = {column: Says(i) for i, column in enumerate(columns)}
    return Router(experts, Says(-1) if base else None, otherwise)


def test_every_bitstream_of_a_dataset_goes_to_the_expert_of_its_column(dataset):
    opened = Dataset(dataset)
    own = router(*(column for column in opened.columns if column != "noise-20"))
    for column in own.columns:
        rows = list(opened.read(column))
        assert len(rows) == 24
        found = {own.route(entry.data) for *_, entry in rows}
        step = opened.column(column)["steps"][-1] if column != "clean" else None
        # noise-20+jpeg-10 ends in the codec of jpeg-10: their headers are the same.
        assert {header_of(name) for name in found} == {header_of(column)}, (column, step)


def test_many_qualities_of_three_codecs_are_told_apart(crop):
    columns = [f"jpeg-{q}" for q in (5, 10, 11, 75)] + [f"bpg-{qp}:fast" for qp in (41, 46, 51)]
    columns += [f"j2k-{ratio}" for ratio in (75, 200, 400)]
    own = router(*columns)
    for column in columns:
        assert own.route(codecs.get(column).roundtrip(crop).bitstream) == column


@pytest.mark.parametrize(
    ("header", "column"),
    [
        (Header("jpeg", 10), "jpeg-10"), (Header("jpeg", 12), "jpeg-10"), (Header("jpeg", 60), "jpeg-75"),
        (Header("j2k", 110), "j2k-75"), (Header("j2k", 140), "j2k-200"), (Header("webp", None), "webp-20"),
    ],
)  # fmt: skip
def test_a_quality_without_expert_goes_to_the_nearest_of_its_codec(header, column):
    own = router("jpeg-10", "jpeg-75", "j2k-75", "j2k-200", "webp-20")
    assert own.columns[own.choose(header)] == column


def test_what_no_expert_is_for_goes_to_the_base_network_or_is_refused():
    header = Header("jpeg", 12)
    based = router("jpeg-10", base=True, otherwise="base")
    assert based.choose(header) == based.base
    assert based.choose(Header("jpeg", 10)) == 0
    with pytest.raises(NoExpert, match=r"no expert was trained for jpeg-12; there are experts for jpeg-10$"):
        router("jpeg-10", base=True, otherwise="error").choose(header)
    with pytest.raises(NoExpert, match=r"trained for bpg-41; .* jpeg-10; a base network would answer it"):
        router("jpeg-10").choose(Header("bpg", 41))
    with pytest.raises(NoExpert, match="trained for webp; there are experts for webp-20, webp-30"):
        router("webp-20", "webp-30").choose(Header("webp", None))
    with pytest.raises(ValueError, match="the policy 'base' needs a base network"):
        router("jpeg-10", otherwise="base")
    with pytest.raises(ValueError, match="unknown policy 'any'"):
        router("jpeg-10", otherwise="any")


def test_bitstreams_of_many_kinds_are_answered_in_their_order_and_in_batches_per_expert(crop):
    own = router("jpeg-10", "bpg-46", "clean", base=True)
    streams = [
        (0, codecs.get("jpeg-10").roundtrip(crop)), (1, codecs.get("bpg-46:fast").roundtrip(crop[:64, :64])),
        (-1, codecs.get("webp-30").roundtrip(crop)), (0, codecs.get("jpeg-10").roundtrip(crop[::-1])),
        (0, codecs.get("jpeg-10").roundtrip(crop[:, ::-1])),
    ]  # fmt: skip
    data = [made.bitstream for _, made in streams] + [LOSSLESS["png"].encode(crop)]
    answers = own.predict(data, batch=2)
    assert answers[:, 0].tolist() == [0, 1, -1, 0, 0, 2]
    means = [made.rgb.mean() for _, made in streams] + [crop.mean()]
    assert answers[:, 1].tolist() == pytest.approx(means, rel=1e-4)
    assert [expert.calls for expert in own.experts] == [[2, 1], [1], [1], [1]]


def test_damaged_and_foreign_bytes_are_refused(crop):
    own = router("jpeg-10")
    with pytest.raises(ValueError, match="no installed codec knows"):
        own.predict([b"nonsense"])
    data = codecs.get("jpeg-10").roundtrip(crop).bitstream
    with pytest.raises(ValueError, match="not a"):
        own.predict([data[:300]])
