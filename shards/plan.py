"""The plan of a dataset: ``dataset.json`` and ``manifest.parquet``, written first and never changed."""

from __future__ import annotations

import functools
import hashlib
import json
import string
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shards import absent
from shards.errors import DatasetError
from shards.storage import Storage

DATASET_SCHEMA = 1
KEY_MAX = 100  #: characters of a key
KEY = rf"^[A-Za-z0-9_-]{{1,{KEY_MAX}}}$"
KEY_BYTES = f"{string.ascii_letters}{string.digits}_-".encode()  #: the same characters
FILE = "dataset.json"
MANIFEST = "manifest.parquet"
RESTORE = "restore it from a copy, or make the dataset again in another folder"

#: One row per picture, in the order of the dataset; ``offset`` and ``size`` locate a member of a source tar.
MANIFEST_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("label", pa.int64()),
        pa.field("offset", pa.int64()),
        pa.field("size", pa.int64()),
    ]
)


def dataset_around(place: Path) -> Path | None:
    """The local dataset that ``place`` is, or is inside; None when there is none."""
    return next((folder for folder in (place, *place.parents) if (folder / FILE).is_file()), None)


@dataclass(frozen=True)
class Plan:
    """What a dataset is made of, independent of its columns and of the machines that make it.

    ``settings`` belong to the distorter (crop, seed, …); this module only compares them.
    """

    settings: dict
    classes: tuple[str, ...] | None
    pictures: int
    per_shard: int  #: pictures per shard
    crops: int  #: samples per picture
    manifest: str  #: sha256 of the manifest's rows

    @property
    def shards(self) -> int:
        return -(-self.pictures // self.per_shard)

    def pictures_of(self, shard: int) -> int:
        return min(self.per_shard, self.pictures - shard * self.per_shard)

    @functools.cached_property
    def hash(self) -> str:
        """Identifies the plan; every commit mark carries it."""
        return hashlib.sha256(_json(self._contents()).encode()).hexdigest()

    def differences(self, other: Plan) -> list[str]:
        """One line per differing setting: "name: A in the dataset, B now"."""
        mine, theirs = _flat(self._contents()), _flat(other._contents())
        return [
            "manifest: other pictures or labels, or another order"
            if name == "manifest"
            else f"{name}: {_short(mine.get(name))} in the dataset, {_short(theirs.get(name))} now"
            for name in sorted({*mine, *theirs})
            if mine.get(name) != theirs.get(name)
        ]

    def write(self, storage: Storage, manifest: pa.Table) -> None:
        """Write ``dataset.json``, then the manifest, each atomically.

        Raises FileExistsError when ``dataset.json`` exists: of several concurrent jobs, only one writes it.
        """
        text = _json({"plan": self.hash, **self._contents()}, indent=2) + "\n"
        storage.create(FILE, text.encode())
        self.write_manifest(storage, manifest)

    def write_manifest(self, storage: Storage, manifest: pa.Table) -> None:
        with storage.scratch() as folder:
            file = folder / MANIFEST
            pq.write_table(manifest, file, row_group_size=self.per_shard, compression="zstd")
            storage.publish(file, MANIFEST)

    @classmethod
    def read(cls, storage: Storage) -> Plan:
        """Raises DatasetError when ``dataset.json`` is missing, damaged or of another schema."""
        where = f"{storage.url}/{FILE}"
        try:
            contents = json.loads(storage.read(FILE))
        except (FileNotFoundError, NotADirectoryError):
            raise DatasetError(absent.why(storage, FILE)) from None
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"{where} is damaged: {error}; {RESTORE}") from None
        if not isinstance(contents, dict) or contents.get("schema") != DATASET_SCHEMA:
            raise DatasetError(f"{where} does not have schema {DATASET_SCHEMA}, the only one this version reads")
        written, shards = contents.pop("plan", None), contents.pop("shards", None)
        contents.pop("schema")
        try:
            plan = cls(**contents)._checked()
            if plan.hash != written or plan.shards != shards:
                raise DatasetError(f"{where} was changed: it does not match its plan hash; restore the file")
        except DatasetError:
            raise
        except (TypeError, ValueError) as error:
            raise DatasetError(f"{where} is damaged: {error}; {RESTORE}") from None
        return plan

    def _checked(self) -> Plan:
        """This plan as read from JSON, with the right types. Raises ValueError."""
        for name in ("pictures", "per_shard", "crops"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} is {_short(value)}, not a positive number")
        classes = self.classes
        if classes is not None and not (isinstance(classes, list) and all(isinstance(c, str) for c in classes)):
            raise ValueError("classes is neither null nor a list of names")
        if not isinstance(self.settings, dict) or not isinstance(self.manifest, str):
            raise ValueError("'settings' is not an object, or 'manifest' not a string")
        return replace(self, classes=None if classes is None else tuple(classes))

    def _contents(self) -> dict:
        return {"schema": DATASET_SCHEMA, "shards": self.shards, **asdict(self)}


