"""Typed classes, whatever library made them, and JSON that keeps their types."""

from scraper.core.codec.classes import (
    Exact,
    Field,
    Key,
    fields_of,
    getter_of,
    is_typed,
    members_of,
    short_repr,
    values_of,
)
from scraper.core.codec.json_codec import TOO_DEEP, build, decode, decode_arguments, encode, encode_arguments
from scraper.core.codec.type_checks import is_valid

__all__ = [
    "TOO_DEEP",
    "Exact",
    "Field",
    "Key",
    "build",
    "decode",
    "decode_arguments",
    "encode",
    "encode_arguments",
    "fields_of",
    "getter_of",
    "is_typed",
    "is_valid",
    "members_of",
    "short_repr",
    "values_of",
]
