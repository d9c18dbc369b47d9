"""A project: its folder, its configuration, its spiders."""

__all__: list[str] = []
