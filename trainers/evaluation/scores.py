"""The scores of one song, which lie on disk as museval writes them, so that its tools read them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_zoo.errors import DecodeError
from model_zoo.files import staged
from model_zoo.plain import parse_json

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
        made_by: all that decided the scores, as plain values.
    """

    track: str
    window: float
    hop: float
    stems: tuple[StemScores, ...]
    made_by: Mapping[str, Any] = field(default_factory=dict)

    def save(self, file: Path) -> None:
        """Write the file that museval's ``EvalStore`` reads; it is complete or not there."""
        with staged(file) as place:
            place.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """The layout of museval, with a few keys beside that it passes over."""
        targets = [self._target(stem) for stem in self.stems]
        ours = {"song": self.track, "stem": dict(self.made_by)}
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
        made_by = values.get("stem", {})
        song = values.get("song", file.stem)
        return TrackScores(song, frames[0]["duration"], hop, stems, made_by)
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
