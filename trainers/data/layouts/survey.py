"""Finds and checks the songs of a data folder, and reports every finding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from model_zoo.errors import DataError, UsageError
from stemcli.audio.info import AudioInfo
from stemcli.printable import counted
from trainers.config import DataRecipe
from trainers.data.layouts import READERS, noun_of
from trainers.data.layouts.checks import (
    check_song,
    check_stems,
    check_stems_of,
    check_voxaug,
    unused_groups,
)
from trainers.data.layouts.detection import look, names_of, read_named
from trainers.data.layouts.listing import Listing, listed, read_headers
from trainers.data.layouts.splitting import Split, split
from trainers.data.layouts.voxaug import has_libraries
from trainers.data.tracks import Groups, Source, Survey, Track, each_once


@dataclass(frozen=True)
class Findings:
    """What a look at the data gave.

    Attributes:
        layout: how the folder is laid out.
        training: songs to train on.
        validation: songs that are never trained on.
        headers: of all files that could be read.
        problems: what must be mended, each with its file.
        notes: what people should know.
    """

    layout: str
    training: tuple[Track, ...] = ()
    validation: tuple[Track, ...] = ()
    headers: Mapping[Source, AudioInfo] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def songs(self) -> tuple[Track, ...]:
        """All of them."""
        return (*self.training, *self.validation)

    @property
    def stems(self) -> dict[str, int]:
        """In how many songs, or files of the layout ``stems``, each stem is."""
        counts = Counter(stem for song in self.songs for stem in song.stems)
        return dict(sorted(counts.items()))

    @property
    def seconds(self) -> float:
        """Length of all songs that have one in their headers."""
        return sum(max(self._lengths(song), default=0.0) for song in self.songs)

    @property
    def sample_rates(self) -> dict[int, int]:
        """Sample rates in Hz, and the number of songs at each, the most frequent first.

        Files that are mixed to validate count on their own, as they may have several.
        """
        whole = [self._infos(song)[:1] for song in self.songs if not song.is_made]
        made = {
            info.path: info for song in self.songs if song.is_made for info in self._infos(song)
        }
        infos = [*(info for one in whole for info in one), *made.values()]
        return dict(Counter(info.sample_rate for info in infos).most_common())

    def summary(self) -> tuple[str, ...]:
        """Counts in words, then what is odd."""
        rates = " and ".join(map(str, self.sample_rates))
        heard = [words_of_time(self.seconds), f"{rates} Hz"] if rates else []
        lines = [", ".join([*self._counts(), *heard])]
        if self.stems:
            lines.append(f"Stems: {listed(self._stem_words())}")
        return (*lines, *self._oddities(), *self.notes)

    def _counts(self) -> list[str]:
        reader = READERS.get(self.layout)
        songs = len(self.training)
        on = counted(songs, "song") + " to train on"
        if reader is None:
            on = "recordings of the recipe to train on"
        elif not reader.holds_songs:
            on = counted(songs, "file") + " to mix"
        return [on, f"{len(self.validation) or 'none'} to validate"]

    def _stem_words(self) -> list[str]:
        """Names, with a count where not every song has the stem."""
        total = len(self.songs)
        return [
            name if count == total else f"{name} ({count})" for name, count in self.stems.items()
        ]

    def _oddities(self) -> list[str]:
        rates, infos, noun = self.sample_rates, self.headers.values(), noun_of(self.layout)
        mono = len({info.path for info in infos if info.channels == 1})
        unknown = len({info.path for info in infos if info.frames is None})
        words = (f"{counted(count, noun)} at {rate} Hz" for rate, count in rates.items())
        rules = {
            f"Sample rates differ and will be changed to the network's: {listed(words)}": (
                len(rates) > 1
            ),
            f"{counted(mono, 'mono file')}: the same is heard left and right": bool(mono),
            f"Lengths are not in the headers of {counted(unknown, 'file')}": bool(unknown),
        }
        return [sentence for sentence, holds in rules.items() if holds]

    def _infos(self, song: Track) -> list[AudioInfo]:
        return [self.headers[source] for source in song.sources if source in self.headers]

    def _lengths(self, song: Track) -> list[float]:
        return [info.seconds for info in self._infos(song) if info.seconds]


def words_of_time(seconds: float) -> str:
    """``5 h 12 min``, ``3 min 20 s`` or ``7 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


VOICES = "voices"


def survey(
    recipe: DataRecipe, folder: Path, stems: tuple[str, ...], validation: tuple[Path, ...] = ()
) -> Survey:
    """Find the songs of a data folder and check them by their headers.

    Args:
        recipe: how the folder is laid out, and what is done about missing stems and validation.
        folder: the data; in the layout ``csv`` it may be the file.
        stems: those of the network; none where it learns from mixtures alone.
        validation: songs that are never trained on, one or several in each place; where there are
            any, they take the place of songs that the data keeps for validation.

    Raises:
        UsageError: there is no such folder.
        ConfigError: the network has stems that the data does not have, or the layout has no use for
            ``data.voxaug``.
        DataError: all that is wrong with the data.
        FfmpegMissingError: MUSDB18 needs ffmpeg and ffprobe.
        MissingExtraError: MUSDB18 needs musdb.
    """
    found = inspect(recipe, folder, stems, validation)
    if found.problems:
        raise DataError(str(folder), found.problems)
    return Survey(found.layout, found.training, found.validation, found.summary())


