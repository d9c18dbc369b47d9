"""What a crawl survives: kills, torn files, power cuts, full disks, locks, signals. `python -m benchmarks.crash`."""
