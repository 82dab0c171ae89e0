"""Output of each kind of console for the same events."""

from __future__ import annotations

import io
import json

import pytest
from rich.cells import cell_len
from rich.console import Console as Terminal

from stemcli.batch.report import BatchStarted
from stemcli.cli.console import Console, JsonConsole, PlainConsole, open_console
from stemcli.cli.json_output import SCHEMA
from stemcli.cli.live_console import BatchBar, LiveConsole, SongBar, TimeEstimate
from stemcli.engine.events import (
    DownloadProgress,
    Event,
    ModelLoaded,
    Notice,
    Progress,
    TrackFailed,
    TrackFinished,
    TrackSkipped,
    TrackStarted,
)

SONG = "Los Rombos - Fantasma (niño) 🎸 [live].mp3"
EVENTS: list[Event] = [
    BatchStarted(3),
    ModelLoaded("melroformer", "cpu", "bf16", "this CPU has AMX"),
    TrackStarted(SONG, 166.0, 44100, 2),
    Progress(SONG, "separating", 83.0, 166.0),
    Notice(SONG, "its stems are 1.5 dB softer, so that none clips"),
    Progress(SONG, "encoding", 166.0, 166.0),
    TrackFinished(SONG, {"vocals": "s/v.wav", "instrumental": "s/i.wav"}, 166.0, 40.0),
    TrackStarted("b.mp3", None, 48000, 6),
    Progress("b.mp3", "separating", 2.0, None),
    TrackFailed("b.mp3", "it is damaged at 0:02"),
    TrackSkipped("c.mp3", "all stems exist"),
]


def show_events(console: Console) -> None:
    with console:
        for event in EVENTS:
            console.show(event)


def test_json_is_one_event_per_line_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    show_events(JsonConsole())
    output = capsys.readouterr()
    assert [json.loads(line) for line in output.out.splitlines()] == [
        json.loads(json.dumps({**event.to_dict(), "schema": SCHEMA})) for event in EVENTS
    ]
    assert output.out.isascii()
    assert output.err == "Error: b.mp3: it is damaged at 0:02\n"


