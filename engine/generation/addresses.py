"""URLs of servers, and which of them may be asked."""

import re
from ipaddress import IPv6Address, ip_address

from seal.engine.errors import InputError, UsageError
from seal.engine.visible import visible

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:/[!\"$-~]*)?(?:#.*)?",  # no space, no question of what is escaped; behind # any model's name
    re.DOTALL,
)


def check_url(url: str, *, allow_remote: bool, has_key: bool) -> str:
    """The URL, if it is one of a server that may be asked.

    Args:
        url: of an API's root, `#MODEL` behind it or not.
        allow_remote: whether it may stand on another machine.
        has_key: whether an API key would be sent.

    Raises:
        InputError: it is no URL of a server.
        UsageError: it stands on another machine, which was not allowed, or would get the key over plain http.
    """
    found = _URL.fullmatch(url)
    if found is None or not 0 < int(found["port"] or 1) < 1 << 16:
        raise InputError(
            f"{visible(url)} is no URL of a server; e.g. http://127.0.0.1:8000/v1 (ASCII only, without a "
            "user name)"
        )
    host = found["host"].strip("[]")
    if is_loopback(host):
        return url
    if not allow_remote:
        raise UsageError(
            f"{visible(url)} stands on another machine ({host}), which the texts would go to; to allow that "
            "of seal label and seal rewrite: --allow-remote (in the settings allow-remote = true)"
        )
    if has_key and found["scheme"] == "http":
        raise UsageError(
            f"{visible(url)} would get the API key over plain http, for all between to read; give a URL of "
            "https, a tunnel that begins on 127.0.0.1, or no key"
        )
    return url


def is_loopback(host: str) -> bool:
    """Whether a host is this machine for certain: `localhost`, 127.0.0.0/8 or ::1, in its usual spelling."""
    if host.lower() == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback
