"""Options that several commands share, and their parameter types.

Each parameter type is a function from text to value. Click calls it as the ``type`` of an option
and puts the option's name before its message.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import click
from click import BadParameter

from model_zoo.catalogue.cards import DEFAULT_MODEL
from model_zoo.grids import Combination
from model_zoo.option_names import contradiction
from stemcli.cli import candidates
from stemcli.cli.other_tools import other_tools_options
from stemcli.cli.parameter_types import (
    FormatChoice,
    WholeNumber,
    device,
    fraction,
    kilobits,
    names,
    seconds,
    track,
    weights,
    workflow,
)

if TYPE_CHECKING:
    from stemcli.engine.options import Options


REPORTS = (".json", ".csv")


def folder_or_url(text: str) -> Path:
    """A local folder, or a URL."""
    from stemcli.remote_path import as_path

    return as_path(text)


def report(text: str) -> Path:
    """A file whose extension, ``.json`` or ``.csv``, selects the format."""
    path = Path(text)
    if path.suffix.lower() not in REPORTS:
        raise BadParameter(f"'{text}' does not end in .json or .csv. Try e.g. report.csv")
    return path


Existing = Literal["refuse", "skip", "overwrite"]
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

VERBOSE = "stem.verbose"  # key in the context, read when an error is reported
FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "m4a")
DEPTHS = ("auto", "16", "24", "32f")

CONSOLE = (
    click.option("--json", "as_json", is_flag=True, help="Print machine-readable JSON."),
    click.option("-q", "--quiet", is_flag=True, help="Print errors only."),
    click.option("-v", "--verbose", is_flag=True, help="Show details and full tracebacks."),
)

COMBINATIONS = get_args(Combination)

MODEL = (
    click.option(
        "-m",
        "--model",
        type=candidates.ModelName(),
        multiple=True,
        default=(DEFAULT_MODEL,),
        metavar="NAME|RUN|FILE",
        help="Model to use: a name, the folder of a stem train run, or a .safetensors file;"
        " repeat to average several."
        f"  [default: {DEFAULT_MODEL}]",
    ),
    click.option(
        "--weights",
        type=weights,
        metavar="W,W",
        help="Weights of several models in their average.  [default: equal]",
    ),
    click.option(
        "--combine",
        type=click.Choice(COMBINATIONS),
        default="mean",
        show_default=True,
        help="How to combine several models: their mean, median, smallest or largest samples, or"
        " the same of spectra.",
    ),
    click.option(
        "--workflow",
        type=workflow,
        default="",
        metavar="FILE",
        help="TOML file that says which models run on which stems of others.",
    ),
    click.option(
        "--phase-model",
        type=candidates.ModelName("phase"),
        default="",
        metavar="NAME|RUN|FILE",
        help="Model that predicts the phase of each stem; if repeated, the last one wins."
        "  [default: use the song's phase]",
    ),
    click.option(
        "--stems",
        type=names,
        shell_complete=candidates.stems,
        metavar="A,B",
        help="Write only these stems.  [default: all]",
    ),
    click.option(
        "--two-stems",
        shell_complete=candidates.one_stem,
        default="",
        metavar="STEM",
        help="Write two stems: this one, and everything else.",
    ),
    click.option(
        "--karaoke/--no-karaoke",
        help="Write only the song to sing to: without its lead voice if the model knows it, else"
        " without vocals.",
    ),
)

GRIDS = ("model", "centered")

QUALITY = (
    click.option(
        "--overlap",
        type=fraction,
        metavar="FRACTION",
        help="Fraction of a chunk that overlaps the next one; more is smoother and slower."
        "  [default: the model's]",
    ),
    click.option(
        "--segment",
        type=seconds,
        metavar="TIME",
        help="Length of a chunk; shorter needs less memory.  [default: the model's]",
    ),
    click.option(
        "--grid",
        type=click.Choice(GRIDS),
        default="model",
        show_default=True,
        help="How a song is cut into chunks: as the authors of the model do, or with context on"
        " both sides of every chunk (centered).",
    ),
    click.option(
        "--shifts",
        type=WholeNumber(1, 20),
        default=1,
        show_default=True,
        help="Separate this many times, slightly shifted, and average.",
    ),
    click.option(
        "--seed", type=int, default=0, show_default=True, help="Seed of all random choices."
    ),
)

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
BACKENDS = ("auto", "torch", "compile", "onnxruntime", "openvino")

device_option = click.option(
    "-d",
    "--device",
    type=device,
    shell_complete=candidates.devices,
    metavar="DEVICE",
    default="auto",
    show_default=True,
    help="Device to run on: auto, cpu, cuda, cuda:N or mps.",
)

MACHINE = (
    device_option,
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default="auto",
        show_default=True,
        help="Floating-point format the network computes in.",
    ),
    click.option(
        "--batch-size",
        type=WholeNumber(0),
        default=0,
        show_default=False,
        help="Chunks per forward pass.  [default: chosen for the device]",
    ),
)

BACKEND = click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default="auto",
    show_default=True,
    help="Backend that computes the network.",
)

JOBS = click.option(
    "-j",
    "--jobs",
    type=WholeNumber(1, 64),
    default=1,
    show_default=True,
    help="Songs to separate at the same time: one per GPU if there are several, else sharing the"
    " cores.",
)

NETWORK = ("overlap", "segment", "grid", "shifts", "seed", "device", "precision", "batch_size")

CUT = (
    click.option(
        "--start", type=seconds, metavar="TIME", help="Start here: 90, 1:30 or 1:02:03.5."
    ),
    click.option("--end", type=seconds, metavar="TIME", help="Stop here."),
    click.option(
        "--track",
        type=track,
        metavar="N",
        help="Audio track to use, counted from 1. It is an error if a file lacks that track, but"
        " stem batch falls back to the only track of a file, with a note.  [default: the track"
        " marked as default, else the first]",
    ),
)

OUTPUT = (
    click.option(
        "-o",
        "--output",
        type=click.Path(path_type=str, readable=False),
        default="separated",
        show_default=True,
        metavar="DIR",
        help="Folder or URL for the stems. - writes one stem to standard output (stem separate"
        " only).",
    ),
    click.option(
        "--filename",
        default="{track}/{stem}.{ext}",
        show_default=True,
        metavar="TEMPLATE",
        help="Path of each stem inside that folder. {track} is the name of the song's file, {stem}"
        " the stem (instrumental even if requested as accompaniment), {model} the model and {ext}"
        " the extension of --format; {artist}, {album}, {title}, {number} and {year} come from the"
        " song's tags.",
    ),
    click.option(
        "-f",
        "--format",
        type=FormatChoice(FORMATS),
        default="wav",
        show_default=True,
        help="File format of the stems.",
    ),
    click.option(
        "--bit-depth",
        "depth",
        type=click.Choice(DEPTHS),
        default="auto",
        help="Bit depth, for wav and flac; 32f (float) for wav only.  [default: the song's]",
    ),
    click.option(
        "--bitrate",
        type=kilobits,
        metavar="KBIT/S",
        help="Bit rate, for mp3, ogg, opus and m4a.",
    ),
    click.option(
        "--quality",
        type=float,
        metavar="NUMBER",
        help="Variable bit rate instead of --bitrate: for mp3 from 0 (best) to 9, for ogg from 10"
        " (best) to 0.",
    ),
    click.option(
        "--clip-mode",
        type=click.Choice(["rescale", "clamp", "none"]),
        default="rescale",
        show_default=True,
        help="If a stem exceeds full scale: lower all stems of the song by the same gain"
        " (rescale), cut the peaks (clamp), or leave them (none, float only).",
    ),
    click.option(
        "--picture/--no-picture",
        help="Also write a PNG with the spectrograms of the song and of each stem; its {stem} is"
        " spectrograms.",
    ),
    click.option(
        "--skip-existing/--no-skip-existing",
        help="Skip songs whose stems all exist; redo the rest.",
    ),
    click.option("--overwrite/--no-overwrite", help="Replace existing stems."),
)


def console_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--json``, ``--quiet`` and ``--verbose``; the command receives a ``console``."""

    @functools.wraps(command)
    def with_console(*args: Any, as_json: bool, quiet: bool, verbose: bool, **rest: Any) -> Any:
        from stemcli.cli.console import open_console

        if as_json and quiet:
            raise click.UsageError(f"{contradiction('json', 'quiet')}.")
        click.get_current_context().meta[VERBOSE] = verbose
        console = open_console(as_json=as_json, quiet=quiet, verbose=verbose)
        return command(*args, console=console, **rest)

    return _apply(CONSOLE, with_console)


