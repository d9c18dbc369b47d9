"""One module a command; what a command does is imported when it runs."""

__all__: list[str] = []
