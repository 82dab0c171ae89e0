"""Settings: defaults of options that a user chooses once, in a file or in the environment.

The table :data:`SETTINGS` names them all: keys of the file, environment variables and the page
docs/settings.md follow from it. Only the command line reads them; the Python interface does not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from model_zoo.errors import ConfigError, OutputError, UnknownNameError, UsageError, nearest
from model_zoo.files import SETTINGS_VARIABLE, is_null_device, settings_file, staged
from model_zoo.parsing import BACKSLASHES, MOST_TOML, parse_toml, read_text, shortened, shown
from model_zoo.shell import is_in_single_quotes, quoted

PREFIX = "STEM_"
"""Prefix of the environment variables."""

OTHER_VARIABLES = (
    "STEM_HOME",
    "STEM_CACHE",
    "STEM_INPUT_LIMIT",
    "STEM_MIRROR",
    "STEM_OFFLINE",
    SETTINGS_VARIABLE,
)
"""Environment variables of Stem that are not settings."""

TESTS = "STEM_TEST_"
"""Prefix of variables that only the tests read."""

Kind = Literal["text", "list", "path", "whole number", "number", "true or false"]


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        key: its name in the file: the long name of the option, with underscores.
        kind: what its value is; a list may be written as text if it has one item, and a path may
            begin with ``~``.
        meaning: what it sets, for the documentation and for completion.
        unset: what holds if neither a user nor an option gives a value.
    """

    key: str
    kind: Kind
    meaning: str
    unset: str = ""

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return PREFIX + self.key.upper()

    @property
    def option(self) -> str:
        """Long name of the option."""
        return "--" + self.key.replace("_", "-")


SETTINGS = {
    setting.key: setting
    for setting in (
        Setting("model", "list", "model to use, or several to average"),
        Setting("weights", "text", "weights of several models", "equal"),
        Setting("combine", "text", "how several models are combined"),
        Setting(
            "phase_model", "text", "model that predicts the phase of each stem", "the song's phase"
        ),
        Setting("stems", "list", "stems to write", "all"),
        Setting("two_stems", "text", "write this stem, and everything else", "off"),
        Setting("karaoke", "true or false", "write only the song without its lead voice"),
        Setting("output", "path", "folder for the stems"),
        Setting("filename", "text", "path of each stem inside that folder"),
        Setting("format", "text", "file format of the stems"),
        Setting("bit_depth", "text", "bit depth, for wav and flac"),
        Setting("bitrate", "whole number", "bit rate in kbit/s, for mp3, ogg, opus and m4a", "–"),
        Setting("quality", "number", "variable bit rate, for mp3 and ogg", "–"),
        Setting("clip_mode", "text", "what to do if a stem exceeds full scale"),
        Setting("picture", "true or false", "write a PNG with the spectrograms of each song"),
        Setting("skip_existing", "true or false", "skip songs whose stems all exist"),
        Setting("overwrite", "true or false", "replace existing stems"),
        Setting("overlap", "number", "fraction of a chunk that overlaps the next", "the model's"),
        Setting("segment", "text", "length of a chunk, in seconds", "the model's"),
        Setting("grid", "text", "how a song is cut into chunks: model or centered"),
        Setting("shifts", "whole number", "shifted separations to average"),
        Setting("seed", "whole number", "seed of all random choices"),
        Setting("device", "text", "device to run on; also for train, tune and eval"),
        Setting("precision", "text", "floating-point format the network computes in"),
        Setting("backend", "text", "backend that computes the network"),
        Setting("batch_size", "whole number", "chunks per forward pass; 0 lets Stem choose"),
        Setting("jobs", "whole number", "songs to separate at the same time"),
        Setting("retries", "whole number", "times that stem batch retries failed songs"),
    )
}
"""All settings by key, in the order of the options in the help."""

SEE = "stem config show"

IN_TOML = rf"{BACKSLASHES}: output = 'D:\Stems'"
"""Advice for paths of Windows in a settings file."""


