"""The bundled recipes, and loading of any recipe."""

from __future__ import annotations

from importlib import resources


def recipe_names() -> list[str]:
    """Return the names of the bundled recipes."""
    folder = resources.files(__package__)
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    )
