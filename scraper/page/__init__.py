"""The author's view of a fetched page: selectors, text, numbers, links."""

from __future__ import annotations

from scraper.page.isolated_rows import FailedRow
from scraper.page.node import Node
from scraper.page.page import Fetcher, Page, document_of
from scraper.page.srcset import Candidate, srcset

__all__ = ["Candidate", "FailedRow", "Fetcher", "Node", "Page", "document_of", "srcset"]
