"""Scores the estimates of a song with BSSEval (ours or museval's), in museval's file format."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from model_zoo.errors import DecodeError, require_package
from model_zoo.files import staged
from model_zoo.parsing import parse_json
from stemcli.engine.device import resolve_device
from trainers.data.layouts.musdb18 import require_ffprobe
from trainers.evaluation.metric_table import FRAMEWISE, WHOLE
from trainers.metrics.bsseval import FrameScores, bss_eval, fitted
from trainers.metrics.sdr import global_sdr, si_sdr

MUSEVAL = "0.4.1"
"""Version of museval with this file format."""


@dataclass(frozen=True)
class StemScores:
    """Scores of one stem of one song in dB; NaN if something is silent.

    Attributes:
        name: name of the stem.
        frames: values of each of BSSEval's ratios, window by window.
        whole: value of each metric of ``WHOLE``.
    """

    name: str
    frames: Mapping[str, Sequence[float]]
    whole: Mapping[str, float]

    def rounded(self) -> StemScores:
        """Round to five decimals and replace infinity by NaN, as museval's files do."""
        frames = {metric: tuple(map(_rounded, values)) for metric, values in self.frames.items()}
        whole = {metric: _rounded(value) for metric, value in self.whole.items()}
        return StemScores(self.name, frames, whole)


