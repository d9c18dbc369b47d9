"""Typed classes, whatever library made them, and JSON that keeps their types."""

from scraper.typed.checks import fits
from scraper.typed.classes import (
    Exact,
    Field,
    Key,
    fields_of,
    getter_of,
    is_typed,
    members_of,
    show,
    values_of,
)
from scraper.typed.codec import build, decode, decode_arguments, encode, encode_arguments
from scraper.typed.columns import Rule, rule_of
from scraper.typed.kinds import kind_of
from scraper.typed.restore import restore

__all__ = [
    "Exact",
    "Field",
    "Key",
    "Rule",
    "build",
    "decode",
    "decode_arguments",
    "encode",
    "encode_arguments",
    "fields_of",
    "fits",
    "getter_of",
    "is_typed",
    "kind_of",
    "members_of",
    "restore",
    "rule_of",
    "show",
    "values_of",
]
