"""How a request ended whose answer redirects to another URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from scraper.core.models.request import QueuedRequest

__all__ = ["Landing"]


@dataclass(frozen=True, slots=True)
class Landing:
    """What `Frontier.move` found and did. Written are the first two fates, and nothing else.

    - new: the run did not know the target. The request ended as moved and the target is queued: taken under the same
      lease where it is of the same domain, then it is `request`.
    - duplicate: the target is queued, or ended with a page. The request ended as its duplicate.
    - seen: the same, but the caller did not want a duplicate.
    - taken: another visit is at the target now.
    - unseen: the target has ended without a page of its own: it moved, failed or was skipped.
    - lost: the lease is lost.

    `due` names the domains that have new work, and from when (unix seconds).
    """

    fate: Literal["new", "duplicate", "seen", "taken", "unseen", "lost"]
    request: QueuedRequest | None = None
    due: Mapping[str, float] = field(default_factory=dict)
