"""Commands whose options take their defaults from the user's settings.

Click reads the values: ``envvar`` of an option, then ``default_map`` of the context for the file,
and it remembers where each came from. This module adds what Click cannot know: errors that name
that source, settings that do not fit what was typed, and the help.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click
from click.core import ParameterSource

from model_zoo.errors import OutputError, StemError, revived
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
from stemcli.streams import STANDARD_STREAM

Values = dict[str, str | list[str]]

ORDER = (
    ParameterSource.COMMANDLINE,
    ParameterSource.PROMPT,
    ParameterSource.ENVIRONMENT,
    ParameterSource.DEFAULT_MAP,
    ParameterSource.DEFAULT,
)
"""Sources of a value, the strongest first."""

FROM_SETTINGS = (ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)
NOT_GIVEN = (None, "", (), False)
EXCLUSIVE = (("stems", "two_stems"), ("bitrate", "quality"), ("skip_existing", "overwrite"))
"""Options that exclude each other: the one from the stronger source is used."""

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

    def is_mentioned(self, message: str) -> bool:
        """Whether an error message is about this option or quotes its value."""
        words = [self.setting.option]
        if self.setting.kind in ("text", "list", "path"):
            words += [self.value] if isinstance(self.value, str) else self.value
        return any(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", message) for word in words)


class SettingsCommand(click.Command):
    """A command that reads settings.

    Args:
        settings: keys of the settings that apply to its options.
    """

    def __init__(self, *args: Any, settings: Collection[str] = SETTINGS, **attrs: Any) -> None:
        super().__init__(*args, **attrs)
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
        for name in [*not_fitting(context, self.settings)]:
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
        stored = {setting.key: (context.default_map or {}).get(name, "")}
        return find_origin(setting, stored)

    def origins(self, context: click.Context) -> list[Origin]:
        """All settings in force, in the order of the options."""
        found = (self.origin(context, name) for name in self.settings)
        return [origin for origin in found if origin]

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
                click.echo(printable(note), err=True)
        try:
            return super().invoke(ctx)
        except (click.UsageError, StemError) as error:
            before = error.message if isinstance(error, click.UsageError) else str(error)
            message = blame(before, self.origins(ctx))
            if message == before:
                raise
            if isinstance(error, click.UsageError):
                raise click.UsageError(message, ctx) from error
            raise revived(type(error).__name__, message) from error

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
    text = os.environ.get(setting.variable)
    if text:
        value = split_list(text) if setting.kind == "list" else text
        return Origin(setting, value, setting.variable, True)
    if setting.key in stored:
        return Origin(setting, stored[setting.key], str(settings_file()), False)
    return None


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
            yield f"Note: {name} has no effect. Did you mean {near}?"


def blame(message: str, origins: Collection[Origin]) -> str:
    """Name the sources of settings in a message that names options.

    An option that begins a complaint, as in ``--bitrate of mp3 goes from 64 to 320``, is replaced.
    Elsewhere it may be advice on what to type, so the sources are added at the end.
    """
    named = message
    for origin in origins:
        start = rf"(?:^|(?<=: )|(?<=; )|(?<= and )){re.escape(origin.setting.option)}(?=[ :,])"
        named = re.sub(start, str(origin).replace("\\", r"\\"), named)
    if named != message:
        return named
    mentioned = [str(origin) for origin in origins if origin.is_mentioned(message)]
    return f"{message} (from {', '.join(mentioned)})" if mentioned else message


def not_fitting(context: click.Context, settings: Mapping[str, Setting]) -> Iterator[str]:
    """Names of parameters whose settings do not fit the rest of the command, so are left aside."""
    choice = Choice(context, {setting.key: name for name, setting in settings.items()})
    yield from choice.weaker()
    if "format" in choice.names:
        yield from choice.of_other_formats()
    if choice.is_set("picture") and choice.value("output") == STANDARD_STREAM:
        yield "picture"  # a pipe takes one stem
    is_placed_by_ray = context.params.get("cluster") or context.info_name == "tune"
    is_one_gpu = choice.is_set("device") and context.params["device"].startswith("cuda:")
    if is_placed_by_ray and is_one_gpu:
        yield "device"  # it counts the GPUs of this machine


@dataclass(frozen=True)
class Choice:
    """The values of a command, with the strength of their sources.

    Attributes:
        context: context of the command.
        names: names of parameters by the key of their setting.
    """

    context: click.Context
    names: Mapping[str, str]

    def value(self, key: str) -> Any:
        """The value in force."""
        return self.context.params.get(self.names.get(key, key))

    def rank(self, key: str) -> int:
        """The place of its source in :data:`ORDER`; smaller is stronger."""
        source = self.context.get_parameter_source(self.names.get(key, key))
        return ORDER.index(source or ParameterSource.DEFAULT)

    def is_set(self, key: str) -> bool:
        """Whether the value comes from the settings."""
        return self.context.get_parameter_source(self.names.get(key, key)) in FROM_SETTINGS

    def weaker(self) -> Iterator[str]:
        """Settings that exclude an option from a stronger source."""
        for pair in EXCLUSIVE:
            if all(key in self.names and self.value(key) not in NOT_GIVEN for key in pair):
                weak, strong = sorted(pair, key=self.rank, reverse=True)
                if self.rank(weak) > self.rank(strong):
                    yield self.names[weak]

    def of_other_formats(self) -> Iterator[str]:
        """Settings for another format than the one in force.

        ``bitrate`` and ``quality`` are left aside too if the settings name another format that has
        them: the number 2 is a good quality in mp3 and a bad one in ogg.
        """
        from stemcli.audio.formats import RULES

        chosen, depth = self.value("format"), self.value("bit_depth")
        rules = RULES[chosen]
        has_depth = rules.lossless and (depth != "32f" or chosen == "wav")
        if self.is_set("bit_depth") and not has_depth:
            yield self.names["bit_depth"]
            depth = "auto"
        is_float = chosen == "wav" and depth not in ("16", "24")
        if self.is_set("clip_mode") and self.value("clip_mode") == "none" and not is_float:
            yield self.names["clip_mode"]
        for key in ("bitrate", "quality"):
            if self.is_set(key) and not self._fits(key, chosen):
                yield self.names[key]

    def _fits(self, key: str, chosen: str) -> bool:
        from stemcli.audio.formats import RULES

        having = [
            name
            for name, rules in RULES.items()
            if (rules.bitrates if key == "bitrate" else rules.qualities)
        ]
        meant = self._format_below(self.rank(key))
        return chosen in having and (meant == chosen or meant not in having)

    def _format_below(self, rank: int) -> str:
        """The format that sources as strong as ``rank`` or weaker name."""
        if self.rank("format") >= rank:
            return str(self.value("format"))
        variable = os.environ.get(SETTINGS["format"].variable)
        if variable and rank <= ORDER.index(ParameterSource.ENVIRONMENT):
            return variable
        return str((self.context.default_map or {}).get("format", ""))
