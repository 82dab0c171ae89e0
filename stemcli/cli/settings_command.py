"""Commands whose options take their defaults from the user's settings.

Click reads the values: ``envvar`` of an option, then ``default_map`` of the context for the file,
and it remembers where each came from. This module adds what Click cannot know: errors that name
that source, and the help.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click
from click.core import ParameterSource

from model_zoo.errors import OutputError, StemError, describe_error
from model_zoo.option_names import command_line
from stemcli.cli.fitting_settings import FROM_SETTINGS, not_fitting
from stemcli.cli.other_tools import refusing, take_other_options
from stemcli.printable import printable
from stemcli.settings import (
    SETTINGS,
    Setting,
    read_settings,
    settings_file,
    split_list,
    unknown_variables,
)

Values = dict[str, str | list[str]]

DEFAULT_IN_HELP = re.compile(r"\[default: [^\]]*?(?=; [^\]]*\]|\])")


@dataclass(frozen=True)
class Origin:
    """A setting in force and where its value comes from.

    Attributes:
        setting: the setting.
        value: its value as the user wrote it.
        where: environment variable, or path of the file.
        is_variable: whether ``where`` is an environment variable.
    """

    setting: Setting
    value: str | list[str]
    where: str
    is_variable: bool

    def __str__(self) -> str:
        return self.where if self.is_variable else f"{self.setting.key} in {self.where}"

    @property
    def text(self) -> str:
        """The value as one text."""
        return self.value if isinstance(self.value, str) else ",".join(self.value)

    @classmethod
    def of_variable(cls, setting: Setting) -> Origin:
        """The value of the environment variable of a setting; empty if it is not set."""
        text = os.environ.get(setting.variable, "")
        value = split_list(text) if setting.kind == "list" else text
        return cls(setting, value, setting.variable, True)

    @classmethod
    def of_file(cls, setting: Setting, value: str | list[str]) -> Origin:
        """A value in the file."""
        return cls(setting, value, str(settings_file()), False)


class SettingsCommand(click.Command):
    """A command that reads settings.

    Args:
        settings: keys of the settings that apply to its options.
        runs_on_ray: whether it always runs on Ray, which assigns the GPUs.
    """

    def __init__(
        self,
        *args: Any,
        settings: Collection[str] = SETTINGS,
        runs_on_ray: bool = False,
        **attrs: Any,
    ) -> None:
        super().__init__(*args, **attrs)
        self.runs_on_ray = runs_on_ray
        self.settings: dict[str, Setting] = {}
        for option in self.params:
            key = key_of(option)
            if key in settings:
                option.envvar = SETTINGS[key].variable
                self.settings[option.name or ""] = SETTINGS[key]

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Parse the command line; what it leaves out comes from the settings.

        Raises:
            click.BadParameter: a value is invalid; the message names where it comes from.
            ConfigError: the settings file is damaged. ``--help`` works nevertheless.
        """
        stored, problem = read_or_problem()
        extra.setdefault("default_map", self.default_map(stored))
        try:
            context = super().make_context(info_name, args, parent, **extra)
        except click.BadParameter as error:
            raise self.with_source(error) from error
        if context.resilient_parsing:
            return context
        if problem:
            raise problem
        for name in [*not_fitting(context, self.settings, runs_on_ray=self.runs_on_ray)]:
            context.params[name] = self.built_in(context, name)
            context.set_parameter_source(name, ParameterSource.DEFAULT)
        return context

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line; options of other tools count as ours."""
        with refusing(ctx):
            rest = super().parse_args(ctx, args)
        take_other_options(ctx)
        return rest

    def default_map(self, stored: Mapping[str, str | list[str]]) -> dict[str, Any]:
        """Values for :attr:`click.Context.default_map`, by the names of the parameters."""
        found: dict[str, Any] = {}
        for option in self.params:
            setting = self.settings.get(option.name or "")
            if setting and setting.key in stored:
                value = stored[setting.key]
                is_joined = isinstance(value, list) and not option.multiple
                found[option.name or ""] = ",".join(value) if is_joined else value
        return found

    def built_in(self, context: click.Context, name: str) -> Any:
        """The default of an option, without settings."""
        option = next(option for option in self.params if option.name == name)
        default = option.to_info_dict()["default"]
        return None if default is None else option.type_cast_value(context, default)

    def origin(self, context: click.Context, name: str) -> Origin | None:
        """The setting that gives a parameter its value; None for other sources."""
        setting = self.settings.get(name)
        source = context.get_parameter_source(name)
        if setting is None or source not in FROM_SETTINGS:
            return None
        if source == ParameterSource.ENVIRONMENT:
            return Origin.of_variable(setting)
        return Origin.of_file(setting, (context.default_map or {})[name])

    def origins(self, context: click.Context) -> dict[str, str]:
        """The settings in force, in words, by the names of their parameters."""
        found = {name: self.origin(context, name) for name in self.settings}
        return {name: str(origin) for name, origin in found.items() if origin}

    def with_source(self, error: click.BadParameter) -> click.BadParameter:
        """Name the setting in an error about a value, instead of an option that nobody typed."""
        origin = None
        if error.ctx and error.param:
            origin = self.origin(error.ctx, error.param.name or "")
        if origin is None:
            return error
        is_flag = origin.setting.kind == "true or false"
        message = f"{origin.text!r} is neither true nor false" if is_flag else error.message
        return click.BadParameter(message, error.ctx, error.param, str(origin))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors about settings name where they are set."""
        if not (ctx.params.get("quiet") or ctx.params.get("as_json")):
            for note in variable_notes():
                click.echo(printable(f"Note: {note}"), err=True)
        with command_line(self.origins(ctx)):
            try:
                return super().invoke(ctx)
            except StemError as error:
                message = describe_error(error)
                if message == str(error):
                    raise
                complete = copy.copy(error)
                complete.args = (message,)
                raise complete from error

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the options; where a setting changes a default, the help shows it."""
        stored, _ = read_or_problem()
        rows = []
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx)
            if record and isinstance(option, click.Option):
                rows.append((record[0], self._with_default(option, record[1], stored)))
        with formatter.section("Options"):
            formatter.write_dl(rows)

    def _with_default(self, option: click.Option, text: str, stored: Values) -> str:
        setting = self.settings.get(option.name or "")
        origin = find_origin(setting, stored) if setting else None
        if origin is None:
            return text
        shown = f"[default: {origin.text}, from {printable(str(origin))}"
        changed, count = DEFAULT_IN_HELP.subn(lambda match: shown, text, count=1)
        return changed if count else f"{text}  {shown}]"


def find_origin(setting: Setting, stored: Values) -> Origin | None:
    """The value of a setting, from the environment or else from the file; None if unset."""
    if os.environ.get(setting.variable):
        return Origin.of_variable(setting)
    return Origin.of_file(setting, stored[setting.key]) if setting.key in stored else None


def key_of(option: click.Parameter) -> str:
    """The key of the setting that an option would have: its long name with underscores."""
    longs = [name for name in option.opts if name.startswith("--")]
    return longs[0][2:].replace("-", "_") if longs else ""


def read_or_problem() -> tuple[Values, StemError | None]:
    """The settings in the file, or none and the error that says why it cannot be used."""
    try:
        file = settings_file()
    except OutputError:  # there is no home folder, so there is no file
        return {}, None
    try:
        return read_settings(file), None
    except StemError as error:
        return {}, error


def variable_notes() -> Iterator[str]:
    """A sentence for each environment variable that looks like a misspelled setting."""
    for name, near in unknown_variables(os.environ).items():
        if near:
            yield f"{name} has no effect. Did you mean {near}?"
