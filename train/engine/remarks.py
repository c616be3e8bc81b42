"""Notes for the user before a training begins. They never stop it; ``checks`` does."""

from __future__ import annotations

from shards.dataset import Dataset
from train.feed.reading import Survey
from train.networks.network import Network
from train.settings import Settings

FEW = 1000  #: with fewer samples to select on, a note gives the standard error


def without_effect(settings: Settings, train: Dataset, val: Dataset) -> list[str]:
    """Notes on options without effect in this training."""
    found = []
    if settings.select_on == "validation" and settings.holdout != Settings.holdout:
        found.append("--holdout has no effect with --select-on validation: nothing is kept away from training")
    if settings.cache and train.storage.local and val.storage.local:
        found.append("--cache has no effect: both datasets are on local disks")
    return found


def sizes(settings: Settings, network: Network, train: Dataset, column: str) -> list[str]:
    """A note if pictures have another size than the network was made for."""
    table, _ = train.parquet(column, 0, ["width", "height"])
    sides = {*table["width"].slice(0, 1).to_pylist(), *table["height"].slice(0, 1).to_pylist()}
    if network.input_size is None or sides <= {network.input_size}:
        return []
    return [
        f"{settings.arch} was made for pictures of {network.input_size} pixels, but those of {settings.train} "
        f"have {' x '.join(map(str, sorted(sides)))}"
    ]


def reading(settings: Settings, found: Survey, selected: int, train: Dataset) -> list[str]:
    """Notes on selection with few samples, and on reading that a cache would speed up."""
    notes = []
    if selected < FEW:
        more = "a larger VAL helps" if settings.select_on == "validation" else "try a larger --holdout"
        notes.append(
            f"selection uses {selected} samples, so that its top-1 has a standard error of up to "
            f"{50 / selected**0.5:.1f} points, more than most epochs differ by: {more}"
        )
    if found.scattered and not train.storage.local and not settings.cache:
        why = f"has {found.crops} crops of each picture" if found.crops > 1 else "was made with --keep-order"
        notes.append(f"{found.url} {why}: its samples are fetched one by one; --cache FOLDER avoids this")
    return notes
