"""Testing spiders: whole crawls under virtual time against a scripted site, deterministic."""

from scraper.testing.scripted_site import Answer, Hit, Site
from scraper.testing.simulate import Simulation, simulate
from scraper.testing.virtual_time import Deadlock, VirtualLoop, run_virtual

__all__ = ["Answer", "Deadlock", "Hit", "Simulation", "Site", "VirtualLoop", "run_virtual", "simulate"]
