"""The settings file: what is read, what is refused, and what changing it leaves alone.

Expected values are written by hand; TOML's rules are those of toml.io/en/v1.0.0.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from pathlib import Path

import pytest

from model_zoo.catalogue.cards import card_names
from model_zoo.catalogue.names import check_new_name
from model_zoo.errors import ConfigError, OutputError, UnknownNameError, UsageError
from stemcli.settings import (
    SETTINGS,
    find_setting,
    read_settings,
    remove_setting,
    settings_file,
    unknown_variables,
    write_setting,
)
from stemcli.version import PACKAGES


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "folder/config.toml"


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_the_file_is_in_the_configuration_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The place is the one of the XDG base directory specification."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("STEM_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/etc/xdg-of-me")
    assert settings_file() == Path("/etc/xdg-of-me/stem/config.toml")
    monkeypatch.setenv("STEM_CONFIG", "other.toml")
    assert settings_file() == Path("other.toml")


def test_a_missing_file_and_the_null_device_hold_no_settings(file: Path) -> None:
    assert read_settings(file) == {}
    assert read_settings(Path(os.devnull)) == {}


def test_values_are_read_as_typed_on_the_command_line(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    text = """\ufeff# mine
model = ["melroformer", "~/runs/mine"]
stems = "vocals"
output = "~/Stems"
filename = "~{track}/{stem}.{ext}"
bit-depth = 24
overlap = 0.5
jobs = 2
skip_existing = true
"""
    assert read_settings(write(file, text)) == {
        "model": ["melroformer", "/home/ada/runs/mine"],
        "stems": ["vocals"],
        "output": "/home/ada/Stems",
        "filename": "~{track}/{stem}.{ext}",
        "bit_depth": "24",
        "overlap": "0.5",
        "jobs": "2",
        "skip_existing": "true",
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("format = mp3", "the file is not valid TOML (Invalid value (at line 1, column 10))"),
        ("format =", 'text has quotes: format = "flac"'),
        ("formt = 3", "unknown setting 'formt', did you mean format?"),
        (
            "xyzzy = 3",
            "unknown setting 'xyzzy', see stem config show. To remove it: stem config unset xyzzy",
        ),
        ("'a b' = 3", "To remove it: stem config unset 'a b'"),
        ("[separate]\nformat = 'wav'", "settings stand without a section, found [separate]"),
        ("bit-depth = 16\nbit_depth = 24", "bit-depth and bit_depth are the same setting"),
        ("format = ['wav']", "format must be text in quotes, found ['wav']"),
        ("format = 1979-05-27", "format must be text in quotes, found datetime.date("),
        ("jobs = true", "jobs must be a whole number, found True"),
        ("overwrite = 'yes'", "overwrite must be true or false, without quotes, found 'yes'"),
        ("stems = []", "stems must be a list of names, found []"),
        ("model = ['a', 3]", "model must be a list of names, found ['a', 3]"),
        ("output = ''", "output is empty; give a value, or remove the line"),
        ("x = " + "[" * 9000, "nested too deeply"),
        ("#" * 70_000, "it has 70,000 bytes, which is too long"),
    ],
)
def test_damaged_files_are_refused_with_their_name(file: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_settings(write(file, text))
    assert str(error.value).startswith(f"The settings in {file}: ")
    assert sentence in str(error.value)


def test_all_mistakes_are_reported_together(file: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read_settings(write(file, "formt = 3\njobs = false\noutput = []"))
    assert len(error.value.mistakes) == 3


def test_a_file_in_another_encoding(file: Path) -> None:
    """PowerShell 5 writes UTF-16 with ``>``."""
    file.parent.mkdir()
    file.write_bytes("format = 'wav'".encode("utf-16"))
    with pytest.raises(ConfigError, match="the file is not UTF-8 text; save it as UTF-8"):
        read_settings(file)


def test_a_home_folder_of_another_user_holds_no_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers run under any user number while HOME stays /root. Root may enter every folder,
    so the refusal is simulated."""

    def refuse(path: Path, **more: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(UsageError, match=r"cannot be read \(Permission denied\)"):
        read_settings(tmp_path / "config.toml")  # STEM_CONFIG is set in tests
    monkeypatch.delenv("STEM_CONFIG")
    assert read_settings(tmp_path / "config.toml") == {}


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read \(it is not a regular file\)"):
        read_settings(tmp_path)


@pytest.mark.parametrize("name", ["bit_depth", "bit-depth", "--bit-depth", " Bit_Depth "])
def test_spellings_of_a_key(name: str) -> None:
    assert find_setting(name) is SETTINGS["bit_depth"]


def test_unknown_keys_get_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Unknown setting 'fromat': did you mean 'format'"):
        find_setting("fromat")


@pytest.mark.parametrize(
    ("key", "text", "line"),
    [
        ("format", "flac", 'format = "flac"'),
        ("jobs", "2", "jobs = 2"),
        ("overlap", "0.5", "overlap = 0.5"),
        ("segment", "1:30", 'segment = "1:30"'),
        ("model", "melrnn", 'model = "melrnn"'),
        ("stems", "vocals, drums", 'stems = ["vocals", "drums"]'),
        ("overwrite", "true", "overwrite = true"),
        ("output", 'C:\\Stems "new"', "output = 'C:\\Stems \"new\"'"),
    ],
)
def test_written_values(file: Path, key: str, text: str, line: str) -> None:
    write_setting(file, key, text)
    assert tomllib.loads(file.read_text("utf-8")) == tomllib.loads(line)
    read_settings(file)


def test_comments_and_other_lines_stay(file: Path) -> None:
    write(file, '# mine\nformat = "wav" # for the studio\n\nbit-depth = 24\n')
    write_setting(file, "format", "flac")
    write_setting(file, "bit_depth", "16")
    assert file.read_text("utf-8") == (
        '# mine\nformat = "flac" # for the studio\n\nbit-depth = "16"\n'
    )
    assert remove_setting(file, "bit_depth")
    assert not remove_setting(file, "bit_depth")
    assert file.read_text("utf-8") == '# mine\nformat = "flac" # for the studio\n\n'


def test_removing_what_is_not_a_setting_mends_a_file(file: Path) -> None:
    write(file, "formt = 1\njobs = 2\n[separate]\nformat = 3\n")
    assert remove_setting(file, "formt")
    assert remove_setting(file, "separate")
    assert read_settings(file) == {"jobs": "2"}


def test_a_link_to_the_file_stays_a_link(file: Path, tmp_path: Path) -> None:
    """People keep such files in a repository and link to them."""
    kept = write(tmp_path / "dotfiles/stem.toml", "jobs = 2\n")
    file.parent.mkdir()
    file.symlink_to(kept)
    write_setting(file, "jobs", "3")
    assert file.is_symlink()
    assert kept.read_text() == "jobs = 3\n"


def test_damaged_files_are_not_overwritten(file: Path) -> None:
    write(file, "jobs = = 2")
    with pytest.raises(ConfigError, match="not valid TOML"):
        write_setting(file, "jobs", "3")
    assert file.read_text() == "jobs = = 2"


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(UsageError, match=r"cannot be read \(Not a directory\)"):
        write_setting(tmp_path / "taken/config.toml", "jobs", "3")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc, as on Linux")
def test_a_folder_that_cannot_be_created() -> None:
    """Not even root can create a folder in /proc (proc(5))."""
    with pytest.raises(OutputError, match=r"Cannot write /proc/stem/config\.toml"):
        write_setting(Path("/proc/stem/config.toml"), "jobs", "3")


def test_the_null_device_cannot_hold_settings() -> None:
    with pytest.raises(OutputError, match="Set STEM_CONFIG to a file"):
        write_setting(Path(os.devnull), "jobs", "3")


def test_variables_that_are_no_settings() -> None:
    environment = {
        "STEM_FORMAT": "", "STEM_HOME": "", "STEM_CACHE": "", "STEM_CONFIG": "",
        "STEM_MIRROR": "", "STEM_OFFLINE": "", "STEM_TEST_AUDIO": "",
        "PATH": "", "STEM_FORMT": "", "STEM_HOMEE": "", "STEM_XYZZY": "",
    }  # fmt: skip
    assert unknown_variables(environment) == {
        "STEM_FORMT": "STEM_FORMAT",
        "STEM_HOMEE": "STEM_HOME",
        "STEM_XYZZY": None,
    }


def test_the_file_is_no_card_where_the_zoo_shares_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On macOS both are in ~/Library/Application Support/stem."""
    monkeypatch.setenv("STEM_HOME", str(tmp_path))
    monkeypatch.setenv("STEM_CONFIG", str(write(tmp_path / "config.toml", "jobs = 2")))
    assert "config" not in card_names()
    with pytest.raises(ConfigError, match="'config' names the file of your settings"):
        check_new_name("config")
    monkeypatch.setenv("STEM_CONFIG", str(tmp_path / "elsewhere.toml"))
    assert "config" in card_names()


def test_no_variable_of_the_code_counts_as_misspelled() -> None:
    """Reference: the names of environment variables that the code of all packages spells out."""
    root = Path(__file__).parents[2]
    sources = [path for name in PACKAGES for path in (root / name).rglob("*.py")]
    named = {
        name
        for path in sources
        for name in re.findall(r"(?<!\w)STEM_[A-Z_]+[A-Z]", path.read_text("utf-8"))
    }
    assert {"STEM_HOME", "STEM_INPUT_LIMIT", "STEM_FORMAT"} <= named
    examples = {"STEM_FORMT", "STEM_TEST"}
    assert unknown_variables(dict.fromkeys(named - examples, "1")) == {}
