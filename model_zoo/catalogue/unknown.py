"""Errors for models and stems that are not installed, with the way to get them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from model_zoo.catalogue.public import find_preset, find_public, plain, presets, public_models
from model_zoo.errors import LONGEST_NAME, UnknownNameError, nearest
from model_zoo.option_names import shell_or_python

SEE_INSTALLED = "stem models list"

FAMILIES = {
    r"mdx|repro_mdx_a(_time_only)?": "Demucs without spectrograms",
    r"mdx(_extra)?_q": "quantized Demucs",
    r".*mdx.?net.*|uvr[-_]mdx.*|kim_.*|kuielab_.*|reverb_hq_.*": "MDX-Net",
    r"\d*_?hp\d?[-_].*|uvr[-_](de|bve).*": "UVR's VR networks",
    r"x-?umx.*": "X-UMX",
}
"""Names of public models whose networks do not exist here, as a pattern, and what they are."""

WITHOUT_CHECKSUM = {
    r"open[-_]?unmix|umx[-_]?l": ("umxl", "5069601"),
    r"umx": ("umx", "3370486"),
    r"umx[-_]?se": ("umxse", "3786908"),
}
"""Models of Open-Unmix of whose SHA-256 only the first eight digits are published, in the names of
the files: as a pattern, with their name and their record at Zenodo."""

MOST_SHOWN = 5
"""Most names that a message lists."""

SHORTEST_PART = 3
"""Characters of the shortest part by which names are listed."""


def unknown_model(name: str, known: Collection[str]) -> UnknownNameError:
    """The error for a model that is not installed.

    Args:
        name: the name that the user gave.
        known: names of the installed models.
    """
    near = nearest(name, [*known, *public_models(), *presets()])
    if instead := _spelled_otherwise(name, known, near or ""):
        return UnknownNameError("model", name, known, SEE_INSTALLED, instead)
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
    instead = _with_part(name, [*known, *public_models()]) or (
        f"it is not installed. Installed: {', '.join(sorted(known))}. {_how_to_add()}."
    )
    return UnknownNameError("model", name, known, see_list(), instead)


def _spelled_otherwise(name: str, known: Collection[str], near: str) -> str:
    """The name of an installed model that a user spells in another way; empty if there is none."""
    if near in known and _squashed(near) == _squashed(name):
        return f"did you mean {near!r}?"
    model = find_public(name[:LONGEST_NAME])
    return f"it is installed as {model.name!r}." if model and model.name in known else ""


def unknown_public(name: str, installed: Collection[str]) -> UnknownNameError:
    """The error for a model that the catalogue does not have, and thus cannot be fetched.

    Args:
        name: the name that the user gave.
        installed: names of the installed models.
    """
    near = nearest(name, [*public_models(), *presets()])
    if name in installed:
        instead = "it is installed, and not a model of the catalogue, so there is nothing to fetch."
    elif way := how_to_fetch(name, installed):
        return UnknownNameError("model", name, (), instead=way)
    elif reason := not_usable(name):
        instead = f"{reason}."
    elif near:
        instead = f"did you mean {near!r}? {how_to_fetch(near, installed)}"
        return UnknownNameError("model", name, (), instead=instead)
    else:
        instead = _with_part(name, public_models()) or "there is no public model of this name."
    return UnknownNameError("model", name, (), see_list(), instead)


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
        pull = f" Try: stem models pull {preset.name}" if missing else ""
        return f"{preset.name} is a preset of {', '.join(preset.members)}.{pull}"
    return next(_by_hand(name.casefold()), "")


def _by_hand(name: str) -> Iterator[str]:
    """How to get a model whose checksums nobody states completely."""
    for rule, (own, record) in WITHOUT_CHECKSUM.items():
        if re.fullmatch(rule, name):
            call = f"model_zoo.importers.convert(FILES, name={own!r})"
            convert = shell_or_python(f"stem models convert FILE... --name {own}", call)
            yield (
                "Only parts of the checksums of its files are published, so it is not fetched. "
                f"Download all from zenodo.org/records/{record}, then run: {convert}"
            )


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


def _with_part(name: str, names: Collection[str]) -> str:
    """The names that a name is a part of, in words; empty if there are none."""
    part = plain(name[:LONGEST_NAME])
    found = sorted(each for each in dict.fromkeys(names) if part in each)
    if len(part) < SHORTEST_PART or not found:
        return ""
    more = f" and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
    return f"did you mean one of {', '.join(found[:MOST_SHOWN])}{more}?"


def _squashed(name: str) -> str:
    """``name`` without case, dashes, underscores and spaces."""
    return re.sub(r"[-_ ]", "", name.casefold())