class TerminalStream(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("console", "printed"), [(PlainConsole(), True), (Console(), False), (JsonConsole(), False)]
)
def test_slow_work_is_announced_on_a_terminal(
    console: Console, printed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Consoles for people announce it on stderr, but never into a file."""
    screen, file = TerminalStream(), io.StringIO()
    monkeypatch.setenv("TERM", "xterm")
    for stream in (screen, file):
        monkeypatch.setattr("sys.stderr", stream)
        with console.busy("Drawing melunet"):
            pass
    assert ("Drawing melunet" in screen.getvalue()) is printed
    assert file.getvalue() == ""


def test_quiet_prints_only_errors(capsys: pytest.CaptureFixture[str]) -> None:
    show_events(Console())
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "Error: b.mp3: it is damaged at 0:02\n")


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show_events(PlainConsole())
    assert capsys.readouterr().err.splitlines() == [
        "Model melroformer on cpu, bf16",
        f"{SONG}: 2:46, 44100 Hz, stereo",
        f"Note: {SONG}: its stems are 1.5 dB softer, so that none clips",
        f"{SONG}: done in 0:40, 4.2x real time",
        "  vocals        s/v.wav",
        "  instrumental  s/i.wav",
        "b.mp3: unknown length, 48000 Hz, 6 channels",
        "Error: b.mp3: it is damaged at 0:02",
        "c.mp3: skipped, all stems exist",
    ]


def test_verbose_gives_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    show_events(PlainConsole(verbose=True))
    assert "Model melroformer on cpu, bf16 (this CPU has AMX)\n" in capsys.readouterr().err


def test_the_first_line_names_better_models(capsys: pytest.CaptureFixture[str]) -> None:
    PlainConsole().show(ModelLoaded("small", "cpu", "fp32", "asked for", ("large", "huge")))
    assert (
        capsys.readouterr().err == "Model small on cpu, fp32. Better for most songs: large, huge\n"
    )


def test_plain_progress_is_throttled(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(0, 1000, 4))  # a clock that advances 4 s per event
    monkeypatch.setattr("time.monotonic", lambda: float(next(now)))
    console = PlainConsole()
    console.show(TrackStarted("a.mp3", 100.0, 44100, 1))
    for done in range(0, 100, 10):
        console.show(Progress("a.mp3", "separating", float(done), 100.0))
    lines = capsys.readouterr().err.splitlines()[1:]
    assert lines == [f"a.mp3: separating, {percent} %" for percent in (20, 50, 80)]


def test_plain_download_is_throttled(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(0, 1000, 6))  # a clock that advances 6 s per event
    monkeypatch.setattr("time.monotonic", lambda: float(next(now)))
    console = PlainConsole()
    for done in range(0, 8):
        total = 8_000_000 if done < 4 else None
        console.show(DownloadProgress("a.mp3", done * 1_000_000, total))
    assert capsys.readouterr().err.splitlines() == [
        "a.mp3: downloading, 2.0 MB, 25 %",
        "a.mp3: downloading, 4.0 MB",
        "a.mp3: downloading, 6.0 MB",
    ]


def live_console(width: int) -> tuple[LiveConsole, io.StringIO]:
    screen = io.StringIO()
    terminal = Terminal(file=screen, width=width, force_terminal=True, color_system=None)
    return LiveConsole(terminal=terminal), screen


@pytest.mark.parametrize("width", [40, 80, 200])
def test_bars_fit_into_the_terminal(width: int) -> None:
    """Two columns are left free for ``^C``."""
    console, _ = live_console(width)
    with console:
        for event in EVENTS[:4]:
            console.show(event)
        table = io.StringIO()
        Terminal(file=table, width=width).print(console._bars)
    lines = table.getvalue().splitlines()
    assert len(lines) == 2
    assert all(cell_len(line) <= width - 2 for line in lines)
    assert "Los Rombos" in lines[1]
    assert "separating" in lines[1]


def test_bars_show_progress_and_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    console, _ = live_console(120)
    with console:
        console.show(BatchStarted(2))
        console.show(TrackStarted("a.mp3", 100.0, 44100, 2))
        console.show(Progress("a.mp3", "separating", 0.0, 100.0))
        now[0] = 10.0
        console.show(Progress("a.mp3", "separating", 50.0, 100.0))
        table = io.StringIO()
        Terminal(file=table, width=120).print(console._bars)
    batch, song = table.getvalue().splitlines()
    assert batch.split() == ["2", "songs", "0/2", *batch.split()[3:-2], "0:30", "left"]
    assert "5.0x" in song
    assert song.endswith("0:10 left")


def test_bars_of_downloads_end() -> None:
    console, _ = live_console(80)
    with console:
        for name in ("htdemucs 1/2", "htdemucs 2/2"):
            console.show(DownloadProgress(name, 50, 100))
        table = io.StringIO()
        Terminal(file=table, width=80).print(console._bars)
        assert [line.split()[2] for line in table.getvalue().splitlines()] == ["downloading"] * 2
        console.downloaded()
        assert console._bars.tasks == []


@pytest.mark.parametrize(
    ("before", "name"),
    [
        (Progress("a.mp3", "measuring", 100.0, 100.0), "measuring"),
        (DownloadProgress("a.mp3", 100, 100), "downloading"),
        (DownloadProgress("a.mp3", 100, None), "downloading"),
    ],
    ids=["measuring", "downloading", "downloading without a size"],
)
def test_early_stages_have_a_bar_but_do_not_count_as_progress(
    before: Event, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: after that stage, the batch is at 0 and the song's bar starts again."""
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    console, _ = live_console(120)
    printed = []
    with console:
        console.show(BatchStarted(2))
        console.show(before)
        for event in (TrackStarted("a.mp3", 100.0, 44100, 2), None):
            table = io.StringIO()
            Terminal(file=table, width=120).print(console._bars)
            printed.append(table.getvalue().splitlines())
            if event:
                console.show(event)
        assert console._run
        assert console._bars.tasks[0].completed == 0
    assert [len(lines) for lines in printed] == [2, 2]
    assert [name in printed[0][1], "separating" in printed[1][1]] == [True, True]


def test_time_left_follows_the_longest_song(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: after 10 s one of two songs is finished and a tenth of the other is done."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    console, _ = live_console(120)
    with console:
        console.show(BatchStarted(2))
        for name in ("short.mp3", "long.mp3"):
            console.show(TrackStarted(name, 100.0, 44100, 2))
        now[0] = 10.0
        console.show(TrackFinished("short.mp3", {}, 100.0, 10.0))
        console.show(Progress("long.mp3", "separating", 10.0, 100.0))
        table = io.StringIO()
        Terminal(file=table, width=120).print(console._bars)
    assert [line[-9:] for line in table.getvalue().splitlines()] == ["1:30 left"] * 2


def test_the_live_console_leaves_the_results_on_screen() -> None:
    console, screen = live_console(80)
    show_events(console)
    assert f"{SONG}: done in 0:40, 4.2x real time" in screen.getvalue()


@pytest.mark.parametrize(("share", "left"), [(0.0, None), (0.25, 30.0), (0.5, 10.0), (1.0, 0.0)])
def test_time_left_by_hand(
    share: float, left: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([5.0, 15.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    assert TimeEstimate().left(share) == left


def test_no_time_left_without_elapsed_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 5.0)
    assert (TimeEstimate().elapsed, TimeEstimate().left(0.5)) == (0.0, None)


def test_errors_stay_above_the_bars() -> None:
    console, screen = live_console(40)
    show_events(console)
    assert "Error: b.mp3: it is damaged at 0:02\n" in screen.getvalue()


def test_every_stage_has_its_own_pace() -> None:
    song = SongBar(task=0)  # type: ignore[arg-type]
    song.reach("separating", 5.0, 10.0)
    first = song.pace
    song.reach("separating", 6.0, 10.0)
    assert song.pace is first
    song.reach("encoding", 1.0, None)
    assert song.pace is not first
    assert song.share == 0.0


def test_batch_progress_includes_songs_in_progress() -> None:
    run = BatchBar(task=0, songs=4)  # type: ignore[arg-type]
    run.done = 1
    assert run.share([0.5, 0.5]) == 0.5
    assert run.share([1.0] * 9) == 1.0


@pytest.mark.parametrize(
    ("options", "kind"),
    [({"as_json": True}, JsonConsole), ({"quiet": True}, Console), ({}, PlainConsole)],
)
def test_the_console_is_chosen_by_options(options: dict[str, bool], kind: type[Console]) -> None:
    assert type(open_console(**options)) is kind


def test_a_terminal_gets_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert type(open_console()) is LiveConsole
    monkeypatch.setenv("TERM", "dumb")
    assert type(open_console()) is PlainConsole


def test_piped_tables_have_one_line_per_row(capsys: pytest.CaptureFixture[str]) -> None:
    PlainConsole().table(("name", ">size"), [("[bold]x[/bold]" * 20, "7"), ("b", "12")])
    assert capsys.readouterr().out.splitlines() == [
        f"{'name':<280}   size",
        f"{'[bold]x[/bold]' * 20}      7",
        f"{'b':<280}     12",
    ]
