"""Which addresses may be called, whatever they are written as."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from tasks.workflows.kinds.http.addresses import is_public, may_be_called


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "93.184.216.34",
        "2606:4700::1111",
        "2a00:1450:4001::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ],
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)
    assert may_be_called(address, [])


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.9.9.9",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "192.0.2.1",
        "203.0.113.7",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2002:7f00:1::",
        "2001::1",
        "2001:db8::1",
        "100::1",
        "3fff::1",
    ],
)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert not is_public(address)
    assert not may_be_called(address, [])


def test_a_network_that_is_allowed_may_be_called_by_any_of_its_forms() -> None:
    allowed = [ip_network("10.1.0.0/16"), ip_network("::1")]
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "::1"):
        assert may_be_called(address, allowed)
    for address in ("10.2.0.1", "127.0.0.1", "::2"):
        assert not may_be_called(address, allowed)


def test_the_clouds_metadata_must_be_allowed_by_itself() -> None:
    assert not may_be_called("169.254.169.254", [ip_network("0.0.0.0/0")])
    assert may_be_called("169.254.1.1", [ip_network("0.0.0.0/0")])
    assert may_be_called("169.254.169.254", [ip_network("169.254.169.254")])
