"""Stem on Windows, imitated: see :mod:`tests.windows`.

Reference: "Availability" in the documentation of Python's library, and the rules of Windows for
names of files and for command lines.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from model_zoo import files, shell
from model_zoo.errors import ConfigError, OutputError
from model_zoo.weights import save
from stemcli import printable, remote_path
from stemcli.audio import ffmpeg_binary, ffmpeg_process, write_errors
from stemcli.engine import outputs
from tests import windows
from tests.model_zoo.small import small_network
from tests.trainers.commands import set_options
from trainers.loop import checks

ROOT = Path(__file__).parents[2]
TINY = ("-m", "tiny.safetensors", "--segment", "0.5")

needs_unix = pytest.mark.skipif(os.name == "nt", reason="Windows is there, so nothing is imitated")


@pytest.fixture
def folder(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Songs, weights, a recipe and multitracks in the current folder."""
    here = tiny.parent
    for name in ("song.wav", "in/a.wav", "in/b.wav"):
        (here / name).parent.mkdir(exist_ok=True)
        wave = np.random.default_rng(0).uniform(-0.5, 0.5, (4000, 2))
        soundfile.write(here / name, wave, 16_000)
    save(here / "tiny.safetensors", small_network(), {"residual": "band"})
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return here


def run_as_on_windows(*commands: list[str]) -> tuple[list[int], str]:
    """The exit codes of commands, and everything that they print."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.windows", json.dumps(commands)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stdout + done.stderr


@needs_unix
def test_commands_need_nothing_that_only_unix_has(folder: Path) -> None:
    """The bar for a dry run is the memory that the imitated Windows reports."""
    train = ["train", "--recipe", "tiny.yaml", "--data", "songs", "-o", "run", "--device", "cpu"]
    batch = ["batch", "in", *TINY, "-o", "stems"]
    codes, text = run_as_on_windows(
        ["separate", "song.wav", *TINY, "-o", "out", "--format", "m4a"],
        ["separate", "song.wav", *TINY, "-o", "out"],
        ["separate", "song.wav", *TINY, "-o", "out", "--overwrite"],
        batch,
        batch,
        [*batch, "--overwrite"],
        [*train, "--dry-run"],
        [*train, *set_options("loop.num_workers=1")],
        [*train, *set_options("schedule.steps=6"), "--resume"],
        ["separate", "song.wav", "-m", "run", "-o", "of_run"],
    )
    assert codes == [0] * 10, text
    assert f"Memory: {windows.PEAK / 1e6:.1f} MB" in text
    assert "2 songs skipped: done in an earlier run" in text
    assert "Resuming after step 4 of 6" in text
    made = (
        "out/song/vocals.m4a",
        "out/song/vocals.wav",
        "stems/b/band.wav",
        "run/best.safetensors",
    )
    assert [path for path in made if not (folder / path).is_file()] == []
    assert [*folder.glob("**/*.lock")] == []


@pytest.mark.slow
@needs_unix
def test_other_commands_need_nothing_that_only_unix_has(folder: Path) -> None:
    codes, text = run_as_on_windows(
        ["models", "add", "tiny.safetensors", "--name", "mine"],
        ["models", "list"],
        ["models", "verify"],
        ["models", "remove", "mine"],
        ["data", "render", "toy", "--songs", "1", "--seconds", "1"],
        ["data", "check", "songs"],
        ["eval", "folder", "songs", "songs", "-o", "scores"],
        ["eval", "folder", "songs", "songs", "-o", "scores"],
        ["eval", "speed", *TINY[:2], "--seconds", "10", "--rounds", "1"],
        ["doctor"],
    )
    assert codes == [0] * 10, text


@needs_unix
def test_the_imitation_refuses_what_windows_refuses(tmp_path: Path) -> None:
    """A file that is open can be neither replaced nor removed; Ctrl-Break ends a command tidily."""
    program = f"""
import os, sys
from tests.windows import imitate_windows
imitate_windows()
sys.argv[0] = r"{tmp_path}"
def refused(call, *args):
    try:
        call(*args)
    except PermissionError:
        return True
    return False
os.chdir(sys.argv[0])
held = open("held", "wb")
open("other", "wb").close()
found = [refused(os.remove, "held"), refused(os.replace, "other", "held")]
held.close()
print([*found, refused(os.replace, "other", "held"), refused(os.remove, "held")])
scope = {{"__name__": "stemcli.made_up"}}
exec("import os, sys, signal", scope)
print([hasattr(scope["os"], "fork"), hasattr(scope["signal"], "SIGKILL"), scope["sys"].platform])
try:
    exec("import resource", scope)
except ModuleNotFoundError as error:
    print(error)
from stemcli.process import ENDING
from stemcli.cli.app import tidy_up_when_ended
tidy_up_when_ended()
import signal
print([number.name for number in ENDING], signal.getsignal(ENDING[-1]).__name__)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines() == [
        "[True, True, False, False]",
        "[False, False, 'win32']",
        "No module named 'resource'",
        "['SIGINT', 'SIGTERM', 'SIGBREAK'] _end",
    ]


@needs_unix
@pytest.mark.parametrize(
    "args", [("models", "info", "tiny.safetensors"), ("separate", "Ж 🎸.wav", *TINY)]
)
def test_a_code_page_without_the_characters_of_a_name(args: tuple[str, ...], folder: Path) -> None:
    """Python takes the code page cp1252 for pipes and files; what it lacks is escaped.

    rich draws trees in ASCII there.
    """
    (folder / "song.wav").rename(folder / "Ж 🎸.wav")
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-m", "stemcli", *args],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
    )
    text = (done.stdout + done.stderr).decode("cp1252")
    assert done.returncode == 0, text
    assert ("`-- " if args[0] == "models" else "\\u0416 \\U0001f3b8") in text


