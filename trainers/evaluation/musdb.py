"""Reads the songs of MUSDB18 and MUSDB18-HQ through the package musdb.

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
    """A song of musdb: a ``.stem.mp4``, or a folder of WAV files.

    musdb opens all songs of a set when it lists them, so that a damaged one would stop the
    evaluation. Here each song is opened when it is scored.

    Attributes:
        path: the file, or the mixture in the folder.
        subset: name of its parent folder.
        settings: musdb's configuration of files, stems and targets.
    """

    path: Path
    subset: str
    settings: Mapping[str, Any]

    @property
    def is_wav(self) -> bool:
        """Whether the song belongs to MUSDB18-HQ."""
        return not self.path.name.endswith(ENDING)

    @property
    def folder(self) -> Path:
        """Folder of all songs of its subset."""
        return self.path.parent.parent if self.is_wav else self.path.parent

    @property
    def form(self) -> str:
        """Name of the data set with this file format."""
        return "MUSDB18-HQ" if self.is_wav else "MUSDB18"

    @property
    def name(self) -> str:
        """Artist and title."""
        return self.path.parent.name if self.is_wav else self.path.name.removesuffix(ENDING)

    @property
    def stamp(self) -> Mapping[str, Any]:
        """Name, and sizes in bytes and modification times of its files."""
        files = sounds(self.path.parent) if self.is_wav else [self.path]
        stats = {file.name: file.stat() for file in files}
        changes = {name: [each.st_size, each.st_mtime_ns] for name, each in stats.items()}
        return {"song": self.name, "files": changes}

    def load(self) -> TrackAudio:
        """Read mixture, stems and accompaniment in 16 bit as musdb decodes them.

        Raises:
            DecodeError: a file is missing, musdb cannot read it, or files do not match.
        """
        self._require_files()
        for path in self._files:
            with _explain_errors(path):
                sound_streams(path)  # rejects files that musdb must not open
        with _explain_errors(self.path):
            track = self._opened()
        mixture, rate = _read(track, self.path)
        read = {name: _read(each, Path(each.path)) for name, each in track.sources.items()}
        sound = TrackAudio(mixture, {name: wave for name, (wave, _) in read.items()}, rate)
        others = [wave for name, wave in sound.references.items() if name != VOCALS]
        accompaniment = torch.stack(others).sum(0)
        return TrackAudio(mixture, {**sound.references, ACCOMPANIMENT: accompaniment}, rate)

    def _require_files(self) -> None:
        """Check for missing stems: musdb ignores them, and the accompaniment would lack them."""
        missing = [path.name for path in self._files if not path.exists()]
        if missing:
            raise DecodeError(f"{self.path.parent} lacks {listed(missing)}: download it again")

    @property
    def _files(self) -> list[Path]:
        """Return all files of the song, the mixture first."""
        sources = map(self._source, self.settings["sources"].values())
        return list(dict.fromkeys([self.path, *sources]))

    def _opened(self) -> Any:
        """Build tracks as ``musdb.DB`` does, with paths that ffmpeg cannot mistake for URLs."""
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
def _explain_errors(path: Path) -> Iterator[None]:
    """Convert any exception of ffmpeg, stempeg or numpy inside musdb into a DecodeError."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        reason = first_line(error).removesuffix(" (see ffprobe output below)")
        raise DecodeError(f"musdb cannot read {path} ({reason}). Download it again") from error


def _read(source: Any, path: Path) -> tuple[Wave, int]:
    """Read a file through musdb; returns audio and sample rate in Hz."""
    with _explain_errors(path):
        return _wave(source.audio), round(source.rate)


def _wave(audio: Any) -> Wave:
    """Convert (time, channel) in double precision; mono files have no channel axis."""
    wave = torch.from_numpy(audio).float()
    return wave.reshape(len(wave), -1).T.contiguous()


Subset = Literal["test", "train", "valid"]
ROOT = "MUSDB_PATH"
"""Environment variable that musdb reads."""

SIZES: Mapping[Subset, int] = {"test": 50, "train": 100, "valid": 14}
"""Number of songs in each subset of MUSDB18."""

LEAST_SECONDS = 30.0
"""Mean length below which songs are excerpts: MUSDB18's songs have four minutes, musdb's excerpts
seven seconds."""

SAMPLE = Path("~/MUSDB18/MUSDB18-7")
"""Folder that musdb downloads its seven-second excerpts to."""

WHERE = (
    "get MUSDB18 at https://doi.org/10.5281/zenodo.1117372 or MUSDB18-HQ at"
    " https://doi.org/10.5281/zenodo.3338373 and use --root DIR"
)
SAMPLES = "or use --sample for excerpts of seven seconds (140 MB)"


