"""The songs of MUSDB18 and MUSDB18-HQ, read by the package musdb.

Source: Rafii, Liutkus, Stöter, Mimilakis and Bittner, "The MUSDB18 corpus for music separation"
(2017), https://doi.org/10.5281/zenodo.1117372, and in HQ https://doi.org/10.5281/zenodo.3338373.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import torch

from model_zoo.errors import DecodeError, StorageError, UsageError, first_line
from trainers.data.layouts.listing import folders, listed, sound_streams, sounds
from trainers.data.layouts.musdb18 import ENDING, musdb_settings, stem_files
from trainers.evaluation.scoring import ACCOMPANIMENT, VOCALS, Wave
from trainers.evaluation.tracks import TrackAudio


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

    def load(self) -> TrackAudio:
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
        sound = TrackAudio(mixture, {name: wave for name, (wave, _) in read.items()}, rate)
        others = [wave for name, wave in sound.references.items() if name != VOCALS]
        accompaniment = torch.stack(others).sum(0)
        return TrackAudio(mixture, {**sound.references, ACCOMPANIMENT: accompaniment}, rate)

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


Subset = Literal["test", "train", "valid"]
ROOT = "MUSDB_PATH"
"""The variable that musdb reads."""

SIZES: Mapping[Subset, int] = {"test": 50, "train": 100, "valid": 14}
"""Songs in each subset of MUSDB18."""

LEAST_SECONDS = 30.0
"""Mean length below which songs are excerpts; those of MUSDB18 have four minutes, musdb's sample
seven seconds."""

SAMPLE = Path("~/MUSDB18/MUSDB18-7")
"""Where musdb puts its excerpts of seven seconds."""

WHERE = (
    "get MUSDB18 at https://doi.org/10.5281/zenodo.1117372 or MUSDB18-HQ at"
    " https://doi.org/10.5281/zenodo.3338373 and type --root DIR"
)
SAMPLES = "or type --sample for excerpts of seven seconds (140 MB)"


def musdb_tracks(
    root: Path | None, subset: Subset = "test", *, is_wav: bool = False
) -> list[MusdbTrack]:
    """The songs of a subset, by name.

    Args:
        root: folder with ``train/`` and ``test/``; ``MUSDB_PATH`` names it otherwise.
        subset: ``valid`` are those of ``train/`` that musdb names for validation.
        is_wav: look for folders of wav files alone. Both forms are found without.

    Raises:
        UsageError: no folder is named, or it has no such songs, or one in both forms.
        FfmpegMissingError: musdb does not work without ffmpeg and ffprobe.
        MissingExtraError: musdb is not installed.
    """
    root = require_data(root, subset, is_wav=is_wav)
    settings = musdb_settings(root, "eval")
    found = _listed(root / _folder_of(subset), settings, is_wav)
    names = {*settings["validation_tracks"]} if subset == "valid" else None
    tracks = [track for track in found if names is None or track.name in names]
    twice = [name for name, count in Counter(track.name for track in tracks).items() if count > 1]
    if twice:
        raise UsageError(f"{root} has {twice[0]} in both forms: type --is-wav")
    if not tracks:
        raise UsageError(_no_songs(root, subset, is_wav))
    return tracks


def require_data(root: Path | None, subset: Subset, *, is_wav: bool = False) -> Path:
    """The folder of the songs, after a look for any that needs no package to be installed.

    Raises:
        UsageError: no folder is named, or it has no such songs.
    """
    root = find_root(root)
    place = root / _folder_of(subset)
    looked = ["*/*.wav", *([] if is_wav else [f"*{ENDING}"])]
    if not any(path for pattern in looked for path in place.glob(pattern)):
        raise UsageError(_no_songs(root, subset, is_wav))
    return root


def _no_songs(root: Path, subset: Subset, is_wav: bool) -> str:
    """What was looked for, and where the songs are if they are near."""
    looked = "" if is_wav else f"*{ENDING} or "
    told = f"{root} has no songs in {_folder_of(subset)}/ ({looked}folders with mixture.wav): "
    if root.resolve().name in ("test", "train"):
        return told + f"type the folder above, --root {root.resolve().parent}"
    return told + f"{WHERE}, {SAMPLES}"


def _folder_of(subset: Subset) -> str:
    return "train" if subset == "valid" else subset


def find_root(root: Path | None) -> Path:
    """The folder that was typed, or that ``MUSDB_PATH`` names.

    Raises:
        UsageError: neither is there.
    """
    named = root or (Path(os.environ[ROOT]) if os.environ.get(ROOT) else None)
    if named is None:
        raise UsageError(
            f"No songs: neither --root nor {ROOT} names a folder. To have some, {WHERE}, {SAMPLES}"
        )
    if not named.expanduser().is_dir():
        by = "--root" if root else ROOT
        raise UsageError(f"{by} names {named}, which is no folder. To have one, {WHERE}, {SAMPLES}")
    return named.expanduser()


def dataset(tracks: Sequence[MusdbTrack], subset: Subset, seconds: float) -> str:
    """What was measured on, in the words of tables and cards.

    Excerpts, a part of MUSDB18 and songs that only have its form do not get its name.

    Args:
        tracks: the songs.
        subset: which they are of.
        seconds: their mean length.
    """
    form = f"{' and '.join(sorted({track.form for track in tracks}))} {subset}"
    if is_musdb18(tracks, subset, seconds):
        return form
    kind = "songs" if seconds >= LEAST_SECONDS else f"excerpts of {seconds:.0f} s"
    what = tracks[0].name if len(tracks) == 1 else f"{len(tracks)} {kind}"
    return f"{what} in the form of {form}"


def is_musdb18(tracks: Sequence[MusdbTrack], subset: Subset, seconds: float) -> bool:
    """Whether a subset is all there, in full length."""
    return len(tracks) == SIZES[subset] and seconds >= LEAST_SECONDS


def fetch_sample() -> Path:
    """The excerpts of seven seconds that musdb has, downloaded unless they are there.

    Raises:
        StorageError: they cannot be downloaded.
        FfmpegMissingError: musdb does not work without ffmpeg and ffprobe.
        MissingExtraError: musdb is not installed.
    """
    place = SAMPLE.expanduser()
    musdb_settings(place, "eval")
    import musdb

    try:
        with contextlib.redirect_stdout(sys.stderr):  # musdb prints where programs read
            musdb.DB(root=str(place), download=True, subsets=[])
    except (OSError, RuntimeError, HTTPException, BadZipFile) as error:
        with contextlib.suppress(OSError):
            place.rmdir()  # musdb made it; where something is in it, it stays
        raise StorageError(
            f"The excerpts cannot be downloaded to {place} ({first_line(error)}):"
            f" go online, or {WHERE}"
        ) from error
    return place


def _listed(folder: Path, settings: Mapping[str, Any], is_wav: bool) -> list[MusdbTrack]:
    if not folder.is_dir():
        return []
    parts = [settings["mixture"], *settings["sources"].values()]
    songs = [each for each in folders(folder) if any((each / part).is_file() for part in parts)]
    found = [song / settings["mixture"] for song in songs]
    found += [] if is_wav else stem_files(folder)
    tracks = [MusdbTrack(path, folder.name, settings) for path in found]
    return sorted(tracks, key=lambda track: track.name)
