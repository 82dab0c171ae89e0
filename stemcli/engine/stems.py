"""The arithmetic of stems: full sets, averages and complements, on blocks at the song's own rate.

A block of stems is ``(frames, stem, channel)``, a block of the mixture ``(frames, channel)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from model_zoo.errors import ConfigError, UnknownNameError
from stemcli.engine.tape import Block

SYNONYMS = {"accompaniment": "instrumental", "instrumental": "accompaniment"}
"""Names of one stem, the song without its vocals, of which a model has one or the other."""


def complete(stems: Block, mixture: Block, *, residual: bool) -> Block:
    """Make a full set of stems add up to the mixture.

    Args:
        stems: what the network gave.
        mixture: what it heard.
        residual: whether the rest of the mixture is a stem of its own, put last. If not, what is
            missing is spread evenly over the stems; a single stem is no set and stays as it is.
    """
    # One subtraction per stem: NumPy sums over a short inner axis several times slower.
    missing = reduce(np.subtract, stems.transpose(1, 0, 2), mixture)
    if residual:
        return np.concatenate([stems, missing[:, None]], axis=1)
    count = stems.shape[1]
    return stems + missing[:, None] / np.float32(count) if count > 1 else stems


def shared_stems(outputs: Sequence[tuple[str, Sequence[str]]]) -> tuple[str, ...]:
    """The stems that all models give, in the order of the first.

    Args:
        outputs: name of each model and names of its stems.

    Raises:
        ConfigError: when there are none.
    """
    first, *others = (stems for _, stems in outputs)
    shared = tuple(stem for stem in first if all(stem in other for other in others))
    if not shared:
        lists = "; ".join(f"{model} gives {', '.join(stems)}" for model, stems in outputs)
        raise ConfigError("Ensemble", [f"the models share no stem ({lists}): name others"])
    return shared


def resolve_stem(name: str, available: Sequence[str]) -> str:
    """The stem that is called ``name``, here or in other programs.

    Raises:
        UnknownNameError: there is none.
    """
    for known in (name, SYNONYMS.get(name, name)):
        if known in available:
            return known
    raise UnknownNameError("stem", name, available)


@dataclass(frozen=True)
class Selection:
    """Which stems of a full set are wanted.

    Attributes:
        names: of the outputs.
        picks: indices into the full set.
        complement: whether the rest of the mixture follows as the last output.
    """

    names: tuple[str, ...]
    picks: tuple[int, ...]
    complement: bool = False

    def apply(self, stems: Block, mixture: Block) -> Block:
        """The wanted stems ``(frames, output, channel)``."""
        wanted = stems[:, list(self.picks)]
        return complete(wanted, mixture, residual=True) if self.complement else wanted


def select(available: Sequence[str], stems: Sequence[str] = (), two_stems: str = "") -> Selection:
    """Choose outputs by name, or by another name in :data:`SYNONYMS`.

    Args:
        available: the stems there are, in order.
        stems: those that are wanted, all when empty.
        two_stems: one stem to be given with its complement. The complement has the name of the
            other stem where there are exactly two, else ``no_<stem>``.

    Raises:
        UnknownNameError: for a stem that there is not.
        ConfigError: for a stem that is named twice.
    """
    two_stems = resolve_stem(two_stems, available) if two_stems else ""
    named = (two_stems,) if two_stems else tuple(stems) or tuple(available)
    wanted = tuple(resolve_stem(name, available) for name in named)
    if len({*wanted}) < len(wanted):
        raise ConfigError("--stems", [f"{', '.join(named)} name one stem twice: name it once"])
    picks = tuple(available.index(name) for name in wanted)
    if not two_stems:
        return Selection(wanted, picks)
    rest = [name for name in available if name != two_stems]
    other = rest[0] if len(rest) == 1 else f"no_{two_stems}"
    return Selection((two_stems, other), picks, complement=True)
