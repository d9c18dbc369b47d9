"""Settings of a crawl: the frozen object, its layers, and how values are read."""

from scraper.settings.parsers import SCOPES, SECRET_SETTINGS, did_you_mean, near_miss, read_limit
from scraper.settings.settings import NO_LAYERS, Layer, Layers, Settings

__all__ = [
    "NO_LAYERS",
    "SCOPES",
    "SECRET_SETTINGS",
    "Layer",
    "Layers",
    "Settings",
    "did_you_mean",
    "near_miss",
    "read_limit",
]