def musdb_tracks(
    root: Path | None, subset: Subset = "test", *, is_wav: bool = False
) -> list[MusdbTrack]:
    """Return the songs of a subset, sorted by name.

    Args:
        root: folder with ``train/`` and ``test/``; default ``MUSDB_PATH``.
        subset: ``valid`` is the part of ``train/`` that musdb reserves for validation.
        is_wav: accept only folders of WAV files; otherwise both formats are found.

    Raises:
        UsageError: no folder is given, or it has no such songs, or one in both formats.
        FfmpegMissingError: musdb needs ffmpeg and ffprobe.
        MissingExtraError: musdb is not installed.
    """
    root = require_data(root, subset, is_wav=is_wav)
    settings = musdb_settings(root, "eval")
    found = _listed(root / _folder_of(subset), settings, is_wav)
    names = {*settings["validation_tracks"]} if subset == "valid" else None
    tracks = [track for track in found if names is None or track.name in names]
    twice = [name for name, count in Counter(track.name for track in tracks).items() if count > 1]
    if twice:
        raise UsageError(f"{root} has {twice[0]} in both formats. Add --is-wav")
    if not tracks:
        raise UsageError(_no_songs(root, subset, is_wav))
    return tracks


def require_data(root: Path | None, subset: Subset, *, is_wav: bool = False) -> Path:
    """Return the folder of the songs after a quick check that needs no packages.

    Raises:
        UsageError: no folder is given, or it has no such songs.
    """
    root = find_root(root)
    folder = root / _folder_of(subset)
    looked = ["*/*.wav", *([] if is_wav else [f"*{ENDING}"])]
    if not any(path for pattern in looked for path in folder.glob(pattern)):
        raise UsageError(_no_songs(root, subset, is_wav))
    return root


def _no_songs(root: Path, subset: Subset, is_wav: bool) -> str:
    """Describe the missing files, and suggest the right folder if it is near."""
    looked = "" if is_wav else f"*{ENDING} or "
    message = f"{root} has no songs in {_folder_of(subset)}/ ({looked}folders with mixture.wav): "
    if root.resolve().name in ("test", "train"):
        return message + f"use the parent folder, --root {root.resolve().parent}"
    return message + f"{WHERE}, {SAMPLES}"


def _folder_of(subset: Subset) -> str:
    return "train" if subset == "valid" else subset


def find_root(root: Path | None) -> Path:
    """Return the folder of ``--root``, or of ``MUSDB_PATH``.

    Raises:
        UsageError: neither is given.
    """
    named = root or (Path(os.environ[ROOT]) if os.environ.get(ROOT) else None)
    if named is None:
        raise UsageError(
            f"No songs: neither --root nor {ROOT} is set. To get songs, {WHERE}, {SAMPLES}"
        )
    if not named.expanduser().is_dir():
        by = "--root" if root else ROOT
        raise UsageError(f"{by} is {named}, not a folder. To get songs, {WHERE}, {SAMPLES}")
    return named.expanduser()


def dataset(tracks: Sequence[MusdbTrack], subset: Subset, seconds: float) -> str:
    """Describe the evaluated songs for tables and cards.

    Excerpts, incomplete sets and other songs in the same format are not called MUSDB18.

    Args:
        tracks: the songs.
        subset: subset of the songs.
        seconds: mean duration.
    """
    form = f"{' and '.join(sorted({track.form for track in tracks}))} {subset}"
    if is_musdb18(tracks, subset, seconds):
        return form
    kind = "songs" if seconds >= LEAST_SECONDS else f"excerpts of {seconds:.0f} s"
    what = tracks[0].name if len(tracks) == 1 else f"{len(tracks)} {kind}"
    return f"{what} in the form of {form}"


def is_musdb18(tracks: Sequence[MusdbTrack], subset: Subset, seconds: float) -> bool:
    """Return whether a subset is complete and has full songs."""
    return len(tracks) == SIZES[subset] and seconds >= LEAST_SECONDS


def fetch_sample() -> Path:
    """Return the folder of musdb's seven-second excerpts, downloading them if necessary.

    Raises:
        StorageError: the download failed.
        FfmpegMissingError: musdb needs ffmpeg and ffprobe.
        MissingExtraError: musdb is not installed.
    """
    folder = SAMPLE.expanduser()
    musdb_settings(folder, "eval")
    import musdb

    try:
        with contextlib.redirect_stdout(sys.stderr):  # keeps musdb's output away from --json
            musdb.DB(root=str(folder), download=True, subsets=[])
    except (OSError, RuntimeError, HTTPException, BadZipFile) as error:
        with contextlib.suppress(OSError):
            folder.rmdir()  # created by musdb; fails if it has files, which stay
        raise StorageError(
            f"The excerpts cannot be downloaded to {folder} ({first_line(error)}):"
            f" check the network, or {WHERE}"
        ) from error
    return folder


def _listed(folder: Path, settings: Mapping[str, Any], is_wav: bool) -> list[MusdbTrack]:
    if not folder.is_dir():
        return []
    parts = [settings["mixture"], *settings["sources"].values()]
    songs = [each for each in folders(folder) if any((each / part).is_file() for part in parts)]
    found = [song / settings["mixture"] for song in songs]
    found += [] if is_wav else stem_files(folder)
    tracks = [MusdbTrack(path, folder.name, settings) for path in found]
    return sorted(tracks, key=lambda track: track.name)
