"""One crawl by several processes on one machine: `scraper crawl --workers N`.

The process that was started supervises: it locks the database, begins the run, forks the workers, replaces one that
dies, passes signals on, and reads the summary. The workers share the frontier, domain by domain, through leases in
the database; they are forked, so they hold the crawl's lock too, and nothing has to be sent to them. Each tells the
supervisor what happens over a socket, one JSON array a line. A closed socket means death, on both sides.
"""

from scraper.workers.supervisor import Workers

__all__ = ["Workers"]
