"""Identifies the installed code by version number and hash."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib import metadata, util
from pathlib import Path

from model_zoo.shell import quoted

PACKAGES = ("model_zoo", "stemcli", "trainers")
KINDS = (".py", ".toml", ".yaml")
"""Extensions of the files that count as code; weights have their own checksums."""


def number() -> str:
    """Version of the installed package; empty in a source folder."""
    with suppress(metadata.PackageNotFoundError):
        return metadata.version("stemcli")
    return ""


def public_version() -> str:
    """``stemcli.__version__``: ``0+`` and the hash of the code in a source folder."""
    return number() or f"0+{digest(package_folders())}"


@cache
def version() -> str:
    """Version number and hash of the code, e.g. ``0.1.0+5e884898da28``.

    The hash depends on the code only, not on how and where it is installed.
    """
    return f"{number()}+{digest(package_folders())}".lstrip("+")


def is_same(other: str) -> bool:
    """Whether ``other`` has the same hash; in a source folder there is no version number."""
    return other.rpartition("+")[2] == version().rpartition("+")[2]


def package_folders() -> list[Path]:
    """Folders of all importable packages in :data:`PACKAGES`."""
    specs = [util.find_spec(name) for name in PACKAGES]
    return [Path(spec.origin).parent for spec in specs if spec and spec.origin]


def digest(folders: list[Path]) -> str:
    """A hash, in twelve characters, of all names and contents of the code in ``folders``."""
    total = sha256()
    for folder in folders:
        for path in _sources(folder):
            # Line ends depend on the git configuration.
            content = path.read_bytes().replace(b"\r\n", b"\n")
            name = path.relative_to(folder.parent).as_posix()
            total.update(f"{name}\0{len(content)}\0".encode() + content)
    return total.hexdigest()[:12]


def how_to_install(other: str = "", extras: str = "cluster") -> str:
    """Advice for installing this version on another machine.

    Args:
        other: version on that machine; empty if Stem is not installed.
        extras: extras that the machine needs.
    """
    requirement = f"stemcli[{extras}]" + (f"=={number()}" if number() else "")
    if number() and other.partition("+")[0] == number():
        return "Install the same code on all machines"
    return f"Run there: pip install {quoted(requirement)}"


def _sources(folder: Path) -> list[Path]:
    """All code files in a fixed order; ``os.walk`` is three times as fast as pathlib."""
    files = ((top, name) for top, _, names in os.walk(folder) for name in names)
    return sorted(Path(top, name) for top, name in files if name.endswith(KINDS))
