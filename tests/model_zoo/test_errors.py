"""The tree of error classes, against the drawing in its module, and the error messages."""

from __future__ import annotations

import re

import pytest

from model_zoo import errors
from model_zoo.errors import (
    ConfigError,
    MissingExtraError,
    StemError,
    UnknownNameError,
    nearest,
    revived,
)


def drawn_tree() -> dict[str, str]:
    """Every class of the drawing with its parent."""
    parents: dict[str, str] = {}
    branch: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    ([│├└─ ]*)(\w+Error)\b", line):
            depth = len(found[1]) // 4
            branch[depth] = found[2]
            parents[found[2]] = branch.get(depth - 1, "Exception")
    return parents


def test_the_drawing_matches_the_classes() -> None:
    classes = {
        name: value.__bases__[0].__name__
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, StemError)
    }
    assert classes == drawn_tree()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MelRoFormer", "melroformer"),
        ("melroform", "melroformer"),
        ("zzz", None),
        ("Phase", "phase_predictor_of_sound"),
        ("spectral", None),
    ],
)
def test_nearest_ignores_case_and_gives_up(name: str, expected: str | None) -> None:
    """By hand: a part of one name finds it, a part of two names finds none."""
    long = ["phase_predictor_of_sound", "spectral_net_with_recurrence", "variational_spectral_net"]
    assert nearest(name, ["melroformer", "melunet", *long]) == expected


def test_messages_say_what_to_do() -> None:
    assert str(UnknownNameError("model", "zzz", ["b", "a"], "stem models list")) == (
        "Unknown model 'zzz': known: a, b. See: stem models list"
    )
    assert str(ConfigError("--overlap", ["one", "two"])) == "--overlap: one; two"
    missing = MissingExtraError("Ray", "train")
    assert str(missing) == "Ray is not installed. Try: pip install 'stemcli[train]'"
    assert missing.exit_code == 1
    assert UnknownNameError("model", "x", []).exit_code == 2


@pytest.mark.parametrize("kind", sorted(drawn_tree()))
def test_every_error_is_revived_from_another_process(kind: str) -> None:
    """With the same class and message, whatever arguments its constructor has."""
    error = revived(kind, "The sentence")
    assert (type(error).__name__, str(error)) == (kind, "The sentence")


def test_other_errors_are_revived_as_stem_errors() -> None:
    assert {type(revived(kind, "x")) for kind in ("Nothing", "nearest", "Exception")} == {StemError}
