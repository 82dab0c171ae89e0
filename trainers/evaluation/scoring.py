"""Scores the estimates of a song, by our BSSEval or by museval, and stores them as museval does."""

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
from trainers.metrics.bsseval import FrameScores, bss_eval, fitted
from trainers.metrics.sdr import global_sdr, si_sdr

FRAMEWISE = ("SDR", "ISR", "SIR", "SAR")
"""BSSEval's ratios, each with a value for every window."""

WHOLE = {"global_sdr": "global SDR", "si_sdr": "SI-SDR"}
"""Metrics with one value for a song, by their keys in files."""

MUSEVAL = "0.4.1"
"""The version of museval whose layout this is."""


@dataclass(frozen=True)
class StemScores:
    """One stem of one song, in dB; not a number where something is silent.

    Attributes:
        name: of the stem.
        frames: values of each of BSSEval's ratios, window by window.
        whole: one value for each metric of ``WHOLE``.
    """

    name: str
    frames: Mapping[str, Sequence[float]]
    whole: Mapping[str, float]

    def rounded(self) -> StemScores:
        """With five decimals and no infinity, as museval keeps them: what files give back."""
        frames = {metric: tuple(map(_rounded, values)) for metric, values in self.frames.items()}
        whole = {metric: _rounded(value) for metric, value in self.whole.items()}
        return StemScores(self.name, frames, whole)


@dataclass(frozen=True)
class TrackScores:
    """All stems of one song.

    Attributes:
        track: name of the song.
        window: seconds of a window.
        hop: seconds between the beginnings of windows.
        stems: in the order of the references.
        provenance: all that decided the scores, as plain values.
    """

    track: str
    window: float
    hop: float
    stems: tuple[StemScores, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def save(self, file: Path) -> None:
        """Write the file that museval's ``EvalStore`` reads; it is complete or not there."""
        with staged(file) as place:
            place.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """The layout of museval, with a few keys beside that it passes over."""
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
    """Read what :meth:`TrackScores.save` or museval wrote.

    Raises:
        DecodeError: it cannot be read, or it is something else.
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
            f"{file} is no file of scores ({error!r}): remove it, and stem eval makes it anew."
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
"""An estimate: (channel, time), maybe others than those of the song."""

Measure: TypeAlias = Callable[[Tensor, Tensor, int, int], FrameScores]

VOCALS, ACCOMPANIMENT = "vocals", "accompaniment"
ALIASES = {"instrumental": ACCOMPANIMENT, "no_vocals": ACCOMPANIMENT, "backing": ACCOMPANIMENT}
"""Names that programs have for all but the vocals."""


@dataclass(frozen=True)
class Scorer:
    """How estimates are measured.

    Attributes:
        window: of BSSEval, in samples.
        hop: of BSSEval, in samples.
        measure: BSSEval, ours or the reference implementation.
        device: where that computes.
    """

    window: int
    hop: int
    measure: Measure = bss_eval
    device: str = "cpu"

    def __call__(
        self, estimates: Mapping[str, Made], references: Waves, mixture: Wave | None = None
    ) -> tuple[StemScores, ...]:
        """Scores of all stems that both have, paired by name, in the order of the references.

        All names of :data:`ALIASES` are one name.

        Vocals and accompaniment are judged as a pair, all others together, as museval does it. A
        stem that is alone is judged beside the rest of the song.

        Args:
            estimates: waveforms by name; cut or filled with zeros to the length of the references.
            references: the true ones.
            mixture: the song; without it a stem that is alone has no SIR.

        Raises:
            DecodeError: they share no name, one has two names, they differ in channels, or an
                estimate holds NaN or infinity.
        """
        _require_one_name(estimates)
        _require_one_name(references)
        named = {canonical(name): wave for name, wave in estimates.items()}
        shared = [name for name in references if canonical(name) in named]
        if not shared:
            found = ", ".join(estimates) or "nothing"
            raise DecodeError(f"{found} is none of the true stems {', '.join(references)}")
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
        """BSSEval of stems that are judged together."""
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
        """On the processor where the device has no room beside the network."""
        try:
            return self.measure(made.to(self.device), true.to(self.device), self.window, self.hop)
        except torch.OutOfMemoryError:
            return self.measure(made, true, self.window, self.hop)


def scenarios(names: Iterable[str]) -> list[list[str]]:
    """Which stems are judged together, as museval does it.

    Accompaniment is the sum of the others, so it and the vocals are a pair of their own, and it is
    from there that the vocals have their scores.
    """
    known = {canonical(name): name for name in names}
    if not {VOCALS, ACCOMPANIMENT} <= known.keys():
        return [list(known.values())]
    pair = [known[VOCALS], known.pop(ACCOMPANIMENT)]
    return [list(known.values()), pair] if len(known) > 1 else [pair]


def canonical(name: str) -> str:
    """The name that MUSDB18 has for a stem."""
    return ALIASES.get(name, name)


def _require_one_name(waves: Iterable[str]) -> None:
    first: dict[str, str] = {}
    for name in waves:
        other = first.setdefault(canonical(name), name)
        if other != name:
            raise DecodeError(f"{other} and {name} are two names of one stem: leave one out")


def _fitted(name: str, estimate: Made, reference: Wave) -> Wave:
    """With the length of the true stem."""
    if len(estimate) != len(reference):
        raise DecodeError(
            f"{name} is {layout(len(estimate))} and the true stem {layout(len(reference))}: make"
            " both of one song, with the same channels"
        )
    if not estimate.isfinite().all():
        raise DecodeError(f"{name} holds NaN or infinity")
    return fitted(estimate, reference.shape[-1])


def layout(channels: int) -> str:
    """``mono``, ``stereo``, or so many channels."""
    return {1: "mono", 2: "stereo"}.get(channels, f"of {channels} channels")


def _whole(estimate: Wave, reference: Wave) -> dict[str, float]:
    """Scores of the whole song; none where the true stem is silent, or the estimate for SI-SDR."""
    if not reference.any():
        return {"global_sdr": math.nan, "si_sdr": math.nan}
    invariant = float(si_sdr(estimate, reference)) if estimate.any() else math.nan
    return {"global_sdr": float(global_sdr(estimate, reference)), "si_sdr": invariant}


Backend = Literal["torch", "museval"]


def find_measure(backend: Backend) -> Measure:
    """BSSEval by its name.

    Raises:
        MissingExtraError: museval is not installed.
        FfmpegMissingError: museval does not work without ffmpeg and ffprobe.
    """
    if backend == "torch":
        return bss_eval
    require_package("museval", "eval")
    require_ffprobe("museval")
    return by_museval


def measuring_device(device: str) -> str:
    """Where our BSSEval computes beside a network: on its GPU, if that has double precision.

    Args:
        device: as ``--device`` has it.
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
        DecodeError: a stem is silent from beginning to end, or true stems depend on each other,
            where museval has no answer.
    """
    import museval

    sides = (np.asarray(side.cpu().double().movedim(1, 2)) for side in (reference, estimate))
    try:
        ratios = museval.evaluate(*sides, win=window, hop=hop)
    except (ValueError, np.linalg.LinAlgError, AttributeError) as error:
        # AttributeError: museval 0.4.1 looks for np.linalg.linalg, which is gone from NumPy 2.
        raise DecodeError(f"museval has no scores of it ({error}): type --backend torch") from error
    return FrameScores(*map(torch.from_numpy, ratios))
