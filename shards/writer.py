"""Writing one shard of one column: a tar, then the Parquet file that commits it.

The same samples give the same bytes: fixed order, mtime 0, uid and gid 0, USTAR headers.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from shards.column import settings_sha256
from shards.errors import DatasetError
from shards.plan import column_folder, shard_name
from shards.storage import Storage

#: Documented in docs/format.md; other programs read them.
ROWS_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("distortion", pa.string(), nullable=False),
        pa.field("label", pa.int64()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("bytes", pa.int64()),
        pa.field("bpp", pa.float64()),
        pa.field("psnr", pa.float64()),
        pa.field("ssim", pa.float64()),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
    ]
)
ERRORS = "errors"
ERRORS_SCHEMA = pa.schema([("source", pa.string()), ("reason", pa.string())])
IN_JSON = ("bytes", "bpp", "psnr", "ssim", "width", "height", "source")


#: A member's USTAR header without name, size and checksum. Filling in these fields is several times faster than
#: tarfile's own writer, which took 2 % of the time of a run.
HEADER = tarfile.TarInfo().tobuf(tarfile.USTAR_FORMAT)
MEMBER = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._:+@=-]*")  #: a member's name: no folder, not hidden
NAME, SIZE, CHECKSUM = slice(0, 100), slice(124, 136), slice(148, 156)


def header(name: str, size: int) -> bytes:
    """The USTAR header of a file with mode 644, time 0 and owner 0, byte for byte as tarfile writes it.

    Raises DatasetError for an invalid or too long name.
    """
    encoded = name.encode()
    if not MEMBER.fullmatch(name):
        raise DatasetError(f"{name!r} is not a valid member name: its key, column or extension is invalid")
    if len(encoded) > NAME.stop:
        raise DatasetError(f"{name} is longer than the {NAME.stop} bytes of a name in a USTAR header")
    block = bytearray(HEADER)
    block[NAME] = encoded.ljust(NAME.stop, b"\0")
    block[SIZE] = b"%011o\0" % size
    block[CHECKSUM] = b" " * 8
    block[CHECKSUM] = b"%06o\0 " % sum(block)
    return bytes(block)


class TarWriter:
    """Writes a deterministic USTAR file sequentially and tracks its size and sha256.

    A file left at ``path`` by a writer that died is overwritten, because the folder belongs to this run.
    """

    def __init__(self, path: Path):
        self.path = path
        self.sha256 = hashlib.sha256()
        self.size = 0
        self._file = path.open("wb")

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self.sha256.update(data)
        self.size += len(data)

    def _pad(self, unit: int) -> None:
        self._write(bytes(-self.size % unit))

    def add(self, name: str, data: bytes) -> int:
        """Append one member; returns the offset of its first byte."""
        self._write(header(name, len(data)))
        offset = self.size
        self._write(data)
        self._pad(tarfile.BLOCKSIZE)
        return offset

    def close(self) -> None:
        self._write(bytes(2 * tarfile.BLOCKSIZE))
        self._pad(tarfile.RECORDSIZE)
        self._file.close()
        if self.path.stat().st_size != self.size:
            raise DatasetError(
                f"{self.path} has {self.path.stat().st_size} bytes, but {self.size} were written: disk full?"
            )


class ShardWriter:
    """Collects one shard of a column in a scratch folder; ``commit`` makes it part of the dataset."""

    def __init__(self, storage: Storage, scratch: Path, plan: str, column: dict, shard: int):
        """``plan`` is the plan's hash, ``column`` the contents of ``column.json``."""
        self.storage, self.plan, self.column, self.shard = storage, plan, column, shard
        self.name: str = column["column"]
        self.folder = column_folder(self.name)
        self.rows: list[dict] = []
        self.tar = TarWriter(scratch / f"{self.folder}-{shard:06d}.tar")

    def add(
        self,
        key: str,
        label: int | None,
        source: str,
        data: bytes,
        extension: str,
        *,
        width: int,
        height: int,
        bytes: int | None,
        psnr: float | None,
        ssim: float | None,
        pixels: int | None = None,
    ) -> None:
        """Append a sample. ``bytes`` is its rate, None without a bitstream; ``psnr`` None means identical.

        ``pixels``: of the picture that was encoded, for bits per pixel; None: width times height.
        """
        row = {
            "key": key,
            "distortion": self.name,
            "label": label,
            "source": source,
            "bytes": bytes,
            "bpp": None if bytes is None else 8 * bytes / (pixels or width * height),
            "psnr": psnr,
            "ssim": ssim,
            "width": width,
            "height": height,
            "size": len(data),
        }
        row["offset"] = self.tar.add(f"{key}.{extension}", data)
        if label is not None:
            self.tar.add(f"{key}.cls", str(label).encode())
        record = {name: row[name] for name in IN_JSON}
        self.tar.add(f"{key}.json", json.dumps(record, ensure_ascii=False, allow_nan=False).encode())
        self.rows.append(row)

    def commit(self) -> None:
        """Publish the tar, then its Parquet file, which commits the shard."""
        self.tar.close()
        mark = {
            "plan": self.plan,
            "column": self.name,
            "settings_sha256": settings_sha256(self.column),
            "samples": str(len(self.rows)),
            "tar_size": str(self.tar.size),
            "tar_sha256": self.tar.sha256.hexdigest(),
        }
        table = pa.Table.from_pylist(self.rows, schema=ROWS_SCHEMA.with_metadata(mark))
        parquet = self.tar.path.with_suffix(".parquet")
        pq.write_table(table, parquet, compression="zstd")
        self.storage.publish(self.tar.path, shard_name(self.folder, self.shard, "tar"))
        self.storage.publish(parquet, shard_name(self.folder, self.shard, "parquet"))


def write_errors(storage: Storage, scratch: Path, shard: int, errors: list[dict]) -> None:
    """Record the pictures of a shard that could not be read, each a dict of ``source`` and ``reason``."""
    file = scratch / f"{ERRORS}-{shard:06d}.parquet"
    pq.write_table(pa.Table.from_pylist(errors, schema=ERRORS_SCHEMA), file, compression="zstd")
    storage.publish(file, shard_name(ERRORS, shard, "parquet"))
