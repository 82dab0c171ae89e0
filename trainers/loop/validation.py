"""Validates the averaged weights on songs that are never trained on, and renders excerpts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from jaxtyping import Float
from torch import Tensor

from model_zoo.separator import Separator
from stemcli.engine.device import Precision
from stemcli.process import held_interrupts
from trainers.data.multitrack import ValidationAudio, ValidationTrack, loudest
from trainers.loop.events import ExcerptRendered
from trainers.loop.execution import Strategy
from trainers.loop.loggers.attention_maps import record_attention
from trainers.objectives import Objective
from trainers.objectives.base import separate_song


def validate(
    objective: Objective,
    model: Separator,
    songs: Sequence[ValidationTrack],
    strategy: Strategy,
    precision: Precision,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, float]:
    """Return the mean score over the songs that have one, by name, the same on every worker.

    Each worker scores its share of the songs, or all workers score all of them together if the
    network is sharded. ``on_progress`` receives the number of songs that this worker has scored,
    from 0 on, and that of all its songs.
    """
    names = objective.scored(model)
    sums: dict[str, float] = {}
    for name in names:
        sums |= {f"sum {name}": 0.0, f"count {name}": 0.0}
    own = strategy.shard(songs)
    on_progress(0, len(own))
    for number, song in enumerate(own, start=1):
        with held_interrupts():  # callbacks of decoders would swallow the exception of a signal
            audio, level = song.read(), peak_level(model, song)
        found = objective.score(model, audio, precision, level)
        for name, score in found.items():
            sums[f"sum {name}"] += score
            sums[f"count {name}"] += 1
        on_progress(number, len(own))
    return _means(strategy.all_reduce(sums), names)


def peak_level(model: Separator, song: ValidationTrack) -> float:
    """Divisor of a song before it is passed to the network: its peak if that must be 1, else 1."""
    return song.peak if model.level == "peak" else 1.0


def _means(sums: Mapping[str, float], names: tuple[str, ...]) -> dict[str, float]:
    """Means of the scores that at least one song has."""
    counts = {name: sums[f"count {name}"] for name in names}
    return {name: sums[f"sum {name}"] / count for name, count in counts.items() if count}


EXACT = Precision("fp32", "excerpts must not contain rounding errors")


def render_excerpt(
    model: Separator,
    track: ValidationAudio,
    step: int,
    seconds: float,
    residual: str = "",
    level: float = 1.0,
) -> ExcerptRendered:
    """Separate the loudest ``seconds`` of ``track``, as ``stem separate`` would.

    The network runs in evaluation mode on its own device; afterwards its mode is restored.

    Args:
        model: the averaged network.
        track: a mixture and its true stems.
        step: number of steps done.
        seconds: length of the excerpt; a shorter song is used in full.
        residual: name of the mixture without all stems, which is added; empty for none.
        level: divisor of the song before it is passed to the network; stems are scaled back.

    Raises:
        NumericalError: the network gives NaN or infinity.
        OutOfMemoryError: a chunk does not fit in the memory of the device.
    """
    piece = loudest([track.mixture], round(seconds * model.sample_rate))
    mixture, true = (wave[..., piece.start : piece.stop] for wave in (track.mixture, track.stems))
    with record_attention(model) as attention:
        found = separate_song(model, mixture / level, EXACT) * level
    waves = {"mixture": mixture, **_pairs(model.stems, found, true)}
    if residual:
        rests = [(mixture - stems.sum(0))[None] for stems in (found, true)]
        waves |= _pairs((residual,), *rests)
    plain = {name: wave.numpy() for name, wave in waves.items()}
    return ExcerptRendered(step, track.name, model.sample_rate, plain, attention)


def _pairs(
    names: tuple[str, ...],
    found: Float[Tensor, "stem channel time"],
    true: Float[Tensor, "stem channel time"],
) -> dict[str, Tensor]:
    return {
        f"{name}/{kind}": stems[number]
        for number, name in enumerate(names)
        for kind, stems in (("estimate", found), ("true", true))
    }
