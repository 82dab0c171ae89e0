"""``stem config``: shows and changes the settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import click

from model_zoo.errors import (
    ConfigError,
    StemError,
    UnknownNameError,
    UsageError,
    describe_error,
    errors_about,
)
from model_zoo.option_names import command_line
from model_zoo.shell import quoted
from stemcli.cli import candidates
from stemcli.cli.batch import command as batch
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples
from stemcli.cli.lazy import CommandEntry, LazyGroup
from stemcli.cli.options import console_options, split_options
from stemcli.cli.settings_command import SettingsCommand, key_of, read_or_problem, variable_notes
from stemcli.settings import (
    SETTINGS,
    Setting,
    canonical,
    find_setting,
    read_settings,
    remove_setting,
    settings_file,
    split_list,
    write_setting,
)

assert isinstance(batch, SettingsCommand)
SEPARATION: SettingsCommand = batch
"""The command with every option that has a setting."""

COMMANDS = {
    "show": CommandEntry("stemcli.cli.config:show_command", "Show all settings in force."),
    "list": CommandEntry("stemcli.cli.config:show_command", "Show them.", is_listed=False),
    "get": CommandEntry("stemcli.cli.config:get_command", "Print one setting."),
    "set": CommandEntry("stemcli.cli.config:set_command", "Change a setting in the file."),
    "unset": CommandEntry("stemcli.cli.config:unset_command", "Remove a setting from the file."),
    "path": CommandEntry("stemcli.cli.config:path_command", "Print the path of the file."),
}


@click.group(
    "config",
    cls=LazyGroup,
    table=COMMANDS,
    epilog=examples(
        ("stem config set format flac", "stems are flac files from now on"),
        ("stem config show", "every setting, its value and where it comes from"),
        ("stem config unset format", "back to the default"),
    ),
)
def group() -> None:
    """Keep your own defaults for options.

    The options of stem separate and stem batch take their defaults from here; --device also in stem
    train, tune and eval. The command line comes first, then environment variables such as
    STEM_FORMAT, then the settings file.
    """


@click.command(
    "path",
    epilog=examples(
        ("stem config path", "e.g. ~/.config/stem/config.toml"),
        ("STEM_CONFIG=studio.toml stem config path", "another file"),
    ),
)
@console_options
def path_command(console: Console) -> None:
    """Print the path of the settings file, whether or not it exists."""
    file = settings_file()
    console.document({"path": str(file), "exists": file.is_file()})
    console.result(str(file))


@click.command(
    "show",
    epilog=examples(
        ("stem config show", "every setting, its value and where it comes from"),
        ("stem config show --json", "machine-readable"),
    ),
)
@console_options
def show_command(console: Console) -> None:
    """Show every setting, the value in force and where it comes from.

    The command line comes before all of them.
    """
    rows, damage = settings_in_force()
    console.document([row.to_dict() for row in rows])
    console.table(("=setting", "value", "from"), [(row.key, row.text, row.where) for row in rows])
    console.line()
    file = settings_file()
    console.line(f"File: {file}{'' if file.is_file() else ' (does not exist)'}")
    for note in variable_notes():
        console.line(f"Note: {note}")
    problems = [str(damage)] if damage else []
    problems += [row.problem for row in rows if row.problem]
    for problem in problems:
        console.error(problem)
    click.get_current_context().exit(UsageError.exit_code if problems else 0)


@click.command(
    "get",
    epilog=examples(
        ("stem config get format", "wav"), ("stem config get bit_depth --json", "and its source")
    ),
)
@click.argument("key", shell_complete=candidates.settings)
@console_options
def get_command(key: str, console: Console) -> None:
    """Print the value of a setting in force; nothing if it has none."""
    setting = find_setting(key)
    read_settings(settings_file())
    row = next(row for row in settings_in_force()[0] if row.key == setting.key)
    if row.problem:
        raise UsageError(row.problem)
    console.document(row.to_dict())
    if row.value not in (None, "", []):
        console.result(row.text)


@click.command(
    "set",
    help="Change a setting in the file; its comments and other lines stay as they are.\n\n"
    f"KEY is the long name of an option: {', '.join(SETTINGS)}.",
    epilog=examples(
        ("stem config set format flac", "stems are flac files from now on"),
        ("stem config set stems vocals,drums", "several names, with commas"),
        ("stem config set output ~/Stems", "a fixed folder for all stems"),
        ("stem config set skip_existing true", "an option without a value"),
    ),
)
@click.argument("key", shell_complete=candidates.settings)
@click.argument("value", metavar="VALUE", required=False, shell_complete=candidates.setting_values)
@console_options
def set_command(key: str, value: str | None, console: Console) -> None:
    """Check a value and write it into the file."""
    if value is None:
        words = " ".join(quoted(word) for word in key.split("=", 1))
        advice = f"Try: stem config set {words}" if "=" in key else f"Add it after {key}"
        raise click.UsageError(f"Missing argument 'VALUE'. {advice}.")
    setting = find_setting(key)
    checked = check_value(setting, value)
    file = settings_file()
    read_settings(file)
    write_setting(file, setting.key, as_text(checked) if setting.kind == FLAG else value)
    console.document({"key": setting.key, "value": plain(checked), "path": str(file)})
    console.line(f"{setting.key} is now {as_text(checked)} in {file}")
    if problem := refusal_of_all():
        console.line(f"Note: stem separate will refuse the settings: {problem}")
    row = next(row for row in settings_in_force()[0] if row.key == setting.key)
    if row.source == "environment":
        console.line(f"Note: {row.where} is set and comes first: {row.text}")


@click.command(
    "unset",
    epilog=examples(
        ("stem config unset format", "back to the default"),
        ("stem config show", "see what is left"),
    ),
)
@click.argument("key", shell_complete=candidates.settings)
@console_options
def unset_command(key: str, console: Console) -> None:
    """Remove a setting from the file, so that the default holds again."""
    file = settings_file()
    removed = remove_setting(file, key)
    if not removed and canonical(key) not in SETTINGS:
        raise UnknownNameError("setting", key, SETTINGS, hint="stem config show")
    console.document({"key": canonical(key), "removed": removed, "path": str(file)})
    console.line(f"Removed {key} from {file}" if removed else f"{key} is not set in {file}")


FLAG = "true or false"


@dataclass(frozen=True)
class SettingInForce:
    """The value of a setting in force, apart from the command line.

    Attributes:
        key: key of the setting.
        value: plain value, as the option understands it; None if there is none.
        source: kind of its source.
        where: environment variable, path of the file, or ``default``.
        text: the value as the user wrote it, or a default in words.
        problem: why the value cannot be used; empty if it can.
    """

    key: str
    value: Any
    source: Literal["environment", "file", "default"]
    where: str
    text: str
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Values for JSON."""
        values = asdict(self)
        del values["text"]
        return values


