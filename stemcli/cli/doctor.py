"""``stem doctor``: checks this computer and says what is missing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from model_zoo.errors import StemError
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples, size
from stemcli.cli.options import console_options


@click.command(
    "doctor",
    epilog=examples(
        ("stem doctor", "is everything there, and what will be used"),
        ("stem doctor --json", "the same for a program, or to add to a report of a defect"),
    ),
)
@console_options
def command(console: Console) -> None:
    """Check that this computer has all that separation takes.

    The exit code is 1 when something needed is missing.
    """
    checks = examine()
    console.document([check.to_dict() for check in checks])
    console.table(("", "", ""), [(mark(c.ok), c.name, c.found) for c in checks])
    missing = [check for check in checks if not check.ok]
    for check in missing:
        console.error(": ".join(filter(None, (check.name, check.found, check.advice))))
    if not missing:
        console.result("All is well.")
    click.get_current_context().exit(1 if missing else 0)


def mark(ok: bool) -> str:
    """A word, because colours and signs do not reach everybody."""
    return "ok" if ok else "NO"


OLDEST_PYTHON = (3, 11)
LITTLE_DISK = 1_000_000_000  # bytes; ten minutes of two float stems take a fifth of it
VERSION_TIMEOUT_S = 20  # for a program to say its version


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what.
        found: what there is.
        ok: False when something that separation needs is missing.
        advice: what to do about it if it is not ok.
    """

    name: str
    found: str
    ok: bool = True
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with advice only where it is needed."""
        return {**asdict(self), "advice": "" if self.ok else self.advice}


def examine() -> list[Check]:
    """Look at everything; a look that fails is itself a finding."""
    return [check for name, look in LOOKS.items() for check in _carefully(name, look)]


def _carefully(name: str, look: Callable[[], Iterator[Check]]) -> list[Check]:
    try:
        return list(look())
    except StemError as error:
        return [Check(name, str(error), ok=False)]
    except Exception as error:
        found = f"it does not work ({type(error).__name__}: {error})"
        return [Check(name, found, ok=False, advice="Install stem again in a new environment")]


def python() -> Iterator[Check]:
    """The interpreter and the system."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    wanted = ".".join(map(str, OLDEST_PYTHON))
    yield Check("python", found, sys.version_info >= OLDEST_PYTHON, f"Install Python {wanted}")


def torch() -> Iterator[Check]:
    """The library that runs the networks."""
    import torch as library

    cuda = library.version.cuda
    yield Check("torch", f"{library.__version__} ({f'CUDA {cuda}' if cuda else 'no CUDA'})")


def devices() -> Iterator[Check]:
    """Where networks can run, and what ``auto`` takes."""
    import torch as library

    from stemcli.engine.device import resolve_device

    names = ["cpu"]
    if library.cuda.is_available():
        count = library.cuda.device_count()
        names += [f"cuda:{n} ({library.cuda.get_device_name(n)})" for n in range(count)]
    if library.backends.mps.is_available():
        names.append("mps")
    yield Check("devices", f"{', '.join(names)}; auto takes {resolve_device('auto')}")


def precision() -> Iterator[Check]:
    """The arithmetic that ``auto`` takes, and why."""
    from stemcli.engine.device import resolve_device, resolve_precision

    chosen = resolve_precision("auto", resolve_device("auto"))
    yield Check("precision", f"{chosen.name}: {chosen.reason}")


def threads() -> Iterator[Check]:
    """How many threads a network uses."""
    import torch as library

    yield Check("threads", f"{library.get_num_threads()} of {os.cpu_count()} processors")


def ffmpeg() -> Iterator[Check]:
    """The program for what soundfile cannot read or write, and a broken one that it replaces."""
    from stemcli.audio.ffmpeg_binary import broken_ffmpeg, find_ffmpeg

    program = find_ffmpeg()
    said = subprocess.run(
        [program, "-version"], capture_output=True, text=True, check=True, timeout=VERSION_TIMEOUT_S
    )
    broken = broken_ffmpeg()
    instead = f"; {broken}" if broken else ""
    yield Check("ffmpeg", f"{_version(said.stdout)}, {program}{instead}")


def soundfile() -> Iterator[Check]:
    """The library for most sound files, and which of ours it knows."""
    import soundfile as library

    known = library.available_formats()
    ours = [name for name in ("WAV", "RF64", "FLAC", "OGG", "MP3") if name in known]
    missing = {"WAV", "FLAC"} - set(ours)
    found = f"{library.__version__}, libsndfile {library.__libsndfile_version__}: {', '.join(ours)}"
    yield Check("soundfile", found, not missing, "Try: pip install --upgrade soundfile")


def zoo() -> Iterator[Check]:
    """The folder for models that the user adds."""
    from model_zoo.catalogue.cards import HOME_VARIABLE, zoo_home

    home = zoo_home()
    problem = _problem_with(home)
    found = problem or f"{home}{'' if home.is_dir() else ' (made when needed)'}"
    advice = f"Set {HOME_VARIABLE} to a folder that can be written"
    yield Check("zoo", found, not problem, advice)


def disk() -> Iterator[Check]:
    """The space for stems in the current folder, and for temporary files."""
    here, temporary = Path.cwd(), Path(tempfile.gettempdir())
    free = scratch = shutil.disk_usage(here).free
    problem = _problem_with(here)
    found = f"{size(free)} free in {here}"
    if here.stat().st_dev != temporary.stat().st_dev:
        scratch = shutil.disk_usage(temporary).free
        found += f", {size(scratch)} in {temporary} for temporary files"
    advice = "Write elsewhere with --output" + ("" if problem else ", or make room")
    if not problem and free >= LITTLE_DISK:
        advice = f"Make room in {temporary}, or set TMPDIR to a folder on another disk"
    is_enough = min(free, scratch) >= LITTLE_DISK
    yield Check("disk", problem or found, not problem and is_enough, advice)


def _problem_with(folder: Path) -> str:
    """Why a folder cannot be written or made, found by making another one there; else empty."""
    nearest = folder.absolute()
    while not os.path.lexists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        return f"{nearest} is not a folder" + ("" if nearest == folder else f", {folder} needs one")
    try:
        with tempfile.TemporaryDirectory(dir=nearest):
            return ""
    except OSError as error:
        verb = "written" if folder.is_dir() else "made"
        return f"{folder} cannot be {verb} ({error.strerror or error})"


def models() -> Iterator[Check]:
    """The weights that came with the program, and the cards of all."""
    from model_zoo.catalogue.cards import cards, is_bundled, state

    damaged: list[StemError] = []
    bundled = [card for name, card in cards(damaged.append).items() if is_bundled(name)]
    for card in bundled:
        found = state(card)
        yield Check(f"model {card.name}", found.problem or "undamaged", not found.problem)
    for error in damaged:
        yield Check("card", str(error), False)
    if not bundled:
        yield Check("models", "none came with this installation", False, "Install stemcli again")


LOOKS: dict[str, Callable[[], Iterator[Check]]] = {
    "python": python,
    "torch": torch,
    "devices": devices,
    "precision": precision,
    "threads": threads,
    "ffmpeg": ffmpeg,
    "soundfile": soundfile,
    "zoo": zoo,
    "disk": disk,
    "models": models,
}


def _version(said: str) -> str:
    """``6.1.1`` of ``ffmpeg version 6.1.1-3ubuntu5 Copyright (c) ...``."""
    words = said.split()
    return words[2] if words[1:2] == ["version"] else "unknown version"
