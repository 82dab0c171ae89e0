"""Options, commands and file name fields of other tools, and their equivalents here.

An option with the same meaning is accepted under its other name. Every other option is refused with
the equivalent to use. The spellings are those of demucs 4, spleeter 2.4, audio-separator 0.44,
Music-Source-Separation-Training (MSST) of 2025 and open-unmix 1.3; underscores are typed as dashes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click
from click.core import ParameterSource


@dataclass(frozen=True)
class OtherOption:
    """An option of other tools.

    Attributes:
        names: all spellings, separated by spaces.
        tools: the tools that have it.
        field: parameter of ours that it sets; empty if the option is refused.
        value: the value that a flag sets; empty if the option takes a value.
        convert: converts the value to text that our option accepts.
        advice: the equivalent, for a refused option.
        is_flag: whether a refused option takes no value.
    """

    names: str
    tools: str
    field: str = ""
    value: str = ""
    convert: Callable[[str], str] = str
    advice: str = ""
    is_flag: bool = False

    @property
    def spellings(self) -> tuple[str, ...]:
        """All spellings, each with its dashes."""
        return tuple(self.names.split())

    @property
    def parameter(self) -> str:
        """Name of the hidden parameter; no option of ours has such a name."""
        return f"other_{self.spellings[-1].lstrip('-').replace('-', '_')}"


def spleeter_model(text: str) -> str:
    """Convert ``spleeter:4stems-16kHz`` to ``spleeter_4stems``."""
    return re.sub(r"spleeter:(\dstems)(-16kHz)?", r"spleeter_\1", text)


def pcm_depth(text: str) -> str:
    """Convert ``PCM_24`` and ``FLOAT`` to a bit depth."""
    return {"pcm_16": "16", "pcm_24": "24", "float": "32f"}.get(text.casefold(), text)


def _flag(names: str, tools: str, advice: str) -> OtherOption:
    """A refused option without a value."""
    return OtherOption(names, tools, advice=advice, is_flag=True)


def _option(names: str, tools: str, advice: str) -> OtherOption:
    """A refused option with a value."""
    return OtherOption(names, tools, advice=advice)


DEMUCS, SPLEETER, SEPARATOR = "demucs", "spleeter", "audio-separator"
MSST, UNMIX = "MSST", "open-unmix"

ACCEPTED = (
    OtherOption("-n --name", DEMUCS, "model"),
    OtherOption("--model-filename", SEPARATOR, "model"),
    OtherOption("-p --params-filename", SPLEETER, "model", convert=spleeter_model),
    OtherOption("--out --outdir", f"{DEMUCS} and {UNMIX}", "output"),
    OtherOption("--output-path", SPLEETER, "output"),
    OtherOption("--output-dir", SEPARATOR, "output"),
    OtherOption("--store-dir", MSST, "output"),
    OtherOption("--wav", "", "format", "wav"),
    OtherOption("--mp3", DEMUCS, "format", "mp3"),
    OtherOption("--flac", DEMUCS, "format", "flac"),
    OtherOption("--flac-file", MSST, "format", "flac"),
    OtherOption("-c --codec", SPLEETER, "format"),
    OtherOption("--output-format", SEPARATOR, "format"),
    OtherOption("--ext", UNMIX, "format", convert=lambda text: text.removeprefix(".")),
    OtherOption("--int16", "", "depth", "16"),
    OtherOption("--int24", DEMUCS, "depth", "24"),
    OtherOption("--float32", DEMUCS, "depth", "32f"),
    OtherOption("--pcm-type", MSST, "depth", convert=pcm_depth),
    OtherOption("--mp3-bitrate", DEMUCS, "bitrate"),
    OtherOption("-b", SPLEETER, "bitrate"),
    OtherOption("--output-bitrate", SEPARATOR, "bitrate"),
    OtherOption("--single-stem", SEPARATOR, "stems"),
    OtherOption("-s --offset", SPLEETER, "start"),
    OtherOption("--demucs-shifts", SEPARATOR, "shifts"),
    OtherOption("--mdx-batch-size", SEPARATOR, "batch_size"),
    OtherOption("--mdxc-batch-size", SEPARATOR, "batch_size"),
    OtherOption("--vr-batch-size", SEPARATOR, "batch_size"),
    OtherOption("--cpu", "", "device", "cpu"),
    OtherOption("--force-cpu", MSST, "device", "cpu"),
    OtherOption("--no-cuda", UNMIX, "device", "cpu"),
    OtherOption("--cuda --gpu", "", "device", "cuda"),
    OtherOption("--device-ids", MSST, "device", convert=lambda text: f"cuda:{text}"),
)
"""Options with the same meaning here."""

CONVERT = "Convert the checkpoint once: stem models convert FILE --name NAME; then use --model"
DOWNLOADS = "Nothing is downloaded: see stem models list for the installed models"
LENGTH = "Use --end, the time where to stop: --start 30 --end 90 for a minute from 0:30"
FIELDS = "Use --filename with {track}, {stem}, {ext} and {model}"
SEGMENT = "Use --segment with the length of a chunk in seconds"
OVERLAP = "Use --overlap with a fraction below 1, e.g. 0.25"
ENSEMBLE = "Repeat --model; the waveforms are averaged with equal weights"
CHUNKS = "Leave it out: songs of any length are separated in overlapping chunks, in the same memory"
REST = "Leave it out: --two-stems writes the rest of the song as the second stem"
ENCODER = "Leave it out: LAME's best preset is used; --quality sets a variable bit rate"
LEVELS = "Leave it out: the stems keep their levels; only if they would clip, all get the same gain"
WIENER = "Leave it out: there is no Wiener filter"
TTA = "Use --shifts N to average several passes"
NETWORK = "Leave it out: the installed networks have no such setting"

REFUSED = (
    _flag("--list-models", f"{DEMUCS} and {SEPARATOR}", "Run: stem models list"),
    _flag("-l", SEPARATOR, "Run: stem models list"),
    _option("--list-filter --list-limit --list-format", SEPARATOR, "Run: stem models list"),
    _flag("-e --env-info", SEPARATOR, "Run: stem doctor"),
    _flag("--debug", SEPARATOR, "Use --verbose"),
    _option("--log-level", SEPARATOR, "Use --verbose or --quiet"),
    _option("--sig", DEMUCS, "Use --model with a name from stem models list"),
    _option("--repo", DEMUCS, "Add the model to your zoo first: stem models add RUN --name NAME"),
    _option("--model-file-dir", SEPARATOR, "Set the environment variable STEM_HOME instead"),
    _option("--model-type", MSST, CONVERT),
    _option("--config-path", MSST, CONVERT),
    _option("--start-check-point", MSST, CONVERT),
    _flag("--download-model-only", SEPARATOR, DOWNLOADS),
    _option("--input-folder", MSST, "Use: stem batch FOLDER"),
    _option("-i --inputs --input", SPLEETER, "Name the songs without it: stem separate SONG"),
    _option("--duration", f"{SPLEETER} and {UNMIX}", LENGTH),
    _option("--filename-format", SPLEETER, FIELDS),
    _option("--filename-template", MSST, FIELDS),
    _option("--custom-output-names", SEPARATOR, FIELDS),
    _option("--targets", UNMIX, "Use --stems A,B"),
    _flag("--vocals", "", "Use --stems vocals"),
    _flag("--instrumental --karaoke", "", "Use --stems instrumental"),
    _flag("--extract-instrumental", MSST, "Use --two-stems vocals"),
    _option("--mdx-segment-size --mdxc-segment-size", SEPARATOR, SEGMENT),
    _option("--demucs-segment-size --vr-window-size", SEPARATOR, SEGMENT),
    _option("--mdx-overlap --mdxc-overlap --demucs-overlap", SEPARATOR, OVERLAP),
    _option("--ensemble-preset --extra-models", SEPARATOR, ENSEMBLE),
    _option("--ensemble-algorithm --ensemble-weights", SEPARATOR, ENSEMBLE),
    _option("--draw-spectro", MSST, "Use --picture"),
    _flag("--no-split", DEMUCS, CHUNKS),
    _option("--chunk-duration", SEPARATOR, CHUNKS),
    _option("--other-method", DEMUCS, REST),
    _option("--mp3-preset", DEMUCS, ENCODER),
    _option("--normalization --amplification", SEPARATOR, LEVELS),
    _option("--sample-rate", SEPARATOR, "Leave it out: stems have the song's sample rate"),
    _flag("--use-autocast", SEPARATOR, "Leave it out: --precision auto is the default"),
    _flag(
        "--use-soundfile", SEPARATOR, "Leave it out: files are streamed with soundfile or ffmpeg"
    ),
    _option("-a --audio-adapter", SPLEETER, "Leave it out: the decoder is chosen by the file"),
    _flag("--mwf", SPLEETER, "Leave it out: there is no multichannel Wiener filter"),
    _option("--niter --wiener-win-len", UNMIX, WIENER),
    _flag("--use-tta", MSST, TTA),
    _flag("--vr-enable-tta", SEPARATOR, TTA),
    _flag(
        "--invert-spect", SEPARATOR, "Leave it out: stems of a full set add up to the song already"
    ),
    _flag("--mdx-enable-denoise --vr-high-end-process", SEPARATOR, NETWORK),
    _flag("--vr-enable-post-process", SEPARATOR, NETWORK),
    _option("--vr-aggression --mdx-hop-length", SEPARATOR, NETWORK),
)
"""Options with another equivalent, or with none."""

COMMANDS = {
    "add": "stem models add",
    "check": "stem doctor, or stem data check for training data",
    "compare": "stem eval compare",
    "convert": "stem models convert",
    "env": "stem doctor",
    "evaluate": "stem eval",
    "extract": "stem separate SONG",
    "folder": "stem batch FOLDER, or stem eval folder",
    "inference": "stem separate SONG",
    "info": "stem models info NAME",
    "karaoke": "stem separate SONG --two-stems vocals",
    "list": "stem models list",
    "musdb": "stem eval musdb",
    "remove": "stem models remove NAME",
    "render": "stem data render",
    "search": "stem tune",
    "split": "stem separate SONG",
    "unmix": "stem separate SONG",
    "verify": "stem models verify",
}
"""Words that people type for a command, and the command."""


def other_tools_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of other tools, hidden, to a command with the options of a separation."""
    for row in ACCEPTED:
        command = click.option(
            *row.spellings,
            row.parameter,
            hidden=True,
            is_flag=bool(row.value),
            multiple=row.field == "model",
            help=f"Sets {row.field}.",
        )(command)
    for row in REFUSED:
        for spelling in row.spellings:
            command = click.option(
                spelling,
                hidden=True,
                is_flag=row.is_flag,
                is_eager=True,
                expose_value=False,
                callback=_refuse,
                help=f"{row.advice}.",
            )(command)
    return command


