"""Text that any file, terminal and other process can hold. Standard library only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Any


def printable(text: str, keep: str = "") -> str:
    """The text with lone surrogates, control characters and the like spelt out, except those to ``keep``.

    >>> printable("energy \\x00")
    'energy \\\\x00'
    """
    if text.isprintable():
        return str(text)
    return "".join(c if c.isprintable() or c == " " or c in keep else c.encode("unicode_escape").decode() for c in text)


def cleaned(value: Any) -> Any:
    """The same data with all text in it ``printable``; line ends and tabs stay.

    >>> cleaned({"notes": ("a\\nb", "\\ud800", 3)})
    {'notes': ('a\\nb', '\\\\ud800', 3)}
    """
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return printable(value, "\n\t")
    if isinstance(value, Mapping):
        return {cleaned(k): cleaned(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(map(cleaned, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        new = {name: cleaned(old) for name, old in fields.items()}
        return dataclasses.replace(value, **new)
    return value
