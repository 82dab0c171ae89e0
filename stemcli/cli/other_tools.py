"""Options, commands and file name fields of other tools, and their equivalents here.

An option with the same meaning is accepted under its other name. Every other option is refused with
the equivalent to use. The spellings are those of demucs 4, spleeter 2.4, audio-separator 0.47,
Music-Source-Separation-Training (MSST) 0.1 and open-unmix 1.3; underscores are typed as dashes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
from click.core import ParameterSource

from stemcli.cli.candidates import ModelName


@dataclass(frozen=True)
class AcceptedOption:
    """An option of other tools with the meaning of one of ours.

    Attributes:
        names: all spellings, separated by spaces.
        field: parameter of ours that it sets.
        value: the value that a flag sets; empty if the option takes a value.
        convert: converts the value to text that our option accepts.
    """

    names: str
    field: str
    value: str = ""
    convert: Callable[[str], str] = str

    @property
    def spellings(self) -> tuple[str, ...]:
        """All spellings, each with its dashes."""
        return tuple(self.names.split())

    @property
    def parameter(self) -> str:
        """Name of the hidden parameter; no option of ours has such a name."""
        return f"other_{self.spellings[-1].lstrip('-').replace('-', '_')}"


@dataclass(frozen=True)
class RefusedOption:
    """An option of other tools with another equivalent here, or with none.

    Attributes:
        names: all spellings, separated by spaces.
        tools: the tools that have it; empty for a guess that no tool has.
        advice: what to type here.
        is_flag: whether the option takes no value.
    """

    names: str
    tools: str
    advice: str
    is_flag: bool = False

    @property
    def spellings(self) -> tuple[str, ...]:
        """All spellings, each with its dashes."""
        return tuple(self.names.split())


def spleeter_model(text: str) -> str:
    """Convert ``spleeter:4stems-16kHz`` to ``spleeter_4stems``."""
    return re.sub(r"spleeter:(\dstems)(-16kHz)?", r"spleeter_\1", text)


def combination(text: str) -> str:
    """Convert ``avg_wave`` or ``uvr_max_spec`` to a value of ``--combine``."""
    match = re.fullmatch(r"(?:uvr_)?(avg|median|min|max)_(wave|fft|spec)", text)
    if match is None:
        return text
    how = "mean" if match[1] == "avg" else match[1]
    return how if match[2] == "wave" else f"{how}-spectrum"


def pcm_depth(text: str) -> str:
    """Convert ``PCM_24`` and ``FLOAT`` to a bit depth."""
    return {"pcm_16": "16", "pcm_24": "24", "float": "32f"}.get(text.casefold(), text)


def _flag(names: str, tools: str, advice: str) -> RefusedOption:
    """A refused option without a value."""
    return RefusedOption(names, tools, advice, is_flag=True)


DEMUCS, SPLEETER, SEPARATOR = "demucs", "spleeter", "audio-separator"
MSST, UNMIX = "MSST", "open-unmix"

ACCEPTED = (
    # demucs
    AcceptedOption("-n --name", "model"),
    AcceptedOption("--mp3", "format", "mp3"),
    AcceptedOption("--flac", "format", "flac"),
    AcceptedOption("--int24", "depth", "24"),
    AcceptedOption("--float32", "depth", "32f"),
    AcceptedOption("--mp3-bitrate", "bitrate"),
    # demucs and open-unmix
    AcceptedOption("--out --outdir", "output"),
    # spleeter
    AcceptedOption("-p --params-filename", "model", convert=spleeter_model),
    AcceptedOption("--output-path", "output"),
    AcceptedOption("-c --codec", "format"),
    AcceptedOption("-b", "bitrate"),
    AcceptedOption("-s --offset", "start"),
    # audio-separator
    AcceptedOption("--model-filename", "model"),
    AcceptedOption("--ensemble-preset", "model"),
    AcceptedOption("--ensemble-algorithm", "combine", convert=combination),
    AcceptedOption("--output-dir", "output"),
    AcceptedOption("--output-format", "format"),
    AcceptedOption("--output-bitrate", "bitrate"),
    AcceptedOption("--single-stem", "stems"),
    AcceptedOption("--demucs-shifts", "shifts"),
    AcceptedOption("--demucs-overlap", "overlap"),
    AcceptedOption("--use-native-fp16", "precision", "fp16"),
    AcceptedOption("--mdx-batch-size", "batch_size"),
    AcceptedOption("--mdxc-batch-size", "batch_size"),
    AcceptedOption("--vr-batch-size", "batch_size"),
    # MSST
    AcceptedOption("--store-dir", "output"),
    AcceptedOption("--flac-file", "format", "flac"),
    AcceptedOption("--pcm-type", "depth", convert=pcm_depth),
    AcceptedOption("--force-cpu", "device", "cpu"),
    AcceptedOption("--device-ids", "device", convert=lambda text: f"cuda:{text}"),
    AcceptedOption("--bigshifts", "shifts"),
    # open-unmix
    AcceptedOption("--ext", "format", convert=lambda text: text.removeprefix(".")),
    AcceptedOption("--no-cuda", "device", "cpu"),
    # of no tool, but often typed
    AcceptedOption("--wav", "format", "wav"),
    AcceptedOption("--int16", "depth", "16"),
    AcceptedOption("--cpu", "device", "cpu"),
    AcceptedOption("--cuda --gpu", "device", "cuda"),
)
"""Options with the same meaning here."""

NAMED = "Use --model with a name from stem models list --all"
OWN = "Run: stem models convert FILE --config YAML --name NAME. Then use --model NAME"
LENGTH = "Use --end, the time where to stop: --start 30 --end 90 for a minute from 0:30"
FIELDS = "Use --filename with {track}, {stem}, {ext} and {model}"
SEGMENT = "Use --segment with the length of a chunk in seconds"
OVERLAP = "Use --overlap with a fraction below 1, e.g. 0.25"
ENSEMBLE = "Repeat --model, once for each model"
WEIGHTS = "Use --weights with commas, a number for each --model, e.g. --weights 2,1"
CHUNKS = "Leave it out: songs of any length are separated in overlapping chunks, in the same memory"
REST = "Leave it out: --two-stems writes the rest of the song as the second stem"
ENCODER = "Leave it out: LAME's best preset is used; --quality sets a variable bit rate"
LEVELS = "Leave it out: the stems keep their levels; only if they would clip, all get the same gain"
WIENER = "Leave it out: only models of Open-Unmix have a Wiener filter"
TTA = "Use --shifts N to average several passes"
NETWORK = "Leave it out: the installed networks have no such setting"

REFUSED = (
    _flag("--list-models", f"{DEMUCS} and {SEPARATOR}", "Run: stem models list --all"),
    _flag("-l", SEPARATOR, "Run: stem models list --all"),
    RefusedOption("--list-filter", SEPARATOR, "Run: stem models list --stem NAME --sort sdr"),
    RefusedOption("--list-limit --list-format", SEPARATOR, "Run: stem models list --all"),
    _flag("--list-presets", SEPARATOR, "Use --model with the name of a preset, e.g. karaoke"),
    _flag("-e --env-info", SEPARATOR, "Run: stem doctor"),
    _flag("--debug", SEPARATOR, "Use --verbose"),
    RefusedOption("--log-level", SEPARATOR, "Use --verbose or --quiet"),
    RefusedOption("--sig", DEMUCS, NAMED),
    RefusedOption(
        "--repo", DEMUCS, "Add the model to your zoo first: stem models convert FILE --name NAME"
    ),
    RefusedOption("--model-file-dir", SEPARATOR, "Set the environment variable STEM_HOME instead"),
    RefusedOption("--model-type", MSST, NAMED),
    RefusedOption("--config-path --start-check-point", MSST, OWN),
    RefusedOption(
        "--lora-checkpoint --lora-checkpoint-peft --lora-checkpoint-loralib", MSST, NETWORK
    ),
    _flag("--download-model-only", SEPARATOR, "Run: stem models pull NAME"),
    RefusedOption("--input-folder", MSST, "Use: stem batch FOLDER"),
    RefusedOption("-i --inputs --input", SPLEETER, "Name the songs without it: stem separate SONG"),
    RefusedOption("--duration", f"{SPLEETER} and {UNMIX}", LENGTH),
    RefusedOption("--filename-format", SPLEETER, FIELDS),
    RefusedOption("--filename-template", MSST, FIELDS),
    RefusedOption("--custom-output-names", SEPARATOR, FIELDS),
    RefusedOption("--targets", UNMIX, "Use --stems A,B"),
    _flag("--vocals", "", "Use --stems vocals"),
    _flag("--instrumental", "", "Use --stems instrumental"),
    _flag("--extract-instrumental", MSST, "Use --two-stems vocals"),
    RefusedOption("--mdx-segment-size --mdxc-segment-size", SEPARATOR, SEGMENT),
    RefusedOption("--demucs-segment-size --vr-window-size", SEPARATOR, SEGMENT),
    RefusedOption("--mdx-overlap --mdxc-overlap", SEPARATOR, OVERLAP),
    RefusedOption("--extra-models", SEPARATOR, ENSEMBLE),
    RefusedOption("--ensemble-weights", SEPARATOR, WEIGHTS),
    RefusedOption("--draw-spectro", MSST, "Use --picture"),
    _flag("--no-split", DEMUCS, CHUNKS),
    RefusedOption("--chunk-duration", SEPARATOR, CHUNKS),
    RefusedOption("--other-method", DEMUCS, REST),
    RefusedOption("--mp3-preset", DEMUCS, ENCODER),
    RefusedOption("--normalization --amplification", SEPARATOR, LEVELS),
    RefusedOption("--sample-rate", SEPARATOR, "Leave it out: stems have the song's sample rate"),
    _flag("--use-directml", SEPARATOR, "Use --device with cpu, cuda or mps"),
    _flag("--disable-detailed-pbar", MSST, "Use --quiet"),
    _flag("--skip-errors", MSST, "Leave it out: a song that fails never stops the others"),
    RefusedOption("--experiment --run-name", MSST, "Leave it out: stem batch keeps a journal"),
    RefusedOption("-B --stft-backend", SPLEETER, "Leave it out: PyTorch computes the spectrogram"),
    _flag("--use-autocast", SEPARATOR, "Leave it out: --precision auto is the default"),
    _flag("--use-torch-compile", SEPARATOR, "Leave it out: networks run as they are"),
    _flag(
        "--use-soundfile", SEPARATOR, "Leave it out: files are streamed with soundfile or ffmpeg"
    ),
    RefusedOption(
        "-a --audio-adapter", SPLEETER, "Leave it out: the decoder is chosen by the file"
    ),
    _flag("--mwf", SPLEETER, WIENER),
    RefusedOption("--residual", UNMIX, "Use --two-stems A: the rest of the song is written too"),
    RefusedOption("--aggregate", UNMIX, "Use --two-stems A: the others are added up"),
    RefusedOption("--filterbank", UNMIX, "Leave it out: PyTorch computes the spectrogram"),
    RefusedOption(
        "--audio-backend", UNMIX, "Leave it out: files are read with soundfile or ffmpeg"
    ),
    RefusedOption("--niter --wiener-win-len", UNMIX, "Leave it out: it is an option of the model"),
    _flag("--use-tta", MSST, TTA),
    _flag("--vr-enable-tta", SEPARATOR, TTA),
    _flag(
        "--invert-spect", SEPARATOR, "Leave it out: stems of a full set add up to the song already"
    ),
    _flag("--mdx-enable-denoise --vr-high-end-process", SEPARATOR, NETWORK),
    _flag("--vr-enable-post-process", SEPARATOR, NETWORK),
    RefusedOption("--vr-aggression --mdx-hop-length --mdxc-pitch-shift", SEPARATOR, NETWORK),
    RefusedOption("--vr-post-process-threshold", SEPARATOR, NETWORK),
    _flag("--mdxc-override-model-segment-size", SEPARATOR, SEGMENT),
    RefusedOption("--demucs-segments-enabled", SEPARATOR, CHUNKS),
)
"""Options with another equivalent, or with none."""

REFUSALS = "stem.refusals"  # key in the context: answers to options that were typed

COMMAND_WORDS = {
    "add": "stem models add",
    "advise": "stem models advise",
    "check": "stem doctor, or stem data check for training data",
    "compare": "stem eval compare",
    "convert": "stem models convert",
    "download": "stem models pull NAME",
    "env": "stem doctor",
    "evaluate": "stem eval",
    "extract": "stem separate SONG",
    "folder": "stem batch FOLDER, or stem eval folder",
    "inference": "stem separate SONG",
    "info": "stem models info NAME",
    "karaoke": "stem separate SONG --karaoke",
    "list": "stem models list",
    "musdb": "stem eval musdb",
    "pull": "stem models pull NAME",
    "remove": "stem models remove NAME",
    "render": "stem data render",
    "search": "stem tune",
    "split": "stem separate SONG",
    "unmix": "stem separate SONG",
    "verify": "stem models verify",
}
"""Words that people type for a command, and the command."""


def other_tools_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of other tools, hidden, to a command with the options of a separation.

    With ``is_flag=False`` Click would accept an option at the end of the line without its value.
    """
    for row in ACCEPTED:
        command = click.option(
            *row.spellings,
            row.parameter,
            hidden=True,
            is_flag=True if row.value else None,
            multiple=row.field == "model",
            type=ModelName() if row.field == "model" else None,
            help=f"Sets {row.field}.",
        )(command)
    for refused in REFUSED:
        for spelling in refused.spellings:
            command = click.option(
                spelling,
                hidden=True,
                is_flag=refused.is_flag or None,
                is_eager=True,
                expose_value=False,
                callback=_refuse,
                help=f"{refused.advice}.",
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
        if not typed or ctx.resilient_parsing:
            continue
        spelling = row.spellings[-1]
        ours = next(each for each in ctx.command.params if each.name == row.field)
        if ctx.get_parameter_source(row.field) == ParameterSource.COMMANDLINE:
            setters.setdefault(row.field, ours.opts[-1])
        value = _value_of(row, typed, ours, ctx)
        if row.field == "model" and row.field in setters:
            value = tuple(dict.fromkeys((*ctx.params[row.field], *value)))
            setters.pop(row.field)
        if row.field in setters and ctx.params[row.field] != value:
            raise click.UsageError(
                f"{spelling} and {setters[row.field]} contradict each other; use one of them."
            )
        setters[row.field] = spelling
        ctx.params[row.field] = value
        ctx.set_parameter_source(row.field, ParameterSource.COMMANDLINE)


def _value_of(row: AcceptedOption, typed: Any, ours: click.Parameter, ctx: click.Context) -> Any:
    """The value of our parameter; an error names the option that was typed."""
    text = [*map(row.convert, typed)] if ours.multiple else row.value or row.convert(typed)
    try:
        return ours.type_cast_value(ctx, text)
    except click.BadParameter as error:
        error.param_hint = f"'{row.spellings[-1]}'"
        raise


@contextmanager
def refusing(ctx: click.Context) -> Iterator[None]:
    """Refuse all options without the same meaning here in one error, before any other error.

    Raises:
        click.UsageError: such options were typed.
    """
    try:
        yield
    except click.UsageError:
        _raise_refused(ctx)
        raise
    _raise_refused(ctx)


def _raise_refused(ctx: click.Context) -> None:
    if answers := ctx.meta.get(REFUSALS):
        raise click.UsageError(" ".join(answers), ctx)


def with_dashes(words: Sequence[str]) -> list[str]:
    """Write long options with dashes: ``--output_dir=x`` becomes ``--output-dir=x``."""
    end = words.index("--") if "--" in words else len(words)
    return [*map(_with_dashes, words[:end]), *words[end:]]


def _with_dashes(word: str) -> str:
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if word.startswith("--") else word


def refused_option(name: str) -> str:
    """The answer to an option that is refused, by one of its spellings; empty for others."""
    row = next((row for row in REFUSED if name in row.spellings), None)
    if row is None:
        return ""
    owner = f"{name} is an option of {row.tools}" if row.tools else f"There is no option {name}"
    return f"{owner}. {row.advice}."


def refuse(ctx: click.Context, answer: str) -> None:
    """Refuse an option with an answer; :func:`refusing` raises all answers together."""
    ctx.meta.setdefault(REFUSALS, []).append(answer)


def _refuse(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value not in (None, False) and not ctx.resilient_parsing:
        refuse(ctx, refused_option(parameter.opts[0]))
