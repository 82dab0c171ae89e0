"""What cmd, PowerShell and the file systems of Windows do differently, imitated.

Expected by hand, after the documentation of Windows, PowerShell and Python.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click.core
import pytest

from model_zoo import errors, files, shell
from model_zoo.catalogue.names import check_new_name
from model_zoo.errors import (
    ConfigError,
    DecodeError,
    MissingExtraError,
    OutputError,
    UnknownNameError,
    UsageError,
)
from stemcli import process, streams
from stemcli.audio import writer
from stemcli.audio.formats import OutputFormat
from stemcli.audio.info import require_file
from stemcli.batch import library, patterns
from stemcli.cli import completion, separate
from stemcli.cli.app import stem
from stemcli.engine.outputs import check_template
from stemcli.settings import read_settings, tidy_variables, write_setting
from tests.stemcli.batch.fake import make_songs
from tests.windows import Seen


@pytest.fixture
def windows_os() -> Seen:
    return Seen(os, {"name": "nt"})


def test_click_expands_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, windows_os: Seen
) -> None:
    """A pattern in quotes reaches its option; Click would put the files in its place."""
    make_songs(tmp_path, "a.mp3", "b.mp3")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(click.core, "os", windows_os)
    monkeypatch.setattr(sys, "argv", ["stem", "batch", "in", "--include", "*.mp3"])
    seen: list[list[str]] = []

    def parse(self: object, name: str, args: list[str]) -> None:
        seen.append(args)
        raise SystemExit

    monkeypatch.setattr(type(stem), "make_context", parse)
    with pytest.raises(SystemExit):
        stem.main(prog_name="stem")
    assert seen == [["batch", "in", "--include", "*.mp3"]]


def test_patterns_of_songs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, windows_os: Seen
) -> None:
    make_songs(tmp_path, "b.mp3", "a.mp3", "c [live].mp3", "why?.wav", "d.wav")
    monkeypatch.chdir(tmp_path)
    words = ("*.mp3", "c [live]*", "why?.wav", "none*", "https://a/b?c", "-", "d.wav")
    assert separate.expanded(words) == words
    monkeypatch.setattr(separate, "os", windows_os)
    assert separate.expanded(words) == (
        *("a.mp3", "b.mp3", "c [live].mp3", "c [live].mp3"),
        *("why?.wav", "none*", "https://a/b?c", "-", "d.wav"),
    )


@pytest.mark.parametrize("name", ["NUL", "nul", "NUL:", "nul:", r"\\.\nul"])
def test_the_null_device_holds_no_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not files.is_null_device(Path(name))
    assert files.is_null_device(Path(os.devnull))
    monkeypatch.setattr(files, "os", SimpleNamespace(name="nt", devnull="nul"))
    assert files.is_null_device(Path(name))
    assert not files.is_null_device(Path("null"))
    assert read_settings(Path(name)) == {}
    with pytest.raises(OutputError, match="Set STEM_CONFIG to a file, or remove the variable"):
        write_setting(Path(name), "format", "flac")  # cmd has no command unset


def test_the_null_device_is_a_terminal_with_a_code_page(
    monkeypatch: pytest.MonkeyPatch, windows_os: Seen
) -> None:
    class Null(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    out = Null(io.BytesIO(), "cp1252")
    monkeypatch.setattr(streams, "os", windows_os)
    for name in ("stdout", "__stdout__"):
        monkeypatch.setattr(sys, name, out)
    streams.secure_streams()
    assert sys.stdout is out
    print("Ж – 🎸", flush=True)
    assert out.buffer.getvalue() == b"\\u0416 \x96 \\U0001f3b8\n"  # type: ignore[attr-defined]


def entry(name: str, attributes: int) -> Any:
    status = SimpleNamespace(st_file_attributes=attributes)
    return SimpleNamespace(name=name, stat=lambda follow_symlinks: status)


@pytest.mark.parametrize(
    ("name", "attributes", "is_hidden"),
    [
        ("a", stat.FILE_ATTRIBUTE_HIDDEN, True),
        ("a", stat.FILE_ATTRIBUTE_HIDDEN | stat.FILE_ATTRIBUTE_SYSTEM, True),
        ("a", stat.FILE_ATTRIBUTE_SYSTEM | stat.FILE_ATTRIBUTE_DIRECTORY, False),
        ("a", stat.FILE_ATTRIBUTE_NORMAL, False),
        (".a", stat.FILE_ATTRIBUTE_NORMAL, True),
        ("$Recycle.Bin", stat.FILE_ATTRIBUTE_NORMAL, True),
    ],
)
def test_hidden_files(
    name: str, attributes: int, is_hidden: bool, monkeypatch: pytest.MonkeyPatch, windows_os: Seen
) -> None:
    """A folder with an icon of its own has the attribute ``system``."""
    monkeypatch.setattr(library, "os", windows_os)
    assert library._is_hidden(entry(name, attributes)) is is_hidden


def test_the_recycle_bin_of_a_drive(tmp_path: Path) -> None:
    folders = ("Music", "$RECYCLE.BIN", "System Volume Information")
    make_songs(tmp_path, *(f"{folder}/a.mp3" for folder in folders))
    found = library.find_songs(tmp_path)
    assert [song.name for song in found.songs] == ["Music/a.mp3"]
    assert found.hidden == 2


def test_patterns_with_backslashes(monkeypatch: pytest.MonkeyPatch, windows_os: Seen) -> None:
    path = Path("Live", "a.mp3")
    assert not patterns.matches("Live\\*", path)
    monkeypatch.setattr(patterns, "os", windows_os)
    assert patterns.matches("Live\\*", path)
    assert patterns.matches("live/*", path)
    assert not patterns.matches("Studio\\*", path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (r'output = "C:\temp\new"', r"output holds control characters"),
        (r'model = ["C:\temp\new"]', r"model holds control characters"),
        (r'output = "D:\Stems"', r"not valid TOML"),
    ],
)
def test_backslashes_in_settings(line: str, problem: str, tmp_path: Path) -> None:
    r"""In TOML, ``"\t"`` is a tab and ``"\S"`` is an error (toml.io, "String")."""
    file = tmp_path / "config.toml"
    file.write_text(line)
    with pytest.raises(ConfigError, match=problem) as error:
        read_settings(file)
    assert r"output = 'D:\Stems'" in str(error.value)
    file.write_text(line.replace('"', "'"))
    (value,) = read_settings(file).values()
    assert "\\" in str(value)


def test_a_path_that_was_set_by_command(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    write_setting(file, "output", r"C:\temp\new")
    assert read_settings(file) == {"output": r"C:\temp\new"}


@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        ("flac ", "flac"),
        ('"flac"', "flac"),
        (r'"C:\My Music" ', r"C:\My Music"),
        ('"', '"'),
        ("", ""),
        ("a b", "a b"),
    ],
)
def test_values_as_cmd_sets_them(text: str, tidy: str) -> None:
    """``set STEM_X="y" `` keeps the quotes and the space."""
    variables = {"STEM_FORMAT": text, "OTHER": text}
    tidy_variables(variables)
    assert variables == {"STEM_FORMAT": tidy, "OTHER": text}


@pytest.mark.parametrize(
    ("word", "typed"),
    [
        ("stemcli[train]", '"stemcli[train]"'),
        ("50% off.mp3", '"50% off.mp3"'),
        ("A$AP.mp3", "'A$AP.mp3'"),
        ("it's $5.mp3", "'it''s $5.mp3'"),
        ("a`b.mp3", "'a`b.mp3'"),
        ("“Heroes”.mp3", "'“Heroes”.mp3'"),
    ],
)
def test_words_that_powershell_would_change(
    word: str, typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "os", SimpleNamespace(name="nt", fspath=os.fspath))
    assert shell.quoted(word) == typed


def test_the_advice_for_an_extra_works_in_cmd(monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(MissingExtraError("x", "train")).endswith("pip install 'stemcli[train]'")
    monkeypatch.setattr(errors, "quoted", lambda word: f'"{word}"')
    assert str(MissingExtraError("x", "train")).endswith('pip install "stemcli[train]"')


def test_a_program_in_the_current_folder_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, windows_os: Seen
) -> None:
    """Windows looks in the current folder first; entries like ``.`` lead there too."""
    make_songs(tmp_path, "here/ffmpeg.exe")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(process, "os", windows_os)
    bin_folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", os.pathsep.join([".", "", f'"{bin_folder}"']))
    assert process.find_program("ffmpeg") is None
    (program,) = make_songs(tmp_path, "bin/ffmpeg.exe")
    assert process.find_program("ffmpeg") == str(program)


def test_single_quotes_that_cmd_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other shells remove them, so there they were typed as a part of the name."""
    make_songs(tmp_path, "song.mp3")
    monkeypatch.chdir(tmp_path)
    assert "single quotes" not in str(UnknownNameError("model", "'x'", ["x"]))
    monkeypatch.setattr(shell, "os", SimpleNamespace(name="nt", fspath=os.fspath))
    with pytest.raises(DecodeError, match=r"There is no file 'song\.mp3': the single quotes are a"):
        require_file(Path("'song.mp3'"))
    with pytest.raises(ConfigError, match="the single quotes are a part"):
        check_template("'{track}/{stem}.{ext}'")
    assert "the single quotes are a part" in str(UnknownNameError("model", "'x'", ["x"]))


