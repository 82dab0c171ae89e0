"""Evaluations side by side: what was better, by how much, how often, and whether by chance."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model_zoo.errors import UsageError
from trainers.evaluation.folder import EXCERPTS, SUBSET
from trainers.evaluation.scoring import TrackScores, load_scores
from trainers.evaluation.summary import MEDIAN, Metric, mean, median, song_value, stems

Songs = Mapping[str, TrackScores]

FEWEST = 6
"""Songs below which no test can find a difference at one in twenty."""


@dataclass(frozen=True)
class Difference:
    """One stem by one method, against the same by the first.

    Attributes:
        method: its name.
        stem: its name.
        value: of the metric in dB, over all songs that have a number by this method.
        songs: how many those are.
        change: against the first method, over the songs that have a number by both; not a number
            for the first itself, and where there is no such song.
        better: songs of those that are better than by the first.
        shared: how many those are.
        chance: probability of differences at least as large if the methods were equal, by the
            signed ranks of the songs (Wilcoxon 1945, https://doi.org/10.2307/3001968); not a number
            for few songs.
    """

    method: str
    stem: str
    value: float
    songs: int
    change: float
    better: int
    shared: int
    chance: float


def read_runs(folders: Sequence[Path]) -> dict[str, Songs]:
    """Songs of every method of every evaluation, models before oracles.

    A name that several evaluations have gets its folder's name before it, but for oracles that are
    the same in all.

    Args:
        folders: those of evaluations, of single methods in them, or that museval wrote.

    Raises:
        UsageError: a folder has no scores, or windows differ.
        DecodeError: a file is no file of scores.
    """
    found = [(method, _songs(method)) for folder in folders for method in _methods(folder)]
    _require_one_window(songs for _, songs in found)
    names = Counter(method.name for method, _ in found)
    models: dict[str, Songs] = {}
    oracles: dict[str, Songs] = {}
    for method, songs in found:
        if _is_oracle(songs):
            same = _text(songs) == _text(oracles.get(method.name, songs))
            oracles[method.name if same else str(method)] = songs
        else:
            models[method.name if names[method.name] == 1 else str(method)] = songs
    return models | oracles


def compare(runs: Mapping[str, Songs], metric: Metric) -> list[Difference]:
    """Every stem by every method, against the first method that has the stem, song by song.

    Args:
        runs: songs of each method.
        metric: by which.
    """
    names = dict.fromkeys(stem for songs in runs.values() for stem in stems(songs))
    return [
        _difference(runs, metric, stem, method)
        for stem in names
        for method, songs in runs.items()
        if stem in stems(songs)
    ]


def _difference(runs: Mapping[str, Songs], metric: Metric, stem: str, method: str) -> Difference:
    first = next(name for name, songs in runs.items() if stem in stems(songs))
    ours, theirs = (_values(runs[name], stem, metric) for name in (method, first))
    shared = [song for song in ours if song in theirs]
    summed = median if metric.how == MEDIAN else mean
    both = [summed(values[song] for song in shared) for values in (ours, theirs)]
    gains = [ours[song] - theirs[song] for song in shared]
    return Difference(
        method,
        stem,
        value=summed(ours.values()),
        songs=len(ours),
        change=math.nan if method == first else both[0] - both[1],
        better=sum(gain > 0 for gain in gains),
        shared=len(shared),
        chance=_chance(gains),
    )


def _values(songs: Songs, stem: str, metric: Metric) -> dict[str, float]:
    """Of the songs that have one."""
    found = {song: song_value(scores, stem, metric.key) for song, scores in songs.items()}
    return {song: value for song, value in found.items() if math.isfinite(value)}


def _chance(gains: Sequence[float]) -> float:
    if len(gains) < FEWEST or not any(gains):
        return math.nan
    from scipy.stats import wilcoxon

    return float(wilcoxon(gains).pvalue)


def _methods(folder: Path) -> list[Path]:
    """Folders of methods: those in an evaluation, or the folder itself."""
    folder = folder.resolve() if folder.name in ("", "..") else folder
    places = sorted(place for place in folder.iterdir() if place.name != EXCERPTS)
    found = [place for place in (folder, *places) if any((place / SUBSET).rglob("*.json"))]
    if not found:
        raise UsageError(
            f"{folder} has no scores: name what stem eval musdb or stem eval folder was given"
            " after --output"
        )
    return found


def _songs(method: Path) -> dict[str, TrackScores]:
    root = method / SUBSET
    found = [load_scores(file) for file in sorted(root.rglob("*.json"))]
    return {scores.track: scores for scores in found}


def _is_oracle(songs: Songs) -> bool:
    provenance = next(iter(songs.values())).provenance if songs else {}
    return "oracle" in provenance.get("method", {})


def _require_one_window(runs: Iterable[Songs]) -> None:
    windows = {scores.window for songs in runs for scores in songs.values()}
    if len(windows) > 1:
        told = ", ".join(f"{window:g} s" for window in sorted(windows))
        raise UsageError(f"Windows of {told} cannot be compared: evaluate all with one --win")


def _text(songs: Songs) -> str:
    return json.dumps({song: scores.to_dict()["targets"] for song, scores in songs.items()})
