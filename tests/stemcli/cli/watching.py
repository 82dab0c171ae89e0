"""What a failed command may say and leave."""

from __future__ import annotations

from pathlib import Path

from click.testing import Result


def sentence(result: Result, code: int) -> str:
    """The only error of a command that ended with this exit code."""
    assert result.exit_code == code, result.output
    (line,) = errors(result.stderr)
    return line


def errors(stderr: str) -> list[str]:
    """Lines that are errors; status stands beside them."""
    assert "Traceback" not in stderr
    return [line for line in stderr.splitlines() if line.startswith("Error: ")]


def tree(folder: Path) -> set[str]:
    """All files, and all folders that hold nothing."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
    }
