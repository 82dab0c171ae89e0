"""``stem doctor``: checks the installation and reports what is missing."""

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
from stemcli.cli import candidates
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples, size
from stemcli.cli.options import console_options, device_option


@click.command(
    "doctor",
    epilog=examples(
        ("stem doctor", "check everything, and show which device and ffmpeg are used"),
        ("stem doctor --json", "machine-readable, e.g. to attach to a bug report"),
        ("stem doctor --measure htdemucs", "find the fastest engine for a model, and use it"),
    ),
)
@click.option(
    "--measure",
    "measured",
    metavar="MODEL",
    shell_complete=candidates.models,
    help="Measure every engine and precision for MODEL instead; --backend auto uses the result.",
)
@device_option
@console_options
def command(measured: str | None, device: str, console: Console) -> None:
    """Check that this computer has everything that separation needs.

    The exit code is 1 if something is missing.
    """
    if measured:
        from stemcli.cli.doctor_measure import measure

        return measure(measured, device, console)
    checks = examine()
    console.document([check.to_dict() for check in checks])
    console.table(("", "", ""), [(mark(c.ok), c.name, c.found) for c in checks])
    missing = [check for check in checks if not check.ok]
    for check in missing:
        sentences = filter(None, (check.found.rstrip("."), check.advice))
        console.error(f"{check.name}: {'. '.join(sentences)}")
    if not missing:
        console.result("All checks passed.")
    click.get_current_context().exit(1 if missing else 0)


def mark(ok: bool) -> str:
    """Return the result of a check as a word, which needs neither colour nor Unicode."""
    return "ok" if ok else "NO"


OLDEST_PYTHON = (3, 11)
LITTLE_DISK = 1_000_000_000  # bytes; two float stems of ten minutes take a fifth of this
VERSION_TIMEOUT_S = 20  # for a program to print its version


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: subject of the check.
        found: what was found.
        ok: False if something that separation needs is missing.
        advice: how to repair it if it is not ok.
    """

    name: str
    found: str
    ok: bool = True
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the advice is empty if the check passed."""
        return {**asdict(self), "advice": "" if self.ok else self.advice}


def examine() -> list[Check]:
    """Run all checks; an exception in a check counts as a failed check."""
    return [result for name, check in CHECKS.items() for result in _run_safely(name, check)]


def _run_safely(name: str, check: Callable[[], Iterator[Check]]) -> list[Check]:
    try:
        return list(check())
    except StemError as error:
        return [Check(name, str(error), ok=False)]
    except Exception as error:
        found = f"it does not work ({type(error).__name__}: {error})"
        return [Check(name, found, ok=False, advice="Install stem again in a new environment")]


