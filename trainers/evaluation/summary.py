"""Summarizes the scores of songs as papers do, beside published figures."""

from __future__ import annotations

import csv
import io
import math
import statistics
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any, Literal

from stemcli.printable import cell
from trainers.evaluation.scoring import FRAMEWISE, WHOLE, TrackScores

MEDIAN = "median over windows, then over songs"
MEAN = "whole songs, mean"


@dataclass(frozen=True)
class Metric:
    """A number by which methods are compared.

    Attributes:
        key: in files.
        title: where it stands alone.
        short: in tables that say of which kind it is.
        how: songs and windows become one number.
    """

    key: str
    title: str
    short: str
    how: str


METRICS = (
    *(Metric(name, f"{name} (BSSEval v4)", name, MEDIAN) for name in FRAMEWISE),
    *(Metric(key, title, title, MEAN) for key, title in WHOLE.items()),
)


@dataclass(frozen=True)
class Row:
    """One stem by one method.

    Attributes:
        method: its name.
        stem: its name.
        songs: that have a number for this stem, by the key of the metric.
        values: in dB, by the key of the metric; not a number where no song has one.
    """

    method: str
    stem: str
    songs: Mapping[str, int]
    values: Mapping[str, float]

    @property
    def counted(self) -> str:
        """Songs behind the numbers: ``3``, or ``2 to 3`` where a silent stem left some out."""
        least, most = min(self.songs.values()), max(self.songs.values())
        return str(most) if least == most else f"{least} to {most}"


def song_value(scores: TrackScores, stem: str, metric: str) -> float:
    """What a song has: the median over its windows, or the one value; not a number without any."""
    found = next((each for each in scores.stems if each.name == stem), None)
    if found is None:
        return math.nan
    if metric in found.whole:
        return found.whole[metric]
    return median(found.frames.get(metric, ()))


def summarize(scores: Mapping[str, Mapping[str, TrackScores]]) -> list[Row]:
    """A row for each method and stem, in the order they came.

    Args:
        scores: of each method, by song.
    """
    return [_row(method, stem, songs) for method, songs in scores.items() for stem in stems(songs)]


def stems(songs: Mapping[str, TrackScores]) -> list[str]:
    """Names of all stems that any song has, in the order they came."""
    return list(dict.fromkeys(stem.name for scores in songs.values() for stem in scores.stems))


def _row(method: str, stem: str, songs: Mapping[str, TrackScores]) -> Row:
    columns = {
        metric.key: [song_value(scores, stem, metric.key) for scores in songs.values()]
        for metric in METRICS
    }
    values = {
        metric.key: (median if metric.how == MEDIAN else mean)(columns[metric.key])
        for metric in METRICS
    }
    counts = {key: sum(map(math.isfinite, column)) for key, column in columns.items()}
    return Row(method, stem, counts, values)


def median(values: Iterable[float]) -> float:
    """The median of those that are numbers, as museval takes it."""
    numbers = [*filter(math.isfinite, values)]
    return statistics.median(numbers) if numbers else math.nan


def mean(values: Iterable[float]) -> float:
    """The mean of those that are numbers."""
    numbers = [*filter(math.isfinite, values)]
    return statistics.fmean(numbers) if numbers else math.nan


def summary_document(rows: Sequence[Row], rules: Mapping[str, Any]) -> dict[str, Any]:
    """What a program reads: values in dB, null where there is none."""
    return {
        "rules": dict(rules),
        "metrics": {metric.key: asdict(metric) for metric in METRICS},
        "rows": [{**asdict(row), "values": _plain(row.values)} for row in rows],
    }


def songs_csv(scores: Mapping[str, Mapping[str, TrackScores]]) -> str:
    """A line for each method, song and stem; empty cells where there is no number."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["method", "song", "stem", *(metric.key for metric in METRICS)])
    lines.writerows(_lines(scores))
    return text.getvalue()


def _lines(scores: Mapping[str, Mapping[str, TrackScores]]) -> Iterator[list[str]]:
    for method, songs in scores.items():
        for song, found in songs.items():
            for stem in found.stems:
                values = (song_value(found, stem.name, metric.key) for metric in METRICS)
                yield [cell(method), cell(song), cell(stem.name), *map(_cell, values)]


def _cell(value: float) -> str:
    return f"{value:.5f}" if math.isfinite(value) else ""


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    return {key: plain(value) for key, value in values.items()}


def plain(value: float) -> float | None:
    """For JSON: five decimals, null where there is no number."""
    return round(value, 5) if math.isfinite(value) else None


def decibels(value: float | None) -> str:
    """For people: two places, or a dash where there is no number."""
    return f"{value:.2f}" if value is not None and math.isfinite(value) else "–"


@dataclass(frozen=True)
class Published:
    """What one system reached on the test songs of MUSDB18, in dB.

    Attributes:
        name: of the system.
        kind: ``median`` of BSSEval's SDR over windows and songs, or ``mean`` of global SDR over
            songs.
        source: where it was published.
        sdr: by stem, as far as it was published.
    """

    name: str
    kind: Literal["median", "mean"]
    source: str
    sdr: Mapping[str, float]

    @property
    def metric(self) -> str:
        """As tables of ours call it."""
        return "SDR" if self.kind == "median" else "global SDR"


def published_title(is_same: bool) -> str:
    """What stands above figures of others.

    Args:
        is_same: whether the songs beside them are those of MUSDB18.
    """
    return "Published for MUSDB18" if is_same else "Published for MUSDB18, which has other songs"


def published_stems(figures: Iterable[Published], measured: Iterable[str]) -> list[str]:
    """Stems that have figures of others and of ours, in the order of the figures."""
    known = dict.fromkeys(stem for figure in figures for stem in figure.sdr)
    return [stem for stem in known if stem in {*measured}]


def published() -> list[Published]:
    """All that the program knows of."""
    text = files(__package__).joinpath("published.toml").read_text(encoding="utf-8")
    return [
        Published(entry.pop("name"), entry.pop("kind"), entry.pop("source"), entry)
        for entry in tomllib.loads(text)["figure"]
    ]
