"""The ground floor: values that every layer knows, URLs, text, time, and the Protocols between the layers."""

__all__: list[str] = []
