"""Distortions by name: ``jpeg-10``, ``jpeg-10:444``, ``noise-20+jpeg-10``, and the preset ``paper``."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass

import numpy as np

from distort import codecs
from distort.codecs import Codec, Step
from distort.codecs.lossless import Lossless

#: Table I of Marie et al. 2022: three codecs at three qualities.
PRESETS = {
    "paper": ["jpeg-75", "jpeg-10", "jpeg-5", "j2k-75", "j2k-200", "j2k-400", "bpg-41", "bpg-46", "bpg-51"],
}


class DistortionError(ValueError):
    """A distortion's name or value is wrong; the message says what would be right."""


@dataclass(frozen=True)
class Distorted:
    """A distorted picture as it is stored, as it is seen, and what it costs."""

    stored: bytes  #: the bitstream, or the lossless file of a distortion that has none
    rgb: np.ndarray  #: uint8 (height, width, 3), what ``stored`` decodes to
    bytes: int | None  #: length of the last codec's bitstream; None when no codec took part


@dataclass(frozen=True)
class Distortion:
    """One or more steps in a row. The rate is that of the last codec among them."""

    name: str
    steps: tuple[Step, ...]

    @property
    def has_bitstream(self) -> bool:
        """Whether the distorted picture is the last codec's bitstream, or has to be stored losslessly."""
        return isinstance(self.steps[-1], Codec)

    def extension(self, store: Lossless) -> str:
        """File extension of what ``apply`` stores."""
        return self.steps[-1].extension if self.has_bitstream else store.extension

    def apply(self, rgb: np.ndarray, store: Lossless, rng: np.random.Generator) -> Distorted:
        """Distort a uint8 (height, width, 3) picture; ``store`` keeps what has no bitstream of its own.

        Raises UnsupportedPicture when a codec of the chain cannot hold a picture of this size.
        """
        rate = stream = None
        for step in self.steps:
            if isinstance(step, Codec):
                step.check_size(rgb.shape[1], rgb.shape[0])
                stream = step.encode(rgb)
                rgb = step.decode(stream)
                rate = len(stream)
            else:
                stream = None
                rgb = step.apply(rgb, rng)
        return Distorted(store.encode(rgb) if stream is None else stream, rgb, rate)

    def settings(self) -> list[dict]:
        """Full settings and library versions of every step, as plain JSON."""
        return [
            {"name": step.name, "settings": step.settings(), "versions": step.versions()} for step in self.steps
        ]


def generator(seed: int, key: str, purpose: str) -> np.random.Generator:
    """The random numbers of one sample for one purpose, the same in every worker and order."""
    digest = hashlib.sha256(f"{seed}\0{key}\0{purpose}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def parse(name: str) -> Distortion:
    """The distortion called ``name``, steps joined by ``+``. Raises DistortionError."""
    steps = tuple(_step(part.strip()) for part in name.split("+"))
    return Distortion("+".join(_canonical(step) for step in steps), steps)


def parse_list(names: str) -> list[Distortion]:
    """Distortions from a comma-separated list; presets are expanded, repetitions dropped.

    ``clean`` is no distortion and always made; alone it asks for nothing else.
    """
    parts = [part.strip() for part in names.split(",") if part.strip()]
    if not parts:
        raise DistortionError("no distortion given; 'distort list' shows what there is")
    expanded = [name for part in parts for name in PRESETS.get(part, [part]) if name != "clean"]
    return list({d.name: d for d in map(parse, expanded)}.values())


def _canonical(step: Step) -> str:
    return ":".join((f"{step.name}-{step.value:g}", *step.chosen))


def _step(text: str) -> Step:
    head, *options = text.split(":")
    name, _, number = head.partition("-")
    if name not in codecs.names():
        near = difflib.get_close_matches(name, [*codecs.names(), *PRESETS], n=1, cutoff=0.5)
        hint = "-".join((near[0], number)) if near and number else near[0] if near else None
        raise DistortionError(
            f"unknown distortion '{text}': "
            + (f"did you mean '{hint}'?" if hint else "'distort list' shows what there is")
        )
    kind = codecs.load(name)
    return kind(_value(kind, number), _options(kind, text, options))


def _value(kind: type[Step], number: str) -> float:
    limits = f"{kind.low}..{kind.high}"
    try:
        value = float(number)
    except ValueError:
        raise DistortionError(
            f"{kind.name} needs its {kind.parameter} ({limits}) after a dash, as in '{kind.example}'"
        ) from None
    if not kind.low <= value <= kind.high:
        raise DistortionError(f"{kind.name} {kind.parameter} must be {limits}, got {number}")
    if value == int(value):
        return int(value)
    if kind.integer:
        raise DistortionError(f"{kind.name} {kind.parameter} must be a whole number, got {number}")
    return value


def _options(kind: type[Step], text: str, options: list[str]) -> tuple[str, ...]:
    for option in options:
        if option not in kind.options:
            known = ", ".join(f":{o}" for o in kind.options) or "none"
            raise DistortionError(f"unknown option ':{option}' in '{text}'; {kind.name} has {known}")
    clashing = [option for option in options if option in kind.exclusive]
    if len(set(clashing)) > 1:
        raise DistortionError(f"'{text}': choose one of {', '.join(f':{o}' for o in clashing)}")
    return tuple(option for option in kind.options if option in options)
