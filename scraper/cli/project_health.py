"""What is wrong with a project: its configuration, the variables that are set, its spiders."""

from __future__ import annotations

import os
from collections.abc import Iterator

from scraper.cli.installation import CONFIGURATION, Finding
from scraper.cli.terminal.formatting import shown_place
from scraper.errors import SettingsError
from scraper.net.wire.tls import check_hosts
from scraper.project.config_file import Configuration, environment_layers, read_file
from scraper.project.folder import project_folder
from scraper.project.loader import Catalog, survey
from scraper.settings import NO_LAYERS, Settings
from scraper.spider import define

__all__ = ["project_findings"]


def project_findings() -> Iterator[Finding]:
    """The configuration, the environment, the spiders, and whether they fit together."""
    folder = project_folder()
    configuration = Configuration()
    try:
        project, spiders, file = read_file(folder)
        configuration = Configuration(file, project, spiders)
        yield Finding("config", f"{file}, valid" if file else "none")
    except SettingsError as error:
        yield Finding("config", str(error), "see docs/configuration.md", CONFIGURATION)
    try:
        variables = [variable for variable, _ in environment_layers(os.environ)]
        yield Finding("environment", ", ".join(variables) or "none")
    except SettingsError as error:
        yield Finding("environment", str(error), "unset it, or correct it", CONFIGURATION)
    yield from _spiders(survey(folder), configuration)


def _spiders(catalog: Catalog, configuration: Configuration) -> Iterator[Finding]:
    names = ", ".join(catalog.spiders) or "none"
    yield Finding("spiders", f"{len(catalog.spiders)}: {names}" if catalog.spiders else names)
    for broken in catalog.broken:
        remedy = f"correct it: {shown_place(broken.why)}"
        yield Finding("spider", f"{shown_place(broken.origin)} does not load", remedy, CONFIGURATION)
    for known in catalog.hidden:
        used = shown_place(catalog.spiders[known.name].origin)
        remedy = f"give one of them another name; {used} is used"
        yield Finding(
            "spider", f"{shown_place(known.origin)} is named {known.name} too", remedy, CONFIGURATION
        )
    for known in catalog.spiders.values():
        definition = define(known.cls)
        try:
            layers = configuration.layers(definition.name, lambda: catalog.names)
        except SettingsError:  # said below, as a table without a spider
            layers = NO_LAYERS
        try:
            own = (shown_place(definition.place), definition.settings)
            check_hosts(Settings.of(*layers.around(own, ("", {}))).within(project_folder()).tls)
        except SettingsError as error:
            yield Finding("spider", str(error), "see docs/configuration.md", CONFIGURATION)
    owners = {define(known.cls).name for known in (*catalog.spiders.values(), *catalog.startless)}
    owners |= {broken.name for broken in catalog.broken}
    for name in configuration.spiders:
        if name not in owners:
            remedy = f"correct the name in {configuration.file}, or remove the table"
            yield Finding(
                "config", f"a table for the spider {name}, which there is not", remedy, CONFIGURATION
            )
