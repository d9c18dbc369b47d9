"""What a page or a selector may cost, judged before it is paid; and the ways that cannot explode."""

__all__: list[str] = []