def separation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add all options of a separation; the command receives ``options`` and ``jobs``."""

    @functools.wraps(command)
    def with_options(**values: Any) -> Any:
        options, rest = split_options(values)
        return command(options=options, **rest)

    options = (*MODEL, *OUTPUT, *CUT, *QUALITY, *MACHINE, BACKEND, JOBS, other_tools_options)
    return _apply(options, with_options)


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how networks run; the command receives them as a dict ``how``."""

    @functools.wraps(command)
    def with_how(*args: Any, **values: Any) -> Any:
        how = {key: values.pop(key) for key in NETWORK}
        return command(*args, how=how, **values)

    return _apply((*QUALITY, *MACHINE), with_how)


def is_verbose(ctx: click.Context) -> bool:
    """Whether ``--verbose`` was given to the command that ran in this context."""
    return bool(ctx.meta.get(VERBOSE, False))


def split_options(values: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
    """Split the values of a command into the engine's options and the command's own."""
    from dataclasses import fields

    from stemcli.engine.options import Options

    rest = dict(values)
    existing = _existing(rest.pop("skip_existing"), rest.pop("overwrite"))
    chosen = {field.name: rest.pop(field.name) for field in fields(Options) if field.name in rest}
    stems = chosen["stems"] or ()
    chosen["stems"] = () if [name.casefold() for name in stems] == ["all"] else stems
    return Options(**chosen, existing=existing), rest


def _existing(skip: bool, overwrite: bool) -> Existing:
    if skip and overwrite:
        raise click.UsageError(f"{contradiction('skip_existing', 'overwrite')}.")
    return "skip" if skip else "overwrite" if overwrite else "refuse"


def _apply(options: tuple[Decorator, ...], command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate with the last option first, so that help lists them in the written order."""
    return functools.reduce(lambda decorated, option: option(decorated), reversed(options), command)
