"""Options that commands share, and their parameter types.

Each function takes the text that was typed and gives the value; click calls them as the ``type`` of
an option and puts the option's name before their message.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click import BadParameter, Context, FloatRange, Parameter

from model_zoo.catalogue.cards import DEFAULT_MODEL

if TYPE_CHECKING:
    from stemcli.engine.options import Options


CLOCK = re.compile(r"(?:(?:(?P<hours>\d+):)?(?P<minutes>\d+):)?(?P<seconds>\d+(?:\.\d*)?|\.\d+)")
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
REPORTS = (".json", ".csv")
SIXTY = 60  # seconds in a minute, minutes in an hour


def seconds(text: str) -> float:
    """A point in a song, in seconds: ``90``, ``1:30`` or ``1:02:03.5``."""
    found = CLOCK.fullmatch(text.strip())
    if not found:
        raise BadParameter(f"{text!r} is no time. Type e.g. 90, 1:30 or 1:02:03.5")
    hours, minutes = int(found["hours"] or 0), int(found["minutes"] or 0)
    rest = float(found["seconds"])
    if (found["minutes"] and rest >= SIXTY) or (found["hours"] and minutes >= SIXTY):
        raise BadParameter(f"{text!r} is no time: what follows a colon is below 60")
    return (hours * SIXTY + minutes) * SIXTY + rest


def fraction(text: str) -> float:
    """A part of a whole: 0 <= fraction < 1."""
    try:
        number = float(text)
    except ValueError as error:
        raise BadParameter(f"{text!r} is no number. Type a fraction, e.g. 0.25") from error
    if not 0 <= number < 1:
        raise BadParameter(f"{text} is not from 0 to below 1. Type e.g. 0.25")
    return number


def track(text: str) -> int:
    """The number of a sound track, from 1."""
    if not re.fullmatch(r"[0-9]{1,9}", text.strip(), re.ASCII) or not int(text):
        raise BadParameter(
            f"{text!r} is not a track number. Run e.g. --track 2 for the second track"
        )
    return int(text)


class NumberRange(FloatRange):
    """A number between two; the word ``nan``, which is below and above nothing, is none."""

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> float:
        """The number that was typed."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number", param, ctx)
        return number


def names(text: str) -> tuple[str, ...]:
    """Names separated by commas, without spaces and repetitions, in the order typed."""
    found = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not found:
        raise BadParameter("no name was given. Type e.g. vocals,drums")
    return found


