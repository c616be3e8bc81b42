"""Registries of named objects: this package's own, and those of other packages through entry points."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any


class UnknownName(ValueError):
    """Unknown method, network or option; the message suggests the nearest name and lists all."""


def unknown(what: str, name: str, there: Iterable[str]) -> UnknownName:
    """The error for ``name``, with the nearest name in ``there`` and the full list."""
    listed = list(there)
    near = difflib.get_close_matches(name, listed, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return UnknownName(f"unknown {what} '{name}': {hint}there are {', '.join(listed)}")


class Registry:
    """Maps names to ``module:attribute``; modules are imported on first use.

    ``group`` is the entry-point group for other packages, looked up once per process: it takes 10 ms. They cannot
    override our own names.
    """

    def __init__(self, group: str, what: str, own: dict[str, str]):
        self.group, self.what, self.own = group, what, own

    @cached_property
    def _others(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=self.group) if entry.name not in self.own}

    def __contains__(self, name: str) -> bool:
        return name in self.own or name in self._others

    def names(self) -> list[str]:
        """All names: our own first, then those of other packages."""
        return [*self.own, *sorted(self._others)]

    def package(self, name: str) -> str | None:
        """The installed package that provides ``name``; None for our own."""
        entry = self._others.get(name)
        return entry.dist.name if entry and entry.dist else None

    def load(self, name: str) -> Any:
        """The object registered as ``name``. Raises UnknownName; ValueError when its package fails to import."""
        if name in self.own:
            module, _, attribute = self.own[name].partition(":")
            return getattr(importlib.import_module(module), attribute)
        entry = self._others.get(name)
        if entry is None:
            raise unknown(self.what, name, self.names())
        try:
            return entry.load()
        except (ImportError, AttributeError) as error:
            raise ValueError(f"{self.what} '{name}' of the package {self.package(name)}: {error}") from None
