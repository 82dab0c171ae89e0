"""A batch of many songs with the fake engine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stemcli.batch.executor import LocalExecutor
from stemcli.batch.library import LibrarySong
from stemcli.batch.report import BatchFinished, BatchReport, BatchStarted
from stemcli.batch.run import separate_songs
from stemcli.engine.events import (
    Event,
    ModelLoaded,
    Notice,
    Progress,
    TrackFailed,
    TrackStarted,
)
from stemcli.engine.options import Options
from tests.stemcli.batch.fake import SECONDS, FakeSession, make_songs, open_fake


class Recorder:
    """Runs songs with the fake engine and keeps the events."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.session: FakeSession | None = None
        self.before: Callable[[Path], object] = lambda song: None

    def open(self, options: Options, on_event: Any, jobs: int) -> LocalExecutor:
        self.session = FakeSession(options, on_event, jobs, before=self.before)
        return LocalExecutor(self.session, jobs)

    def run(self, songs: list[Path], out: Path, jobs: int = 1, **choices: Any) -> BatchReport:
        return separate_songs(
            [LibrarySong(song) for song in songs],
            Options(output=str(out), **choices),
            jobs=jobs,
            on_event=self.events.append,
            open_executor=self.open,
        )


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_bad_song_does_not_stop_the_others(tmp_path: Path, jobs: int) -> None:
    songs = make_songs(tmp_path, "a.mp3", "c.mp3")
    songs[1:1] = make_songs(tmp_path, "b.mp3", content="bad")
    recorder = Recorder()
    report = recorder.run(songs, tmp_path / "out", jobs)
    assert [track.outcome for track in report.tracks] == ["done", "failed", "done"]
    assert report.exit_code == 1
    assert (tmp_path / "out/c/vocals.wav").read_text() == "vocals of c.mp3"
    failures = [event for event in recorder.events if isinstance(event, TrackFailed)]
    assert failures == [TrackFailed("b.mp3", "b.mp3 holds no sound that can be read")]


def test_notices_of_failed_songs_are_in_the_report(tmp_path: Path) -> None:
    songs = make_songs(tmp_path, "a.mp3", content="bad") + make_songs(tmp_path, "b.mp3")
    recorder = Recorder()

    def notice(song: Path) -> None:
        assert recorder.session is not None
        recorder.session.on_event(Notice(song.name, f"{song.name} is odd"))

    recorder.before = notice
    tracks = recorder.run(songs, tmp_path / "out").to_dict()["tracks"]
    assert [(track["outcome"], track["notices"]) for track in tracks] == [
        ("failed", ("a.mp3 is odd",)),
        ("done", ("b.mp3 is odd",)),
    ]


def test_a_bug_in_one_song_does_not_stop_the_others(tmp_path: Path) -> None:
    songs = make_songs(tmp_path, "a.mp3", content="crash") + make_songs(tmp_path, "b.mp3")
    report = Recorder().run(songs, tmp_path / "out")
    assert [track.outcome for track in report.tracks] == ["failed", "done"]
    assert "bug in stem" in report.tracks[0].message
    assert "a tensor of the wrong shape" in report.tracks[0].trace
    assert "trace" not in report.to_dict()["tracks"][0]


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("kind", [ModelLoaded, TrackStarted, TrackFailed, BatchStarted])
def test_an_error_of_the_event_handler_ends_the_run(
    tmp_path: Path, jobs: int, kind: type[Event]
) -> None:
    """For example when the reader of a pipe ends; the error is passed on unchanged."""
    songs = make_songs(tmp_path, "a.mp3", "b.mp3") + make_songs(tmp_path, "c.mp3", content="bad")
    error = BrokenPipeError(32, "Broken pipe")

    def on_event(event: Event) -> None:
        if isinstance(event, kind):
            raise error

    with pytest.raises(BrokenPipeError) as caught:
        separate_songs(
            [LibrarySong(song) for song in songs],
            Options(output=str(tmp_path / "out")),
            jobs=jobs,
            on_event=on_event,
            open_executor=open_fake,
        )
    assert caught.value is error


def test_a_run_begins_and_ends_with_batch_events(tmp_path: Path) -> None:
    recorder = Recorder()
    report = recorder.run(make_songs(tmp_path, "a.mp3"), tmp_path / "out")
    assert recorder.events[0] == BatchStarted(1)
    assert recorder.events[-1] == BatchFinished(report.to_dict())
    assert recorder.events[-1].to_dict()["event"] == "batch_finished"


def test_skipped_songs_are_not_failures(tmp_path: Path) -> None:
    songs = make_songs(tmp_path, "a.mp3", "b.mp3")
    Recorder().run(songs[:1], tmp_path / "out")
    report = Recorder().run(songs, tmp_path / "out", existing="skip")
    assert [track.outcome for track in report.tracks] == ["skipped", "done"]
    assert (report.exit_code, report.audio_seconds) == (0, SECONDS)


def test_jobs_plus_two_songs_are_processed_in_parallel(
    tmp_path: Path,
) -> None:
    recorder, barrier = Recorder(), threading.Barrier(4)
    recorder.before = lambda song: barrier.wait(timeout=30)
    songs = make_songs(tmp_path, "a.mp3", "b.mp3", "c.mp3", "d.mp3")
    report = recorder.run(songs, tmp_path / "out", jobs=2)
    assert report.count("done") == 4
    assert recorder.session is not None
    assert (len(recorder.session.threads), recorder.session.jobs) == (4, 2)


def test_the_report_has_network_seconds_per_job(tmp_path: Path) -> None:
    """The fake engine reports one second over all jobs."""
    songs = make_songs(tmp_path, "a.mp3")
    assert Recorder().run(songs, tmp_path / "out", jobs=4).network_seconds == 0.25


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_stops_all_jobs_and_leaves_no_files(tmp_path: Path, jobs: int) -> None:
    songs = make_songs(tmp_path, *(f"{n}.mp3" for n in range(8)))

    def on_event(event: Event) -> None:
        if isinstance(event, Progress):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        separate_songs(
            [LibrarySong(song) for song in songs],
            Options(output=str(tmp_path / "out")),
            jobs=jobs,
            on_event=on_event,
            open_executor=open_fake,
        )
    assert not (tmp_path / "out").exists()
