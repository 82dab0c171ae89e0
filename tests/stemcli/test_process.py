"""Environment variables for a while. Truth: how they were before."""

from __future__ import annotations

import os

import pytest

from stemcli.process import environment

NEW, SET = "STEM_TEST_NEW", "STEM_TEST_SET"


@pytest.mark.parametrize(("replace", "inside"), [(False, "before"), (True, "other")])
def test_variables_are_as_before_afterwards(
    replace: bool, inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a user has set stays, unless it is to be replaced."""
    monkeypatch.setenv(SET, "before")
    monkeypatch.delenv(NEW, raising=False)
    with environment({NEW: "new", SET: "other"}, replace=replace):
        assert (os.environ[NEW], os.environ[SET]) == ("new", inside)
    assert NEW not in os.environ
    assert os.environ[SET] == "before"
    with environment({SET: None}, replace=replace):
        assert os.environ.get(SET) == (None if replace else "before")
    assert os.environ[SET] == "before"
