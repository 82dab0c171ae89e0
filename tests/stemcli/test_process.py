"""Temporary environment variables are restored afterwards."""

from __future__ import annotations

import os

import pytest

from stemcli.process import environment

NEW, SET = "STEM_TEST_NEW", "STEM_TEST_SET"


@pytest.mark.parametrize(("replace", "inside"), [(False, "before"), (True, "other")])
def test_variables_are_restored(
    replace: bool, inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's own setting is kept unless ``replace`` is set."""
    monkeypatch.setenv(SET, "before")
    monkeypatch.delenv(NEW, raising=False)
    with environment({NEW: "new", SET: "other"}, replace=replace):
        assert (os.environ[NEW], os.environ[SET]) == ("new", inside)
    assert NEW not in os.environ
    assert os.environ[SET] == "before"
    with environment({SET: None}, replace=replace):
        assert os.environ.get(SET) == (None if replace else "before")
    assert os.environ[SET] == "before"
