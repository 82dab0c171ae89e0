"""``stem models pull`` and ``stem models path``: public models, and where weights are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from model_zoo.errors import NoModelError, StemError, describe_error
from stemcli.cli import candidates
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples, size
from stemcli.cli.options import console_options

if TYPE_CHECKING:
    from model_zoo.catalogue.cards import Card
    from model_zoo.catalogue.public import PublicModel
    from stemcli.engine.options import Options


@click.command(
    "pull",
    epilog=examples(
        ("stem models pull htdemucs", "then: stem separate --model htdemucs ..."),
        ("stem models pull htdemucs mdx23c --json", "one after the other"),
        ("stem models pull scnet_xl --accept-licence", "in a script, without a question"),
    ),
)
@click.argument(
    "names",
    metavar="NAME...",
    nargs=-1,
    required=True,
    shell_complete=candidates.public_models,
)
@click.option(
    "--accept-licence",
    is_flag=True,
    help="Accept licences that restrict the use of the weights, without being asked.",
)
@click.option("--keep", is_flag=True, help="Keep the downloaded files in the cache.")
@console_options
def pull_command(
    *, names: tuple[str, ...], accept_licence: bool, keep: bool, console: Console
) -> None:
    """Download public models and add them to your zoo.

    NAME is a model or a preset of stem models list --all; a preset downloads all its models.
    Every file is checked against its size and SHA-256 before it is used. An interrupted download
    resumes when the command is run again.
    """
    from model_zoo.catalogue.cards import is_bundled

    for name in filter(is_bundled, names):
        console.line(f"{name}: bundled with Stem, there is nothing to download")
    models = find_models([name for name in names if not is_bundled(name)])
    for model in models:
        agree(model, accept_licence, console)
    failed = []
    with console, resumable():
        for model in models:
            try:
                pull_one(model, keep, console)
            except StemError as error:
                if len(models) == 1:
                    raise
                console.error(f"{model.name}: {describe_error(error)}")
                failed.append(model.name)
    if failed:
        done = len(models) - len(failed)
        raise StemError(
            f"{done} of {len(models)} models are in your zoo; not {', '.join(failed)}. The errors "
            "above say why"
        )


@contextmanager
def resumable() -> Iterator[None]:
    """Say after Ctrl-C that what has arrived is kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("To resume, run the same command again.") from None


def find_models(names: Sequence[str]) -> list[PublicModel]:
    """The entries of the catalogue, each once; those of its members for a preset.

    Raises:
        UnknownNameError: no entry has a name.
    """
    from model_zoo.catalogue.cards import card_names
    from model_zoo.catalogue.public import find_preset, find_public
    from model_zoo.catalogue.unknown import unknown_public

    found = {}
    for name in names:
        preset = None if find_public(name) else find_preset(name)
        for member in preset.members if preset else (name,):
            model = find_public(member)
            if model is None:
                raise unknown_public(name, card_names())
            found[model.name] = model
    return [*found.values()]


def agree(model: PublicModel, accept_licence: bool, console: Console) -> None:
    """Show a licence that restricts the use of the weights, and ask for consent once.

    Raises:
        UsageError: the network cannot be built, or the user does not accept the licence or cannot
            be asked.
    """
    from model_zoo.catalogue.pull import needs_consent, require_consent, require_usable, statement

    require_usable(model)
    if needs_consent(model) and accept_licence:
        console.line(f"{statement(model)}.")
    require_consent(model, accept_licence=accept_licence, ask=ask if can_ask() else None)


def agree_to_models(options: Options, console: Console) -> None:
    """Ask for consent to the licences of models that a separation will download.

    Without a terminal nothing is asked, and the separation refuses such models.

    Raises:
        UsageError: the user does not accept a licence, or a model does not exist.
    """
    from stemcli.engine.members import models_to_load
    from stemcli.engine.on_demand import missing

    if can_ask():
        for model in missing(models_to_load(options)):
            agree(model, False, console)


def can_ask() -> bool:
    """Whether a person is at the terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(text: str) -> bool:
    """Ask a person on the terminal whether to accept a licence."""
    return click.confirm(f"{text}. Do you accept that?", err=True)


def pull_one(model: PublicModel, keep: bool, console: Console) -> None:
    """Pull one model, and say where it is."""
    from model_zoo.catalogue.cards import card_path, is_known
    from model_zoo.catalogue.pull import pull

    show, was_there = partial(show_progress, console), is_known(model.name)
    card = pull(model, install=importer(), on_progress=show, keep=keep)
    console.downloaded()
    console.document({"event": "model_added", "card": card.to_dict()})
    path = card_path(card.name).with_name(card.file)
    already = "is in your zoo already, " if was_there else ""
    console.line(f"{card.name}: {already}{size(card.size)}, licence {card.licence}, {path}")


def importer() -> Callable[[PublicModel, list[Path]], Card]:
    """The function that converts the files of a public model and adds it to the zoo."""
    from model_zoo.importers.convert import install_public

    return install_public


def show_progress(console: Console, label: str, done: int, total: int | None) -> None:
    """Show how much of a file has arrived."""
    from stemcli.engine.events import DownloadProgress

    console.show(DownloadProgress(label, done, total))


@click.command(
    "path",
    epilog=examples(
        ("stem models path spleeter_2stems", "the safetensors file"),
        ('cp "$(stem models path htdemucs)" /media/usb', "take a model along"),
    ),
)
@click.argument("name", shell_complete=candidates.models)
@console_options
def path_command(name: str, console: Console) -> None:
    """Print the path of the weights of an installed model; its card is beside it."""
    from model_zoo.catalogue.cards import card_path, find, is_installed

    card = find(name)
    if not is_installed(card):
        raise NoModelError(f"The weights of {name} are not installed. See: stem models verify")
    path = card_path(name).with_name(card.file)
    console.document({"name": name, "path": str(path)})
    console.result(str(path))