@pytest.mark.parametrize(
    ("word", "typed"),
    [
        (r"C:\Music\song.mp3", r"C:\Music\song.mp3"),
        (r"C:\My Music\a & b.mp3", r'"C:\My Music\a & b.mp3"'),
        ("C:\\My Music\\", '"C:\\My Music\\\\"'),
        ("it's.wav", '"it\'s.wav"'),
        ("", '""'),
    ],
)
def test_advice_quotes_as_cmd_and_powershell_do(
    word: str, typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    r"""By hand; programs on Windows read ``\\"`` as a backslash and the end of a word."""
    monkeypatch.setattr(shell, "os", SimpleNamespace(name="nt", fspath=os.fspath))
    assert shell.quoted(word) == typed
    assert " " not in word or subprocess.list2cmdline([word]) == typed


@pytest.mark.parametrize(
    ("part", "valid"),
    [
        ("song", "song"),
        ("aux.wav", "_aux.wav"),
        ("COM1", "_COM1"),
        ("con .tar.gz", "_con .tar.gz"),
        ("console.wav", "console.wav"),
        ('a: "b" <c>|?*', "a_ _b_ _c____"),
        ("etc. ", "etc"),
        ("...", "_"),
    ],
)
def test_names_that_windows_refuses(part: str, valid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert printable.valid_name(part) == part
    monkeypatch.setattr(printable, "ON_WINDOWS", True)
    assert printable.valid_name(part) == valid
    assert not PureWindowsPath(valid).is_reserved()


def test_a_stem_with_the_name_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printable, "ON_WINDOWS", True)
    paths = outputs.plan_outputs(
        Path("a: b.mp3"),
        ["aux"],
        template="{track}/{stem}.{ext}",
        folder=Path("out"),
        extension="wav",
        model="m",
    )
    assert paths == {"aux": Path("out/a_ b/_aux.wav")}


@pytest.mark.parametrize(
    "template", [r"C:\stems\{stem}.{ext}", "C:{stem}.{ext}", r"\{stem}.{ext}", r"..\{stem}.{ext}"]
)
def test_a_template_with_a_drive(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "PurePath", PureWindowsPath)
    outputs.check_template(r"{track}\{stem}.{ext}")
    with pytest.raises(ConfigError, match="leaves the output folder"):
        outputs.check_template(template)


@pytest.mark.parametrize("text", ["C:\\Music", "C:song.mp3", "C:/Music", "C://Music", "Music"])
def test_a_drive_is_not_a_url(text: str) -> None:
    assert remote_path.as_path(text) == Path(text)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///C:/My%20Music", "C:/My Music"),
        ("file://server/share/a.mp3", "//server/share/a.mp3"),
        ("file:///music", "/music"),
    ],
)
def test_urls_of_files_on_windows(url: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, after RFC 8089, appendices E.2 and E.3."""
    monkeypatch.setattr(remote_path, "os", SimpleNamespace(name="nt"))
    assert remote_path.as_path(url) == Path(path)


def test_a_long_path_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "os", SimpleNamespace(name="nt"))
    path = Path("/", "long" * 70, "song.wav")
    with pytest.raises(OutputError, match="Shorten it"), write_errors.explain_write_errors(path):
        raise FileNotFoundError(2, "No such file or directory", str(path))
    with (
        pytest.raises(OutputError, match="another folder"),
        write_errors.explain_write_errors(Path("a")),
    ):
        raise FileNotFoundError(2, "No such file or directory", "a")


def test_ctrl_c_and_a_window_are_kept_from_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reference: "Process Creation Flags" of the Windows API."""
    imitated = windows.seen_modules()
    monkeypatch.setattr(ffmpeg_process, "sys", imitated["sys"])
    monkeypatch.setattr(ffmpeg_process, "subprocess", imitated["subprocess"])
    assert ffmpeg_process._creation_flags() == 0x0000_0200 | 0x0800_0000


@needs_unix
def test_two_runs_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is a file beside the folder, which is gone afterwards."""
    monkeypatch.setattr(checks, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setitem(sys.modules, "msvcrt", windows.MSVCRT)
    folder = tmp_path / "runs" / "mine"
    with checks.lock_folder(folder) as is_held:
        assert is_held
        assert [path.name for path in folder.parent.iterdir()] in (
            ["mine", ".mine.lock"],
            [".mine.lock", "mine"],
        )
        with (
            pytest.raises(OutputError, match="Another run is writing"),
            checks.lock_folder(folder),
        ):
            pytest.fail("the folder is locked")
    assert [*folder.parent.iterdir()] == []


@needs_unix
def test_the_log_of_a_running_program_without_pread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the program writes after the log was read goes to its end."""
    monkeypatch.setattr(ffmpeg_binary, "os", SimpleNamespace(SEEK_END=os.SEEK_END))
    program = "import sys; sys.stderr.write('one '); input(); sys.stderr.write('two')"
    with (
        (tmp_path / "log").open("w+b") as log,
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stderr=log) as run,
    ):
        while not (found := ffmpeg_binary.read_log(log)):
            assert run.poll() is None
        assert found == "one "
        run.communicate(b"\n")
        assert ffmpeg_binary.read_log(log) == "one two"
