"""The settings of a project as `scrapy startproject` makes it. A benchmark changes two of them, marked."""

SETTINGS = {
    "BOT_NAME": "peers",
    "ROBOTSTXT_OBEY": True,
    "FEED_EXPORT_ENCODING": "utf-8",
    # Generated: 1 and 1 s, which would measure the waiting. CONCURRENT_REQUESTS (16) comes with the command line.
    "CONCURRENT_REQUESTS_PER_DOMAIN": 64,
    "DOWNLOAD_DELAY": 0,
}
