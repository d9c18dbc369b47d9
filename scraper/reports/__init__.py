"""What a database says of a crawl, as values: the summary, what failed, why a URL was fetched or not."""

__all__: list[str] = []
