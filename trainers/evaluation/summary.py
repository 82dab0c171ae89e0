"""Summarizes scores of songs as papers do, along with published results."""

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
from trainers.evaluation.metric_table import MEDIAN, METRICS
from trainers.evaluation.scoring import TrackScores


@dataclass(frozen=True)
class Row:
    """Scores of one stem by one method.

    Attributes:
        method: name of the method.
        stem: name of the stem.
        songs: number of songs that have a score, by the key of the metric.
        values: scores in dB, by the key of the metric; NaN if no song has one.
    """

    method: str
    stem: str
    songs: Mapping[str, int]
    values: Mapping[str, float]

    @property
    def counted(self) -> str:
        """Number of songs behind the scores: ``3``, or ``2 to 3`` if silent stems were left out."""
        least, most = min(self.songs.values()), max(self.songs.values())
        return str(most) if least == most else f"{least} to {most}"


def song_value(scores: TrackScores, stem: str, metric: str) -> float:
    """Return a song's score: the median over its windows, or its only value; NaN without any."""
    found = next((each for each in scores.stems if each.name == stem), None)
    if found is None:
        return math.nan
    if metric in found.whole:
        return found.whole[metric]
    return median(found.frames.get(metric, ()))


def summarize(scores: Mapping[str, Mapping[str, TrackScores]]) -> list[Row]:
    """Build a row for each method and stem, in their original order.

    Args:
        scores: scores of each method, by song.
    """
    return [_row(method, stem, songs) for method, songs in scores.items() for stem in stems(songs)]


def stems(songs: Mapping[str, TrackScores]) -> list[str]:
    """Return the names of all stems of all songs, in their original order."""
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
    """Return the median without NaN, as museval does."""
    numbers = [*filter(math.isfinite, values)]
    return statistics.median(numbers) if numbers else math.nan


def mean(values: Iterable[float]) -> float:
    """Return the mean without NaN."""
    numbers = [*filter(math.isfinite, values)]
    return statistics.fmean(numbers) if numbers else math.nan


def summary_document(rows: Sequence[Row], rules: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the summary as JSON: values in dB, null if there is none."""
    return {
        "rules": dict(rules),
        "metrics": {metric.key: asdict(metric) for metric in METRICS},
        "rows": [{**asdict(row), "values": _plain(row.values)} for row in rows],
    }


def songs_csv(scores: Mapping[str, Mapping[str, TrackScores]]) -> str:
    """Return a CSV line for each method, song and stem, with empty cells for NaN."""
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
    """Convert for JSON: five decimals, null for NaN and infinity."""
    return round(value, 5) if math.isfinite(value) else None


@dataclass(frozen=True)
class Published:
    """Published results of one system on the test songs of MUSDB18, in dB.

    Attributes:
        name: name of the system.
        kind: ``median`` of BSSEval's SDR over windows and songs, or ``mean`` of global SDR over
            songs.
        source: publication.
        sdr: results by stem, as far as published.
    """

    name: str
    kind: Literal["median", "mean"]
    source: str
    sdr: Mapping[str, float]

    @property
    def metric(self) -> str:
        """Name of the metric in our tables."""
        return "SDR" if self.kind == "median" else "global SDR"


def published_title(is_same: bool) -> str:
    """Return the title of the published results.

    Args:
        is_same: whether the evaluated songs are those of MUSDB18.
    """
    return "Published for MUSDB18" if is_same else "Published for MUSDB18, which has other songs"


def published_stems(figures: Iterable[Published], measured: Iterable[str]) -> list[str]:
    """Return stems with published and measured results, in the published order."""
    known = dict.fromkeys(stem for figure in figures for stem in figure.sdr)
    return [stem for stem in known if stem in {*measured}]


def published() -> list[Published]:
    """Return all published results known to the program."""
    text = files(__package__).joinpath("published.toml").read_text(encoding="utf-8")
    return [
        Published(entry.pop("name"), entry.pop("kind"), entry.pop("source"), entry)
        for entry in tomllib.loads(text)["figure"]
    ]
