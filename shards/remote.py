"""Where object stores differ from disks: errors, timestamps, uploads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pyarrow as pa
from fsspec import AbstractFileSystem

from shards.errors import StorageError

CREDENTIALS = (
    "; credentials come from the environment of every process that reads or writes: AWS_ACCESS_KEY_ID, "
    "AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN or AWS_PROFILE for s3://, see docs/cluster.md"
)
SINGLE = 2**29  #: bytes; files up to this size are uploaded in one request


@contextmanager
def plain_errors(url: str) -> Iterator[None]:
    """Turn every error of a store's client library into a StorageError.

    FileNotFoundError and FileExistsError for a single file pass through, as do Arrow's errors about a file's
    contents.
    """
    try:
        yield
    except FileNotFoundError as error:
        if re.search("(bucket|container) (does not|doesn't|not)", str(error).lower()):
            raise StorageError(f"{url}: {str(error).rstrip('.')}; create it first, or correct its name") from error
        raise
    except (FileExistsError, pa.ArrowException, StorageError):
        raise
    except Exception as error:  # those of botocore, aiohttp, google.auth, … do not derive from OSError
        if type(error) is OSError and error.errno is None:  # raised by Arrow for a damaged file
            raise
        reason = str(error).rstrip(".") or type(error).__name__
        denied = isinstance(error, PermissionError) or "credential" in type(error).__name__.lower()
        raise StorageError(f"{url}: {reason}{CREDENTIALS if denied else ''}") from error


def upload_options(fs: AbstractFileSystem, file: Path) -> dict:
    """Options for ``fs.put_file`` with which an interrupted upload leaves nothing behind.

    S3 keeps the parts of an unfinished multipart upload, invisible and billed; one request leaves none.
    """
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    size = file.stat().st_size
    return {"chunksize": max(size, 1)} if "s3" in protocols and size <= SINGLE else {}


def when(info: dict) -> float:
    """Modification time from an fsspec listing, under any store's name for it; 0 when there is none."""
    for name in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = info.get(name)
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value.timestamp()
        if value is not None:
            return float(value)
    return 0.0
