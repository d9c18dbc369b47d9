"""Faults that other crawlers' users reported, replayed: one module for each, with its smallest input."""
