"""Distortions by name: ``jpeg-10``, ``jpeg-10:444``, ``noise-20+jpeg-10``, and the preset ``paper``."""

from __future__ import annotations

import difflib
import hashlib
import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from distort import codecs, grammar
from distort.codecs import Codec, Filter, Step
from distort.codecs.crop import Crop
from distort.codecs.lossless import Lossless
from distort.stages import Stages

#: Table I of Marie et al. 2022: three codecs at three qualities.
PRESETS = {
    "paper": ["jpeg-75", "jpeg-10", "jpeg-5", "j2k-75", "j2k-200", "j2k-400", "bpg-41", "bpg-46", "bpg-51"],
}


Cut = Callable[[np.ndarray], np.ndarray]  #: resizes and crops a uint8 (height, width, 3) picture


class DistortionError(ValueError):
    """A distortion's name or value is wrong; the message says what is expected."""


@dataclass(frozen=True)
class Distorted:
    """A distorted picture: the stored bytes, the decoded pixels and the rate."""

    stored: bytes  #: the bitstream, or the lossless file of a distortion that has none
    rgb: np.ndarray  #: uint8 (height, width, 3), what ``stored`` decodes to
    bytes: int | None  #: rate: length of the last codec's bitstream; None when no step is a codec
    pixels: int  #: of the picture that the last codec encoded


class RoundTrip(NamedTuple):
    """What ``Distortion.roundtrip`` returns."""

    rgb: np.ndarray  #: uint8 (height, width, 3), distorted
    bitstream: bytes | None  #: of the last step; None when that is a filter
    bytes: int | None  #: rate: length of the last codec's bitstream; None when no step is a codec
    pixels: int  #: of the picture that the last codec encoded


@dataclass(frozen=True)
class Distortion:
    """A chain of one or more steps. The rate is that of the last codec among them."""

    name: str  #: of its column; canonical, so that one distortion has one name
    steps: tuple[Step, ...]
    spec: str  #: ``name`` with the full paths of its files, from which ``parse`` makes this distortion in a worker

    @property
    def has_bitstream(self) -> bool:
        """True when the last step is a codec; False when the distorted picture must be stored losslessly."""
        return isinstance(self.steps[-1], Codec)

    @property
    def on_source(self) -> bool:
        """Whether the first steps see the whole source picture, and a step ``crop`` cuts what they made of it."""
        return any(isinstance(step, Crop) for step in self.steps)

    @property
    def is_random(self) -> bool:
        """Whether a step may draw random numbers. (Seeding a generator takes as long as encoding a small JPEG.)"""
        return any(isinstance(step, Filter) for step in self.steps)

    def extension(self, store: Lossless) -> str:
        """File extension of what ``apply`` stores."""
        last = self.steps[-1]
        return last.extension if isinstance(last, Codec) else store.extension

    def check_size(self, width: int, height: int) -> None:
        """Raise UnsupportedPicture if a codec that sees the crop cannot encode a picture of this size."""
        cut = [i for i, step in enumerate(self.steps) if isinstance(step, Crop)]
        for step in self.steps[cut[0] if cut else 0 :]:
            if isinstance(step, Codec):
                step.check_size(width, height)

    def apply(
        self, rgb: np.ndarray, store: Lossless, rng: np.random.Generator | None, stages: Stages | None = None,
        cut: Cut | None = None,
    ) -> Distorted:  # fmt: skip
        """Distort a uint8 (height, width, 3) picture; ``store`` encodes the result if it has no bitstream.

        The time of every step is added to ``stages``. Raises what ``roundtrip`` raises.
        """
        made = self.roundtrip(rgb, rng, stages, cut)
        stored = store.encode(made.rgb) if made.bitstream is None else made.bitstream
        return Distorted(stored, made.rgb, made.bytes, made.pixels)

    def roundtrip(
        self, rgb: np.ndarray, rng: np.random.Generator | None = None, stages: Stages | None = None,
        cut: Cut | None = None,
    ) -> RoundTrip:  # fmt: skip
        """Distort one uint8 (height, width, 3) picture.

        ``rng`` is the source of noise; without it every call uses a new random seed. A step ``crop`` calls
        ``cut``; ``rgb`` then is the whole source picture.
        Raises UnsupportedPicture when a codec of the chain cannot encode a picture of this size, and RuntimeError,
        ValueError or OSError when a step fails.
        """
        if not isinstance(rgb, np.ndarray):
            raise ValueError(f"{self.name} needs a uint8 array (height, width, 3), got a {type(rgb).__name__}")
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
            raise ValueError(f"{self.name} needs a uint8 array (height, width, 3), got {rgb.dtype} {rgb.shape}")
        rate = stream = None
        pixels = rgb.shape[0] * rgb.shape[1]
        stages = Stages() if stages is None else stages
        for step in self.steps:
            try:
                if isinstance(step, Codec):
                    step.check_size(rgb.shape[1], rgb.shape[0])
                    with stages.time(f"{step.name} encode"):
                        stream = step.encode(rgb)
                    if not (isinstance(stream, bytes) and stream):
                        raise ValueError(f"{step.name}: encode must return bytes, not {stream!r:.40}")
                    with stages.time(f"{step.name} decode"):
                        decoded = step.own_decoder.decode(stream)
                    rgb = _same_kind(decoded, rgb, f"{step.name}: decode")
                    rate, pixels = len(stream), rgb.shape[0] * rgb.shape[1]
                elif isinstance(step, Filter):
                    stream = None
                    rng = np.random.default_rng() if rng is None else rng
                    with stages.time(step.name):
                        rgb = _same_kind(step.apply(rgb, rng), rgb, f"{step.name}: apply")
                elif isinstance(step, Crop):
                    if cut is None:
                        raise ValueError(
                            f"{self.name}: only 'distort run' and 'distort preview' crop a source picture"
                        )
                    stream = None
                    with stages.time("crop"):
                        rgb = cut(rgb)
            except Exception as error:  # a codec of another package may raise anything
                if isinstance(error, ValueError | RuntimeError | OSError) and str(error):
                    raise
                raise RuntimeError(f"{step.name}: {type(error).__name__}: {error}") from error
        return RoundTrip(rgb, stream, rate, pixels)

    def settings(self) -> list[dict]:
        """Full settings and library versions of every step, as plain JSON."""
        return [
            {"name": step.name, "settings": step.settings(), "versions": step.versions()} for step in self.steps
        ]


