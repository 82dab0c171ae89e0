"""Names, paths and processes on Windows, imitated: see :mod:`tests.windows`.

Reference: the rules of Windows for names of files and for command lines.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import pytest

from model_zoo import files, shell
from model_zoo.errors import ConfigError, OutputError
from model_zoo.weights import save
from stemcli import printable, remote_path
from stemcli.audio import ffmpeg_binary, ffmpeg_process, write_errors
from stemcli.engine import outputs
from tests import windows
from tests.audio_files import tones, write_audio
from tests.model_zoo.small import small_network

ROOT = Path(__file__).parents[2]

needs_unix = pytest.mark.skipif(os.name == "nt", reason="Windows is there, so nothing is imitated")


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
    "args",
    [
        ("models", "info", "tiny.safetensors"),
        ("separate", "Ж 🎸.wav", "-m", "tiny.safetensors", "--segment", "0.5"),
    ],
)
def test_a_code_page_without_the_characters_of_a_name(
    args: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python takes the code page cp1252 for pipes and files; what it lacks is escaped.

    rich draws trees in ASCII there.
    """
    monkeypatch.chdir(tmp_path)
    write_audio(tmp_path / "Ж 🎸.wav", tones(4000), 16_000)
    save(tmp_path / "tiny.safetensors", small_network(), {"residual": "band"})
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-m", "stemcli", *args],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "cp1252"},
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
        ("aux.wav", "aux_.wav"),
        ("COM1", "COM1_"),
        ("con .tar.gz", "con_.tar.gz"),
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
    assert paths == {"aux": Path("out/a_ b/aux_.wav")}


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
