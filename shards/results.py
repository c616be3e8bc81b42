"""``results.json``: accuracy of models on a dataset's columns. Defines the format for both writer and reader.

Schema 2 is described in docs/format.md. Schema 1, which had no titles and no settings, is still read.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shards.atomic import write_atomically

RESULTS_SCHEMA = 2
READABLE = (1, 2)
FILE = "results.json"
#: Titles and scopes of the methods in schema 1, which did not record them.
TITLES = {"pretrained": "Pre-trained", "stability": "Stability", "finetune": "Fine-tuned", "expert": "Expert"}
EVERYWHERE = ("pretrained", "stability")
Scalar = str | int | float | bool | None


class ResultsError(ValueError):
    """A results file is damaged or belongs to another dataset; the message names it and says what to do."""


@dataclass(frozen=True)
class Model:
    """What was evaluated."""

    arch: str
    method: str
    weights_sha256: str | None = None
    trained_on: str | None = None  #: column; None for pretrained weights that were not trained here
    seed: int | None = None
    protocol: str | None = None
    title: str = ""  #: heading of the method's column in tables
    counts_everywhere: bool = False  #: whether the result counts for every column, or for ``trained_on`` only
    settings: Mapping[str, Scalar] = field(default_factory=dict)  #: all that distinguishes a run, except the seed

    def counts_at(self, column: str) -> bool:
        return self.counts_everywhere or self.trained_on == column


@dataclass(frozen=True)
class Score:
    """Accuracy on one column. Fractions; ``loss`` is the mean cross-entropy in nats."""

    n: int
    top1: float | None  #: None when no sample was tested
    top1_interval: tuple[float, float] | None
    top5: float | None
    top5_interval: tuple[float, float] | None
    loss: float | None


@dataclass(frozen=True)
class Result:
    """A model's scores by column, and the name of its per-sample file next to ``results.json``."""

    model: Model
    columns: Mapping[str, Score]
    samples: str | None


@dataclass(frozen=True)
class Results:
    """The contents of one file."""

    path: str  #: of the dataset, as given to 'train evaluate'
    plan: str
    samples: int | None
    evaluation: Mapping[str, Scalar]
    results: Sequence[Result]


def complete(model: Mapping[str, Any]) -> dict[str, Any]:
    """A model's fields, with title, scope and settings filled in where schema 1 lacks them.

    Weights of unknown origin have the method "unknown".
    """
    method = model.get("method") or "unknown"
    return {
        **model,
        "method": method,
        "title": model.get("title") or TITLES.get(method, str(method)),
        "counts_everywhere": model["counts_everywhere"]
        if model.get("counts_everywhere") is not None
        else model.get("trained_on") is None or method in EVERYWHERE,
        "settings": model.get("settings") or {},
    }