def take_other_options(ctx: click.Context) -> None:
    """Move the values of other tools' options to our own parameters.

    Args:
        ctx: context of a parsed command.

    Raises:
        click.UsageError: two options give one parameter different values.
        click.BadParameter: our option does not accept the value.
    """
    setters: dict[str, str] = {}
    for row in ACCEPTED:
        typed = ctx.params.pop(row.parameter, None)
        if not typed:
            continue
        ours = next(each for each in ctx.command.params if each.name == row.field)
        if ctx.get_parameter_source(row.field) == ParameterSource.COMMANDLINE:
            setters.setdefault(row.field, ours.opts[-1])
        text = [*map(row.convert, typed)] if ours.multiple else row.value or row.convert(typed)
        value = ours.type_cast_value(ctx, text)
        if row.field in setters and ctx.params[row.field] != value:
            raise click.UsageError(
                f"{row.spellings[-1]} and {setters[row.field]} contradict each other; use one of"
                " them."
            )
        setters[row.field] = row.spellings[-1]
        ctx.params[row.field] = value
        ctx.set_parameter_source(row.field, ParameterSource.COMMANDLINE)


def with_dashes(words: Sequence[str]) -> list[str]:
    """Write long options with dashes: ``--output_dir=x`` becomes ``--output-dir=x``."""
    end = words.index("--") if "--" in words else len(words)
    return [*map(_with_dashes, words[:end]), *words[end:]]


def _with_dashes(word: str) -> str:
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if word.startswith("--") else word


def refused_option(name: str) -> click.UsageError | None:
    """The error for an option that is refused, by one of its spellings; None for others."""
    row = next((row for row in REFUSED if name in row.spellings), None)
    if row is None:
        return None
    owner = f"{name} is an option of {row.tools}" if row.tools else f"There is no option {name}"
    return click.UsageError(f"{owner}. {row.advice}.")


def _refuse(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    error = refused_option(parameter.opts[0])
    if value not in (None, False) and error and not ctx.resilient_parsing:
        raise error
