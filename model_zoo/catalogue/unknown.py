"""Errors for models and stems that are not installed, with the way to get them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from model_zoo.catalogue.public import find_preset, find_public, presets, public_models
from model_zoo.errors import LONGEST_NAME, UnknownNameError, nearest
from model_zoo.option_names import shell_or_python

SEE_INSTALLED = "stem models list"

FAMILIES = {
    r"mdx|repro_mdx_a(_time_only)?": "Demucs without spectrograms",
    r"mdx(_extra)?_q": "quantized Demucs",
    r".*mdx.?net.*|uvr[-_]mdx.*|kim_.*|kuielab_.*|reverb_hq_.*": "MDX-Net",
    r"\d*_?hp\d?[-_].*|uvr[-_]de.*": "UVR's VR networks",
    r"x-?umx.*": "X-UMX",
}
"""Names of public models whose networks do not exist here, as a pattern, and what they are."""

WITHOUT_CHECKSUM = r"umxl|umx|umxse|open-?unmix"
"""Names of public models whose files can be converted, but are not in the catalogue."""


def unknown_model(name: str, known: Collection[str]) -> UnknownNameError:
    """The error for a model that is not installed.

    Args:
        name: the name that the user gave.
        known: names of the installed models.
    """
    near = nearest(name, [*known, *public_models(), *presets()])
    if near in known and _squashed(near or "") == _squashed(name):
        return UnknownNameError("model", name, known, hint=SEE_INSTALLED)
    if way := how_to_fetch(name, known):
        return UnknownNameError("model", name, known, instead=f"it is not installed. {way}")
    if reason := not_usable(name):
        listed = f"Installed: {', '.join(sorted(known))}."
        return UnknownNameError("model", name, known, see_list(), f"{reason}. {listed}")
    if near in known:
        return UnknownNameError("model", name, known, SEE_INSTALLED, f"did you mean {near!r}?")
    if near:
        instead = f"did you mean {near!r}? {how_to_fetch(near, known)}"
        return UnknownNameError("model", name, known, instead=instead)
    instead = f"it is not installed. Installed: {', '.join(sorted(known))}. {_how_to_add()}."
    return UnknownNameError("model", name, known, see_list(), instead)


def how_to_fetch(name: str, installed: Collection[str] = ()) -> str:
    """What to type to get a model or the members of a preset; empty if the catalogue has neither.

    Args:
        name: a name of the catalogue or of another program.
        installed: names of models that a preset need not fetch.
    """
    name = name[:LONGEST_NAME]
    if model := find_public(name):
        return f"{model.refusal}." if model.refusal else f"Try: stem models pull {model.name}"
    if preset := find_preset(name):
        missing = [member for member in preset.members if member not in installed]
        pull = f" Try: stem models pull {' '.join(missing)}" if missing else ""
        return f"{preset.name} is a preset of {', '.join(preset.members)}.{pull}"
    if re.fullmatch(WITHOUT_CHECKSUM, name.casefold()):
        own = re.sub(r"[^a-z]", "", name.casefold())
        call = f"model_zoo.importers.convert(FILES, name={own!r})"
        convert = shell_or_python(f"stem models convert FILE... --name {own}", call)
        return (
            "Its authors state only parts of the checksums of its files. Download them yourself, "
            f"then run: {convert}"
        )
    return ""


def see_list() -> str:
    """What lists all models, those that can be fetched too."""
    return shell_or_python("stem models list --all", "stem models list")


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
    elif stem := _public_stem(name):
        call = "model_zoo.catalogue.public.public_models()"
        see = shell_or_python(f"stem models list --stem {stem}", call)
        instead = f"{known}. To see models that give {stem}: {see}"
    else:
        instead = f"{known}. No installed model gives {name}. {_how_to_add()}"
    return UnknownNameError("stem", name, available, instead=instead)


def not_usable(name: str) -> str:
    """A sentence about a public model whose network does not exist here; else empty."""
    for rule, family in FAMILIES.items():
        if len(name) <= LONGEST_NAME and re.fullmatch(rule, name.casefold()):
            return f"weights of {family} cannot be used yet"
    return ""


def _public_stem(name: str) -> str:
    """A stem that models of the catalogue give, as they spell it; empty if none does."""
    stems = {stem for model in public_models().values() for stem in model.outputs}
    return name.casefold() if name.casefold() in stems else ""


def _how_to_add() -> str:
    convert = shell_or_python("stem models convert", "model_zoo.importers.convert")
    return f"Add others with {convert}, stem models add or stem train"


def _squashed(name: str) -> str:
    """``name`` without case, dashes, underscores and spaces."""
    return re.sub(r"[-_ ]", "", name.casefold())
