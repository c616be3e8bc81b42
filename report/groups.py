"""Group the runs that differ only in seed, label the groups, and pair them with their baselines.

Runs belong together if everything but the seed agrees: network, method, protocol, column, settings. Labels name
only the differences.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

#: What a protocol sets separately for each network, column and method. It is named in a label only if two
#: models of one method and column differ in it, and it does not keep a fine-tuned model from being an expert's
#: baseline.
PRESCRIBED = ("lr", "alpha", "sigma")
#: Settings that only methods with a teacher have.
TAUGHT = ("alpha", "teacher")
START = "starting_weights"
BASELINE = "finetune"
HASH = 7  #: characters of a hash in a label


@dataclass
class RunGroup:
    """Runs that differ in their seed alone. ``settings`` includes the protocol."""

    arch: str
    method: str
    title: str
    trained_on: str | None
    everywhere: bool
    settings: dict[str, Any]
    weights: str | None  #: of the one network that this is; None for seeds
    runs: list[dict] = field(default_factory=list)
    variant: str = ""  #: what distinguishes it from other groups of its method

    @property
    def name(self) -> str:
        """Identity in files: the method, with its distinguishing settings."""
        return f"{self.method} ({self.variant})" if self.variant else self.method

    @property
    def label(self) -> str:
        return f"{self.title} ({self.variant})" if self.variant else self.title

    def counts_at(self, column: str) -> bool:
        return self.everywhere or self.trained_on == column

    @property
    def start(self) -> str | None:
        """Hash of the starting weights; for a pre-trained network, of its own weights. None: not recorded."""
        if self.trained_on is None:
            return self.weights or "several"
        return self.settings[START] or "scratch" if START in self.settings else None


def grouped(runs: Sequence[dict]) -> list[RunGroup]:
    """Sort rows of ``runs`` into groups with labels that are unique per network and column trained on."""
    found: dict[tuple, list[dict]] = defaultdict(list)
    for run in runs:
        found[_identity(run)].append(run)
    groups = []
    for members in found.values():
        weights = defaultdict(set)
        for run in members:
            weights[run["seed"]].add(run["weights"])
        # Two networks of one seed: something that the results do not record differs, so nothing is averaged.
        apart = members[0]["seed"] is None or any(len(found) > 1 for found in weights.values())
        parts: dict[Any, list[dict]] = defaultdict(list)
        for run in members:
            parts[run["weights"] if apart else None].append(run)
        groups += [_group(part, weights) for weights, part in parts.items()]
    by_arch: dict[str, list[RunGroup]] = defaultdict(list)
    for group in groups:
        by_arch[group.arch].append(group)
    for rivals in by_arch.values():
        _name(rivals)
    return groups


def _identity(run: dict) -> tuple:
    fields = ("arch", "method", "title", "protocol", "trained_on", "everywhere", "settings")
    return (*(run[name] for name in fields), run["seed"] is None)


def _group(runs: list[dict], weights: str | None) -> RunGroup:
    first = runs[0]
    settings = json.loads(first["settings"])
    if first["protocol"] is not None:
        settings["protocol"] = first["protocol"]
    names = ("arch", "method", "title", "trained_on", "everywhere")
    return RunGroup(**{name: first[name] for name in names}, settings=settings, weights=weights, runs=runs)


def _name(groups: list[RunGroup]) -> None:
    """Set the variants of one network's groups."""
    methods = defaultdict(list)
    for group in groups:
        methods[group.method].append(group)
    specialists = [group for group in groups if not group.everywhere]
    trained = [group for group in groups if group.trained_on is not None]
    for mine in methods.values():
        recorded = [group for group in mine if group.settings]
        columns = defaultdict(list)
        for group in recorded:
            columns[group.trained_on].append(group)
        named = []
        for key in dict.fromkeys(key for group in recorded for key in group.settings):
            if key in PRESCRIBED:
                differs = any(len(_values(part, key)) > 1 for part in columns.values())
            elif key == "protocol":
                differs = len(_values([group for group in trained if key in group.settings], key)) > 1
            else:
                others = [] if mine[0].everywhere else specialists
                having = [group for group in others if key in group.settings]
                differs = len(_values([*recorded, *having], key)) > 1
            if differs:
                named.append(key)
        if "protocol" in named and "quirks" in named and _follows(recorded, "quirks", "protocol"):
            named.remove("quirks")
        for group in mine:
            group.variant = ", ".join(_said(group, named, unrecorded=bool(recorded)))
        # Groups with identical labels are told apart by their weights.
        alike = defaultdict(list)
        for group in mine:
            alike[group.trained_on, group.variant].append(group)
        for part in alike.values():
            if len(part) > 1:
                for group in part:
                    told = f"weights {str(group.weights)[:HASH]}"
                    group.variant = f"{group.variant}, {told}" if group.variant else told


