"""Errors for models and stems that are not installed, with the way to get them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from model_zoo.errors import LONGEST_NAME, UnknownNameError, nearest
from model_zoo.option_names import convert_command, shell_or_python

SEE_LIST = "stem models list"

SPLEETER = re.compile(r"(?:deezer/)?(?:spleeter)?[:_-]?(?P<stems>[45])[_-]?stems(?:[:_-]?\w*)")
"""Spleeter's models that are not bundled, as Spleeter and its users write them."""

SPLEETERS_STEMS = {"drums": "4stems", "bass": "4stems", "other": "4stems", "piano": "5stems"}
"""Stems of those models, and the smallest that gives each."""

FAMILIES = {
    r".*mdx.?net.*|uvr[-_]mdx.*|kim_.*|.*\.onnx": "MDX-Net",
    r"\d*_?hp\d?[-_].*|uvr[-_]de.*": "UVR's VR networks",
    r"x-?umx.*": "X-UMX",
}
"""Names of public models whose networks do not exist here, as a pattern, and what they are."""


def unknown_model(name: str, known: Collection[str]) -> UnknownNameError:
    """The error for a model that is not installed.

    Args:
        name: the name that the user gave.
        known: names of the installed models.
    """
    near = nearest(name, known)
    if near and _squashed(near) == _squashed(name):
        return UnknownNameError("model", name, known, hint=SEE_LIST)
    listed = f"Installed: {', '.join(sorted(known))}."
    hint = SEE_LIST
    if match := SPLEETER.fullmatch(name.casefold()[:LONGEST_NAME]):
        hint = ""
        instead = f"it is not installed. {_get_spleeter(match['stems'] + 'stems')}"
    elif reason := not_usable(name):
        instead = f"{reason}. {listed}"
    elif near:
        instead = ""
    else:
        instead = f"it is not installed. {listed} {_how_to_add()}."
    return UnknownNameError("model", name, known, hint=hint, instead=instead)


def unknown_stem(
    name: str, available: Sequence[str], given_by: Collection[str] = ()
) -> UnknownNameError:
    """The error for a stem that the models of a request do not give.

    Args:
        name: the stem that the user asked for.
        available: names of the stems that they give.
        given_by: installed models that give the stem.
    """
    known = f"known: {', '.join(available)}"
    if given_by:
        instead = f"{known}. Models that give {name}: {', '.join(sorted(given_by))}"
    elif nearest(name, available):
        instead = ""
    elif model := SPLEETERS_STEMS.get(name.casefold()):
        instead = f"{known}. A model that gives {name} is not installed. {_get_spleeter(model)}"
    else:
        instead = f"{known}. No installed model gives {name}. {_how_to_add()}"
    return UnknownNameError("stem", name, available, instead=instead)


def not_usable(name: str) -> str:
    """A sentence about a public model whose network does not exist here; else empty."""
    for rule, family in FAMILIES.items():
        if len(name) <= LONGEST_NAME and re.fullmatch(rule, name.casefold()):
            return f"weights of {family} cannot be used yet"
    return ""


def _get_spleeter(model: str) -> str:
    return (
        f"Unpack Spleeter's checkpoint {model} into a folder of that name, then run: "
        f"{convert_command(model, f'spleeter_{model}')}"
    )


def _how_to_add() -> str:
    convert = shell_or_python("stem models convert", "model_zoo.importers.convert")
    return f"Add others with {convert}, stem models add or stem train"


def _squashed(name: str) -> str:
    """``name`` without case, dashes, underscores and spaces."""
    return re.sub(r"[-_ ]", "", name.casefold())
