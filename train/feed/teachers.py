"""Cached teachers: a frozen network's log-probabilities on the clean crops, beside the dataset.

``teachers/ID/NNNNNN.safetensors`` holds one float16 tensor (samples, classes) per shard, in the shard's order;
``teachers/ID/teacher.json``, written last, identifies the network and the crops, and lists every file's sha256.
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
from shards.files import Files, Stored
from shards.storage import Storage
from train.networks.network import Network
from train.networks.weights import weights_sha256

FOLDER = "teachers"
FILE = "teacher.json"
LOGITS = "log_probs"
#: Fields of a shard's entry in ``teacher.json``.
ENTRY = {"samples": int, "size": int, "sha256": str, "clean_sha256": str, "keys_sha256": str}


def fingerprint(network: Network, arch: str) -> dict:
    """Everything but the picture that determines a teacher's output, up to rounding, as plain JSON."""
    return {
        "arch": arch,
        "weights_sha256": weights_sha256(network.net),
        "mean": [round(value, 4) for value in network.mean.tolist()],
        "std": [round(value, 4) for value in network.std.tolist()],
        "precision": "float32",
        "stored": "float16 log-probabilities",
    }


def identity(contents: dict) -> str:
    """A teacher's name in the dataset."""
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()[:16]


def versions() -> dict[str, str]:
    """Recorded but not part of the ID: builds may round differently; the start-up check detects a real change."""
    return {"torch": torch.__version__, "torchvision": torchvision.__version__}


def shard_file(teacher: str, shard: int) -> str:
    return f"{FOLDER}/{teacher}/{shard:06d}.safetensors"


def keys_sha256(keys: list[str]) -> str:
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()


def read_record(dataset: Dataset, teacher: str) -> dict | None:
    """The contents of ``teacher.json``; None when this teacher is not cached, or not completely.

    Raises DatasetError when it is damaged.
    """
    name = f"{FOLDER}/{teacher}/{FILE}"
    if not dataset.storage.exists(name):
        return None
    try:
        record = json.loads(dataset.storage.read(name))
        versions = all(isinstance(version, str) for version in record["versions"].values())
        if not (isinstance(record["plan"], str) and isinstance(record["classes"], int) and versions):
            raise ValueError("'plan', 'classes' or 'versions' has the wrong type")
        if len(record["shards"]) != dataset.plan.shards:
            raise ValueError(f"{len(record['shards'])} shards, but the dataset has {dataset.plan.shards}")
        for entry in record["shards"]:
            if not all(isinstance(entry[field], kind) for field, kind in ENTRY.items()):
                raise ValueError(f"invalid entry for a shard: {json.dumps(entry)[:80]}")
            if entry["size"] < 2 * record["classes"] * entry["samples"]:
                raise ValueError(f"{entry['size']} bytes for {entry['samples']} samples")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else error
        raise DatasetError(
            f"{dataset.storage.url}/{name} is damaged: {said}; delete it and run 'train teach'"
        ) from None
    return record


def recorded(dataset: Dataset, teacher: str) -> dict[int, str]:
    """Shard -> sha256 of its file by ``teacher.json``; empty when that is missing or damaged."""
    try:
        record = read_record(dataset, teacher) or {"shards": []}
    except DatasetError:
        return {}
    return {shard: entry["sha256"] for shard, entry in enumerate(record["shards"])}


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
        record = read_record(dataset, teacher)
        if record is None:
            raise DatasetError(f"{self.where} is not complete: run 'train teach'")
        self.record = record
        self.teacher, self.files = teacher, files
        self._matched: set[int] = set()

    def match(self, shard: int, keys: list[str]) -> None:
        """Raises DatasetError unless a column has the keys that the teacher saw, in the same order."""
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
        file = Stored(
            shard_file(self.teacher, shard), entry["size"], entry["sha256"], FILE, "run 'train teach' again"
        )
        data = self.files.read(file, start, stop, check=True)
        return np.frombuffer(data, np.float16).reshape(hi - lo, classes)


def write_shard(
    storage: Storage, teacher: str, shard: int, log_probs: np.ndarray, clean: str, keys: list[str]
) -> None:
    """Publish the float16 (samples, classes) scores of one shard whose clean tar has the sha256 ``clean``."""
    with storage.scratch() as scratch:
        file = scratch / f"{shard:06d}.safetensors"
        # One metadata entry: the order of several is not fixed, and equal scores should give equal files.
        scores = hashlib.sha256(log_probs.tobytes()).hexdigest()
        meta = json.dumps({"clean_sha256": clean, "keys_sha256": keys_sha256(keys), "scores_sha256": scores})
        file.write_bytes(save({LOGITS: log_probs}, {"codecproof": meta}))
        storage.publish(file, shard_file(teacher, shard))


def entry(storage: Storage, teacher: str, shard: int, recorded: str | None = None) -> dict | None:
    """The entry of a cached shard in ``teacher.json``; None when its file is missing or damaged.

    The scores must match the sha256 that was written with them. Earlier versions wrote none: then the file must
    match the ``recorded`` sha256, from an earlier ``teacher.json``.
    """
    name = shard_file(teacher, shard)
    if not storage.exists(name):
        return None
    data = storage.read(name)
    try:
        header = int.from_bytes(data[:8], "little")
        meta = json.loads(json.loads(data[8 : 8 + header])["__metadata__"]["codecproof"])
        scores = load(data)[LOGITS]
        about = {name: str(meta[name]) for name in ("clean_sha256", "keys_sha256")}
    except (ValueError, KeyError, TypeError, safetensors.SafetensorError):
        return None
    whole = hashlib.sha256(data).hexdigest()
    sound = whole == recorded or meta.get("scores_sha256") == hashlib.sha256(scores.tobytes()).hexdigest()
    return {**about, "samples": len(scores), "size": len(data), "sha256": whole} if sound else None


def write_record(dataset: Dataset, teacher: str, contents: dict, entries: list[dict]) -> None:
    """Commit a cache whose shards are complete."""
    record = {
        "teacher": contents,
        "versions": versions(),
        "plan": dataset.plan.hash,
        "classes": len(dataset.plan.classes or ()),
        "shards": entries,
    }
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
    dataset.storage.write(str(Path(FOLDER, teacher, FILE)), text.encode())
