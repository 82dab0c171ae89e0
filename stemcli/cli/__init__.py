"""The command line: one command per file, parsed at the edge, drawn by ``console.py`` alone."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Entry point of ``stem`` and ``python -m stemcli``; always ends the process."""
    try:
        from stemcli.cli import app
    except KeyboardInterrupt:  # Ctrl-C while modules are imported
        sys.stderr.write("Interrupted.\n")
        raise SystemExit(130) from None
    app.main()
