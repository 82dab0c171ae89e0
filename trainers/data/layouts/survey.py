"""Finds and checks the songs of a data folder, and reports all problems."""

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
    WELL_KNOWN,
    SongRules,
    check_song,
    check_stems,
    check_stems_of,
    check_voxaug,
    only_one_stem,
    unused_groups,
)
from trainers.data.layouts.detection import look, names_of, read_named
from trainers.data.layouts.listing import Listing, listed, read_headers
from trainers.data.layouts.misnamed import misnamed_stems
from trainers.data.layouts.misplaced import no_stems, part_of_a_set, wrong_place
from trainers.data.layouts.splitting import Split, split
from trainers.data.layouts.voxaug import has_libraries
from trainers.data.tracks import Groups, Source, Track, each_once


@dataclass(frozen=True)
class Findings:
    """Contents of a data folder and all problems found.

    Attributes:
        layout: layout of the folder.
        training: songs to train on.
        validation: songs that are never trained on.
        headers: headers of all readable files.
        problems: errors to fix, each with its file.
        notes: messages for the user.
    """

    layout: str
    training: tuple[Track, ...] = ()
    validation: tuple[Track, ...] = ()
    headers: Mapping[Source, AudioInfo] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def songs(self) -> tuple[Track, ...]:
        """All songs."""
        return (*self.training, *self.validation)

    @property
    def stems(self) -> dict[str, int]:
        """Number of songs (files, in the layout ``stems``) that have each stem."""
        counts = Counter(stem for song in self.songs for stem in song.stems)
        return dict(sorted(counts.items()))

    @property
    def seconds(self) -> float:
        """Total duration of all songs whose headers state one."""
        return sum(max(self._lengths(song), default=0.0) for song in self.songs)

    @property
    def sample_rates(self) -> dict[int, int]:
        """Number of songs at each sample rate in Hz, the most frequent first.

        Files that are mixed for validation count separately, as their rates may differ.
        """
        songs = [self._infos(song)[:1] for song in self.songs if not song.is_made]
        mixed = {
            info.path: info for song in self.songs if song.is_made for info in self._infos(song)
        }
        infos = [*(info for one in songs for info in one), *mixed.values()]
        return dict(Counter(info.sample_rate for info in infos).most_common())

    def summary(self) -> tuple[str, ...]:
        """Describe the findings in lines: counts, then notes."""
        rates = " and ".join(map(str, self.sample_rates))
        audio = [words_of_time(self.seconds), f"{rates} Hz"] if rates else []
        lines = [", ".join([*self._counts(), *audio])]
        if self.stems:
            lines.append(f"Stems: {listed(self._stem_words())}")
        return (*lines, *self._oddities(), *self.notes)

    def _counts(self) -> list[str]:
        reader = READERS.get(self.layout)
        songs = len(self.training)
        training = counted(songs, "song") + " for training"
        if reader is None:
            training = "recordings of the recipe for training"
        elif not reader.holds_songs:
            training = counted(songs, "file") + " to mix"
        return [training, f"{len(self.validation) or 'none'} for validation"]

    def _stem_words(self) -> list[str]:
        """Return the stems, with a count if not every song has the stem."""
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
            f"Sample rates differ and will be converted to the network's: {listed(words)}": (
                len(rates) > 1
            ),
            f"{counted(mono, 'mono file')}: used for both channels": bool(mono),
            f"{counted(unknown, 'file')} without a length in the header": bool(unknown),
        }
        return [sentence for sentence, holds in rules.items() if holds]

    def _infos(self, song: Track) -> list[AudioInfo]:
        return [self.headers[source] for source in song.sources if source in self.headers]

    def _lengths(self, song: Track) -> list[float]:
        return [info.seconds for info in self._infos(song) if info.seconds]


