"""Every error can be pickled and copied; reference: the error itself."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

import model_zoo
import stemcli
import trainers
from model_zoo import errors

ARGUMENTS = {
    "UnknownNameError": ("model", "vocls", ["vocals", "drums"], "stem models list"),
    "ConfigError": ("Options", ["one", "two"]),
    "DataError": ("folder", ["one.", "two"]),
    "MissingExtraError": ("ray", "cluster"),
    "MissingStemsError": (["song has no bass"], {"bass", "vocals"}),
}
"""Arguments of classes with a constructor of their own; all others take a sentence."""


def tree(kind: type[errors.StemError]) -> list[type[errors.StemError]]:
    return [kind, *(one for below in kind.__subclasses__() for one in tree(below))]


def all_kinds() -> list[type[errors.StemError]]:
    """All classes below StemError, of all modules that need no optional package."""
    for package in (model_zoo, stemcli, trainers):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                try:
                    importlib.import_module(found.name)
                except ImportError:
                    continue
    return list(dict.fromkeys(tree(errors.StemError)))


def make(kind: type[errors.StemError]) -> errors.StemError:
    return kind(*ARGUMENTS.get(kind.__name__, ("Something failed. Try again",)))


def raise_one(name: str) -> None:
    raise make(getattr(errors, name))


@pytest.mark.slow
def test_every_error_keeps_class_message_and_attributes() -> None:
    kinds = all_kinds()
    assert len(kinds) >= 22
    for kind in kinds:
        error = make(kind)
        error.add_note("while testing")
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert type(again) is kind
            assert str(again) == str(error)
            assert vars(again) == vars(error)
            assert again is not error


def test_a_copy_has_a_message_of_its_own() -> None:
    error = errors.ConfigError("Options", ["one"])
    other = copy.deepcopy(error)
    other.mistakes.append("two")
    assert error.mistakes == ["one"]


@pytest.mark.slow
def test_an_error_leaves_a_process_pool() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for name in sorted(ARGUMENTS.keys() & vars(errors).keys()):
            with pytest.raises(getattr(errors, name)) as caught:
                pool.submit(raise_one, name).result(60)
            assert str(caught.value) == str(make(getattr(errors, name)))
