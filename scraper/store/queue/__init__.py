"""The queue in SQL: requests, who may fetch them, the runs they belong to."""

__all__: list[str] = []
