"""Runs an evaluation: scores all songs by all methods, resumes, and survives bad songs."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from model_zoo.errors import DecodeError, OutputError, describe_error
from stemcli.engine.events import EventHandler
from stemcli.process import finished
from trainers.evaluation.events import (
    EvaluationStarted,
    ScoringFailed,
    ScoringStarted,
    Separating,
    TrackScored,
)
from trainers.evaluation.folder import Excerpts, ResultsFolder, spread
from trainers.evaluation.methods import Method
from trainers.evaluation.scoring import (
    Backend,
    Scorer,
    TrackScores,
    Waves,
    find_measure,
    load_scores,
)
from trainers.evaluation.summary import median, plain
from trainers.evaluation.tracks import EvaluationTrack, TrackAudio

VERSION = 1
"""Version of the scoring; a new one invalidates earlier scores."""


@dataclass(frozen=True)
class ScoringSettings:
    """Settings of the scoring.

    Attributes:
        window: BSSEval's window in seconds; windows do not overlap.
        backend: BSSEval implementation.
        jobs: songs scored at the same time, each in memory, while the network separates the next.
            device: device of our BSSEval.
    """

    window: float = 1.0
    backend: Backend = "torch"
    jobs: int = 1
    device: str = "cpu"

    @property
    def plain(self) -> dict[str, Any]:
        """Settings that affect the scores, as plain values."""
        return {"window": self.window, "backend": self.backend}

    def scorer(self, sample_rate: int) -> Scorer:
        """Create a scorer for a sample rate in Hz."""
        samples = int(self.window * sample_rate)
        return Scorer(samples, samples, find_measure(self.backend), self.device)


@dataclass
class EvaluationResults:
    """Results of an evaluation.

    Attributes:
        scores: scores of each method, by song.
        failures: failed songs of each method.
    """

    scores: dict[str, dict[str, TrackScores]]
    failures: list[ScoringFailed] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Mean duration of the scored songs, in whole windows; 0 without any."""
        lengths = {
            song: len(found.stems[0].frames["SDR"]) * found.window
            for songs in self.scores.values()
            for song, found in songs.items()
        }
        return fmean(lengths.values()) if lengths else 0.0


