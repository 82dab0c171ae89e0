"""The command line: one command per file, parsed at the edge, drawn by ``console.py`` alone."""

from stemcli.cli.app import main

__all__ = ["main"]
