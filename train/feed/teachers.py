"""Cached teachers: a frozen network's log-probabilities on the clean crops, beside the dataset.

``teachers/ID/NNNNNN.safetensors`` holds one float16 tensor (samples, classes) per shard, in the shard's order;
``teachers/ID/teacher.json``, written last, says whose they are and of which crops.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import safetensors
import torch
import torchvision
from safetensors.numpy import load, save

from shards.dataset import Dataset
from shards.errors import DatasetError
from shards.storage import Storage
from train.feed.reading import Files
from train.networks.models import Classifier, weights_sha256

FOLDER = "teachers"
FILE = "teacher.json"
LOGITS = "log_probs"


def fingerprint(classifier: Classifier, arch: str) -> dict:
    """Everything that decides a teacher's output besides the picture and rounding, as plain JSON."""
    return {
        "arch": arch,
        "weights_sha256": weights_sha256(classifier.net),
        "mean": [round(value, 4) for value in classifier.mean.tolist()],
        "std": [round(value, 4) for value in classifier.std.tolist()],
        "precision": "float32",
        "stored": "float16 log-probabilities",
    }


def identity(contents: dict) -> str:
    """A teacher's name in the dataset."""
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()[:16]


def versions() -> dict[str, str]:
    """Recorded, and not part of the identity: another build may round otherwise; the check at start-up tells."""
    return {"torch": torch.__version__, "torchvision": torchvision.__version__}


def shard_file(teacher: str, shard: int) -> str:
    return f"{FOLDER}/{teacher}/{shard:06d}.safetensors"


def keys_sha256(keys: list[str]) -> str:
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()


def read_record(dataset: Dataset, teacher: str) -> dict | None:
    """The contents of ``teacher.json``; None when this teacher was never cached, or not to the end."""
    name = f"{FOLDER}/{teacher}/{FILE}"
    if not dataset.storage.exists(name):
        return None
    try:
        return json.loads(dataset.storage.read(name))
    except ValueError as error:
        raise DatasetError(
            f"{dataset.storage.url}/{name} is damaged: {error}; delete it, run 'train teach'"
        ) from None


def require_current(dataset: Dataset, teacher: str, record: dict) -> None:
    """Raises DatasetError when the clean crops are not those that the teacher saw."""
    where = f"{dataset.storage.url}/{FOLDER}/{teacher}"
    if record["plan"] != dataset.plan.hash:
        raise DatasetError(f"{where} was made for another plan; delete it and run 'train teach'")
    for shard, entry in enumerate(record["shards"]):
        _, mark = dataset.parquet("clean", shard, ["key"])
        if mark.tar_sha256 != entry["clean_sha256"]:
            raise DatasetError(
                f"{where}: clean shard {shard:06d} has changed since its teacher was cached; "
                f"delete {where} and run 'train teach' again"
            )


class CachedTeacher:
    """Reads a cache by rows."""

    def __init__(self, dataset: Dataset, teacher: str, files: Files):
        self.where = f"{dataset.storage.url}/{FOLDER}/{teacher}"
        self.record = read_record(dataset, teacher)
        if self.record is None:
            raise DatasetError(f"{self.where} is not complete: run 'train teach'")
        self.teacher, self.files = teacher, files
        self._matched: set[int] = set()

    def match(self, shard: int, keys: list[str]) -> None:
        """Raises DatasetError when a column's keys are not those that the teacher saw, in that order."""
        if shard not in self._matched and keys_sha256(keys) != self.record["shards"][shard]["keys_sha256"]:
            raise DatasetError(
                f"{self.where}: shard {shard:06d} has other keys now than when its teacher was cached; "
                "run 'shards verify', then 'train teach' into an empty folder"
            )
        self._matched.add(shard)

    def read(self, shard: int, lo: int, hi: int) -> np.ndarray:
        """float16 (hi - lo, classes) log-probabilities of the rows ``lo`` to ``hi`` (exclusive)."""
        entry, classes = self.record["shards"][shard], self.record["classes"]
        row = 2 * classes
        start = entry["size"] - row * (entry["samples"] - lo)  # the tensor ends where the file ends
        stop = start + row * (hi - lo)
        data = self.files.read(shard_file(self.teacher, shard), start, stop, entry["size"], entry["sha256"])
        return np.frombuffer(data, np.float16).reshape(hi - lo, classes)


def write_shard(
    storage: Storage, teacher: str, shard: int, log_probs: np.ndarray, clean: str, keys: list[str]
) -> None:
    """Publish the float16 (samples, classes) scores of one shard whose clean tar has the sha256 ``clean``."""
    with storage.scratch() as scratch:
        file = scratch / f"{shard:06d}.safetensors"
        # One entry: several would be written in any order, and the same scores should be the same bytes.
        meta = json.dumps({"clean_sha256": clean, "keys_sha256": keys_sha256(keys)})
        file.write_bytes(save({LOGITS: log_probs}, {"codecproof": meta}))
        storage.publish(file, shard_file(teacher, shard))


def entry(storage: Storage, teacher: str, shard: int) -> dict | None:
    """What ``teacher.json`` says of a shard that is there; None when it is missing or damaged."""
    name = shard_file(teacher, shard)
    if not storage.exists(name):
        return None
    data = storage.read(name)
    try:
        header = int.from_bytes(data[:8], "little")
        meta = json.loads(json.loads(data[8 : 8 + header])["__metadata__"]["codecproof"])
        samples = len(load(data)[LOGITS])
    except (ValueError, KeyError, safetensors.SafetensorError):
        return None
    return {**meta, "samples": samples, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def write_record(dataset: Dataset, teacher: str, contents: dict, entries: list[dict]) -> None:
    """Commit a cache whose shards are all there."""
    record = {
        "teacher": contents,
        "versions": versions(),
        "plan": dataset.plan.hash,
        "classes": len(dataset.plan.classes),
        "shards": entries,
    }
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
    dataset.storage.write(str(Path(FOLDER, teacher, FILE)), text.encode())
