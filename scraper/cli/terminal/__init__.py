"""What a person sees of a crawl: the live region, lines in a pipe, the ending."""

__all__: list[str] = []
