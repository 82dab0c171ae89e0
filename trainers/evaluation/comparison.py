"""Compares evaluations: which is better, by how much, how often, and how significantly."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model_zoo.errors import UsageError
from trainers.evaluation.folder import EXCERPTS, SUBSET
from trainers.evaluation.metric_table import MEDIAN, Metric
from trainers.evaluation.scoring import TrackScores, load_scores
from trainers.evaluation.summary import mean, median, song_value, stems

Songs = Mapping[str, TrackScores]

FEWEST = 6
"""Minimum number of songs for which a test can reach a p-value of 0.05."""


@dataclass(frozen=True)
class Difference:
    """Score of one stem by one method, compared with the first method.

    Attributes:
        method: name of the method.
        stem: name of the stem.
        value: metric in dB, over all songs that have a score by this method.
        songs: number of those songs.
        change: difference to the first method, over songs scored by both; NaN for the first itself,
            and without such songs.
        better: number of songs that are better than by the first.
        shared: number of songs scored by both.
        chance: p-value of the Wilcoxon signed-rank test (Wilcoxon 1945,
            https://doi.org/10.2307/3001968); NaN for too few songs.
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
    """Read the scores of all methods in all evaluations, models before oracles.

    A method name that occurs in several evaluations is prefixed with the folder's name, except for
    oracles with equal scores in all.

    Args:
        folders: folders of evaluations, of single methods in them, or of museval.

    Raises:
        UsageError: a folder has no scores, or window lengths differ.
        DecodeError: a file is not a score file.
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
    """Compare every method with the first method that has the same stem, song by song.

    Args:
        runs: scores of each method.
        metric: metric to compare.
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
    """Return the values of songs that have one."""
    found = {song: song_value(scores, stem, metric.key) for song, scores in songs.items()}
    return {song: value for song, value in found.items() if math.isfinite(value)}


def _chance(gains: Sequence[float]) -> float:
    if len(gains) < FEWEST or not any(gains):
        return math.nan
    from scipy.stats import wilcoxon

    return float(wilcoxon(gains).pvalue)


def _methods(folder: Path) -> list[Path]:
    """Return the methods' folders of an evaluation, or the folder itself."""
    folder = folder.resolve() if folder.name in ("", "..") else folder
    paths = sorted(path for path in folder.iterdir() if path.name != EXCERPTS)
    found = [path for path in (folder, *paths) if any((path / SUBSET).rglob("*.json"))]
    if not found:
        raise UsageError(
            f"{folder} has no scores. Use the --output folder of stem eval musdb or stem eval"
            " folder"
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
        lengths = ", ".join(f"{window:g} s" for window in sorted(windows))
        raise UsageError(f"Windows of {lengths} cannot be compared. Use the same --win for all")


def _text(songs: Songs) -> str:
    return json.dumps({song: scores.to_dict()["targets"] for song, scores in songs.items()})
