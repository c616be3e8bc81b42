"""``column.json``: how a column was made. It is checked when read, because the column's name becomes a path."""

from __future__ import annotations

import hashlib
import json
import re

from shards.plan import column_folder

COLUMN = "column.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+@=-]*")
EXTENSION = re.compile(r"[A-Za-z0-9]+")


def read_column(text: bytes, folder: str) -> dict:
    """The contents of a ``column.json`` found in ``folder``.

    A dict of ``column`` (its name), ``extension`` (of its bitstreams) and ``steps``, a list of dicts with
    ``name``, ``settings`` and ``versions``. Raises ValueError when it is not a valid ``column.json``.
    """
    try:
        column = json.loads(text)
        name, extension, steps = column["column"], column["extension"], column["steps"]
        sound = bool(NAME.fullmatch(name) and EXTENSION.fullmatch(extension))
        sound = sound and all(isinstance(s["settings"], dict) and isinstance(s["versions"], dict) for s in steps)
        sound = sound and all(isinstance(s["name"], str) for s in steps)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{error} is missing" if isinstance(error, KeyError) else str(error)) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not sound:
        raise ValueError("its name, extension or steps are invalid")
    if column_folder(name) != folder:
        raise ValueError(f"it describes column '{name}', but is in folder '{folder}'")
    return column


def settings_sha256(column: dict) -> str:
    """Hex digest of a column's settings without library versions; part of every commit mark."""
    steps = [[step["name"], step["settings"]] for step in column["steps"]]
    text = json.dumps([column["column"], column["extension"], steps], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