def settings_in_force() -> tuple[list[SettingInForce], StemError | None]:
    """Every setting as Click resolves it for stem batch, and the damage of the file, if any."""
    parent = click.get_current_context()
    context = SEPARATION.make_context("batch", ["."], parent, resilient_parsing=True)
    rows = [_in_force(context, name, setting) for name, setting in SEPARATION.settings.items()]
    by_key = {row.key: row for row in rows}
    return [by_key[key] for key in SETTINGS if key in by_key], read_or_problem()[1]


def refusal_of_all() -> str:
    """Why a separation refuses the settings in force together; empty if it takes them.

    Loads torch, as the separation would.
    """
    from stemcli.engine.checks import check_request, known_outputs
    from stemcli.engine.device import resolve_device
    from stemcli.engine.planned import plan_files

    try:
        context = SEPARATION.make_context("batch", ["."], click.get_current_context())
    except click.UsageError as error:
        return error.format_message()
    with command_line(SEPARATION.origins(context)):
        try:
            options, _ = split_options(context.params)
            check_request(options)
            folder, stems = Path(options.output), known_outputs(options)
            plan_files(Path("song.wav"), stems, options, folder=folder, model="model")
            with errors_about("device"):
                resolve_device(options.device)
        except click.UsageError as error:
            return error.format_message()
        except StemError as error:
            return describe_error(error)
    return ""


