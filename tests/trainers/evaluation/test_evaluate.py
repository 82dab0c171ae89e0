"""Evaluations: what is kept, what is done again, and what goes wrong."""

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
from tests.trainers.evaluation.songs import Leaking, NoiseTrack
from trainers.evaluation.evaluate import Evaluation, ScoringSettings
from trainers.evaluation.events import EvaluationStarted, ScoringFailed, ScoringStarted, TrackScored
from trainers.evaluation.folder import file_name
from trainers.evaluation.methods import MixtureMethod
from trainers.evaluation.scoring import Waves, load_scores
from trainers.evaluation.summary import summarize
from trainers.evaluation.tracks import EvaluationTrack, TrackAudio
from trainers.metrics.bsseval import FrameScores, bss_eval

TRACKS = [NoiseTrack("A - One", 10), NoiseTrack("B/Two", 20), NoiseTrack("C. Three", 30)]

RULES = ScoringSettings()


def evaluate(
    output: Path,
    *methods: Leaking,
    tracks: list[NoiseTrack] = TRACKS,
    rules: ScoringSettings = RULES,
    pieces: int = 0,
) -> tuple[Evaluation, list[Event]]:
    told: list[Event] = []
    evaluation = Evaluation(tracks, methods, rules, output, pieces)
    evaluation.run(told.append)
    return evaluation, told


def assert_same(one: Evaluation, other: Evaluation) -> None:
    """To the last decimal: what is kept in memory is what files hold."""
    rows = (summarize(evaluation.results.scores) for evaluation in (one, other))
    assert [*next(rows)] == [*next(rows)]


def test_scores_of_every_song_by_every_method(tmp_path: Path) -> None:
    """A tenth of the other stem, which is as loud: 20 dB by all definitions."""
    evaluation, told = evaluate(tmp_path, Leaking(), Leaking("worse", 0.5))
    rows = {(row.method, row.stem): row for row in summarize(evaluation.results.scores)}
    assert rows["leaking", "vocals"].values["global_sdr"] == pytest.approx(20, abs=0.1)
    assert rows["leaking", "accompaniment"].values["SDR"] == pytest.approx(20, abs=0.3)
    assert rows["worse", "vocals"].values["global_sdr"] == pytest.approx(6.02, abs=0.1)
    assert rows["worse", "vocals"].counted == "3"
    assert told[0] == EvaluationStarted(3, ("leaking", "worse"), 0)
    assert [
        sum(isinstance(event, kind) for event in told) for kind in (ScoringStarted, TrackScored)
    ] == [6, 6]


def test_files_are_those_in_memory(tmp_path: Path) -> None:
    evaluation, _ = evaluate(tmp_path, Leaking())
    for song, scores in evaluation.results.scores["leaking"].items():
        read = load_scores(tmp_path / "leaking" / "test" / f"{file_name(song)}.json")
        assert read.track == song
        assert read.stems == scores.stems


def test_a_second_run_does_nothing_and_says_the_same(tmp_path: Path) -> None:
    first, _ = evaluate(tmp_path, Leaking())
    again = Leaking()
    tracks = [NoiseTrack(track.name, track.seed) for track in TRACKS]
    second, told = evaluate(tmp_path, again, tracks=tracks)
    assert (again.asked, [track.read for track in tracks]) == ([], [0, 0, 0])
    assert told == [EvaluationStarted(3, ("leaking",), 3)]
    assert_same(first, second)


@pytest.mark.parametrize(
    ("method", "rules", "tracks"),
    [
        (Leaking(share=0.2), ScoringSettings(), TRACKS),
        (Leaking(), ScoringSettings(window=0.5), TRACKS),
        (Leaking(), ScoringSettings(), [NoiseTrack(track.name, 99) for track in TRACKS]),
    ],
    ids=["another method", "another window", "other songs"],
)
def test_scores_that_do_not_hold_are_made_again(
    tmp_path: Path, method: Leaking, rules: ScoringSettings, tracks: list[NoiseTrack]
) -> None:
    evaluate(tmp_path, Leaking())
    evaluate(tmp_path, method, rules=rules, tracks=tracks)
    assert method.asked == [track.name for track in tracks]


def test_files_of_others_in_the_folder_stay(tmp_path: Path) -> None:
    names = ("writable", "songs.txt")
    for name in names:
        (tmp_path / name).write_text("mine")
    evaluate(tmp_path, Leaking())
    assert [(tmp_path / name).read_text() for name in names] == ["mine", "mine"]
    assert {path.name for path in tmp_path.iterdir()} == {*names, "leaking"}


@pytest.mark.parametrize("spoilt", ["", "{", "{}", '{"targets": []}', '{"targets": [{"name": 1}]}'])
def test_a_damaged_file_is_made_again(tmp_path: Path, spoilt: str) -> None:
    evaluate(tmp_path, Leaking())
    (tmp_path / "leaking" / "test" / "B__Two.json").write_text(spoilt)
    again = Leaking()
    evaluate(tmp_path, again)
    assert again.asked == ["B/Two"]


