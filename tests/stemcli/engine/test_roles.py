"""What a network is for. Truth: the options that there are for each role."""

from __future__ import annotations

from stemcli.engine.models import use_of


def test_what_is_typed_for_a_network_fits_its_role() -> None:
    assert use_of("mine", "stems") == "stem separate SONG --model mine"
    assert use_of("mine", "phase") == "stem separate SONG --phase-model mine"
    assert use_of("mine", "codes") == "stem models info mine"