def find_setting(name: str) -> Setting:
    """The setting of a name; ``bit-depth`` and ``--bit-depth`` are ``bit_depth`` too.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    key = canonical(name)
    if key not in SETTINGS:
        raise UnknownNameError("setting", name, SETTINGS, hint=SEE)
    return SETTINGS[key]


def canonical(name: str) -> str:
    """The key that a name stands for, whether or not there is such a setting."""
    return name.strip().removeprefix("--").replace("-", "_").lower()


def read_settings(file: Path) -> dict[str, str | list[str]]:
    """Read the settings in a file, by key, as they would be typed on the command line.

    Args:
        file: a TOML file. A missing file, and the null device, holds no settings.

    Raises:
        ConfigError: the file is damaged, or has unknown keys or values of a wrong type; lists all
            mistakes.
        UsageError: the file cannot be read.
    """
    content = parse_toml_of(file, _read(file))
    mistakes = [*_key_mistakes(content)]
    values: dict[str, str | list[str]] = {}
    for name, value in content.items():
        setting = SETTINGS.get(canonical(name))
        if setting is None:
            continue
        try:
            values[setting.key] = _typed(setting, value)
        except ValueError as error:
            mistakes.append(f"{name} {error}")
    if mistakes:
        raise ConfigError(f"The settings in {file}", mistakes)
    return values


def _read(file: Path) -> str:
    if is_null_device(file) or _is_in_a_closed_folder(file):
        return ""
    try:
        return read_text(file, MOST_TOML).removeprefix("\ufeff")  # Notepad's byte order mark
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UsageError(
            f"The settings in {file} cannot be read ({error.strerror or error}). Check the file and"
            " its permissions, or name another one with STEM_CONFIG"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"The settings in {file}", ["the file is not UTF-8 text; save it as UTF-8"]
        ) from error
    except ValueError as error:
        raise ConfigError(f"The settings in {file}", [f"{error}, which is too long"]) from error


def _is_in_a_closed_folder(file: Path) -> bool:
    """Whether the home folder is another user's, as in containers; then there are no settings."""
    if SETTINGS_VARIABLE in os.environ:
        return False
    try:
        file.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def parse_toml_of(file: Path, text: str) -> dict[str, Any]:
    """Parse the text of a settings file.

    Raises:
        ConfigError: it is not valid TOML; the message names the line.
    """
    try:
        return parse_toml(text)
    except ValueError as error:
        why = shortened(str(error), 200)
        advice = """correct it there (text has quotes: format = "flac"), or remove the file"""
        if "\\" in text:
            advice += f"; {IN_TOML}"
        raise ConfigError(
            f"The settings in {file}", [f"the file is not valid TOML ({why}); {advice}"]
        ) from error


def _key_mistakes(content: Mapping[str, Any]) -> Iterator[str]:
    found: dict[str, str] = {}
    for name, value in content.items():
        key = canonical(name)
        if isinstance(value, dict):
            yield f"settings stand without a section, found [{shortened(name)}]"
        elif key not in SETTINGS:
            near = nearest(key, SETTINGS)
            hint = f"did you mean {near}?" if near else f"see {SEE}."
            remove = f"stem config unset {quoted(name)}"
            yield f"unknown setting {shown(name)}, {hint} To remove it: {remove}"
        elif key in found:
            yield f"{found[key]} and {name} are the same setting; remove one of them"
        found[key] = name


def _refuse_control_characters(value: Any) -> None:
    r"""Refuse what ``"C:\temp"`` is in TOML; raises ValueError."""
    texts = value if isinstance(value, list) else [value]
    if any(re.search(r"[\x00-\x1f\x7f]", text) for text in texts if isinstance(text, str)):
        raise ValueError(f"holds control characters, found {shown(value)}; {IN_TOML}")