@pytest.mark.parametrize("name", ["aux", "nul.v2", "com1", "x."])
def test_models_whose_files_windows_refuses(name: str) -> None:
    with pytest.raises(ConfigError, match="not a valid file name on Windows"):
        check_new_name(name)


@pytest.mark.parametrize("name", ["auxiliary", "x.nul", "com10"])
def test_models_whose_files_windows_takes(name: str) -> None:
    check_new_name(name)


def test_completion_in_powershell(monkeypatch: pytest.MonkeyPatch, windows_os: Seen) -> None:
    monkeypatch.setattr(completion, "os", windows_os)
    assert completion.detect_shell(r"bash.exe") == "bash"
    with pytest.raises(UsageError, match="not in PowerShell and cmd"):
        completion.detect_shell("")


@pytest.mark.parametrize("folder", ["long" * 61, "long/" * 50])
def test_every_writer_says_that_a_path_is_too_long(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows takes 247 characters for folders and 259 for files, temporary ones included."""

    def refuse(path: Path, *rest: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(writer, "open_sink", refuse)
    monkeypatch.setattr(Path, "mkdir", lambda path, **how: None)
    path = tmp_path / folder / "song.wav"
    for name, advice in (("posix", "another folder"), ("nt", "Shorten it with filename or output")):
        monkeypatch.setattr(files, "os", SimpleNamespace(name=name))
        with pytest.raises(OutputError, match=advice):
            writer.open_writer(path, 8000, 1, OutputFormat("wav", depth="16"))