def manifest_hash(manifest: pa.Table) -> str:
    """sha256 over the rows of a manifest, independent of their Parquet encoding."""
    digest = hashlib.sha256()
    for batch in manifest.select(MANIFEST_SCHEMA.names).to_batches(max_chunksize=65536):
        key, source, *numbers = (column.to_pylist() for column in batch.columns)
        texts: list[Iterable[str]] = [map(encode_basestring, key), map(encode_basestring, source)]
        texts += [["null" if number is None else str(number) for number in column] for column in numbers]
        digest.update("".join(f"[{', '.join(row)}]\n" for row in zip(*texts, strict=True)).encode())
    return digest.hexdigest()


def manifest_rows(storage: Storage, plan: Plan, shard: int) -> list[dict]:
    """The manifest's rows of one shard. Raises DatasetError when their number differs from the plan."""
    rows: list[dict] = []
    with open_manifest(storage, storage.footers.get(MANIFEST)) as manifest:
        storage.footers[MANIFEST] = manifest.metadata
        if shard < manifest.num_row_groups:
            table = manifest.read_row_group(shard, use_threads=False)
            check_keys(table["key"], f"{storage.url}/{MANIFEST}")
            rows = table.to_pylist()
    if len(rows) != plan.pictures_of(shard):
        raise DatasetError(
            f"{storage.url}/{MANIFEST} lists {len(rows)} pictures for shard {shard:06d}, but {FILE} says "
            f"{plan.pictures_of(shard)}; restore {MANIFEST}"
        )
    return rows


def check_keys(keys: pa.ChunkedArray, where: str) -> None:
    """Raise DatasetError for a key that is not 1 to 100 of ``[A-Za-z0-9_-]``, because keys become file names.

    ``where`` names the file with the keys in the message.
    """
    if pa.types.is_string(keys.type) and _plain(keys):
        return
    strange = pc.invert(pc.match_substring_regex(keys, KEY))
    if pc.any(strange).as_py():
        key = keys.filter(strange)[0].as_py()
        raise DatasetError(f"{where} has the key {key[:80]!r}; keys are 1 to 100 letters, digits, _ and -")


def _plain(keys: pa.ChunkedArray) -> bool:
    """Whether all keys are well-formed, decided on their bytes: far faster than a regular expression on each."""
    shortest, longest = pc.min_max(pc.binary_length(keys)).as_py().values()
    data = b"".join(chunk.buffers()[-1] or b"" for chunk in keys.chunks)  # holds more than a slice: still true
    return bool(shortest) and longest <= KEY_MAX and not data.translate(None, KEY_BYTES)


def check_manifest(storage: Storage, plan: Plan) -> None:
    """Raise DatasetError if the number of pictures in the manifest differs from the plan."""
    with open_manifest(storage) as manifest:
        rows = manifest.metadata.num_rows
    if rows != plan.pictures:
        raise DatasetError(
            f"{storage.url}/{MANIFEST} has {rows} rows, but {FILE} says {plan.pictures} pictures; restore it"
        )


@contextmanager
def open_manifest(storage: Storage, footer: pq.FileMetaData | None = None) -> Iterator[pq.ParquetFile]:
    """Open the manifest; ``footer`` saves reading its footer. Raises DatasetError if it is missing or damaged."""
    try:
        with storage.open(MANIFEST) as file:
            yield pq.ParquetFile(file, metadata=footer)
    except FileNotFoundError:
        raise DatasetError(
            f"{storage.url}/{MANIFEST} is missing; 'distort run' without --planned writes it"
        ) from None
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise DatasetError(
            f"{storage.url}/{MANIFEST} is damaged: {error}; delete it and run distort again"
        ) from None


def column_folder(name: str) -> str:
    """The folder of a column: its name with ``:`` replaced by ``_``, since urls and shells misread ``:``."""
    return name.replace(":", "_")


def shard_name(folder: str, shard: int, extension: str) -> str:
    return str(Path(folder, f"{shard:06d}.{extension}"))


def _json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _flat(contents: dict) -> dict:
    return {k: v for k, v in contents.items() if k != "settings"} | contents["settings"]


def _short(value: Any) -> str:
    text = _json(value)
    return text if len(text) <= 60 else f"{text[:40]}… ({len(value)} entries)"
