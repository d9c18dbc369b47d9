"""Everything between a request and its response: one hop, its limits, and who we are on the wire."""

__all__: list[str] = []
