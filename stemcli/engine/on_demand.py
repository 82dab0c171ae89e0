"""Downloads the models of a separation that the catalogue knows and the zoo lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from model_zoo.catalogue.cards import is_known
from model_zoo.catalogue.names import is_path
from model_zoo.catalogue.public import PublicModel, find_public
from model_zoo.errors import UsageError
from stemcli.engine.events import DownloadProgress


def missing(names: Iterable[str]) -> list[PublicModel]:
    """Public models that are named and not installed, each once.

    Args:
        names: names of models as the catalogue has them, runs or files.
    """
    wanted = [name for name in dict.fromkeys(names) if not is_path(name) and not is_known(name)]
    found = {name: find_public(name) for name in wanted}
    return [model for name, model in found.items() if model is not None and model.name == name]


def require_fetchable(models: Sequence[PublicModel]) -> None:
    """Refuse public models that cannot be used, or whose licences must be accepted first.

    Raises:
        UsageError: the message says why, and what to run.
    """
    if not models:
        return
    from model_zoo.catalogue.pull import needs_consent, require_usable, statement

    for model in models:
        require_usable(model)
    asked = [model for model in models if needs_consent(model)]
    if asked:
        others = [model.name for model in asked[1:]]
        same = f" The same is true of {', '.join(others)}." if others else ""
        names = " ".join(model.name for model in asked)
        accept = f"stem models pull {names} --accept-licence"
        raise UsageError(f"{statement(asked[0])}.{same} To accept that, run: {accept}")


def pull_missing(names: Iterable[str], emit: Callable[[DownloadProgress], None]) -> None:
    """Download, check and install public models that are named and not installed.

    Args:
        names: names of models, runs or files.
        emit: called with the progress of the downloads.

    Raises:
        UsageError: a model cannot be used, or its licence must be accepted first.
        StorageError: a file cannot be downloaded.
        ChecksumError: the addresses have other files.
        CheckpointError: a file cannot be converted.
    """
    models = missing(names)
    if not models:
        return
    from model_zoo.catalogue.pull import pull
    from model_zoo.importers.convert import install_public

    require_fetchable(models)
    for model in models:
        pull(
            model,
            install=install_public,
            on_progress=lambda label, done, total: emit(DownloadProgress(label, done, total)),
        )
