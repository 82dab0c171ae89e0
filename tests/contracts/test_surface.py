"""Tensor names in checkpoints and the help of every command do not change unnoticed.

Reference: golden files written by :mod:`tests.golden.surface.make_surface`.
"""

from __future__ import annotations

from tests.golden.surface.make_surface import HELP, TENSORS, help_texts, tensor_names


def test_tensors_keep_their_names_and_shapes() -> None:
    """Users' checkpoints depend on them."""
    assert tensor_names().splitlines() == TENSORS.read_text("utf-8").splitlines()


def test_help_texts_are_unchanged() -> None:
    assert help_texts().splitlines() == HELP.read_text("utf-8").splitlines()
