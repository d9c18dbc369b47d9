from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.net.guard import Guard, refuse

PRIVATE = [
    "127.0.0.1",
    "127.255.255.255",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.127.255.255",
    "100.100.100.200",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.1.2.3",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "192.88.99.1",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "fd00::1",
    "fd00:ec2::254",
    "fc00::1",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001::1",
    "2001:db8::1",
    "3fff::1",
    "100::1",
    "4000::1",
    "5f00::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "169.253.0.1",
    "192.0.1.1",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450::1",
    "::ffff:8.8.8.8",
    "2002:808:808::1",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_sec_22_addresses_that_are_no_public_host_are_refused(address: str) -> None:
    """Private, local, reserved and metadata addresses are refused, however they are wrapped."""
    assert refuse(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    """The neighbours of private ranges, and public addresses in a wrapping, are allowed."""
    assert not refuse(address)


@given(st.text(max_size=40))
def test_what_is_no_address_is_refused(text: str) -> None:
    """Text that is no address never raises and is never allowed by mistake."""
    assert refuse(text) in (True, False)
    assert refuse(f"x{text}")


def test_exemption_is_exact_host_and_port() -> None:
    """Naming localhost:8001 opens that, and neither another port nor another name for it."""
    guard = Guard({"localhost:8001"})
    assert guard.allows("localhost:8001", "127.0.0.1")
    assert not guard.allows("localhost:22", "127.0.0.1")
    assert not guard.allows("127.0.0.1:8001", "127.0.0.1")
    assert guard.allows("example.com:80", "8.8.8.8")


def test_exemption_may_be_a_function() -> None:
    """Exemptions that grow during a crawl are asked for each time."""
    named: set[str] = set()
    guard = Guard(lambda netloc: netloc in named)
    assert not guard.allows("localhost:1", "::1")
    named.add("localhost:1")
    assert guard.allows("localhost:1", "::1")
