"""SQLite: the queue, the results and the state of crawls, behind one writer."""

__all__: list[str] = []
