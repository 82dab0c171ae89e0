"""Helpers to check the errors and files of a command."""

from __future__ import annotations

from pathlib import Path

from click.testing import Result


def error_line(result: Result, code: int) -> str:
    """The only error line of a command that ended with this exit code."""
    assert result.exit_code == code, result.output
    (line,) = errors(result.stderr)
    return line


def errors(stderr: str) -> list[str]:
    """The error lines in stderr, which also has status lines."""
    assert "Traceback" not in stderr
    return [line for line in stderr.splitlines() if line.startswith("Error: ")]


def tree(folder: Path) -> set[str]:
    """All files, links and empty folders below a folder."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
    }
