"""Charsets: which encoding a document is in, its text, and the queries of its links."""

from scraper.core.charsets.labels import encoding_named
from scraper.core.charsets.queries import with_encoded_query
from scraper.core.charsets.text import LONG, BodyText, TextFault, decode_text

__all__ = ["LONG", "BodyText", "TextFault", "decode_text", "encoding_named", "with_encoded_query"]
