r"""Quotes in the arguments and variables of Windows, imitated.

Expected by hand, after "Parsing C command-line arguments" in Microsoft's documentation: ``\"`` is a
double quote inside an argument, and single quotes have no meaning. What each test types stands in
its docstring or identifier; the words are what a program receives.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from model_zoo import shell
from model_zoo.errors import ConfigError
from stemcli.engine.outputs import check_template
from stemcli.settings import tidy_variables
from tests.stemcli.cli.conftest import RunStem
from tests.windows import Seen


@pytest.fixture
def on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "os", Seen(os, {"name": "nt"}))


BACKSLASHES = {
    r'stem batch "C:\My Music\" -o Stems': (["batch", r'C:\My Music" -o Stems'], r"C:\My Music"),
    r'stem batch in -o "D:\My Stems\"': (["batch", "in", "-o", r'D:\My Stems"'], r"D:\My Stems"),
    r'stem batch in --output="D:\a b\" -q': (["batch", "in", r'--output=D:\a b" -q'], r"D:\a b"),
    r'stem data check "D:\x\"': (["data", "check", r'D:\x"'], r"D:\x"),
    r'stem train --set "data.folder=D:\x\"': (
        ["train", "--set", r'data.folder=D:\x"'],
        r"data.folder=D:\x",
    ),
}


@pytest.mark.parametrize("typed", BACKSLASHES)
@pytest.mark.usefixtures("on_windows")
def test_a_backslash_before_the_closing_quote(typed: str, run_stem: RunStem) -> None:
    words, meant = BACKSLASHES[typed]
    result = run_stem(*words)
    assert result.exit_code == 2
    assert f'Leave out the backslash before the closing quote: "{meant}"' in result.stderr
    assert result.stderr.count("\n") == 1


SINGLE = {
    "stem separate song.wav -o 'Out'": ["separate", "song.wav", "-o", "'Out'"],
    "stem separate song.wav --output='Out'": ["separate", "song.wav", "--output='Out'"],
    "stem separate song.wav -o'Out'": ["separate", "song.wav", "-o'Out'"],
    "stem separate song.wav -o 'My Out'": ["separate", "song.wav", "-o", "'My", "Out'"],
    "stem separate '*.mp3'": ["separate", "'*.mp3'"],
    "stem batch 'Music'": ["batch", "'Music'"],
    "stem batch in --include '*.mp3'": ["batch", "in", "--include", "'*.mp3'"],
    "stem batch in --exclude 'Live*'": ["batch", "in", "--exclude", "'Live*'"],
    "stem config set output 'Stems'": ["config", "set", "output", "'Stems'"],
    "stem train --set 'loop.x=[1, 2]'": ["train", "--set", "'loop.x=[1,", "2]'"],
}


@pytest.mark.parametrize("typed", SINGLE)
@pytest.mark.usefixtures("on_windows")
def test_single_quotes(typed: str, run_stem: RunStem, tmp_path: Path) -> None:
    result = run_stem(*SINGLE[typed])
    quoted = typed[typed.index("'") :]
    assert result.exit_code == 2
    assert f"Cannot use the argument {quoted}: the single quotes are a part" in result.stderr
    assert "Use double quotes, or none" in result.stderr
    assert not (tmp_path / ".settings").exists()


ALLOWED = {
    "quotes inside a name": ["Don't.mp3", "-o", "Rock 'n' Roll"],
    "a name that begins with a quote": ["'Cause.mp3", "Nothin'.mp3"],
    "a folder in single quotes": ["'Heroes'"],
    "pairs of double quotes in a value": ["--set", 'losses={"l1": 1}', '--set=a={"b": "c"}'],
    "single quotes in a value": ["--set", r"data.folder='D:\x'", r"--set=data.folder='D:\x'"],
    "one quote": ["'", "-"],
}


@pytest.mark.parametrize("name", ALLOWED)
@pytest.mark.usefixtures("on_windows")
def test_quotes_that_belong_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "'Heroes'").mkdir()
    monkeypatch.chdir(tmp_path)
    assert shell.misquoted(ALLOWED[name]) == ""


@pytest.mark.parametrize("words", [*SINGLE.values(), *(words for words, _ in BACKSLASHES.values())])
def test_other_systems_have_such_names(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A Unix shell has removed the quotes already, so these were typed on purpose."""
    monkeypatch.setattr(shell, "os", SimpleNamespace(name="posix"))
    assert shell.misquoted(words) == ""


def test_single_quotes_that_cmd_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """``set STEM_OUTPUT='My Out'`` keeps them, as it keeps double quotes."""
    variables = {"STEM_OUTPUT": "'My Out'", "STEM_FORMAT": "'", "OTHER": "'x'"}
    untouched = dict(variables)
    monkeypatch.setattr(shell, "os", SimpleNamespace(name="posix"))
    tidy_variables(variables)
    assert variables == untouched
    monkeypatch.setattr(shell, "os", SimpleNamespace(name="nt"))
    tidy_variables(variables)
    assert variables == {**untouched, "STEM_OUTPUT": "My Out"}


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("%track% {stem}.{ext}", "%track% is not a field; fields are in braces: {track}"),
        ("{track}/%stem%.%ext%", "%stem% is not a field"),
    ],
)
def test_fields_in_percent_signs(template: str, sentence: str) -> None:
    """As Mp3tag and foobar2000 write fields; cmd leaves them if there is no such variable."""
    with pytest.raises(ConfigError) as error:
        check_template(template)
    assert sentence in str(error.value)
    check_template("100% {track} 50%/{stem}.{ext}")
    check_template("%mine%/{track}/{stem}.{ext}")


@pytest.mark.parametrize(
    "words",
    [
        ["separate", "song.wav", "--filename", r"/Stems\{stem}"],
        ["separate", "song.wav", "--format", r"D:\{stem}"],
        ["batch", "in", "--report", r"S3\r.xlsx"],
        ["models", "info", "melrnn", "--set", r"D:\songs"],
        ["train", "--data", r"D:\songs"],
    ],
    ids=" ".join,
)
def test_paths_are_shown_as_typed(words: list[str], run_stem: RunStem, tmp_path: Path) -> None:
    """With one backslash, not with two as in Python."""
    (tmp_path / "song.wav").touch()
    result = run_stem(*words)
    assert result.exit_code in (1, 2)
    assert f"'{words[-1]}'" in result.stderr