def test_a_bad_song_stops_nothing(tmp_path: Path) -> None:
    tracks = [TRACKS[0], NoiseTrack("broken", is_broken=True), TRACKS[2]]
    evaluation, told = evaluate(
        tmp_path, Leaking(), Leaking("picky", fails=["C. Three"]), tracks=tracks
    )
    assert [str(failure) for failure in evaluation.results.failures] == [
        "broken by leaking has no scores: broken is damaged",
        "broken by picky has no scores: broken is damaged",
        "C. Three by picky has no scores: no estimate for this one",
    ]
    assert [*evaluation.results.scores["leaking"]] == ["A - One", "C. Three"]
    assert [*evaluation.results.scores["picky"]] == ["A - One"]
    assert sum(isinstance(event, ScoringFailed) for event in told) == 3


def test_songs_side_by_side_have_the_same_scores(tmp_path: Path) -> None:
    alone, _ = evaluate(tmp_path / "alone", Leaking())
    beside, _ = evaluate(tmp_path / "beside", Leaking(), rules=ScoringSettings(jobs=3))
    assert alone.results.scores == beside.results.scores
    assert [*beside.results.scores["leaking"]] == [track.name for track in TRACKS]


class Interrupted(Leaking):
    def estimate(self, track: EvaluationTrack, sound: TrackAudio) -> Waves:
        if track.name == "C. Three":
            raise KeyboardInterrupt
        return super().estimate(track, sound)


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path, Interrupted())
    again = Leaking()
    evaluation, _ = evaluate(tmp_path, again)
    whole, _ = evaluate(tmp_path / "whole", Leaking())
    assert again.asked == ["C. Three"]
    assert_same(evaluation, whole)


def test_the_mixture_scores_the_difference_of_levels(tmp_path: Path) -> None:
    """Law: with the mixture as estimate, SDR is stem over rest; here both are as loud."""
    evaluation, _ = evaluate(tmp_path, MixtureMethod())  # type: ignore[arg-type]
    for row in summarize(evaluation.results.scores):
        assert row.values["global_sdr"] == pytest.approx(0, abs=0.2)


def test_files_have_museval_s_keys(tmp_path: Path) -> None:
    """By its schema (musdb.schema.json of museval 0.4.1)."""
    evaluate(tmp_path, Leaking(), tracks=TRACKS[:1])
    values = json.loads((tmp_path / "leaking" / "test" / "A - One.json").read_text())
    assert values["museval_version"] == "0.4.1"
    assert [target["name"] for target in values["targets"]] == ["vocals", "accompaniment"]
    frame = values["targets"][0]["frames"][1]
    assert (frame["time"], frame["duration"]) == (1.0, 1.0)
    assert {*frame["metrics"]} == {"SDR", "ISR", "SIR", "SAR"}


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["..", "a"], "'..' is not a valid folder name"),
        (["a/b"], "'a/b' is not a valid folder name"),
        (["a", "a"], "Two methods are called a"),
        (["excerpts"], "No method can be called excerpts, a name that the results use. Rename it"),
        (["songs.csv"], "No method can be called songs.csv"),
    ],
)
def test_methods_need_names_of_their_own(tmp_path: Path, names: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)):
        Evaluation(TRACKS, [Leaking(name) for name in names], RULES, tmp_path)


def test_songs_need_names_of_their_own(tmp_path: Path) -> None:
    """Also where only their folders part them: museval reads one folder."""
    tracks = [NoiseTrack("a/b"), NoiseTrack("a__b")]
    with pytest.raises(UsageError, match="Two songs are called a__b"):
        Evaluation(tracks, [Leaking()], RULES, tmp_path)


class Exploding(Leaking):
    def estimate(self, track: EvaluationTrack, sound: TrackAudio) -> Waves:
        if track.name == "B/Two":
            raise RuntimeError("a strange number")
        return super().estimate(track, sound)


def test_a_defect_in_one_song_stops_no_other(tmp_path: Path) -> None:
    evaluation, _ = evaluate(tmp_path, Exploding())
    (failure,) = evaluation.results.failures
    assert (failure.song, "a strange number" in failure.message) == ("B/Two", True)
    assert 'RuntimeError("a strange number")' in failure.trace
    assert "trace" not in failure.to_dict()
    assert len(evaluation.results.scores["leaking"]) == 2


def test_what_was_measured_when_it_was_interrupted_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last song is taken apart while the one before is measured: that one is saved."""
    measuring = threading.Event()

    def slow(*arguments: Any) -> FrameScores:
        measuring.set()
        time.sleep(0.3)
        return bss_eval(*arguments)

    monkeypatch.setattr("trainers.evaluation.evaluate.find_measure", lambda backend: slow)
    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path, Interrupted())
    assert measuring.is_set()
    assert (tmp_path / "leaking" / "test" / "B__Two.json").is_file()
