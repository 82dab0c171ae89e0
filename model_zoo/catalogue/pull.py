"""Pulls a public model: consent to its licence, download of its files, conversion, tidying up."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Protocol, TypeVar, runtime_checkable

from model_zoo.catalogue.cards import HOME_VARIABLE, Card, find, is_installed, is_known, zoo_home
from model_zoo.catalogue.download import discard, download, held
from model_zoo.catalogue.remote_file import RemoteFile
from model_zoo.catalogue.unknown import see_list
from model_zoo.errors import OutputError, UsageError
from model_zoo.files import staged
from model_zoo.option_names import shell_or_python
from model_zoo.parsing import parse_json, read_text

ACCEPTED = "accepted-licences.json"
"""Name of the file in the user's zoo with the statements that the user has accepted, by model."""

TERMS = {
    "non-commercial": "may not be used commercially",
    "no grant": "come without a licence, so their authors permit nothing",
}
"""Kinds of consent, in words that follow "the weights"."""


@runtime_checkable
class Pullable(Protocol):
    """What a pull needs to know of a model in the catalogue."""

    @property
    def name(self) -> str:
        """Name for ``--model``."""

    @property
    def downloads(self) -> tuple[RemoteFile, ...]:
        """Files of the model, in the order that its importer expects."""

    @property
    def refusal(self) -> str:
        """Why the model cannot be used, without a full stop; empty if it can."""

    @property
    def licence(self) -> str:
        """Licence of the weights, as its source states it."""

    @property
    def licence_source(self) -> str:
        """The source that states the licence."""

    @property
    def consent(self) -> str:
        """A key of :data:`TERMS` if the user must accept the licence first; else empty."""

    @property
    def authors(self) -> str:
        """Authors of the weights."""


Public = TypeVar("Public", bound=Pullable)

Report = Callable[[str, int, int | None], object]
"""Takes the label of a file, the bytes that are done, and its size; None while it is unknown."""


def pull(
    model: Public,
    *,
    install: Callable[[Public, list[Path]], Card],
    accept_licence: bool = False,
    ask: Callable[[str], bool] | None = None,
    on_progress: Report | None = None,
    keep: bool = False,
) -> Card:
    """Download a public model and add it to the user's zoo, unless it is there.

    Another process that pulls the same model, or one with the same files, waits until this one is
    done.

    Args:
        model: an entry of the catalogue.
        install: converts the files and writes weights and card into the zoo.
        accept_licence: accept a licence that needs consent.
        ask: asked for it instead, with the statement about the licence; returns the answer.
        on_progress: called several times a second during downloads.
        keep: keep the downloaded files in the cache.

    Returns:
        The card of the installed model.

    Raises:
        UsageError: the network cannot be built, the licence was not accepted, or a card without
            weights has the name.
        StorageError: the files cannot be downloaded.
        ChecksumError: the addresses have other files.
        OutputError: the zoo or the cache cannot be written.
    """
    require_usable(model)
    require_consent(model, accept_licence=accept_licence, ask=ask)
    _require_zoo()
    reports = [_report(model, number, on_progress) for number in range(len(model.downloads))]
    with held(model.downloads, reports[0]):
        if is_known(model.name):
            return _installed(model.name)
        files = [*zip(model.downloads, reports, strict=True)]
        card = install(model, [download(file, on_progress=report) for file, report in files])
        for file in () if keep else model.downloads:
            discard(file)
    return card


def require_usable(model: Pullable) -> None:
    """Refuse a public model whose network cannot be built, before anything is asked or fetched.

    Raises:
        UsageError: the message says why.
    """
    if model.refusal and not is_known(model.name):
        raise UsageError(f"{model.refusal}. See: {see_list()}")


def statement(model: Pullable) -> str:
    """The sentence about a licence that needs consent, without a full stop; else empty."""
    if not model.consent:
        return ""
    terms = TERMS.get(model.consent, f"need your consent ({model.consent})")
    by = f" by {model.authors}" if model.authors else ""
    source = f", according to {model.licence_source}" if model.licence_source else ""
    return f"The weights of {model.name}{by} {terms} (licence: {model.licence}{source})"


def needs_consent(model: Pullable) -> bool:
    """Whether the user must accept the licence of a model that is not in the zoo."""
    if not model.consent or is_known(model.name):
        return False
    return _accepted().get(model.name) != statement(model)


def require_consent(
    model: Pullable, *, accept_licence: bool = False, ask: Callable[[str], bool] | None = None
) -> None:
    """Require that the user accepts the licence of a model; remember it in the user's zoo.

    A licence that has changed since is asked for again. Arguments are those of :func:`pull`.

    Raises:
        UsageError: the licence was not accepted.
        OutputError: the zoo cannot be written.
    """
    if not needs_consent(model):
        return
    text = statement(model)
    if not accept_licence and not (ask and ask(text)):
        flag = shell_or_python("--accept-licence", "accept_licence=True")
        raise UsageError(f"{text}. To accept that, add {flag}")
    accepted = {**_accepted(), model.name: text}
    with staged(zoo_home() / ACCEPTED) as temporary:
        temporary.write_text(json.dumps(accepted, indent=1), encoding="utf-8")


def _accepted() -> dict[str, str]:
    """Accepted statements by model; none if the file is missing or damaged."""
    try:
        found = parse_json(read_text(zoo_home() / ACCEPTED))
    except (OSError, ValueError):
        return {}
    pairs = found.items() if isinstance(found, dict) else ()
    return {name: text for name, text in pairs if isinstance(text, str)}


def _require_zoo() -> None:
    """Require that the user's zoo can be written, before anything is downloaded.

    Raises:
        OutputError: it cannot.
    """
    home = zoo_home()
    try:
        home.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=home).close()
    except OSError as error:
        raise OutputError(
            f"Your zoo {home} cannot be written ({error.strerror or error}). Set {HOME_VARIABLE} to"
            " a writable folder"
        ) from error


def _installed(name: str) -> Card:
    """The card of a model that is in the zoo.

    Raises:
        UsageError: its weights are missing.
    """
    card = find(name)
    if not is_installed(card):
        remove = shell_or_python(f"stem models remove {name}", f"cards.remove({name!r})")
        raise UsageError(f"Your zoo has a card of {name}, but no weights. First run: {remove}")
    return card


def _report(model: Pullable, number: int, report: Report | None) -> Callable[..., object]:
    """Report for one file of a model, labelled with its place if there are several."""
    count = len(model.downloads)
    label = f"{model.name} {number + 1}/{count}" if count > 1 else model.name
    return partial(report, label) if report else lambda done, total: None
