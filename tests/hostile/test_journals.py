"""Folders of stems from a stranger. Truth: the files of the user before and after; one sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stemcli.batch.journal import NAME
from stemcli.batch.records import Content
from tests.hostile.child import stem
from tests.hostile.journals import BATCH, HIDDEN, JOURNALS, READ, add, database
from tests.hostile.table import Row, attack, params, song


@pytest.mark.parametrize("row", params(JOURNALS))
def test_a_journal_from_a_stranger_touches_nothing(row: Row, tmp_path: Path) -> None:
    attack(row, tmp_path)


@pytest.mark.parametrize("row", params([row for row in JOURNALS if row.kind in READ]))
def test_a_journal_from_a_stranger_among_songs_touches_nothing(row: Row, tmp_path: Path) -> None:
    """It is only read, to find out which of the files are stems."""
    row = replace(row, command="batch out --output made", says="cannot be used .* Move it away")
    attack(row, tmp_path)


def test_an_output_folder_that_is_a_link_goes_on_working(tmp_path: Path) -> None:
    """Also where a run was killed when its stems had only to be renamed."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk")
    song(tmp_path)
    made = tmp_path / "disk" / HIDDEN
    made.write_text("stem")
    content = Content.of(made)
    with database(tmp_path) as connection:
        add(connection, b"thesis.wav", HIDDEN.encode(), content)
    ended = stem(tmp_path, *BATCH.split())
    assert ended.code == 0, ended
    assert (tmp_path / "disk/thesis.wav").read_text() == "stem"
    assert (tmp_path / "disk/a/vocals.wav").is_file()
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk" / NAME).is_file()