def inspect(
    recipe: DataRecipe,
    folder: Path,
    stems: tuple[str, ...] | None = None,
    validation: tuple[Path, ...] = (),
) -> Findings:
    """The same, with the problems as a part of what was found.

    Where ``stems`` are not named, every song needs all that the data has.

    Raises:
        UsageError: there is no such folder.
        ConfigError: the network has stems that the data does not have, or the layout has no use for
            ``data.voxaug``.
        DataError: it cannot be said what is in the folder.
    """
    layout = layout_of(recipe, folder, stems)
    could_be = layout != VOICES and folder.is_dir() and has_libraries(folder)
    check_voxaug(recipe.voxaug, layout, has_libraries=could_be)
    listing = Listing() if layout == VOICES else READERS[layout].read(folder)
    known = {stem for song in (*listing.training, *listing.validation) for stem in song.stems}
    if stems and known:
        check_stems(stems, recipe.groups, known)
    mine = _once(read_named(validation, recipe, stems), recipe.groups)
    listing = _once(listing, recipe.groups)
    parts = split(
        listing,
        mine.validation,
        recipe.validation_fraction,
        holds_songs=_holds_songs(layout),
        pair=READERS[layout].pair if layout in READERS else None,
    )
    headers, unreadable = read_headers(parts.songs, {**listing.headers, **mine.headers})
    problems = [*listing.problems, *mine.problems, *unreadable]
    problems += [problem for song in parts.songs for problem in check_song(song, headers)]
    needed = tuple(sorted(known)) if stems is None else stems
    problems += _missing_stems(parts, layout, needed, recipe, are_named=bool(mine.validation))
    if not (problems or parts.training or layout == VOICES):
        problems = [_nothing_to_train_on(layout, listing, mine.validation)]
    notes = (*listing.notes, *mine.notes, *parts.notes, *unused_groups(stems or (), recipe.groups))
    unique = tuple(dict.fromkeys(problems))
    return Findings(layout, parts.training, parts.validation, headers, unique, notes)


def layout_of(recipe: DataRecipe, folder: Path, stems: tuple[str, ...] | None = None) -> str:
    """The layout of the recipe, or what the folder looks like.

    Args:
        recipe: how the folder is laid out.
        folder: the data.
        stems: those of the network, none where it learns from mixtures; None where it is not known.

    Raises:
        UsageError: there is no such folder.
        DataError: it looks like none of the layouts.
    """
    if recipe.voices.vocals:
        return VOICES
    if not folder.exists():
        raise UsageError(f"There is no folder {folder}: check the path of --data.")
    if recipe.layout == "auto":
        return look(folder, names_of(recipe, stems), are_mixtures_enough=stems == ())
    if folder.is_file() and recipe.layout != "csv":
        raise UsageError(f"{folder} is a file, and the layout {recipe.layout} needs a folder.")
    return recipe.layout


def _holds_songs(layout: str) -> bool:
    return layout in READERS and READERS[layout].holds_songs


def _missing_stems(
    parts: Split, layout: str, stems: tuple[str, ...], recipe: DataRecipe, *, are_named: bool
) -> Iterator[str]:
    """A sentence for each stem that songs lack; single files are no songs."""
    holds_songs = _holds_songs(layout)
    for song in parts.training if holds_songs else ():
        yield from check_stems_of(song, stems, recipe.groups, recipe.missing)
    for song in parts.validation if holds_songs or are_named else ():
        yield from check_stems_of(song, stems, recipe.groups, recipe.missing, is_named=are_named)


def _once(listing: Listing, groups: Groups) -> Listing:
    """The listing with songs that hold nothing twice."""
    training, validation = listing.training, listing.validation
    return replace(
        listing,
        training=_each_once(training, groups),
        validation=_each_once(validation, groups),
    )


def _each_once(songs: tuple[Track, ...], groups: Groups) -> tuple[Track, ...]:
    return tuple(each_once(song, groups) for song in songs)


def _nothing_to_train_on(layout: str, listing: Listing, named: tuple[Track, ...]) -> str:
    if listing.training and named:
        return (
            f"all {noun_of(layout)}s are named by --validation, and none is left to train on:"
            " name fewer, or none, and a share is held out"
        )
    if listing.training:
        return "all songs have files of songs to validate: copy them, or hold out none"
    if listing.validation:
        kept = counted(len(listing.validation), "song")
        return f"{kept} to validate and none to train on: put some below train/"
    return f"there is no song to train on in the layout {layout} ({READERS[layout].example})"