@dataclass(frozen=True)
class TrackScores:
    """Scores of all stems of one song.

    Attributes:
        track: name of the song.
        window: window length in seconds.
        hop: distance between starts of windows, in seconds.
        stems: scores in the order of the references.
        provenance: all inputs and settings behind the scores, as plain values.
    """

    track: str
    window: float
    hop: float
    stems: tuple[StemScores, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def save(self, file: Path) -> None:
        """Write the file that museval's ``EvalStore`` reads, atomically."""
        with staged(file) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """Return museval's layout, plus a few keys that museval ignores."""
        targets = [self._target(stem) for stem in self.stems]
        ours = {"song": self.track, "stem": dict(self.provenance)}
        return {"targets": targets, "museval_version": MUSEVAL, **ours}

    def _target(self, stem: StemScores) -> dict[str, Any]:
        rows = zip(*(stem.frames[metric] for metric in FRAMEWISE), strict=True)
        frames = [
            {
                "time": number * self.hop,
                "duration": self.window,
                "metrics": dict(zip(FRAMEWISE, row, strict=True)),
            }
            for number, row in enumerate(rows)
        ]
        return {"name": stem.name, "frames": frames, **stem.whole}


def load_scores(file: Path) -> TrackScores:
    """Read a file of :meth:`TrackScores.save` or museval.

    Raises:
        DecodeError: the file is unreadable or not a score file.
    """
    try:
        values = parse_json(file.read_text(encoding="utf-8"))
        stems = tuple(_stem(target) for target in values["targets"])
        frames = values["targets"][0]["frames"]
        hop = frames[1]["time"] if len(frames) > 1 else frames[0]["duration"]
        provenance = values.get("stem", {})
        song = values.get("song", file.stem)
        return TrackScores(song, frames[0]["duration"], hop, stems, provenance)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DecodeError(
            f"{file} is not a valid score file ({error!r}): delete it and stem eval will recreate"
            f" it"
        ) from error


def _stem(target: Mapping[str, Any]) -> StemScores:
    rows = [frame["metrics"] for frame in target["frames"]]
    frames = {metric: tuple(float(row[metric]) for row in rows) for metric in FRAMEWISE}
    whole = {metric: float(target[metric]) for metric in WHOLE if metric in target}
    return StemScores(target["name"], frames, whole)


def _rounded(value: float) -> float:
    return math.nan if math.isinf(value) else round(value, 5)


Wave: TypeAlias = Float[Tensor, "channel time"]
Waves: TypeAlias = Mapping[str, Wave]
Made: TypeAlias = Float[Tensor, "_ _"]
"""An estimate: (channel, time), whose sizes may differ from the song's."""

Measure: TypeAlias = Callable[[Tensor, Tensor, int, int], FrameScores]

VOCALS, ACCOMPANIMENT = "vocals", "accompaniment"
ALIASES = {"instrumental": ACCOMPANIMENT, "no_vocals": ACCOMPANIMENT, "backing": ACCOMPANIMENT}
"""Names that programs use for everything but the vocals."""


@dataclass(frozen=True)
class Scorer:
    """Scores estimates with given settings.

    Attributes:
        window: BSSEval's window in samples.
        hop: BSSEval's hop in samples.
        measure: BSSEval implementation.
        device: device of the computation.
    """

    window: int
    hop: int
    measure: Measure = bss_eval
    device: str = "cpu"

    def __call__(
        self, estimates: Mapping[str, Made], references: Waves, mixture: Wave | None = None
    ) -> tuple[StemScores, ...]:
        """Score all stems that both sides have, paired by name, in the order of the references.

        All names of :data:`ALIASES` count as the same name.

        Vocals and accompaniment are scored as a pair, and all others together, as in museval. A
        single stem is scored along with the rest of the song.

        Args:
            estimates: waveforms by name; cut or zero-padded to the length of the references.
            references: true stems.
            mixture: the song; without it a single stem has no SIR.

        Raises:
            DecodeError: they share no name, a stem has two names, channels differ, or an estimate
                contains NaN or infinity.
        """
        _require_one_name(estimates)
        _require_one_name(references)
        named = {canonical(name): wave for name, wave in estimates.items()}
        shared = [name for name in references if canonical(name) in named]
        if not shared:
            found = ", ".join(estimates) or "nothing"
            raise DecodeError(f"{found} is not one of the true stems {', '.join(references)}")
        made = {name: _fitted(name, named[canonical(name)], references[name]) for name in shared}
        frames: dict[str, dict[str, tuple[float, ...]]] = {}
        for names in scenarios(shared):
            frames |= self._framewise(names, made, references, mixture)
        return tuple(
            StemScores(name, frames[name], _whole(made[name], references[name])) for name in shared
        )

    def _framewise(
        self, names: Sequence[str], estimates: Waves, references: Waves, mixture: Wave | None
    ) -> dict[str, dict[str, tuple[float, ...]]]:
        """Compute BSSEval of stems that are scored together."""
        made, true = (
            torch.stack([side[name] for name in names]) for side in (estimates, references)
        )
        if len(names) == 1 and mixture is not None and not mixture.equal(true[0]):
            made, true = (torch.cat([side, mixture[None] - side]) for side in (made, true))
        scores = self._measured(made, true)
        ratios = {"SDR": scores.sdr, "ISR": scores.isr, "SIR": scores.sir, "SAR": scores.sar}
        return {
            name: {metric: tuple(values[index].tolist()) for metric, values in ratios.items()}
            for index, name in enumerate(names)
        }

    def _measured(self, made: Tensor, true: Tensor) -> FrameScores:
        """Retry on the CPU if the GPU has too little memory left beside the network."""
        try:
            return self.measure(made.to(self.device), true.to(self.device), self.window, self.hop)
        except torch.OutOfMemoryError:
            return self.measure(made, true, self.window, self.hop)


def scenarios(names: Iterable[str]) -> list[list[str]]:
    """Group stems that are scored together, as museval does.

    The accompaniment is the sum of the others, so it forms a separate pair with the vocals, from
    which the vocals' scores are taken.
    """
    known = {canonical(name): name for name in names}
    if not {VOCALS, ACCOMPANIMENT} <= known.keys():
        return [list(known.values())]
    pair = [known[VOCALS], known.pop(ACCOMPANIMENT)]
    return [list(known.values()), pair] if len(known) > 1 else [pair]


def canonical(name: str) -> str:
    """Return MUSDB18's name of a stem."""
    return ALIASES.get(name, name)


def _require_one_name(waves: Iterable[str]) -> None:
    first: dict[str, str] = {}
    for name in waves:
        other = first.setdefault(canonical(name), name)
        if other != name:
            raise DecodeError(f"{other} and {name} are two names of one stem: remove one")


def _fitted(name: str, estimate: Made, reference: Wave) -> Wave:
    """Cut or zero-pad an estimate to the length of the true stem."""
    if len(estimate) != len(reference):
        raise DecodeError(
            f"{name} is {layout(len(estimate))} but the true stem is {layout(len(reference))}:"
            " convert one of them"
        )
    if not estimate.isfinite().all():
        raise DecodeError(f"{name} contains NaN or infinity")
    return fitted(estimate, reference.shape[-1])


def layout(channels: int) -> str:
    """Return ``mono``, ``stereo``, or the number of channels."""
    return {1: "mono", 2: "stereo"}.get(channels, f"of {channels} channels")


def _whole(estimate: Wave, reference: Wave) -> dict[str, float]:
    """Score the whole song; NaN if the true stem is silent, or the estimate for SI-SDR."""
    if not reference.any():
        return {"global_sdr": math.nan, "si_sdr": math.nan}
    invariant = float(si_sdr(estimate, reference)) if estimate.any() else math.nan
    return {"global_sdr": float(global_sdr(estimate, reference)), "si_sdr": invariant}


Backend = Literal["torch", "museval"]


def find_measure(backend: Backend) -> Measure:
    """Return an implementation of BSSEval by name.

    Raises:
        MissingExtraError: museval is not installed.
        FfmpegMissingError: museval needs ffmpeg and ffprobe.
    """
    if backend == "torch":
        return bss_eval
    require_package("museval", "eval")
    require_ffprobe("museval")
    return by_museval


def measuring_device(device: str) -> str:
    """Return the device for our BSSEval: the network's GPU if that supports double precision.

    Args:
        device: value of ``--device``.
    """
    found = resolve_device(device)
    return str(found) if found.type == "cuda" else "cpu"


def by_museval(
    estimate: Float[Tensor, "stem channel time"],
    reference: Float[Tensor, "stem channel time"],
    window: int,
    hop: int,
) -> FrameScores:
    """BSSEval version 4 by museval (https://github.com/sigsep/sigsep-mus-eval).

    Raises:
        DecodeError: museval fails, because a stem is silent throughout or true stems are linearly
            dependent.
    """
    import museval

    sides = (np.asarray(side.cpu().double().movedim(1, 2)) for side in (reference, estimate))
    try:
        ratios = museval.evaluate(*sides, win=window, hop=hop)
    except (ValueError, np.linalg.LinAlgError, AttributeError) as error:
        # AttributeError: museval 0.4.1 looks for np.linalg.linalg, which NumPy 2 removed.
        raise DecodeError(f"museval has no scores of it ({error}). Add --backend torch") from error
    return FrameScores(*map(torch.from_numpy, ratios))
