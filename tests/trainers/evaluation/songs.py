"""Songs in memory and on disk for evaluations, of noise, so that every window has scores."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import soundfile
import torch

from model_zoo.errors import DecodeError
from stemcli.audio.ffmpeg_binary import find_ffmpeg
from trainers.data.synthetic import render_songs
from trainers.evaluation.scoring import Wave, Waves
from trainers.evaluation.tracks import EvaluationTrack, TrackAudio

RATE = 8000
STREAMS = ("mixture", "drums", "bass", "other", "vocals")
"""Streams of a ``.stem.mp4``, in musdb's order."""


def noise(seed: int, seconds: float = 2.0, channels: int = 1) -> Wave:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(channels, round(seconds * RATE), generator=generator)


@dataclass
class NoiseTrack:
    """A track with vocals and accompaniment; counts how often it is read."""

    name: str
    seed: int = 0
    seconds: float = 2.0
    is_broken: bool = False
    read: int = 0

    @property
    def stamp(self) -> Mapping[str, Any]:
        return {"song": self.name, "seed": self.seed}

    def load(self) -> TrackAudio:
        self.read += 1
        if self.is_broken:
            raise DecodeError(f"{self.name} is damaged")
        voice, band = (noise(self.seed + number, self.seconds) for number in (1, 2))
        return TrackAudio(voice + band, {"vocals": voice, "accompaniment": band}, RATE)


@dataclass
class LeakingMethod:
    """A method whose estimates contain a share of the other stem; records its calls."""

    name: str = "leaking"
    share: float = 0.1
    calls: list[str] = field(default_factory=list)
    failing: Sequence[str] = ()

    def settings(self, track: EvaluationTrack) -> Mapping[str, Any]:
        return {"share": self.share}

    def estimate(self, track: EvaluationTrack, sound: TrackAudio) -> Waves:
        self.calls.append(track.name)
        if track.name in self.failing:
            raise DecodeError("no estimate for this one")
        voice, band = sound.references.values()
        return {
            "vocals": voice + self.share * band,
            "instrumental": band + self.share * voice,
        }


def write(path: Path, wave: Wave, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave.T.numpy(), rate, subtype="FLOAT")


def render_musdb(root: Path, songs: int = 2, seconds: float = 3.0) -> tuple[Path, Path]:
    """Render the same songs in the forms of MUSDB18-HQ and MUSDB18, the latter lossless (ALAC).

    Returns:
        Folder with wav files, folder with ``.stem.mp4``.
    """
    render_songs(root / "songs", songs=songs, seconds=seconds, sample_rate=44100, seed=7)
    for number, song in enumerate(sorted((root / "songs").iterdir())):
        name = f"Nobody - Song {number + 1}"
        for subset in ("train", "test"):
            (root / "hq" / subset).mkdir(parents=True, exist_ok=True)
            (root / "mp4" / subset).mkdir(parents=True, exist_ok=True)
        folder = root / "hq" / "test" / name
        folder.mkdir()
        for stream in STREAMS:
            wave, rate = soundfile.read(song / f"{stream}.wav")
            soundfile.write(folder / f"{stream}.wav", wave, rate, subtype="PCM_16")
        join(folder, root / "mp4" / "test" / f"{name}.stem.mp4")
    return root / "hq", root / "mp4"


def join(folder: Path, file: Path) -> None:
    """Join five wav files into one file with five streams."""
    inputs = [word for stream in STREAMS for word in ("-i", str(folder / f"{stream}.wav"))]
    maps = [word for number in range(len(STREAMS)) for word in ("-map", f"{number}:a")]
    words = [find_ffmpeg(), "-y", "-loglevel", "error", *inputs, *maps, "-c:a", "alac"]
    subprocess.run([*words, "-f", "mp4", str(file)], check=True)