class Evaluation:
    """An evaluation of methods on songs.

    Args:
        tracks: songs to evaluate.
        methods: methods to evaluate.
        rules: settings of the scoring.
        output: folder of all scores, with one folder per method that museval can read.
        pieces: number of songs to store excerpts of.

    Raises:
        UsageError: two songs or methods have the same name, or the folder has scores of other
            songs.
        OutputError: the folder cannot be written.
        MissingExtraError: the backend is not installed.
    """

    def __init__(
        self,
        tracks: Sequence[EvaluationTrack],
        methods: Sequence[Method],
        rules: ScoringSettings,
        output: Path,
        pieces: int = 0,
    ) -> None:
        find_measure(rules.backend)
        self.tracks = tracks
        self.methods = methods
        self.rules = rules
        self.output = output
        songs = [track.name for track in tracks]
        self._folder = ResultsFolder(output, [method.name for method in methods], songs)
        self.excerpts = Excerpts(self._folder, spread(songs, pieces))
        self.results = EvaluationResults({method.name: {} for method in methods})
        self._on_event: EventHandler = lambda event: None
        self._measured: dict[Future[TrackScores], tuple[EvaluationTrack, Method]] = {}

    def run(self, on_event: EventHandler = lambda event: None) -> EvaluationResults:
        """Separate songs without scores, and score each one while the next is separated.

        An error in a song is reported and does not stop the others.

        Args:
            on_event: receives the events.

        Raises:
            OutputError: scores cannot be written.
        """
        self._on_event = on_event
        missing = {track.name: self._missing(track) for track in self.tracks}
        kept = sum(map(len, self.results.scores.values()))
        names = tuple(method.name for method in self.methods)
        self._on_event(EvaluationStarted(len(self.tracks), names, kept))
        # An interrupt waits for songs that are being scored, so that they are not lost.
        with ThreadPoolExecutor(self.rules.jobs) as pool:
            for track in self.tracks:
                self._begin(track, missing[track.name], pool)
            self._settle(0)
        self._sort()
        return self.results

    def _missing(self, track: EvaluationTrack) -> list[Method]:
        """Return methods without valid scores; valid scores are added to the results."""
        missing = []
        for method in self.methods:
            scores = self._kept(method, track)
            if scores is None:
                missing.append(method)
            else:
                self.results.scores[method.name][track.name] = scores
        return missing

    def _kept(self, method: Method, track: EvaluationTrack) -> TrackScores | None:
        try:
            provenance = self._provenance(method, track)
            if self.excerpts.is_missing(method, track, provenance):
                return None
            scores = load_scores(self._folder.scores(method.name, track.name))
            return scores if scores.provenance == provenance else None
        except (DecodeError, OSError):
            return None  # missing or damaged scores, or an unreadable song, reported later

    def _provenance(self, method: Method, track: EvaluationTrack) -> dict[str, Any]:
        """Return everything that affects the scores."""
        settings = method.settings(track)
        return {"song": track.stamp, "method": settings, **self.rules.plain, "version": VERSION}

    def _begin(
        self, track: EvaluationTrack, methods: Sequence[Method], pool: ThreadPoolExecutor
    ) -> None:
        """Separate a song by all methods, and queue each result for scoring."""
        if not methods:
            return
        try:
            sound = track.load()
        except Exception as error:  # an error in one song must not stop the others
            self._fail(track, methods, error)
            return
        for method in methods:
            self._on_event(Separating(track.name, method.name))
            begun = time.perf_counter()
            try:
                provenance = self._provenance(method, track)
                estimates = method.estimate(track, sound)
            except Exception as error:
                self._fail(track, [method], error)
                continue
            self._settle(self.rules.jobs - 1)
            self._on_event(ScoringStarted(track.name, method.name, time.perf_counter() - begun))
            future = pool.submit(self._score, track, method, sound, estimates, provenance)
            self._measured[future] = track, method

    def _score(
        self,
        track: EvaluationTrack,
        method: Method,
        sound: TrackAudio,
        estimates: Waves,
        provenance: Mapping[str, Any],
    ) -> TrackScores:
        """Score and save in a worker thread, so that finished scores are never lost."""
        scorer = self.rules.scorer(sound.sample_rate)
        stems = tuple(stem.rounded() for stem in scorer(estimates, sound.references, sound.mixture))
        scores = TrackScores(track.name, self.rules.window, self.rules.window, stems, provenance)
        scores.save(self._folder.scores(method.name, track.name))
        self.excerpts.keep(method, track, sound, estimates, provenance)
        return scores

    def _settle(self, most: int) -> None:
        """Collect finished scores until at most ``most`` are still running."""
        while len(self._measured) > most:
            self._take(next(finished(self._measured)))

    def _take(self, future: Future[TrackScores]) -> None:
        track, method = self._measured.pop(future)
        try:
            scores = future.result()
        except OutputError:
            raise
        except Exception as error:
            self._fail(track, [method], error)
            return
        self.results.scores[method.name][track.name] = scores
        self._on_event(scored(scores, method.name))

    def _fail(self, track: EvaluationTrack, methods: Sequence[Method], error: Exception) -> None:
        trace = "".join(traceback.format_exception(error))
        for method in methods:
            failure = ScoringFailed(track.name, method.name, describe_error(error), trace)
            self.results.failures.append(failure)
            self._on_event(failure)

    def _sort(self) -> None:
        """Sort scores in the order of the songs."""
        for method, songs in self.results.scores.items():
            names = (track.name for track in self.tracks if track.name in songs)
            self.results.scores[method] = {name: songs[name] for name in names}


def scored(scores: TrackScores, method: str) -> TrackScored:
    """Build the event of a scored song."""
    framewise = {stem.name: plain(median(stem.frames["SDR"])) for stem in scores.stems}
    whole = {stem.name: plain(stem.whole["global_sdr"]) for stem in scores.stems}
    return TrackScored(scores.track, method, framewise, whole)
