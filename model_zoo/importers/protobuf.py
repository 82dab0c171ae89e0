"""Reads protocol buffers without their schema: numbers of fields and their values.

Wire format: protobuf.dev, "Encoding". A message is a sequence of fields, each a tag (the number of
the field and the kind of its value) and a value.
"""

from __future__ import annotations

from collections.abc import Iterator

Message = bytes | memoryview

VARINT, BYTES = 0, 2
FIXED = {1: 8, 5: 4}
"""Kinds of values, and the bytes of those with a fixed length; the groups 3 and 4 are obsolete."""


def fields(data: int | Message) -> Iterator[tuple[int, int | Message]]:
    """Numbers and values of the fields of a message, in the order of the file.

    Args:
        data: the message; a slice of it is the value of a field of texts, bytes or messages.

    Raises:
        ValueError: it is a number instead of a message, or cannot be read.
        IndexError: it ends within a field.
    """
    if isinstance(data, int):
        raise ValueError("a number is where a message should be")
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = varint(data, at)
            yield number, value
            continue
        length, at = _length(data, at, kind)
        if at + length > len(data):
            raise IndexError("a field ends behind its message")
        piece = data[at : at + length]
        yield number, piece if kind == BYTES else int.from_bytes(piece, "little")
        at += length


def _length(data: Message, at: int, kind: int) -> tuple[int, int]:
    """Length of a value in bytes, and where it begins."""
    if kind == BYTES:
        return varint(data, at)
    if kind in FIXED:
        return FIXED[kind], at
    raise ValueError("a field of an unknown kind cannot be read")


def varint(data: Message, at: int) -> tuple[int, int]:
    """Decode a number: groups of seven bits, lowest first; returns the value and its end.

    Raises:
        ValueError: it has more than ten groups.
        IndexError: it does not end.
    """
    value = 0
    for index in range(10):
        byte = data[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise ValueError("a number does not end")


def signed(number: int) -> int:
    """A number of 64 bits with its sign, which a varint does not show."""
    return number - 2**64 if number >= 2**63 else number