def device(text: str) -> str:
    """``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""
    word = text.strip().lower()
    if not DEVICE.fullmatch(word):
        raise BadParameter(f"{text!r} is no device. Type auto, cpu, cuda, cuda:0 or mps")
    return word


def place(text: str) -> Path:
    """A folder of this machine, or a URL."""
    if "://" not in text:
        return Path(text)
    from stemcli.remote_path import as_path

    return as_path(text)


def report(text: str) -> Path:
    """A file whose ending, ``.json`` or ``.csv``, chooses the format."""
    path = Path(text)
    if path.suffix.lower() not in REPORTS:
        raise BadParameter(f"{text!r} does not end in .json or .csv. Type e.g. report.csv")
    return path


Existing = Literal["refuse", "skip", "overwrite"]
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

VERBOSE = "stem.verbose"  # key in the context, for whoever reports an error
FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "m4a")
DEPTHS = ("auto", "16", "24", "32f")

CONSOLE = (
    click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs."),
    click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors."),
    click.option("-v", "--verbose", is_flag=True, help="Say why, and show tracebacks of errors."),
)

MODEL = (
    click.option(
        "-m",
        "--model",
        multiple=True,
        default=(DEFAULT_MODEL,),
        metavar="NAME|RUN|FILE",
        help="Network to use: its name, the folder of a run of stem train, or a .safetensors file;"
        " several are averaged."
        f"  [default: {DEFAULT_MODEL}]",
    ),
    click.option(
        "--phase-model",
        default="",
        metavar="NAME|RUN|FILE",
        help="Network that gives each stem a phase of its own; typed twice, the last one does."
        "  [default: the song's phase]",
    ),
    click.option(
        "--stems",
        type=names,
        metavar="A,B",
        help="Write only these stems.  [default: all]",
    ),
    click.option(
        "--two-stems",
        default="",
        metavar="STEM",
        help="Write this stem and everything else as the other one.",
    ),
)

QUALITY = (
    click.option(
        "--overlap",
        type=fraction,
        metavar="FRACTION",
        help="How much neighbouring pieces share; more is smoother and slower."
        "  [default: the model's]",
    ),
    click.option(
        "--segment",
        type=seconds,
        metavar="TIME",
        help="Length of a piece; shorter needs less memory.  [default: the model's]",
    ),
    click.option(
        "--shifts",
        type=click.IntRange(1, 20),
        default=1,
        show_default=True,
        help="Separate this often, slightly shifted, and average.",
    ),
    click.option(
        "--seed", type=int, default=0, show_default=True, help="Start of all random choices."
    ),
)

PRECISIONS = ("auto", "fp32", "bf16", "fp16")

device_option = click.option(
    "-d",
    "--device",
    type=device,
    metavar="DEVICE",
    default="auto",
    show_default=True,
    help="auto, cpu, cuda, cuda:N or mps.",
)

MACHINE = (
    device_option,
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default="auto",
        show_default=True,
        help="Numbers the network computes with.",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(0),
        default=0,
        show_default=False,
        help="Pieces that are computed together.  [default: chosen for you]",
    ),
)

JOBS = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Songs whose networks run at the same time, on several GPUs one each; else they share"
    " the cores.",
)

NETWORK = ("overlap", "segment", "shifts", "seed", "device", "precision", "batch_size")

CUT = (
    click.option(
        "--start", type=seconds, metavar="TIME", help="Begin here: 90, 1:30 or 1:02:03.5."
    ),
    click.option("--end", type=seconds, metavar="TIME", help="Stop here."),
    click.option(
        "--track",
        type=track,
        metavar="N",
        help="Sound track to use, counted from 1. A file without that track is an error; stem batch"
        " uses the only track of a file that has one, with a note.  [default: the one that the file"
        " marks as its default, else the first]",
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
        help="Folder for the stems.",
    ),
    click.option(
        "--filename",
        default="{track}/{stem}.{ext}",
        show_default=True,
        metavar="TEMPLATE",
        help="Path of a stem inside that folder. {track} stands for the name of the song, {stem}"
        " for the stem (instrumental, also after --stems accompaniment), {model} for the model and"
        " {ext} for the ending of --format.",
    ),
    click.option(
        "-f",
        "--format",
        type=click.Choice(FORMATS),
        default="wav",
        show_default=True,
        help="Kind of file.",
    ),
    click.option(
        "--bit-depth",
        "depth",
        type=click.Choice(DEPTHS),
        default="auto",
        help="For wav and flac; 32f (float) is for wav.  [default: as the song]",
    ),
    click.option(
        "--bitrate",
        type=int,
        metavar="KBIT/S",
        help="For mp3, ogg, opus and m4a.",
    ),
    click.option(
        "--quality",
        type=float,
        metavar="NUMBER",
        help="Instead of --bitrate: a varying one, for mp3 from 0 (best) to 9, for ogg from 10"
        " (best) to 0.",
    ),
    click.option(
        "--clip-mode",
        type=click.Choice(["rescale", "clamp", "none"]),
        default="rescale",
        show_default=True,
        help="Where a stem is too loud for its format: turn all stems of the song down by the same"
        " amount, cut the peaks, or leave them (float only).",
    ),
    click.option(
        "--skip-existing",
        is_flag=True,
        help="Leave songs alone all of whose stems exist; others are made anew.",
    ),
    click.option("--overwrite", is_flag=True, help="Replace stems that exist."),
)


def console_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--json``, ``--quiet`` and ``--verbose``; the command receives a ``console``."""

    @functools.wraps(command)
    def with_console(*args: Any, as_json: bool, quiet: bool, verbose: bool, **rest: Any) -> Any:
        from stemcli.cli.console import open_console

        if as_json and quiet:
            raise click.UsageError("--json and --quiet contradict each other; type one.")
        click.get_current_context().meta[VERBOSE] = verbose
        console = open_console(as_json=as_json, quiet=quiet, verbose=verbose)
        return command(*args, console=console, **rest)

    return _apply(CONSOLE, with_console)


def separation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """All that says how to separate; the command receives ``options`` and ``jobs``."""

    @functools.wraps(command)
    def with_options(**values: Any) -> Any:
        options, rest = _split(values)
        return command(options=options, **rest)

    return _apply((*MODEL, *OUTPUT, *CUT, *QUALITY, *MACHINE, JOBS), with_options)


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How networks run and on what; the command receives ``how``, which are fields of options."""

    @functools.wraps(command)
    def with_how(*args: Any, **values: Any) -> Any:
        how = {key: values.pop(key) for key in NETWORK}
        return command(*args, how=how, **values)

    return _apply((*QUALITY, *MACHINE), with_how)


def is_verbose(ctx: click.Context) -> bool:
    """Whether ``--verbose`` was typed after the command that ran in this context."""
    return bool(ctx.meta.get(VERBOSE, False))


def _split(values: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
    """The engine's options, and what is left for the command."""
    from dataclasses import fields

    from stemcli.engine.options import Options

    rest = dict(values)
    existing = _existing(rest.pop("skip_existing"), rest.pop("overwrite"))
    chosen = {field.name: rest.pop(field.name) for field in fields(Options) if field.name in rest}
    chosen["stems"] = chosen["stems"] or ()
    return Options(**chosen, existing=existing), rest


def _existing(skip: bool, overwrite: bool) -> Existing:
    if skip and overwrite:
        raise click.UsageError("--skip-existing and --overwrite contradict each other; type one.")
    return "skip" if skip else "overwrite" if overwrite else "refuse"


def _apply(options: tuple[Decorator, ...], command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate from the last to the first, so that help lists them in the order written."""
    return functools.reduce(lambda decorated, option: option(decorated), reversed(options), command)
