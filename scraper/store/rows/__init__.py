"""Item tables in SQL: made, filled, merged, and followed from run to run."""

__all__: list[str] = []