def _values(groups: Iterable[RunGroup], key: str) -> set:
    return {(type(value := group.settings.get(key)).__name__, value) for group in groups}


def _follows(groups: list[RunGroup], key: str, cause: str) -> bool:
    """Whether ``key`` is a function of ``cause``."""
    pairs = {(group.settings.get(cause), group.settings.get(key)) for group in groups}
    return len(pairs) == len({first for first, _ in pairs})


def _said(group: RunGroup, named: list[str], unrecorded: bool) -> list[str]:
    if not group.settings and unrecorded:
        return ["settings not recorded"]
    return [say(key, group.settings[key]) for key in named if key in group.settings]


def say(key: str, value: Any) -> str:
    """A setting in a label: ``lr 1e-05``, ``flip``, ``no flip``, ``refcode``, ``start 1a2b3c4``."""
    words = key.replace("_", " ")
    if key == "protocol":
        return str(value)
    words = "start" if key == START else words
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{40,}", value):
        return f"{words} {value[:HASH]}"
    if isinstance(value, bool):
        return words if value else f"no {words}"
    if value is None:
        return f"no {words}"
    return f"{words} {value:g}" if isinstance(value, float) else f"{words} {value}"


def share_start(a: RunGroup, b: RunGroup) -> bool:
    """Whether two groups began with the same weights, as far as the results say."""
    return None in (a.start, b.start) or a.start == b.start


@dataclass(frozen=True)
class Baseline:
    """The fine-tuned group that a gain is relative to, or why there is none. ``remark``: the differences."""

    group: RunGroup | None
    reason: str = ""
    remark: str = ""


def baselines(groups: Sequence[RunGroup]) -> dict[int, Baseline]:
    """``id`` -> baseline, for every group trained for one column except the fine-tuned ones."""
    places: dict[tuple, list[RunGroup]] = defaultdict(list)
    for group in groups:
        places[group.arch, group.trained_on].append(group)
    return {
        id(group): baseline(group, places[group.arch, group.trained_on])
        for group in groups
        if not group.everywhere and group.method != BASELINE
    }


def baseline(group: RunGroup, there: Sequence[RunGroup]) -> Baseline:
    """The baseline of ``group``'s gain, among the groups of its network and column.

    It has the same starting weights and settings, except those that only methods with a teacher have and those
    that only one of the two has. Learning rates are prescribed for each method: they may differ as long as neither
    method was trained at several on this column.
    """
    tuned = [other for other in there if other.method == BASELINE]
    if not tuned:
        return Baseline(None, "no fine-tuned model of this column")
    alike = [other for other in tuned if not differences(group, other)]
    if not alike:
        nearest = min((differences(group, other) for other in tuned), key=len)
        return Baseline(None, f"fine-tuned with other {', '.join(key.replace('_', ' ') for key in nearest)}")
    rate = group.settings.get("lr")
    same = [other for other in alike if other.settings.get("lr") == rate]
    if len(same) == 1:
        return Baseline(same[0])
    if same:
        return Baseline(None, f"{len(same)} fine-tuned models fit")
    varied = any(other.method == group.method and other.settings.get("lr") != rate for other in there)
    if len(alike) > 1 or varied:
        return Baseline(None, "no fine-tuned model of this learning rate")
    remark = f"{say('lr', rate)}, fine-tuned {say('lr', alike[0].settings.get('lr'))}"
    return Baseline(alike[0], remark=remark)


def differences(a: RunGroup, b: RunGroup) -> list[str]:
    """Settings that both groups have and that differ, except those that belong to one method."""
    shared = (a.settings.keys() & b.settings.keys()) - {"lr", *TAUGHT}
    return sorted(key for key in shared if a.settings[key] != b.settings[key])
