"""Packages that an export or a back end needs, and the extra that installs them."""

from __future__ import annotations

from importlib.util import find_spec

from model_zoo.errors import MissingExtraError


def require_packages(*packages: str, extra: str) -> None:
    """Check that packages are installed.

    Raises:
        MissingExtraError: one is not.
    """
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(package, extra)