def _typed(setting: Setting, value: Any) -> str | list[str]:
    """``value`` as it would be typed on the command line; raises ValueError for a wrong type."""
    _refuse_control_characters(value)
    if setting.kind == "list" and isinstance(value, list):
        if not value or not all(isinstance(item, str) and item for item in value):
            raise ValueError(f"must be a list of names, found {shown(value)}")
        return [os.path.expanduser(item) for item in value]
    if setting.kind == "true or false":
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false, without quotes, found {shown(value)}")
        return str(value).lower()
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        what = f"a {setting.kind}" if setting.kind.endswith("number") else "text in quotes"
        raise ValueError(f"must be {what}, found {shown(value)}")
    if value == "":
        raise ValueError("is empty; give a value, or remove the line")
    text = os.path.expanduser(str(value)) if setting.kind in ("path", "list") else str(value)
    return [text] if setting.kind == "list" else text


def write_setting(file: Path, key: str, text: str) -> None:
    """Set one value in a file; comments and other lines stay as they are.

    Args:
        file: the file; it and its folder are created if needed.
        key: a key of :data:`SETTINGS`.
        text: a valid value, as on the command line.

    Raises:
        ConfigError: the file is damaged.
        OutputError: it cannot be written.
    """
    document = _document(file)
    name = next((each for each in document if canonical(each) == key), key)
    document[name] = _plain(SETTINGS[key], text)
    _write(file, document)


def remove_setting(file: Path, name: str) -> bool:
    """Remove a key from a file, also one that is not a setting; returns whether it was there.

    Raises:
        ConfigError: the file is damaged.
        OutputError: it cannot be written.
    """
    document = _document(file)
    found = [each for each in document if each == name or canonical(each) == canonical(name)]
    for each in found:
        del document[each]
    if found:
        _write(file, document)
    return bool(found)


def _document(file: Path) -> Any:
    """The file as a TOML document that remembers its comments."""
    import tomlkit

    text = _read(file)
    parse_toml_of(file, text)
    return tomlkit.parse(text)


def _write(file: Path, document: Any) -> None:
    if is_null_device(file):
        raise OutputError(
            f"{file} cannot hold settings. Set {SETTINGS_VARIABLE} to a file, or remove the"
            " variable"
        )
    with staged(file.resolve()) as temporary:  # a link to a file elsewhere stays a link
        temporary.write_text(document.as_string(), encoding="utf-8")


def _plain(setting: Setting, text: str) -> Any:
    """The TOML value for a text."""
    if setting.kind == "list":
        items = split_list(text)
        return items if len(items) > 1 else items[0]
    if setting.kind == "true or false":
        return text == "true"
    try:
        return int(text) if "number" in setting.kind else text
    except ValueError:
        return float(text)


def split_list(text: str) -> list[str]:
    """Items of a list that are separated by commas."""
    return [item.strip() for item in text.split(",") if item.strip()]


def tidy_variables(environment: MutableMapping[str, str]) -> None:
    """Remove what ``set STEM_FORMAT="flac" `` in cmd leaves: spaces at the ends, and quotes.

    Single quotes are removed on Windows only, where every other shell than cmd removes them.
    """
    for name in [name for name in environment if name.startswith(PREFIX)]:
        text = environment[name].strip()
        is_quoted = len(text) > 1 and text[0] == text[-1] == '"'
        tidy = text[1:-1] if is_quoted or is_in_single_quotes(text) else text
        if tidy != environment[name]:
            environment[name] = tidy


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Variables that begin like ours but are not; each with the nearest of ours, or None."""
    known = {setting.variable for setting in SETTINGS.values()} | {*OTHER_VARIABLES}
    short = {name.removeprefix(PREFIX): name for name in known}
    return {
        name: short.get(nearest(name.removeprefix(PREFIX), short) or "")
        for name in sorted(environment)
        if name.startswith(PREFIX) and name not in known and not name.startswith(TESTS)
    }


__all__ = [
    "OTHER_VARIABLES",
    "SETTINGS",
    "Setting",
    "canonical",
    "find_setting",
    "read_settings",
    "remove_setting",
    "settings_file",
    "split_list",
    "tidy_variables",
    "unknown_variables",
    "write_setting",
]
