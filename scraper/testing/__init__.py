"""Testing spiders: whole crawls under virtual time against a scripted site, deterministic."""

from scraper.testing.clock import Deadlock, VirtualLoop, run_virtual
from scraper.testing.simulate import Simulation, simulate
from scraper.testing.site import Answer, Hit, Site

__all__ = ["Answer", "Deadlock", "Hit", "Simulation", "Site", "VirtualLoop", "run_virtual", "simulate"]
