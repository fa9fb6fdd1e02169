"""Which IP addresses a step may call: public ones, and those of networks that the settings allow. Pure functions.

Sources: IANA's IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190), RFC 6052 (NAT64), RFC 4291.
The table is our own because ``ipaddress.is_global`` differs between versions of Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from tasks.setting_forms import Network

_NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# Of IPv6 only this is given out as public; loopback, link-local, unique local, multicast, … lie outside of it.
_GLOBAL_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # Teredo, ORCHID, benchmarks
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
# Where clouds tell a machine its credentials. A network that is allowed does not include them; only itself does.
_METADATA = frozenset(
    ip_address(text)
    for text in ("169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "168.63.129.16",
                 "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254")
)  # fmt: skip


def is_public(text: str) -> bool:
    """Whether an address is a public one. Raises ValueError for a text that is no address."""
    address = _meant(text)
    if address in _METADATA:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _GLOBAL_6 and not any(address in network for network in _NOT_PUBLIC_6)


def may_be_called(text: str, allowed: Sequence[Network]) -> bool:
    """Whether an address is public or of an allowed network. Raises ValueError for a text that is no address."""
    if is_public(text):
        return True
    address = _meant(text)
    if address in _METADATA:
        return any(network.num_addresses == 1 and address in network for network in allowed)
    return any(address in network for network in allowed)


def _meant(text: str) -> IPv4Address | IPv6Address:
    """The address that packets go to in the end: an IPv4 one inside an IPv6 one is taken out."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
