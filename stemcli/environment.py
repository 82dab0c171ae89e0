"""Environment variables: for a while, or for all that follows."""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from model_zoo.errors import OutputError
from model_zoo.home import has_home, temporary_home


@contextmanager
def environment(values: Mapping[str, str | None], *, replace: bool = False) -> Iterator[None]:
    """Set variables, and leave them afterwards as they were.

    Args:
        values: by name; None takes a variable away.
        replace: also where the user has set them.
    """
    before = {name: os.environ.get(name) for name in values}
    chosen = [name for name in values if replace or before[name] is None]
    _set({name: values[name] for name in chosen})
    try:
        yield
    finally:
        _set({name: before[name] for name in chosen})


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def complete_environment() -> None:
    """Set TMPDIR, HOME and LOGNAME where the system has no temporary folder, home or user name.

    So it is in containers and services with a bare number for a user. torch, Ray, matplotlib and
    platformdirs ask for them and raise errors; what they keep at home lies below the temporary
    folder then.
    """
    _name_temporary_folder()
    if not has_home():
        with suppress(OutputError):  # whatever needs a home says so
            os.environ["HOME"] = str(temporary_home())
    try:
        getpass.getuser()
    except (ImportError, KeyError, OSError):
        os.environ["LOGNAME"] = f"user-{os.getuid()}" if hasattr(os, "getuid") else "user"


def _name_temporary_folder() -> None:
    """Where none of the usual folders may be written, take another that may."""
    with suppress(OSError):
        tempfile.gettempdir()
        return
    others = (os.environ.get("XDG_RUNTIME_DIR", ""), os.path.expanduser("~"), "/dev/shm")
    found = [folder for folder in others if os.path.isabs(folder) and os.access(folder, os.W_OK)]
    if found:
        os.environ["TMPDIR"] = tempfile.tempdir = found[0]
