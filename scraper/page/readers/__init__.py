"""What a page says, read: numbers, text, Markdown, JSON."""

__all__: list[str] = []
