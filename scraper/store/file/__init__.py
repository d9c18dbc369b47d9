"""The database file: its lock, its schema, its log, and the one writer."""

__all__: list[str] = []
