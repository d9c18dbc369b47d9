"""A `Done` in one line: each field is put into the part it belongs to."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from scraper.core.models import Done, Effects, Outcome, PageResult, QueuedRequest

__all__ = ["finished"]

_OF_RESULT = {field.name for field in fields(PageResult)} - {"counts"}


def finished(request: QueuedRequest, outcome: Outcome, **values: Any) -> Done:
    """What a visit of `request` produced that ended so. `counts` are those of the effects, `page_counts` of the result."""
    result = {name: value for name, value in values.items() if name in _OF_RESULT}
    result["counts"] = values.pop("page_counts", {})
    url = result.pop("url", request.url)
    effects = {name: value for name, value in values.items() if name not in _OF_RESULT}
    return Done(
        Effects(request, outcome, **effects),
        PageResult(request.id, request.fingerprint, request.domain, url, **result),
    )
