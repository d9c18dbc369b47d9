"""Certificates for servers on loopback, and a client that trusts the authority that signs them."""

from __future__ import annotations

import datetime
import ssl
from typing import Any

import trustme

__all__ = ["AUTHORITY", "PAST", "tls", "trusting"]

AUTHORITY = trustme.CA()
PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def tls(name: str = "127.0.0.1", authority: trustme.CA = AUTHORITY, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, **options).configure_cert(context)
    return context


def trusting(authority: trustme.CA = AUTHORITY) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
