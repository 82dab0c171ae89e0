"""Checks the sound of training data: silence, samples that are not finite, damage.

Headers are checked first, by :mod:`trainers.data.layouts.survey`. ``stem data check``,
``stem train`` and ``stem tune`` all call :func:`trainers.data.training_data.check_data`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from model_zoo.errors import AudioError, OutputError
from stemcli.audio.ffmpeg_process import decoding_pool
from stemcli.audio.info import AudioInfo
from stemcli.audio.reader import open_audio
from stemcli.engine.song import finite
from stemcli.printable import counted
from trainers.config import VoicesRecipe
from trainers.data.layouts import READERS
from trainers.data.layouts.checks import check_song
from trainers.data.layouts.listing import THREADS, library_folders, listed, read_headers
from trainers.data.layouts.survey import Findings
from trainers.data.multitrack import length_mismatch
from trainers.data.recording import FINITE, SILENCE_RMS, recall, remember, silent_recording
from trainers.data.tracks import Groups, Source, Track, parts_of

FOR_SONGS = ("--recipe quick", "--recipe melroformer")
"""Recipes for a folder of songs, the smallest first."""

FLOAT = "32f"
"""Bit depth of files that can contain NaN."""

IN_PLACE = frozenset(
    [".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".rf64", ".snd", ".w64", ".wav"]
)
"""Suffixes of files that training reads in place; it decodes all others from start to end."""


@dataclass(frozen=True)
class SoundRules:
    """What a training needs to hear in its data.

    Attributes:
        needed: stems that must be audible in at least one training song; empty if any sound is
            enough.
        groups: network stems that are sums of data stems.
        sample_rate: sample rate of the network in Hz; None if it is not known.
        is_guessed: whether ``needed`` are all stems of the data, because the network is unknown.
        decode: whether to read the files that training decodes to their end, to find damage there.
            Training finds it by itself when it decodes them.
    """

    needed: tuple[str, ...]
    groups: Groups
    sample_rate: int | None = None
    is_guessed: bool = False
    decode: bool = True

    def is_read_to_the_end(self, source: Source, info: AudioInfo) -> bool:
        """Return whether a file is read to its end, and not only up to its first sound."""
        if info.depth == FLOAT and not recall(source.path, FINITE):
            return True
        return self.decode and (
            source.path.suffix.lower() not in IN_PLACE
            or self.sample_rate not in (None, info.sample_rate)
        )


def check_sound(found: Findings, rules: SoundRules) -> Findings:
    """Add problems that headers do not reveal but that would make a training fail.

    Floating-point files are read to the end. Others are read up to the first sound: all single stem
    files, and of songs as many as it takes to find one in which a stem is audible. With
    ``rules.decode`` the stems of all songs are read, and those without sound are noted.

    Args:
        found: findings from the headers.
        rules: stems that must be audible, and how far to read.
    """
    are_files = not READERS[found.layout].holds_songs
    detector = _SoundDetector(found.headers, rules)
    detector.detect(detector.unread())
    if are_files:
        detector.detect(_stem_files(found.songs))
    problems = [*detector.problems, *_mismatches(found, detector)]
    problems += _silent_problems(found.training, rules, detector, are_files=are_files)
    notes = _silent_untrained(found, rules, detector, are_files=are_files)
    files = _silent_files(found.songs, detector) if are_files else []
    if rules.decode and not are_files:
        files = _silent_in_songs(found, rules, detector)
    return replace(
        found,
        problems=tuple(dict.fromkeys((*found.problems, *detector.problems, *problems))),
        notes=(*found.notes, *notes, *files),
    )


def check_voices(found: Findings, recipe: VoicesRecipe, sources: Iterable[Source]) -> Findings:
    """Add problems of the files that a recipe lists for the layout ``voices``.

    Args:
        found: findings so far.
        recipe: the lists.
        sources: the files, in the order of the lists.
    """
    names = [entry.file for entry in (*recipe.vocals, *recipe.backings)]
    listing = dict(zip(names, sources, strict=True))
    absent = [name for name, source in listing.items() if not source.path.exists()]
    if len(absent) > 1:
        return replace(found, problems=(*found.problems, _absent(absent, len(listing))))
    files = [Track(name, {name: source}) for name, source in listing.items()]
    headers, problems = read_headers(files, {})
    problems += [problem for file in files for problem in check_song(file, headers)]
    detector = _SoundDetector(headers, SoundRules((), {}))
    wanted = [source for file in files for source in file.sources]
    detector.detect(wanted)
    silent = [source for source in wanted if not detector.has_sound.get(source, True)]
    problems += [*detector.problems, *(silent_recording(str(one.path)) for one in silent)]
    return replace(found, problems=tuple(dict.fromkeys((*found.problems, *problems))))


def _absent(names: list[str], total: int) -> str:
    """Report files of a recipe that the folder lacks, in one sentence."""
    listing, first = f"the recipe lists {total} files of its own", f"the first is {names[0]}"
    if len(names) < total:
        return (
            f"{listing}, and {len(names)} of them are not in this folder ({first}). Add them, or"
            " name the folder that has them"
        )
    return (
        f"{listing}, and none of them is in this folder ({first}). To train on a folder of songs"
        f" use {' or '.join(FOR_SONGS)}"
    )


def silent_everywhere(
    stems: Mapping[str, Iterable[str]], *, are_files: bool, is_guessed: bool = False
) -> list[str]:
    """Report stems that are silent in all training data, one sentence each.

    Args:
        stems: stems and the names of the songs, or files, that have them.
        are_files: whether the data consists of single stem files instead of songs.
        is_guessed: whether it is unknown which stems the network has.
    """
    if not stems:
        return []
    way = f". If {_are(stems)} not trained, name the trained stems with --stems"
    way = way if is_guessed else ""
    if not are_files:
        return [f"{_are(stems)} silent in every song: choose other songs{way}"]
    return [
        f"every file in {' and '.join(library_folders(names))} is silent: add files with sound"
        f" in them{way}"
        for names in stems.values()
    ]


def _are(stems: Iterable[str]) -> str:
    """Return stems as the subject of a sentence, with the verb."""
    names = [*stems]
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'}"


def silent_to_validate(stems: Iterable[str], songs: Iterable[str]) -> str:
    """Report validation songs in which no stem is audible, in one sentence."""
    names = [*stems] or ["The mixture"]
    return f"{_are(names)} silent in {', '.join(songs)}. Choose other songs with --validation DIR"


def _silent_problems(
    songs: tuple[Track, ...], rules: SoundRules, detector: _SoundDetector, *, are_files: bool
) -> list[str]:
    if not rules.needed:
        is_heard = any(detector.sounds(source) for song in songs for source in song.sources)
        return [] if is_heard or not songs else ["every song is silent: choose other songs"]
    silent = _silent_stems(songs, rules.needed, rules.groups, detector)
    return silent_everywhere(silent, are_files=are_files, is_guessed=rules.is_guessed)


def _silent_untrained(
    found: Findings, rules: SoundRules, detector: _SoundDetector, *, are_files: bool
) -> Iterator[str]:
    """Yield a note about each stem that is silent everywhere but that the network does not need."""
    used = {part for stem in rules.needed for part in parts_of(stem, rules.groups)}
    others = tuple(stem for stem in found.stems if rules.needed and stem not in used)
    for stem, names in _silent_stems(found.training, others, {}, detector).items():
        where = f"every file in {' and '.join(library_folders(names))}"
        what = f"{where} is silent" if are_files else f"{stem} is silent in every song"
        yield f"{what}, which does no harm: {stem} is not trained"


def _silent_in_songs(found: Findings, rules: SoundRules, detector: _SoundDetector) -> list[str]:
    """Return a note that names the stems that are silent in a song, but not in every song."""
    needed = {part for stem in rules.needed for part in parts_of(stem, rules.groups)}
    names = [stem for stem in found.stems if stem in needed or not needed]
    sources = {
        stem: [song.stems[stem] for song in found.songs if stem in song.stems] for stem in names
    }
    detector.detect((one for some in sources.values() for one in some), for_notes=True)
    silent = [
        str(source.path)
        for some in sources.values()
        if any(detector.has_sound.get(source, True) for source in some)
        for source in some
        if not detector.has_sound.get(source, True)
    ]
    return [f"Silent from start to end: {listed(silent)}"] if silent else []


def _silent_stems(
    songs: tuple[Track, ...], stems: tuple[str, ...], groups: Groups, detector: _SoundDetector
) -> dict[str, list[str]]:
    """Return the stems that are silent in all songs, with the names of the songs that have them.

    A stem that no song has is left out: that is a problem of its own.
    """
    having = {stem: _names(songs, parts_of(stem, groups)) for stem in stems}
    return {
        stem: names
        for stem, names in having.items()
        if names and not detector.any_sound(songs, parts_of(stem, groups))
    }


def _mismatches(found: Findings, detector: _SoundDetector) -> Iterator[str]:
    """Yield songs whose files have equal lengths by their headers, but not when they are read."""
    for song in found.songs:
        is_read = any(source in detector.frames for source in song.sources)
        if song.is_made or not is_read or any(check_song(song, found.headers)):
            continue
        infos = {one: found.headers[one] for one in song.sources if one in found.headers}
        lengths = [
            (detector.frames.get(one, info.frames or 0), str(one.path))
            for one, info in infos.items()
        ]
        rate = max(info.sample_rate for info in infos.values())
        if problem := length_mismatch(lengths, rate):
            yield problem


class _SoundDetector:
    """Reads each file once to detect sound.

    Attributes:
        has_sound: whether each file read so far has sound.
        frames: samples per channel of the files that were read to the end.
        problems: errors of unreadable files, which count as having sound.
    """

    def __init__(self, headers: Mapping[Source, AudioInfo], rules: SoundRules) -> None:
        self._headers, self._rules = headers, rules
        self.has_sound: dict[Source, bool] = {}
        self.frames: dict[Source, int] = {}
        self.problems: list[str] = []

    def unread(self) -> list[Source]:
        """Files that must be read to the end."""
        headers = self._headers.items()
        return [one for one, info in headers if self._rules.is_read_to_the_end(one, info)]

    def detect(self, sources: Iterable[Source], *, for_notes: bool = False) -> None:
        """Read files in parallel; skips files without a readable header.

        Args:
            sources: the files.
            for_notes: whether a training would not read them: they are read to their first sound,
                and errors are no problems.
        """
        unknown = [one for one in sources if one in self._headers and one not in self.has_sound]
        rules = replace(self._rules, decode=self._rules.decode and not for_notes)
        with decoding_pool(THREADS) as pool:
            read = pool.map(lambda source: self._read(source, rules), unknown)
            for source, sound in zip(unknown, read, strict=True):
                self.has_sound[source] = bool(sound)
                if for_notes:
                    continue
                if isinstance(sound, str):
                    self.problems.append(sound)
                elif sound.frames is not None:
                    self.frames[source] = sound.frames

    def sounds(self, source: Source) -> bool:
        """Return whether a file has sound; unreadable files count as sound."""
        self.detect([source])
        return self.has_sound.get(source, True)

    def any_sound(self, songs: Iterable[Track], parts: Iterable[str]) -> bool:
        """Return whether any song has sound in any of these parts; unknown files count as sound."""
        wanted = [*parts]
        return any(
            self.sounds(song.stems[part]) for song in songs for part in wanted if part in song.stems
        )

    def _read(self, source: Source, rules: SoundRules) -> _Sound | str:
        """Read a file; returns the error if it is unreadable."""
        info = self._headers[source]
        is_whole = rules.is_read_to_the_end(source, info)
        try:
            sound = _listen(source, info, is_whole=is_whole)
        except AudioError as error:
            return str(error)
        if is_whole and info.depth == FLOAT:
            with suppress(OutputError):  # then the next check reads the file again
                remember(source.path, FINITE, "yes")
        return sound


@dataclass(frozen=True)
class _Sound:
    """What was found in a file: whether it has sound, and its length if it was read to the end."""

    has_sound: bool
    frames: int | None

    def __bool__(self) -> bool:
        return self.has_sound


def _listen(source: Source, info: AudioInfo, *, is_whole: bool) -> _Sound:
    """Read a file to its first sound, or to the end.

    Raises:
        AudioError: it cannot be read, or has NaN.
    """
    has_sound, frames = False, 0
    with open_audio(source.path, stream=source.stream) as reader:
        for block in finite(reader, source.path, info.sample_rate):
            has_sound = has_sound or bool(np.abs(block).max(initial=0.0) >= SILENCE_RMS)
            frames += len(block)
            if has_sound and not is_whole:
                return _Sound(True, None)
    return _Sound(has_sound, frames)


def _stem_files(songs: Iterable[Track]) -> list[Source]:
    return list(dict.fromkeys(source for song in songs for source in song.stems.values()))


def _names(songs: Iterable[Track], parts: tuple[str, ...]) -> list[str]:
    return [song.name for song in songs if song.stems.keys() & {*parts}]


def _silent_files(songs: Iterable[Track], detector: _SoundDetector) -> list[str]:
    silent = [str(one.path) for one in _stem_files(songs) if not detector.has_sound.get(one, True)]
    if not silent:
        return []
    return [f"{counted(len(silent), 'silent file')} to remove: {listed(silent)}"]