def words_of_time(seconds: float) -> str:
    """Format a duration as ``5 h 12 min``, ``3 min 20 s`` or ``7 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


VOICES = "voices"


def inspect(
    recipe: DataRecipe,
    folder: Path,
    stems: tuple[str, ...] | None = None,
    validation: tuple[Path, ...] = (),
    *,
    option: str = "--data",
) -> Findings:
    """Find the songs of a data folder and check them by their headers.

    Args:
        recipe: layout of the folder, and treatment of missing stems and validation.
        folder: the data; in the layout ``csv`` it may be the file.
        stems: stems of the network; empty if it trains on mixtures alone; None to require all stems
            of the data.
        validation: folders of one or more songs that are never trained on; they replace any songs
            that the data reserves for validation.
        option: how the user names the folder, for messages that suggest another.

    Raises:
        UsageError: there is no such folder.
        ConfigError: the data lacks stems of the network, or the layout ignores ``data.voxaug``.
        DataError: the layout is unclear.
    """
    layout = layout_of(recipe, folder, stems, option)
    could_be = layout != VOICES and folder.is_dir() and has_libraries(folder)
    check_voxaug(recipe.voxaug, layout, has_libraries=could_be)
    names = WELL_KNOWN | names_of(recipe, stems)
    listing = Listing() if layout == VOICES else _read(layout, folder, names, option)
    known = {stem for song in (*listing.training, *listing.validation) for stem in song.stems}
    if stems and known:
        check_stems(stems, recipe.groups, known)
    named = _once(read_named(validation, recipe, stems), recipe.groups)
    listing = _once(listing, recipe.groups)
    parts = split(
        listing,
        named.validation,
        recipe.validation_fraction,
        holds_songs=_holds_songs(layout),
        pair=READERS[layout].pair if layout in READERS else None,
    )
    headers, unreadable = read_headers(parts.songs, {**listing.headers, **named.headers})
    problems = [*listing.problems, *named.problems, *unreadable]
    problems += [problem for song in parts.songs for problem in check_song(song, headers)]
    songs = (*listing.training, *listing.validation)
    if songs and not known and stems != ():
        problems.append(no_stems(song.name for song in songs))
    elif len(known) == 1 and stems != () and not _holds_songs(layout):
        problems.append(only_one_stem(*known))
    else:
        misnamed = misnamed_stems(parts.songs, names_of(recipe, stems))
        needed = tuple(sorted(known - misnamed.keys())) if stems is None else stems
        rules = SongRules(needed, recipe.groups, recipe.missing, misnamed)
        problems += _missing_stems(parts, layout, rules, are_named=bool(named.validation))
    if not (problems or parts.training or layout == VOICES):
        problems = [_nothing_to_train_on(layout, listing, named.validation)]
    half = "" if validation or listing.validation else part_of_a_set(folder, option)
    notes = (
        *listing.notes,
        *named.notes,
        *parts.notes,
        *filter(None, [half]),
        *unused_groups(stems or (), recipe.groups),
    )
    unique = tuple(dict.fromkeys(problems))
    return Findings(layout, parts.training, parts.validation, headers, unique, notes)


def _read(layout: str, folder: Path, names: frozenset[str], option: str) -> Listing:
    """Read a folder; without songs in it, say which folder to use instead.

    Raises:
        DataError: it has no songs, or cannot be read.
    """
    try:
        listing = READERS[layout].read(folder)
    except DataError:
        _refuse_wrong_folder(folder, names, option)
        raise
    if not (listing.training or listing.validation or listing.problems):
        _refuse_wrong_folder(folder, names, option)
    return listing


def _refuse_wrong_folder(folder: Path, names: frozenset[str], option: str) -> None:
    explained = wrong_place(folder, names, option)
    if explained:
        raise DataError("", [f"{folder} {explained}"])


def layout_of(
    recipe: DataRecipe,
    folder: Path,
    stems: tuple[str, ...] | None = None,
    option: str = "--data",
) -> str:
    """Return the layout of the recipe, or detect that of the folder.

    Args:
        recipe: layout of the folder.
        folder: the data.
        stems: stems of the network, empty if it trains on mixtures; None if unknown.
        option: how the user names the folder.

    Raises:
        UsageError: there is no such folder.
        DataError: it matches no layout.
    """
    if recipe.voices.vocals:
        return VOICES
    if not folder.exists():
        raise UsageError(f"There is no folder {folder}. Check the path of --data")
    if recipe.layout == "auto":
        names = names_of(recipe, stems)
        return look(folder, names, are_mixtures_enough=stems == (), option=option)
    if folder.is_file() and recipe.layout != "csv":
        raise UsageError(f"{folder} is a file, but the layout {recipe.layout} needs a folder")
    return recipe.layout


def _holds_songs(layout: str) -> bool:
    return layout in READERS and READERS[layout].holds_songs


def _missing_stems(
    parts: Split, layout: str, rules: SongRules, *, are_named: bool
) -> Iterator[str]:
    """Report stems that songs lack, in one sentence each; single files are not songs."""
    holds_songs = _holds_songs(layout)
    for song in parts.training if holds_songs else ():
        yield from check_stems_of(song, rules)
    for song in parts.validation if holds_songs or are_named else ():
        yield from check_stems_of(song, rules, is_named=are_named)


def _once(listing: Listing, groups: Groups) -> Listing:
    """Remove stems that contain each other from all songs of a listing."""
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
            f"--validation uses all {noun_of(layout)}s, and none is left for training:"
            " use fewer, or none, and a share is held out"
        )
    if listing.training:
        return "all songs have files of validation songs: copy them, or hold out none"
    if listing.validation:
        kept = counted(len(listing.validation), "song")
        return f"{kept} for validation and none for training: put some into train/"
    return f"there is no song for training in the layout {layout} ({READERS[layout].example})"
