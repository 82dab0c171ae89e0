"""All that was found in a data folder, good and bad."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from stemcli.audio.info import AudioInfo
from trainers.data.layouts.listing import counted, listed
from trainers.data.layouts.table import READERS, noun_of
from trainers.data.songs import Song, Source


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
    training: tuple[Song, ...] = ()
    validation: tuple[Song, ...] = ()
    headers: Mapping[Source, AudioInfo] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def songs(self) -> tuple[Song, ...]:
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

    def _infos(self, song: Song) -> list[AudioInfo]:
        return [self.headers[source] for source in song.sources if source in self.headers]

    def _lengths(self, song: Song) -> list[float]:
        return [info.seconds for info in self._infos(song) if info.seconds]


def words_of_time(seconds: float) -> str:
    """``5 h 12 min``, ``3 min 20 s`` or ``7 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