def write(
    out: Path,
    dataset: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    samples: Sequence[pa.Table],
    evaluation: Mapping[str, Scalar] | None = None,
) -> Results:
    """Write the per-sample answers ``samples[K]`` to ``.K.parquet`` files, then ``out``.

    ``dataset`` has path, plan and samples; a result is ``{"model": …, "columns": {name: score}}`` as in the file.
    Raises ResultsError before anything is written when the reader would refuse the file.
    """
    names = [f"{out.stem}.{k}.parquet" for k in range(len(samples))]
    contents = _contents(dataset, results, evaluation, names)
    parsed = parse(contents, str(out))
    for k, (result, table) in enumerate(zip(parsed.results, samples, strict=True)):
        check_samples(result, table, f"{out}, results[{k}]")
    text = json.dumps(contents, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    out.parent.mkdir(parents=True, exist_ok=True)
    for name, table in zip(names, samples, strict=True):
        write_atomically(out.with_name(name), functools.partial(pq.write_table, table, compression="zstd"))
    write_atomically(out, lambda path: path.write_text(text, encoding="utf-8"))
    for k in itertools.count(len(samples)):  # of an earlier evaluation, which had more results
        try:
            out.with_name(f"{out.stem}.{k}.parquet").unlink()
        except FileNotFoundError:
            break
    return parsed


def collect(
    dataset: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    evaluation: Mapping[str, Scalar] | None = None,
) -> Results:
    """The results that ``write`` would write, in memory and without per-sample answers."""
    return parse(_contents(dataset, results, evaluation, [None] * len(results)), "these results")


def _contents(dataset: Any, results: Any, evaluation: Any, names: Sequence[str | None]) -> dict[str, Any]:
    return {
        "schema": RESULTS_SCHEMA,
        "dataset": dict(dataset),
        "evaluation": dict(evaluation or {}),
        "results": [
            {**result, "model": complete(result["model"]), "samples": name}
            for result, name in zip(results, names, strict=True)
        ],
    }


def find(paths: Iterable[str | Path]) -> list[Path]:
    """All results files at or below ``paths``, without duplicates, in a fixed order.

    Raises ResultsError when there is none at a path.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        inside = sorted(path.rglob(FILE)) if path.is_dir() else [path] if path.exists() else []
        if not inside:
            there = f"no {FILE} there" if path.exists() else "it does not exist"
            raise ResultsError(f"{path}: {there}; 'train evaluate' writes one")
        found |= dict.fromkeys(inside)
    return list(found)


def load(file: Path) -> Results:
    """Read one file. Raises ResultsError, naming file and field, when it is damaged."""
    require_regular(file)
    try:
        contents = json.loads(file.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except (ValueError, OSError, RecursionError) as error:
        raise ResultsError(
            f"{file} is truncated or not a results file ({error}); run 'train evaluate' again"
        ) from None
    return parse(contents, str(file))


def parse(contents: Any, where: str) -> Results:
    """Check decoded JSON. Raises ResultsError with a message that begins with ``where``."""
    check = _Check(where)
    if not isinstance(contents, dict) or contents.get("schema") not in READABLE:
        raise ResultsError(f"{where} does not have schema 1 or {RESULTS_SCHEMA}, which this version reads")
    dataset = check.mapping(contents, "dataset")
    evaluation = contents.get("evaluation") or {}
    listed = contents.get("results")
    if not isinstance(evaluation, dict) or not isinstance(listed, list):
        raise check.error("'results' is not a list, or 'evaluation' not an object")
    return Results(
        str(dataset.get("path", "a dataset")),
        check.text(dataset, "plan"),
        check.whole(dataset, "samples", optional=True),
        evaluation,
        [_result(entry, f"{where}, results[{k}]") for k, entry in enumerate(listed)],
    )


def _result(entry: Any, where: str) -> Result:
    check = _Check(where)
    if not isinstance(entry, dict):
        raise check.error("is not an object")
    if not all(name.isprintable() for name in check.mapping(entry, "columns")):
        raise check.error("'columns' has a name with unprintable characters")
    columns = {
        name: _score(value, f"{where}, column '{name}'") for name, value in check.mapping(entry, "columns").items()
    }
    samples = check.text(entry, "samples", optional=True)
    if samples is not None and not re.fullmatch(r"[^/\\\0]+\.parquet", samples):
        raise check.error(f"'samples' is {samples!r}, not the name of a .parquet file beside it")
    return Result(_model(check.mapping(entry, "model"), where), columns, samples)


def _model(model: dict[str, Any], where: str) -> Model:
    check = _Check(where)
    if isinstance(model.get("protocol"), dict):  # some files of schema 1
        model = {**model, "protocol": json.dumps(model["protocol"], sort_keys=True)}
    model = complete(model)
    settings = check.mapping(model, "settings")
    for name, value in settings.items():
        if not isinstance(value, Scalar) or (isinstance(value, float) and not math.isfinite(value)):
            raise check.error(f"setting '{name}' is {value!r}, not a string, number or boolean")
        if not (name + str(value)).isprintable():
            raise check.error(f"setting {name!r} is {value!r}, which has unprintable characters")
    if not isinstance(model["counts_everywhere"], bool):
        raise check.error("'counts_everywhere' is neither true nor false")
    return Model(
        check.text(model, "arch"),
        check.text(model, "method"),
        check.text(model, "weights_sha256", optional=True),
        check.text(model, "trained_on", optional=True),
        check.whole(model, "seed", optional=True),
        check.text(model, "protocol", optional=True),
        check.text(model, "title"),
        model["counts_everywhere"],
        settings,
    )


def _score(value: Any, where: str) -> Score:
    check = _Check(where)
    if not isinstance(value, dict):
        raise check.error("is not an object")
    n = check.whole(value, "n")
    top1, top5 = (check.fraction(value, name) for name in ("top1", "top5"))
    if n and top1 is None:
        raise check.error(f"'top1' is missing, though {n} samples were tested")
    if top1 is not None and top5 is not None and top5 < top1:
        raise check.error(f"top5 {top5} is below top1 {top1}")
    loss = value.get("loss")
    if loss is not None and (not _is_number(loss) or loss < 0):
        raise check.error(f"'loss' is {loss!r}, not a number of at least 0")
    return Score(
        n,
        top1 if n else None,
        check.interval(value, "top1_interval", top1),
        top5,
        check.interval(value, "top5_interval", top5),
        loss,
    )


@dataclass(frozen=True)
class _Check:
    """Typed access to decoded JSON; errors begin with ``where`` and end with what to do."""

    where: str

    def error(self, problem: str) -> ResultsError:
        return ResultsError(f"{self.where}: {problem}; run 'train evaluate' again")

    def mapping(self, values: dict[str, Any], name: str) -> dict[str, Any]:
        if not isinstance(found := values.get(name), dict):
            raise self.error(f"'{name}' is missing or not an object")
        return found

    def text(self, values: dict[str, Any], name: str, optional: bool = False) -> Any:
        found = values.get(name)
        if found is None and optional:
            return None
        if not isinstance(found, str) or not found or not found.isprintable():
            raise self.error(f"'{name}' is {found!r}, not a string of printable characters")
        return found

    def whole(self, values: dict[str, Any], name: str, optional: bool = False) -> Any:
        found = values.get(name)
        if (isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < 2**63) and not (
            optional and found is None
        ):
            raise self.error(f"'{name}' is {found!r}, not a whole number of at least 0")
        return found

    def fraction(self, values: dict[str, Any], name: str) -> float | None:
        found = values.get(name)
        if found is not None and (not _is_number(found) or not 0 <= found <= 1):
            raise self.error(f"'{name}' is {found!r}, not a fraction between 0 and 1")
        return found

    def interval(self, values: dict[str, Any], name: str, inside: float | None) -> tuple[float, float] | None:
        found = values.get(name)
        if found is None:
            return None
        if not isinstance(found, list) or len(found) != 2 or not all(map(_is_number, found)):
            raise self.error(f"'{name}' is {found!r}, not two numbers")
        low, high = found
        slack = 1e-9
        if not -slack <= low <= high <= 1 + slack or (
            inside is not None and not low - slack <= inside <= high + slack
        ):
            raise self.error(f"'{name}' is {found}, not an interval of fractions around {inside}")
        return low, high


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number")


def require_regular(file: Path) -> None:
    """Raise ResultsError unless ``file`` is a regular file, because reading a pipe or a device may never end."""
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        raise ResultsError(f"{file} is missing; restore it, or run 'train evaluate' again") from None
    except (OSError, ValueError) as error:
        raise ResultsError(f"{file} cannot be read: {error}") from None
    if not stat.S_ISREG(mode):
        raise ResultsError(f"{file} is not a regular file; remove it")


def read_samples(file: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A table of ``key``, ``label`` and, for each column NAME of the dataset, whether top-1 was right (bool).

    It may also have ``NAME/predicted`` (class) and ``NAME/confidence`` (probability of that class). ``columns``
    selects columns of the file; missing ones are ignored. Raises ResultsError for a damaged file.
    """
    require_regular(file)
    try:
        with pq.ParquetFile(file) as parquet:
            have = parquet.schema_arrow.names
            if "key" not in have:
                raise ResultsError(f"{file} has no column 'key'; run 'train evaluate' again")
            table = parquet.read([name for name in columns or have if name in have], use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise ResultsError(f"{file} is damaged: {error}; run 'train evaluate' again") from None
    if "key" in table.column_names and len(table["key"].unique()) != len(table):
        raise ResultsError(f"{file} has the same key twice; run 'train evaluate' again")
    return table


def check_samples(result: Result, table: pa.Table, where: str) -> None:
    """Raise ResultsError if the scores of ``result`` do not match its per-sample answers."""
    for name, score in result.columns.items():
        if name not in table.column_names:
            continue
        answers = table[name]
        if not pa.types.is_boolean(answers.type):
            raise ResultsError(f"{where}: column '{name}' of its per-sample file is {answers.type}, not bool")
        n, right = len(answers) - answers.null_count, answers.cast(pa.int8()).combine_chunks().sum().as_py() or 0
        if n != score.n or (n and abs(right / n - (score.top1 or 0)) > 1e-6):
            said = f"{score.top1} of {score.n}" if score.n else "no sample"
            raise ResultsError(
                f"{where}: top1 of '{name}' is {said}, but its per-sample answers have {right} right of {n}; "
                "the two files do not belong together: run 'train evaluate' again"
            )
