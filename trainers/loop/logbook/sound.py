"""How an excerpt that was listened to is laid out on a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from trainers.loop.attention import attention_picture
from trainers.loop.events import Listened
from trainers.loop.logbook.protocol import Clip, Logbook, Picture
from trainers.loop.spectrogram import spectrogram_picture

ESTIMATE, TRUE = "/estimate", "/true"


def write_sound(books: Sequence[Logbook], event: Listened) -> None:
    """Write players and pictures of a song.

    ``mixture``, ``STEM/estimate`` and ``STEM/true`` are sound, all of a song louder or quieter by
    one factor, which makes the loudest sample of them 1. ``spectrogram/STEM`` has estimate and
    truth above mixture and error; ``weights of attention/LAYER`` is a map.
    """
    waves = normalised(event)
    for name, wave in waves.items():
        for book in books:
            book.audio(event.step, event.song, name, wave, event.sample_rate)
    for name, picture in _pictures(waves, event):
        for book in books:
            book.picture(event.step, event.song, name, picture)


def normalised(event: Listened) -> dict[str, Clip]:
    """The waves times one factor, so that they compare; what is not finite becomes silence."""
    clean = {
        name: np.nan_to_num(wave, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)
        for name, wave in event.waves.items()
    }
    peak = max(np.abs(wave).max(initial=0.0) for wave in clean.values())
    return {name: wave / peak if peak else wave for name, wave in clean.items()}


def _pictures(waves: Mapping[str, Clip], event: Listened) -> Iterator[tuple[str, Picture]]:
    for name in waves:
        if name.endswith(ESTIMATE):
            stem = name.removesuffix(ESTIMATE)
            picture = spectrogram_picture(_panels(waves, stem), event.sample_rate)
            yield f"spectrogram/{stem}", picture
    for layer, weights in event.attention.items():
        yield f"weights of attention/{layer}", attention_picture(weights)


def _panels(waves: Mapping[str, Clip], stem: str) -> dict[str, Clip]:
    """What is shown of a stem, in the order of reading."""
    estimate, true = waves[stem + ESTIMATE], waves[stem + TRUE]
    return {
        f"{stem}, estimate": estimate,
        f"{stem}, true": true,
        "mixture": waves["mixture"],
        "estimate - true": estimate - true,
    }
