"""Other loaders over the same bitstreams: uint8 batches of 64, shuffled as each of them does, in one process.

Every function takes ``(dataset, column, samples, folder)``, writes the first samples' bitstreams into FOLDER in
its own format and returns what starts an epoch: an iterator of batches. All of them get the decoder that ``train``
uses, but torchcodec, which decodes JPEG by itself. (SPDL's own decoder needs FFmpeg's libraries.)
``pip install webdataset mosaicml-streaming litdata spdl torchcodec`` (their dependencies too) to have all of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as MapDataset

from distort.codecs import decoder
from shards.dataset import Dataset
from shards.plan import column_folder

BATCH = 64
Epoch = Callable[[], Iterator]


def bitstreams(dataset: Dataset, column: str, samples: int) -> list[tuple[bytes, int]]:
    return [(entry.data, label) for _, label, entry in dataset.select(column)[:samples]]


def webdataset(dataset: Dataset, column: str, samples: int, folder: Path) -> Epoch:
    import webdataset as wds

    decode, extension = decoder(dataset.column(column)), dataset.column(column)["extension"]
    tars = sorted(map(str, Path(dataset.storage.root, column_folder(column)).glob("*.tar")))

    def epoch():
        stream = wds.WebDataset(tars, shardshuffle=False, empty_check=False).shuffle(200)
        stream = stream.map(lambda sample: (decode(sample[extension]), int(sample["cls"]))).batched(BATCH)
        left = samples // BATCH
        for images, _ in DataLoader(stream, batch_size=None, num_workers=0):
            yield torch.as_tensor(images)
            left -= 1
            if not left:
                return

    return epoch


def streaming(dataset: Dataset, column: str, samples: int, folder: Path) -> Epoch:
    from streaming import MDSWriter, StreamingDataset

    decode = decoder(dataset.column(column))
    with MDSWriter(out=str(folder), columns={"image": "bytes", "label": "int"}) as out:
        for data, label in bitstreams(dataset, column, samples):
            out.write({"image": data, "label": label})

    class Decoded(StreamingDataset):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return decode(sample["image"]), sample["label"]

    data = Decoded(local=str(folder), shuffle=True, batch_size=BATCH)
    return lambda: (images for images, _ in DataLoader(data, BATCH, num_workers=0, drop_last=True))


def litdata(dataset: Dataset, column: str, samples: int, folder: Path) -> Epoch:
    import litdata as ld
    from litdata.streaming import Cache

    decode = decoder(dataset.column(column))
    cache = Cache(str(folder), chunk_bytes="64MB")
    for i, (data, label) in enumerate(bitstreams(dataset, column, samples)):
        cache[i] = {"image": data, "label": label}
    cache.done()
    cache.merge()

    class Decoded(ld.StreamingDataset):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return decode(sample["image"]), sample["label"]

    data = Decoded(str(folder), shuffle=True, drop_last=True)
    return lambda: (images for images, _ in ld.StreamingDataLoader(data, batch_size=BATCH, num_workers=0))


def files(dataset: Dataset, column: str, samples: int, folder: Path) -> list[str]:
    """One file per bitstream."""
    names = []
    for i, (data, _) in enumerate(bitstreams(dataset, column, samples)):
        names.append(str(folder / f"{i:08d}.{dataset.column(column)['extension']}"))
        Path(names[-1]).write_bytes(data)
    return names


def spdl(dataset: Dataset, column: str, samples: int, folder: Path) -> Epoch:
    from spdl.pipeline import PipelineBuilder

    decode, names = decoder(dataset.column(column)), files(dataset, column, samples, folder)

    def load(batch):
        return torch.from_numpy(np.stack([decode(Path(name).read_bytes()) for name in batch]))

    def epoch():
        order = random.sample(names, len(names))
        batches = [order[i : i + BATCH] for i in range(0, len(order) - BATCH + 1, BATCH)]
        pipeline = PipelineBuilder().add_source(batches).pipe(load, concurrency=1).add_sink(2)
        with (built := pipeline.build(num_threads=1)).auto_stop():
            yield from built

    return epoch


def torchcodec(dataset: Dataset, column: str, samples: int, folder: Path) -> Epoch:
    from torchcodec.decoders import decode_image

    names = files(dataset, column, samples, folder)

    class Files(MapDataset):
        def __len__(self):
            return len(names)

        def __getitem__(self, index):
            return decode_image(torch.from_numpy(np.fromfile(names[index], np.uint8)))

    return lambda: iter(DataLoader(Files(), BATCH, shuffle=True, drop_last=True, num_workers=0))


#: Name -> loader. The second part: file extensions that it decodes by itself, None for whatever we give it.
RIVALS = {
    "webdataset": (webdataset, None),
    "mosaicml-streaming": (streaming, None),
    "litdata": (litdata, None),
    "spdl": (spdl, None),
    "torchcodec + DataLoader": (torchcodec, {"jpg"}),
}
