"""Settings that do not fit the rest of a command, and are therefore left aside.

The page docs/settings.md lists them. Which options a format has, :mod:`stemcli.audio.formats` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click
from click.core import ParameterSource

from stemcli.streams import STANDARD_STREAM

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

EXCLUSIVE = (
    *(("stems", "two_stems"), ("stems", "karaoke"), ("two_stems", "karaoke")),
    *(("bitrate", "quality"), ("skip_existing", "overwrite")),
)
"""Parameters that exclude each other: the one from the stronger source is used."""


def not_fitting(
    context: click.Context, settings: Mapping[str, object], *, runs_on_ray: bool
) -> Iterator[str]:
    """Names of parameters whose settings do not fit the rest of the command.

    Args:
        context: context of the parsed command.
        settings: the parameters that have settings.
        runs_on_ray: whether the command always runs on Ray, without ``--cluster``.
    """
    choice = Choice(context)
    for one, other in EXCLUSIVE:
        if {one, other} <= settings.keys():
            yield from choice.weaker(one, other)
    if "format" in settings:
        yield from choice.of_other_formats()
    if choice.is_set("picture") and choice.value("output") == STANDARD_STREAM:
        yield "picture"  # a pipe takes one stem
    is_on_ray = runs_on_ray or context.params.get("cluster")
    if is_on_ray and choice.is_set("device") and choice.value("device").startswith("cuda:"):
        yield "device"  # it counts the GPUs of this machine, and Ray assigns them


@dataclass(frozen=True)
class Choice:
    """The values of a command, with the strength of their sources."""

    context: click.Context

    def value(self, name: str) -> Any:
        """The value in force."""
        return self.context.params.get(name)

    def rank(self, name: str) -> int:
        """The place of its source in :data:`ORDER`; smaller is stronger."""
        return ORDER.index(self.context.get_parameter_source(name) or ParameterSource.DEFAULT)

    def is_set(self, name: str) -> bool:
        """Whether the value comes from the settings."""
        return self.context.get_parameter_source(name) in FROM_SETTINGS

    def weaker(self, one: str, other: str) -> Iterator[str]:
        """The one from the weaker source, of two parameters that exclude each other."""
        if self.value(one) in NOT_GIVEN or self.value(other) in NOT_GIVEN:
            return
        if self.rank(one) != self.rank(other):
            yield max(one, other, key=self.rank)

    def of_other_formats(self) -> Iterator[str]:
        """Settings for another format than the one in force.

        ``bitrate`` and ``quality`` are left aside too if the settings name another format that has
        them: the number 2 is a good quality in mp3 and a bad one in ogg.
        """
        from stemcli.audio.formats import RULES, OutputFormat

        chosen, depth = self.value("format"), self.value("depth")
        if self.is_set("depth") and not OutputFormat.exists(chosen, depth):
            yield "depth"
            depth = "auto"
        is_unclipped = self.value("clip_mode") == "none"
        if self.is_set("clip_mode") and is_unclipped and not RULES[chosen].may_be_float(depth):
            yield "clip_mode"
        having = {
            "bitrate": [name for name, rules in RULES.items() if rules.has_bitrate],
            "quality": [name for name, rules in RULES.items() if rules.has_quality],
        }
        for name, formats in having.items():
            meant = self.format_below(self.rank(name))
            fits = chosen in formats and (meant == chosen or meant not in formats)
            if self.is_set(name) and not fits:
                yield name

    def format_below(self, rank: int) -> str:
        """The format that sources as strong as ``rank`` or weaker name; empty for none."""
        if self.rank("format") >= rank:
            return str(self.value("format"))
        option = next(each for each in self.context.command.params if each.name == "format")
        may_be_variable = rank <= ORDER.index(ParameterSource.ENVIRONMENT)
        text = option.value_from_envvar(self.context) if may_be_variable else None
        text = text or (self.context.default_map or {}).get("format")
        try:
            return str(option.type_cast_value(self.context, text)) if text else ""
        except click.BadParameter:  # not in force, so no reason to refuse the command
            return ""
