"""Waveforms in memory: NumPy arrays and torch tensors."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_zoo.errors import DecodeError
from stemcli.audio.info import RATES
from stemcli.engine.chain import Networks, open_stream
from stemcli.engine.events import Progress
from stemcli.engine.level import measure
from stemcli.engine.options import Options
from stemcli.engine.overlap_add import Block
from stemcli.engine.song import finite

Wave = NDArray[np.floating[Any]] | torch.Tensor
"""A waveform ``(frames, channels)`` of floats, nominally in [-1, 1], on any device."""

BLOCK = 65536
"""Frames per block of a waveform in memory."""

MOST_CHANNELS = 64
"""Channels of a waveform; no loudspeaker layout has more."""

TRACK = "waveform"
"""Name of a waveform in events."""


def separate_wave(
    wave: Wave,
    sample_rate: float,
    options: Options,
    networks: Callable[[], Networks],
    on_progress: Callable[[Progress], None],
) -> dict[str, NDArray[np.float32]]:
    """Separate a waveform.

    Args:
        wave: ``(frames, channels)``.
        sample_rate: in Hz.
        options: ``start`` and ``end`` are used.
        networks: called when the waveform was checked.
        on_progress: called with the progress after every block.

    Returns:
        Stem name to ``(frames, channels)``.

    Raises:
        DecodeError: the waveform or the sample rate cannot be used.
    """
    rate = as_rate(sample_rate)
    first = round((options.start or 0.0) * rate)
    last = None if options.end is None else round(options.end * rate)
    song = as_song(wave)[first:last]
    if not len(song):
        raise DecodeError(
            "The waveform has no samples between start and end. Give at least one frame"
        )
    parts = (song[at : at + BLOCK] for at in range(0, len(song), BLOCK))
    checked = list(finite(parts, "The waveform", rate))
    ensemble = networks()
    separation = open_stream(ensemble, rate, song.shape[1], measure(song))
    names = ensemble.stems
    stems = np.empty((len(names), *song.shape), dtype=np.float32)
    done = 0
    for block in separation.pass_through(checked):  # views, each of which holds whole chunks
        stems[:, done : done + len(block)] = block.swapaxes(0, 1)
        done += len(block)
        on_progress(Progress(TRACK, "separating", done / rate, len(song) / rate))
    return dict(zip(names, stems, strict=True))


def as_song(wave: Wave) -> Block:
    """Check a waveform and convert it to float32 frames.

    Raises:
        DecodeError: the waveform is not ``(frames, channels)`` of floats, or has so many channels
            that its axes must be swapped.
    """
    array = _as_array(wave)
    is_floating = np.issubdtype(array.dtype, np.floating)
    if array.ndim != 2 or 0 in array.shape[1:] or not is_floating:
        kind = f"{array.dtype} of shape {array.shape}"
        advice = "".join(_advice(array))
        raise DecodeError(
            f"The waveform is {kind}. Give floats of shape (frames, channels){advice}"
        )
    if array.shape[1] > MOST_CHANNELS:
        frames, channels = array.shape
        raise DecodeError(
            f"The waveform has the shape ({frames}, {channels}), and so {channels} channels. Give "
            "(frames, channels), e.g. wave.T"
        )
    return array.astype(np.float32)


def as_rate(sample_rate: float) -> int:
    """Check a sample rate and convert it to an integer in Hz.

    Raises:
        DecodeError: the sample rate is not a whole number in
            :data:`~stemcli.audio.info.RATES`.
    """
    is_number = isinstance(sample_rate, Real) and not isinstance(sample_rate, (bool, np.bool_))
    if not is_number or not RATES[0] <= sample_rate <= RATES[-1] or sample_rate % 1:
        found = sample_rate if is_number else repr(sample_rate)
        raise DecodeError(
            f"The sample rate is {found}. Give Hz, a whole number from {RATES[0]} to {RATES[-1]}, "
            "e.g. sample_rate=44100"
        )
    return int(sample_rate)


def _as_array(wave: object) -> NDArray[Any]:
    try:
        array = _converted(wave)
    except (ValueError, TypeError, RuntimeError) as error:
        raise _no_array(wave) from error
    if not np.issubdtype(array.dtype, np.number):
        raise _no_array(wave)
    return array


def _converted(wave: object) -> NDArray[Any]:
    if not isinstance(wave, torch.Tensor):
        return np.asarray(wave)
    held = wave.detach().cpu()
    return held.float().numpy() if held.is_floating_point() else held.numpy()


def _no_array(wave: object) -> DecodeError:
    return DecodeError(
        f"The waveform of type {type(wave).__name__} is not an array of numbers. Give a NumPy "
        "array or a torch tensor of floats of shape (frames, channels)"
    )


def _advice(array: NDArray[Any]) -> list[str]:
    """How to convert an array that is no waveform."""
    advice = []
    if np.issubdtype(array.dtype, np.signedinteger):
        full_scale = -int(np.iinfo(array.dtype).min)
        if full_scale > 2**31:  # such arrays hold smaller numbers
            advice.append("; divide integers by their full scale, e.g. wave / 32768 for 16 bit")
        else:
            advice.append(f"; divide integers by full scale: wave / {full_scale}")
    if array.dtype == np.uint8:
        advice.append("; center and divide: (wave.astype(float) - 128) / 128")
    if array.ndim == 1:
        advice.append("; add the axis of channels: wave[:, None]")
    return advice