def _in_force(context: click.Context, name: str, setting: Setting) -> SettingInForce:
    value = context.params[name]
    origin = SEPARATION.origin(context, name)
    if origin is None:
        text = as_text(value) or setting.unset
        return SettingInForce(setting.key, plain(value), "default", "default", text)
    problem = ""
    if value is None:  # Click's answer to invalid values while it only parses
        problem = f"Invalid value for {origin}: {_refusal(setting, origin.text)}"
    source: Literal["environment", "file"] = "environment" if origin.is_variable else "file"
    return SettingInForce(setting.key, plain(value), source, origin.where, origin.text, problem)


def _refusal(setting: Setting, text: str) -> str:
    """Why the option refuses a value."""
    try:
        cast(setting, text)
    except click.BadParameter as error:
        return error.message
    return ""


def option_of(setting: Setting) -> click.Parameter:
    """The option of a setting."""
    return next(option for option in SEPARATION.params if key_of(option) == setting.key)


def cast(setting: Setting, text: str) -> Any:
    """Convert a text as the option would.

    Raises:
        click.BadParameter: the option does not take this value.
    """
    option = option_of(setting)
    value = split_list(text) if option.multiple else text
    if not value:
        raise click.BadParameter("no name was given")
    parent = click.get_current_context(silent=True)
    return option.type_cast_value(click.Context(SEPARATION, parent), value)


def check_value(setting: Setting, text: str) -> Any:
    """Convert a new value, and check what Stem would only refuse later.

    Raises:
        click.BadParameter: the option does not take this value.
        UsageError: separation would not take it.
    """
    try:
        value = cast(setting, text)
    except click.BadParameter as error:
        raise click.BadParameter(error.message, param_hint=setting.key) from error
    check = CHECKS.get(setting.key)
    if check:
        with command_line({option_of(setting).name or "": setting.key}):
            check(setting.key, value)
    return value


def _check_option(key: str, value: Any) -> None:
    from stemcli.engine.options import Options

    Options(**{key: value})


def _check_rate(key: str, value: Any) -> None:
    """Check that some format takes a bit rate or quality."""
    from stemcli.audio.formats import RULES, OutputFormat

    mistakes: list[str] = []
    for name, rules in RULES.items():
        if rules.has_bitrate if key == "bitrate" else rules.has_quality:
            try:
                OutputFormat(name, **{key: value})
            except ConfigError as error:
                mistakes += error.mistakes
            else:
                return
    raise ConfigError("", mistakes)


def _check_template(key: str, value: str) -> None:
    from stemcli.engine.outputs import check_template

    check_template(value)


def _check_models(key: str, value: Any) -> None:
    """Check that models exist; paths may come into being later."""
    from model_zoo.catalogue.cards import card_names, is_known
    from model_zoo.catalogue.names import catalogue_name, is_path
    from model_zoo.catalogue.unknown import unknown_model

    for name in [value] if isinstance(value, str) else value:
        if not is_known(catalogue_name(name)) and not is_path(name):
            raise unknown_model(name, card_names())


CHECKS = {
    "model": _check_models,
    "phase_model": _check_models,
    "filename": _check_template,
    "bitrate": _check_rate,
    "quality": _check_rate,
    "overlap": _check_option,
    "segment": _check_option,
}
"""Checks of values that an option takes but a separation may not."""


def plain(value: Any) -> Any:
    """A value of an option for JSON."""
    return list(value) if isinstance(value, tuple) else value


def as_text(value: Any) -> str:
    """A value of an option as it is typed; empty for no value."""
    if isinstance(value, tuple):
        return ",".join(f"{one:g}" if isinstance(one, float) else one for one in value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