def python() -> Iterator[Check]:
    """The interpreter and the system."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    oldest = ".".join(map(str, OLDEST_PYTHON))
    advice = f"Install Python {oldest} or newer"
    yield Check("python", found, sys.version_info >= OLDEST_PYTHON, advice)


def torch() -> Iterator[Check]:
    """The library that runs the networks."""
    import torch as library

    cuda = library.version.cuda
    yield Check("torch", f"{library.__version__} ({f'CUDA {cuda}' if cuda else 'no CUDA'})")


def devices() -> Iterator[Check]:
    """The devices that networks can run on, and the one that ``auto`` selects."""
    import torch as library

    from stemcli.engine.device import resolve_device

    names = ["cpu"]
    if library.cuda.is_available():
        count = library.cuda.device_count()
        names += [f"cuda:{n} ({library.cuda.get_device_name(n)})" for n in range(count)]
    if library.backends.mps.is_available():
        names.append("mps")
    yield Check("devices", f"{', '.join(names)}; auto selects {resolve_device('auto')}")


def precision() -> Iterator[Check]:
    """The precision that ``auto`` selects, and why."""
    from stemcli.engine.device import resolve_device, resolve_precision

    chosen = resolve_precision("auto", resolve_device("auto"))
    yield Check("precision", f"{chosen.name}: {chosen.reason}")


def backends() -> Iterator[Check]:
    """The backends that can compute networks."""
    from importlib.metadata import version

    from stemcli.engine.backends.base import EXTRAS, is_installed

    here = [f"{name} {version(name)}" for name in EXTRAS if is_installed(name)]
    missing = [name for name in EXTRAS if not is_installed(name)]
    also = f"; not installed: {', '.join(missing)}" if missing else ""
    yield Check("backends", f"{', '.join(('torch', *here))}{also}")


def threads() -> Iterator[Check]:
    """The number of threads that a network uses."""
    import torch as library

    yield Check("threads", f"{library.get_num_threads()} of {os.cpu_count()} processors")


def ffmpeg() -> Iterator[Check]:
    """The ffmpeg for formats that soundfile lacks, and a broken one that it replaces."""
    from stemcli.audio.ffmpeg_binary import broken_ffmpeg, find_ffmpeg

    program = find_ffmpeg()
    output = subprocess.run(
        [program, "-version"], capture_output=True, text=True, check=True, timeout=VERSION_TIMEOUT_S
    ).stdout
    broken = broken_ffmpeg()
    instead = f"; {broken}" if broken else ""
    yield Check("ffmpeg", f"{_version(output)}, {program}{instead}")


def soundfile() -> Iterator[Check]:
    """The library for most audio files, and the formats of ours that it supports."""
    import soundfile as library

    known = library.available_formats()
    ours = [name for name in ("WAV", "RF64", "FLAC", "OGG", "MP3") if name in known]
    missing = {"WAV", "FLAC"} - set(ours)
    found = f"{library.__version__}, libsndfile {library.__libsndfile_version__}: {', '.join(ours)}"
    yield Check("soundfile", found, not missing, "Try: pip install --upgrade soundfile")


def zoo() -> Iterator[Check]:
    """The folder for models that users add."""
    from model_zoo.catalogue.cards import HOME_VARIABLE, zoo_home

    home = zoo_home()
    problem = _problem_with(home)
    found = problem or f"{home}{'' if home.is_dir() else ' (created when needed)'}"
    advice = f"Set {HOME_VARIABLE} to a writable folder"
    yield Check("zoo", found, not problem, advice)


def settings() -> Iterator[Check]:
    """The settings in force, and variables that look like a misspelled one."""
    from stemcli.cli.config import refusal_of_all, settings_in_force
    from stemcli.cli.settings_command import variable_notes
    from stemcli.settings import settings_file

    rows, damage = settings_in_force()
    problems = [str(damage)] if damage else []
    problems += [row.problem for row in rows if row.problem]
    problems = [each.rstrip(".") for each in problems or [refusal_of_all()] if each]
    changed = [f"{row.key} = {row.text} ({row.where})" for row in rows if row.source != "default"]
    in_force = ", ".join(changed) or f"none, neither in {settings_file()} nor in the environment"
    found = "; ".join(problems) or in_force
    yield Check("settings", found, not problems, "See: stem config show")
    for note in variable_notes():
        yield Check("environment", note)


def disk() -> Iterator[Check]:
    """The space for stems in the current folder, and for temporary files."""
    here, temporary = Path.cwd(), Path(tempfile.gettempdir())
    free = scratch = shutil.disk_usage(here).free
    problem = _problem_with(here)
    found = f"{size(free)} free in {here}"
    if here.stat().st_dev != temporary.stat().st_dev:
        scratch = shutil.disk_usage(temporary).free
        found += f", {size(scratch)} in {temporary} for temporary files"
    advice = "Write elsewhere with --output" + ("" if problem else ", or free some space")
    if not problem and free >= LITTLE_DISK:
        advice = f"Free some space in {temporary}, or set TMPDIR to a folder on another disk"
    is_enough = min(free, scratch) >= LITTLE_DISK
    yield Check("disk", problem or found, not problem and is_enough, advice)


def _problem_with(folder: Path) -> str:
    """Why a folder cannot be written or created, tried with a temporary one; else empty."""
    nearest = folder.absolute()
    while not os.path.lexists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        return f"{nearest} is not a folder" + ("" if nearest == folder else f", {folder} needs one")
    try:
        with tempfile.TemporaryDirectory(dir=nearest):
            return ""
    except OSError as error:
        verb = "written" if folder.is_dir() else "created"
        return f"{folder} cannot be {verb} ({error.strerror or error})"


def models() -> Iterator[Check]:
    """The bundled weights, and the cards of all models."""
    from model_zoo.catalogue.cards import cards, is_bundled, state

    damaged: list[StemError] = []
    bundled = [card for name, card in cards(damaged.append).items() if is_bundled(name)]
    for card in bundled:
        found = state(card)
        yield Check(f"model {card.name}", found.problem or "undamaged", not found.problem)
    for error in damaged:
        yield Check("card", str(error), False)
    if not bundled:
        yield Check("models", "no model is bundled", False, "Install stemcli again")


CHECKS: dict[str, Callable[[], Iterator[Check]]] = {
    "python": python,
    "torch": torch,
    "devices": devices,
    "precision": precision,
    "backends": backends,
    "threads": threads,
    "ffmpeg": ffmpeg,
    "soundfile": soundfile,
    "zoo": zoo,
    "settings": settings,
    "disk": disk,
    "models": models,
}


def _version(output: str) -> str:
    """Return ``6.1.1-3ubuntu5`` from ``ffmpeg version 6.1.1-3ubuntu5 Copyright (c) ...``."""
    words = output.split()
    return words[2] if words[1:2] == ["version"] else "unknown version"
