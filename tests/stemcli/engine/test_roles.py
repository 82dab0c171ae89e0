"""Usage hints for a network. Expected: the command that fits its role."""

from __future__ import annotations

from stemcli.engine.models import use_of


def test_the_suggested_command_fits_the_role() -> None:
    assert use_of("mine", "stems") == "stem separate SONG --model mine"
    assert use_of("mine", "phase") == "stem separate SONG --phase-model mine"
    assert use_of("mine", "codes") == "stem models info mine"
