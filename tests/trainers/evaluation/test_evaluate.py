"""Evaluations: which scores are reused or computed again, and errors."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from model_zoo.errors import UsageError
from stemcli.engine.events import Event
from tests.trainers.evaluation.songs import LeakingMethod, NoiseTrack
from trainers.evaluation.evaluate import Evaluation, ScoringSettings
from trainers.evaluation.events import EvaluationStarted, ScoringFailed, ScoringStarted, TrackScored
from trainers.evaluation.folder import file_name
from trainers.evaluation.methods import MixtureMethod
from trainers.evaluation.scoring import Waves, load_scores
from trainers.evaluation.summary import summarize
from trainers.evaluation.tracks import EvaluationTrack, TrackAudio
from trainers.metrics.bsseval import FrameScores, bss_eval

TRACKS = [NoiseTrack("A - One", 10), NoiseTrack("B/Two", 20), NoiseTrack("C. Three", 30)]

SETTINGS = ScoringSettings()


def evaluate(
    output: Path,
    *methods: LeakingMethod,
    tracks: list[NoiseTrack] = TRACKS,
    settings: ScoringSettings = SETTINGS,
    pieces: int = 0,
) -> tuple[Evaluation, list[Event]]:
    events: list[Event] = []
    evaluation = Evaluation(tracks, methods, settings, output, pieces)
    evaluation.run(events.append)
    return evaluation, events


def assert_same(one: Evaluation, other: Evaluation) -> None:
    """Both evaluations have exactly equal summaries."""
    rows = (summarize(evaluation.results.scores) for evaluation in (one, other))
    assert [*next(rows)] == [*next(rows)]


def test_every_song_is_scored_with_every_method(tmp_path: Path) -> None:
    """Leakage of a tenth of the other stem, which is equally loud: 20 dB by all definitions."""
    evaluation, events = evaluate(tmp_path, LeakingMethod(), LeakingMethod("worse", 0.5))
    rows = {(row.method, row.stem): row for row in summarize(evaluation.results.scores)}
    assert rows["leaking", "vocals"].values["global_sdr"] == pytest.approx(20, abs=0.1)
    assert rows["leaking", "accompaniment"].values["SDR"] == pytest.approx(20, abs=0.3)
    assert rows["worse", "vocals"].values["global_sdr"] == pytest.approx(6.02, abs=0.1)
    assert rows["worse", "vocals"].counted == "3"
    assert events[0] == EvaluationStarted(3, ("leaking", "worse"), 0)
    assert [
        sum(isinstance(event, kind) for event in events) for kind in (ScoringStarted, TrackScored)
    ] == [6, 6]


def test_score_files_equal_scores_in_memory(tmp_path: Path) -> None:
    evaluation, _ = evaluate(tmp_path, LeakingMethod())
    for song, scores in evaluation.results.scores["leaking"].items():
        read = load_scores(tmp_path / "leaking" / "test" / f"{file_name(song)}.json")
        assert read.track == song
        assert read.stems == scores.stems


def test_a_second_run_reuses_all_scores(tmp_path: Path) -> None:
    first, _ = evaluate(tmp_path, LeakingMethod())
    again = LeakingMethod()
    tracks = [NoiseTrack(track.name, track.seed) for track in TRACKS]
    second, events = evaluate(tmp_path, again, tracks=tracks)
    assert (again.calls, [track.read for track in tracks]) == ([], [0, 0, 0])
    assert events == [EvaluationStarted(3, ("leaking",), 3)]
    assert_same(first, second)


@pytest.mark.parametrize(
    ("method", "settings", "tracks"),
    [
        (LeakingMethod(share=0.2), ScoringSettings(), TRACKS),
        (LeakingMethod(), ScoringSettings(window=0.5), TRACKS),
        (LeakingMethod(), ScoringSettings(), [NoiseTrack(track.name, 99) for track in TRACKS]),
    ],
    ids=["another method", "another window", "other songs"],
)
def test_outdated_scores_are_computed_again(
    tmp_path: Path, method: LeakingMethod, settings: ScoringSettings, tracks: list[NoiseTrack]
) -> None:
    evaluate(tmp_path, LeakingMethod())
    evaluate(tmp_path, method, settings=settings, tracks=tracks)
    assert method.calls == [track.name for track in tracks]


def test_other_files_in_the_output_stay(tmp_path: Path) -> None:
    names = ("writable", "songs.txt")
    for name in names:
        (tmp_path / name).write_text("mine")
    evaluate(tmp_path, LeakingMethod())
    assert [(tmp_path / name).read_text() for name in names] == ["mine", "mine"]
    assert {path.name for path in tmp_path.iterdir()} == {*names, "leaking"}


@pytest.mark.parametrize(
    "content", ["", "{", "{}", '{"targets": []}', '{"targets": [{"name": 1}]}']
)
def test_damaged_score_files_are_computed_again(tmp_path: Path, content: str) -> None:
    evaluate(tmp_path, LeakingMethod())
    (tmp_path / "leaking" / "test" / "B__Two.json").write_text(content)
    again = LeakingMethod()
    evaluate(tmp_path, again)
    assert again.calls == ["B/Two"]


def test_a_bad_song_does_not_stop_the_others(tmp_path: Path) -> None:
    tracks = [TRACKS[0], NoiseTrack("broken", is_broken=True), TRACKS[2]]
    evaluation, events = evaluate(
        tmp_path, LeakingMethod(), LeakingMethod("picky", failing=["C. Three"]), tracks=tracks
    )
    assert [str(failure) for failure in evaluation.results.failures] == [
        "Could not score broken by leaking: broken is damaged",
        "Could not score broken by picky: broken is damaged",
        "Could not score C. Three by picky: no estimate for this one",
    ]
    assert [*evaluation.results.scores["leaking"]] == ["A - One", "C. Three"]
    assert [*evaluation.results.scores["picky"]] == ["A - One"]
    assert sum(isinstance(event, ScoringFailed) for event in events) == 3


def test_parallel_scoring_gives_the_same_scores(tmp_path: Path) -> None:
    serial, _ = evaluate(tmp_path / "alone", LeakingMethod())
    parallel, _ = evaluate(tmp_path / "beside", LeakingMethod(), settings=ScoringSettings(jobs=3))
    assert serial.results.scores == parallel.results.scores
    assert [*parallel.results.scores["leaking"]] == [track.name for track in TRACKS]


class InterruptedMethod(LeakingMethod):
    def estimate(self, track: EvaluationTrack, sound: TrackAudio) -> Waves:
        if track.name == "C. Three":
            raise KeyboardInterrupt
        return super().estimate(track, sound)


def test_an_interrupted_evaluation_resumes(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path, InterruptedMethod())
    again = LeakingMethod()
    evaluation, _ = evaluate(tmp_path, again)
    full, _ = evaluate(tmp_path / "whole", LeakingMethod())
    assert again.calls == ["C. Three"]
    assert_same(evaluation, full)


def test_sdr_of_the_mixture_is_the_level_difference(tmp_path: Path) -> None:
    """With the mixture as estimate, SDR is stem over rest, which are equally loud here."""
    evaluation, _ = evaluate(tmp_path, MixtureMethod())  # type: ignore[arg-type]
    for row in summarize(evaluation.results.scores):
        assert row.values["global_sdr"] == pytest.approx(0, abs=0.2)


def test_files_have_museval_s_keys(tmp_path: Path) -> None:
    """Reference: museval's schema (musdb.schema.json of museval 0.4.1)."""
    evaluate(tmp_path, LeakingMethod(), tracks=TRACKS[:1])
    values = json.loads((tmp_path / "leaking" / "test" / "A - One.json").read_text())
    assert values["museval_version"] == "0.4.1"
    assert [target["name"] for target in values["targets"]] == ["vocals", "accompaniment"]
    frame = values["targets"][0]["frames"][1]
    assert (frame["time"], frame["duration"]) == (1.0, 1.0)
    assert {*frame["metrics"]} == {"SDR", "ISR", "SIR", "SAR"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["..", "a"], "'..' is not a valid folder name"),
        (["a/b"], "'a/b' is not a valid folder name"),
        (["a", "a"], "Two methods are called a"),
        (["excerpts"], "No method can be called excerpts, a name that the results use. Rename it"),
        (["songs.csv"], "No method can be called songs.csv"),
    ],
)
def test_method_names_must_be_valid_and_unique(
    tmp_path: Path, names: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        Evaluation(TRACKS, [LeakingMethod(name) for name in names], SETTINGS, tmp_path)


def test_song_names_must_be_unique(tmp_path: Path) -> None:
    """Names that only differ in slashes are equal, as museval reads one flat folder."""
    tracks = [NoiseTrack("a/b"), NoiseTrack("a__b")]
    with pytest.raises(UsageError, match="Two songs are called a__b"):
        Evaluation(tracks, [LeakingMethod()], SETTINGS, tmp_path)


class FailingMethod(LeakingMethod):
    def estimate(self, track: EvaluationTrack, sound: TrackAudio) -> Waves:
        if track.name == "B/Two":
            raise RuntimeError("a strange number")
        return super().estimate(track, sound)


def test_a_bug_in_one_song_does_not_stop_the_others(tmp_path: Path) -> None:
    evaluation, _ = evaluate(tmp_path, FailingMethod())
    (failure,) = evaluation.results.failures
    assert (failure.song, "a strange number" in failure.message) == ("B/Two", True)
    assert 'RuntimeError("a strange number")' in failure.trace
    assert "trace" not in failure.to_dict()
    assert len(evaluation.results.scores["leaking"]) == 2


def test_scores_computed_during_an_interrupt_are_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last song is interrupted in separation while the one before is scored, which is saved."""
    scoring = threading.Event()

    def slow_bss_eval(*arguments: Any) -> FrameScores:
        scoring.set()
        time.sleep(0.3)
        return bss_eval(*arguments)

    monkeypatch.setattr("trainers.evaluation.evaluate.find_measure", lambda backend: slow_bss_eval)
    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path, InterruptedMethod())
    assert scoring.is_set()
    assert (tmp_path / "leaking" / "test" / "B__Two.json").is_file()
