"""Build routers and committees from the checkpoints of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from torch import nn

from distort.codecs.headers import header_of
from train.engine.evaluate import Candidate
from train.methods.reads import CLEAN, listed
from train.networks.models import load_checkpoint
from train.networks.tent import LR, Tent
from train.networks.weights import weights_sha256
from train.routing.committee import MASTERED, Committee
from train.routing.router import Router

HEADERS = "headers"
TITLES = {
    HEADERS: "Router",
    "switched": "Master–slave",
    "soft": "Master–slave, soft",
    "max": "Alternative (maximum)",
    "oracle": "Oracle",
}


def assemble(
    wanted: Sequence[str],
    candidates: Sequence[Candidate],
    master: str | None,
    otherwise: str,
    columns: Sequence[str] = (),
) -> list[Candidate]:
    """One candidate for each decision, method and seed, made of the checkpoints of that method and seed.

    The pre-trained network is the router's base and the clean pictures' branch. Methods whose checkpoints cannot
    answer together are left out, and a note on stderr says why. Raises ValueError when that leaves none: two
    checkpoints are for one column, a bin of the master has no checkpoint, or none names its column; NoExpert
    when a router would have no network for one of ``columns``.
    """
    base = next((c for c in candidates if c.model["method"] == "pretrained"), None)
    teams: dict[tuple, list[Candidate]] = {}
    for candidate in candidates:
        if candidate is not base and columns_of(candidate.model):
            key = tuple(candidate.model.get(name) for name in ("method", "seed"))
            teams.setdefault(key, []).append(candidate)
    # A network for many columns is no expert to choose from.
    teams = {key: team for key, team in teams.items() if len(team) > 1 or team[0].model.get("trained_on")}
    if not teams:
        raise ValueError("--router needs checkpoints that were trained for columns: give them as --checkpoint")
    bins = _bins(master) if master else None
    found = []
    for decision in wanted:
        refused: ValueError | None = None
        made = []
        for team in teams.values():
            try:
                made.append(_together(decision, team, base, bins, otherwise, columns))
            except ValueError as error:
                refused = error
        if refused and not made:
            raise refused
        if refused:
            click.echo(f"note: --router {decision} leaves out checkpoints: {refused}", err=True)
        found += made
    return found


def _together(
    decision: str, team: list[Candidate], base: Candidate | None, bins: Any, otherwise: str, columns: Sequence[str]
) -> Candidate:
    if decision != HEADERS:
        network = _committee(decision, team, base, bins)
        return _candidate(TITLES[decision], decision, network, team, {"decision": decision})
    router = _router(team, base, otherwise)
    for column in columns:  # fail now, not at the first bitstream
        router.choose(header_of(column))
    said = {"otherwise": otherwise, "base": base is not None}
    return _candidate(TITLES[decision], decision, router, team, said)


def columns_of(model: dict) -> tuple[str, ...]:
    """The columns that a network was trained for, by its entry in results; ``clean`` for a pre-trained network."""
    if model.get("trained_on"):
        return (model["trained_on"],)
    if model.get("method") == "pretrained":
        return (CLEAN,)
    columns = model.get("settings", {}).get("columns")
    return listed(columns.strip(", ")) if isinstance(columns, str) else ()


def _router(team: list[Candidate], base: Candidate | None, otherwise: str) -> Router:
    experts: dict[str, nn.Module] = {}
    for candidate in team:
        for column in columns_of(candidate.model):
            if column in experts:
                raise ValueError(f"two checkpoints of one method and seed are for {column}: give one of them")
            experts[column] = candidate.network
    return Router(experts, base.network if base else None, otherwise)


def _bins(master: str) -> tuple[nn.Module, list[tuple[str, ...]]]:
    loaded = load_checkpoint(master)
    bins = loaded.meta.get("settings", {}).get("bins")
    if not isinstance(bins, str):
        raise ValueError(f"{master} is not a master: 'train master' makes one")
    return loaded.network, [listed(part) for part in bins.split("/")]


def _committee(decision: str, team: list[Candidate], base: Candidate | None, bins: Any) -> Committee:
    members = [*([base] if base else []), *team]
    if decision not in MASTERED:
        return Committee([member.network for member in members], decision)
    if bins is None:
        raise ValueError(f"--router {decision} needs --master FILE, which 'train master' makes")
    branches = []
    for columns in bins[1]:
        fit = [member for member in members if set(columns_of(member.model)) & set(columns)]
        if len(fit) != 1:
            raise ValueError(
                f"the master's bin '{','.join(columns)}' needs one checkpoint for its columns, but has {len(fit)}"
                f"{'' if base or CLEAN not in columns else '; --arch with --weights gives the clean one'}"
            )
        branches.append(fit[0].network)
    return Committee(branches, decision, bins[0])


def _candidate(title: str, decision: str, network: Any, team: list[Candidate], said: dict) -> Candidate:
    first = team[0].model
    settings = {"of": first["method"], "columns": ",".join(c for m in team for c in columns_of(m.model)), **said}
    model = {
        "arch": first["arch"], "method": f"router-{decision}", "title": title, "trained_on": None,
        "counts_everywhere": True, "seed": first.get("seed"), "protocol": first.get("protocol"),
        "settings": settings, "weights_sha256": weights_sha256(network.net),
    }  # fmt: skip
    return Candidate(network, model)


def adapting(candidates: Sequence[Candidate], batch: int) -> list[Candidate]:
    """A copy of every candidate that adapts during the test. Raises ModelError when one has no batch norm."""
    found = []
    for candidate in candidates:
        own = candidate.model
        plain = own["method"] == "pretrained"
        model = {
            **own,
            "method": "tent" if plain else f"{own['method']}-tent",
            "title": "TENT" if plain else f"{own['title']} + TENT",
            "settings": {**own["settings"], "tent_lr": LR, "tent_batch": batch},
        }
        found.append(Candidate(Tent(candidate.network), model))
    return found
