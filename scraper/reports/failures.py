"""What failed in a run, grouped as a person can act on it: the site's failures by kind, the author's errors by place."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["UNREPEATED", "Problem", "problems_of"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Requests that failed in one way: how many, and the first of them.

    `place` is file:line in the author's code, empty where that is not to blame; `detail` their lines on the
    way there. `unrepeated` is the method of one of them that may have arrived and was therefore not tried again, such
    as POST; "" where there is none.
    """

    kind: str
    status: int | None
    count: int
    url: str
    why: str
    place: str = ""
    detail: str = ""
    unrepeated: str = ""


#: The method of the request `r` if it may have arrived and must not be sent twice, else NULL.
UNREPEATED: Final = """CASE WHEN r.kind IN ('connection', 'timeout', 'incomplete')
    AND json_extract(r.options, '$.method') NOT IN ('GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE')
    AND json_extract(r.options, '$.repeatable') IS NULL THEN json_extract(r.options, '$.method') END"""

# Requests put back into the queue after an error count as well: they are to be done again once it is mended.
_PROBLEMS = f"""
SELECT f.kind, f.status, f.count, r.url, coalesce(e.message, r.why, ''), coalesce(e.place, ''), coalesce(e.detail, ''),
    coalesce(f.unrepeated, '')
FROM (
    SELECT kind, status, count(*) AS count, min(id) AS request, NULL AS error, max({UNREPEATED}) AS unrepeated
    FROM _requests r
    WHERE run = :run AND state = 2 AND NOT EXISTS (SELECT 1 FROM _errors WHERE request = r.id)
    GROUP BY kind, status
    UNION ALL
    SELECT e.kind, NULL, count(*), min(e.request), e.id, NULL FROM _errors e JOIN _requests r ON r.id = e.request
    WHERE e.run = :run AND r.state IN (0, 2) AND e.id = (SELECT max(id) FROM _errors WHERE request = e.request)
    GROUP BY e.kind, e.place
) f JOIN _requests r ON r.id = f.request LEFT JOIN _errors e ON e.id = f.error
WHERE :kind IS NULL OR f.kind = :kind ORDER BY f.count DESC, f.request
"""  # noqa: S608 - with a constant


def problems_of(conn: sqlite3.Connection, run: int, kind: str | None = None) -> Sequence[Problem]:
    """What failed in a run, of one kind or of any, most frequent first."""
    return [Problem(*row) for row in conn.execute(_PROBLEMS, {"run": run, "kind": kind})]
