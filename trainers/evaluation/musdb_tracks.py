"""A song of MUSDB18 or MUSDB18-HQ, read by the package musdb."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model_zoo.errors import DecodeError, first_line
from trainers.data.layouts.listing import listed, sounds
from trainers.data.layouts.musdb18 import ENDING
from trainers.data.layouts.probing import sound_streams
from trainers.evaluation.judge import ACCOMPANIMENT, VOCALS, Wave
from trainers.evaluation.tracks import Sound


@dataclass(frozen=True)
class MusdbTrack:
    """A song of musdb: a ``.stem.mp4``, or a folder of wav files.

    musdb opens all songs of a set when it lists them, and one that is damaged would stop it. Here
    each is opened when its turn comes.

    Attributes:
        path: the file, or the mixture in the folder.
        subset: the folder it is in.
        settings: musdb's own, which name files, streams and targets.
    """

    path: Path
    subset: str
    settings: Mapping[str, Any]

    @property
    def is_wav(self) -> bool:
        """Whether it is of MUSDB18-HQ."""
        return not self.path.name.endswith(ENDING)

    @property
    def folder(self) -> Path:
        """Where all songs of its subset are."""
        return self.path.parent.parent if self.is_wav else self.path.parent

    @property
    def form(self) -> str:
        """Which of the two data sets has such songs."""
        return "MUSDB18-HQ" if self.is_wav else "MUSDB18"

    @property
    def name(self) -> str:
        """Artist and title."""
        return self.path.parent.name if self.is_wav else self.path.name.removesuffix(ENDING)

    @property
    def stamp(self) -> Mapping[str, Any]:
        """Its name, and the sizes in bytes and times of change of its files."""
        files = sounds(self.path.parent) if self.is_wav else [self.path]
        stats = {file.name: file.stat() for file in files}
        changes = {name: [each.st_size, each.st_mtime_ns] for name, each in stats.items()}
        return {"song": self.name, "files": changes}

    def load(self) -> Sound:
        """The mixture, the stems and the accompaniment, in 16 bit as musdb decodes them.

        Raises:
            DecodeError: a file is not there, musdb cannot read it, or they do not go together.
        """
        self._require_files()
        for place in self._places:
            with _told(place):
                sound_streams(place)  # or it is something that musdb must not open
        with _told(self.path):
            track = self._opened()
        mixture, rate = _read(track, self.path)
        read = {name: _read(each, Path(each.path)) for name, each in track.sources.items()}
        sound = Sound(mixture, {name: wave for name, (wave, _) in read.items()}, rate)
        others = [wave for name, wave in sound.references.items() if name != VOCALS]
        accompaniment = torch.stack(others).sum(0)
        return Sound(mixture, {**sound.references, ACCOMPANIMENT: accompaniment}, rate)

    def _require_files(self) -> None:
        """Without a stem musdb says nothing, and the accompaniment would lack it."""
        missing = [place.name for place in self._places if not place.exists()]
        if missing:
            raise DecodeError(f"{self.path.parent} lacks {listed(missing)}: get the song again")

    @property
    def _places(self) -> list[Path]:
        """All of its files, the mixture first."""
        sources = map(self._source, self.settings["sources"].values())
        return list(dict.fromkeys([self.path, *sources]))

    def _opened(self) -> Any:
        """As ``musdb.DB`` makes its tracks, by paths that ffmpeg cannot take for addresses."""
        from musdb.audio_classes import MultiTrack, Source

        ids = self.settings["stem_ids"]
        track = MultiTrack(
            name=self.name,
            path=str(self.path.absolute()),
            subset=self.subset,
            is_wav=self.is_wav,
            stem_id=ids["mixture"],
        )
        paths = {name: self._source(file) for name, file in self.settings["sources"].items()}
        track.sources = {
            name: Source(track, name=name, path=str(path.absolute()), stem_id=ids[name])
            for name, path in paths.items()
        }
        return track

    def _source(self, file: str) -> Path:
        return self.path.parent / file if self.is_wav else self.path


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever ffmpeg, stempeg and numpy raise in musdb is one sentence about a file."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        reason = first_line(error).removesuffix(" (see ffprobe output below)")
        raise DecodeError(f"musdb cannot read {path} ({reason}): get it again") from error


def _read(source: Any, path: Path) -> tuple[Wave, int]:
    """What musdb hears in a file, and its sample rate in Hz."""
    with _told(path):
        return _wave(source.audio), round(source.rate)


def _wave(audio: Any) -> Wave:
    """From (time, channel) in double precision; a file of one channel has no axis for it."""
    wave = torch.from_numpy(audio).float()
    return wave.reshape(len(wave), -1).T.contiguous()