def _same_kind(made: np.ndarray, given: np.ndarray, what: str) -> np.ndarray:
    """``made`` if it is a picture like ``given``. Raises ValueError, which says ``what`` made it."""
    if isinstance(made, np.ndarray) and made.dtype == np.uint8 and made.shape == given.shape:
        return made
    found = f"{made.dtype} {made.shape}" if isinstance(made, np.ndarray) else type(made).__name__
    raise ValueError(f"{what} must return a uint8 array {given.shape}, not {found}")


def generator(seed: int, key: str, purpose: str) -> np.random.Generator:
    """A generator seeded by sha256(seed, key, purpose), so that results do not depend on workers and order."""
    digest = hashlib.sha256(f"{seed}\0{key}\0{purpose}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def parse(name: str) -> Distortion:
    """The distortion called ``name``; ``distort.grammar`` defines the names. Raises DistortionError."""
    parsed = [_parse_step(step) for step in grammar.split(name)]
    found = Distortion(
        grammar.join(canonical for _, canonical, _ in parsed),
        tuple(step for step, _, _ in parsed),
        grammar.join(spec for _, _, spec in parsed),
    )
    cuts = sum(isinstance(step, Crop) for step in found.steps)
    if cuts > 1 or (cuts and isinstance(found.steps[0], Crop)):
        raise DistortionError(
            f"'{found.name}': 'crop' stands once, behind the steps that see the whole source picture, as in "
            "'jpeg-10+crop'; without it all steps see the crop"
        )
    return found


def require_crops_only(distortions: Iterable[Distortion], what: str) -> None:
    """Raises DistortionError when a chain needs source pictures, and ``what`` has only clean crops."""
    for distortion in distortions:
        if distortion.on_source:
            raise DistortionError(
                f"'{distortion.name}' sees the source picture before it is cropped, and {what} only clean crops: "
                "'distort run SOURCE DATASET' makes it"
            )


def parse_list(names: str) -> list[Distortion]:
    """Distortions from a comma-separated list; presets are expanded, repetitions dropped. Raises DistortionError.

    ``clean`` is accepted and ignored, because the clean column is always made; alone it gives an empty list.
    """
    parts = [part.strip() for part in names.split(",")]
    if not any(parts):
        raise DistortionError("no distortion given; 'distort list' shows all of them")
    if not all(parts):
        raise DistortionError(f"'{names}' has an empty name: remove the extra comma")
    expanded = [name for part in parts for name in PRESETS.get(part, [part]) if name != "clean"]
    found: dict[str, Distortion] = {}
    for distortion in map(parse, expanded):
        other = found.setdefault(distortion.name, distortion)
        if other.spec != distortion.spec:
            raise DistortionError(
                f"'{other.spec}' and '{distortion.spec}' would both be the column '{other.name}': "
                "give one of the files a label, as in 'pre:label=FILE'"
            )
    return list(found.values())


def _parse_step(text: grammar.StepName) -> tuple[Step, grammar.StepName, grammar.StepName]:
    """The step, its name within a column's name, and the same name with the full path of its file."""
    text = _registered(text)
    try:
        kind = codecs.load(text.name)
    except ImportError as error:
        raise DistortionError(f"'{text}': {text.name} cannot be loaded here: {error}") from error
    value = None if kind.parameter is None else _value(kind, text.value)
    if kind.parameter is None and text.value is not None:
        raise DistortionError(f"'{text}': {kind.name} takes no number, as in '{kind.example}'")
    number = None if value is None else grammar.number(value)
    if kind.file is None:
        options = _options(kind, text)
        name = grammar.StepName(kind.name, number, options)
        return kind(value, options), name, name
    file, label = grammar.file_and_label(text.words)
    if not file:
        raise DistortionError(f"{kind.name} needs its {kind.file} after a colon, as in '{kind.example}'")
    if "://" not in file:
        file = os.path.abspath(file)
        if not os.path.isfile(file):
            raise DistortionError(f"'{text}': there is no file {file}")
    name = grammar.StepName(kind.name, number, (label,))
    return kind(value, (), file), name, grammar.StepName(kind.name, number, (f"{label}={file}",))


def _registered(text: grammar.StepName) -> grammar.StepName:
    """``text`` if such a step is registered, even when its value is not a number. Raises DistortionError."""
    known = codecs.names()
    if text.name in known:
        return text
    name, dash, value = text.name.partition("-")
    if dash and text.value is None and name in known:
        return grammar.StepName(name, value, text.words)
    raise DistortionError(_unknown(text, known))


def _unknown(text: grammar.StepName, known: list[str]) -> str:
    """The error message for an unknown step, with the nearest known one."""
    if not str(text):
        return "a step is missing: distortions are joined by single '+', as in 'noise-20+jpeg-10'"
    if re.search(r"[;|/\s]", str(text)):
        return f"unknown distortion '{text}': distortions are separated by commas, as in 'jpeg-10,webp-20'"
    if str(text) == "clean":
        return "'clean' is no distortion: every dataset has that column"
    # Also without the dash, as in jpeg10.
    written = re.fullmatch(r"(.*?)[_=]?([0-9.]*)", text.name) if text.value is None else None
    candidates = {text.name.lower(): text.value}
    if written and written[2]:
        candidates[written[1].lower()] = written[2]
    for name, value in reversed(candidates.items()):
        if near := difflib.get_close_matches(name, [*known, *PRESETS, "clean"], n=1, cutoff=0.6):
            hint = str(grammar.StepName(near[0], value, text.words)) if near[0] in known else near[0]
            return f"unknown distortion '{text}': did you mean '{hint}'?"
    return f"unknown distortion '{text}': 'distort list' shows all of them"


def _value(kind: type[Step], number: str | None) -> float:
    limits = f"{kind.low}..{kind.high}"
    if not number:
        raise DistortionError(
            f"{kind.name} needs its {kind.parameter} ({limits}) after a dash, as in '{kind.example}'"
        )
    value = float(number) if grammar.NUMBER.fullmatch(number) else math.nan
    if not kind.low <= value <= kind.high:
        raise DistortionError(f"{kind.name} {kind.parameter} must be {limits}, got {number}")
    if value == int(value):
        return int(value)
    if kind.integer:
        raise DistortionError(f"{kind.name} {kind.parameter} must be a whole number, got {number}")
    return value


def _options(kind: type[Step], text: grammar.StepName) -> tuple[str, ...]:
    for option in text.words:
        if not option:
            raise DistortionError(f"'{text}': an option is missing after ':'")
        if option not in kind.options:
            known = ", ".join(f":{o}" for o in kind.options) or "none"
            raise DistortionError(f"unknown option ':{option}' in '{text}'; {kind.name} has {known}")
    clashing = [option for option in text.words if option in kind.exclusive]
    if len(set(clashing)) > 1:
        raise DistortionError(f"'{text}': choose one of {', '.join(f':{o}' for o in clashing)}")
    return tuple(option for option in kind.options if option in text.words)
