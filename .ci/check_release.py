"""Checks that a tag, the version in pyproject.toml and the changelog belong together.

``python .ci/check_release.py v1.2.3`` prints what is wrong and exits with 1, or prints nothing.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]

RELEASE = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$", re.M)
"""A heading of the changelog, such as ``## [1.2.3] - 2027-01-31``."""


def version(root: Path) -> str:
    """The version in pyproject.toml, the only place that states it."""
    return str(tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def released(root: Path) -> list[str]:
    """The versions in the changelog, newest first."""
    return [found[1] for found in RELEASE.finditer((root / "CHANGELOG.md").read_text("utf-8"))]


def problems(tag: str, root: Path) -> list[str]:
    """Reasons not to release a tag."""
    number, found = version(root), []
    if tag != f"v{number}":
        found.append(f"The tag is {tag}, but pyproject.toml has version {number}: use v{number}")
    if released(root)[:1] != [number]:
        found.append(
            f"The newest release in CHANGELOG.md is not {number}: move the entries of Unreleased "
            f"below a heading '## [{number}] - YYYY-MM-DD'"
        )
    return found


if __name__ == "__main__":
    sys.exit("\n".join(problems(sys.argv[1], ROOT)))
