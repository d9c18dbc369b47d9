"""Benchmarks: run them from the project's folder, e.g. `python -m benchmarks.shop`."""
