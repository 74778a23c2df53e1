"""Hosts and ports as people and files write them."""

import pytest

from toolkit.classification.sources import Source, classify
from toolkit.errors import SettingsError
from toolkit.images.address import (
    Address,
    Outcome,
    Refusal,
    askable,
    is_loopback,
    parsed,
    port_of,
    split,
)
from toolkit.tenant.credentials import Settings

PORTS = {
    "443": 443,
    "0000443": 443,
    "0" * 1_000_000 + "443": 443,
    "0": 0,
    "000": 0,
    "65535": 65535,
    "65536": None,
    "9" * 1_000_000: None,
    "": None,
    "+443": None,
    "-1": None,
    " 443": None,
    "443 ": None,
    "4_4_3": None,
    "４４３": None,  # noqa: RUF001 - digits to int()
    "٤٤٣": None,
    "²": None,
    "0x1bb": None,
    "443\n": None,
    "4.43": None,
    "1e3": None,
}


@pytest.mark.parametrize("text", PORTS, ids=lambda text: text[:9])
def test_a_port_is_read_as_browsers_read_it(text):
    assert port_of(text) == PORTS[text]


@pytest.mark.parametrize("text", PORTS, ids=lambda text: text[:9])
def test_every_reader_of_addresses_reads_ports_alike(text):
    """Where browsers drop blanks and line breaks, they are dropped before."""
    url = f"https://images.example.com:{text}/a.png"
    port = PORTS[text]
    if text in {"", "443\n"}:
        port = 443
    found = parsed(url)
    if port:
        assert isinstance(found, Address)
        assert (found.port, found.default_port) == (port, port == 443)
    else:
        assert isinstance(found, Refusal)
    assert (classify(url).source is Source.INVALID) == (port is None)


def test_leading_zeros_of_a_port_lead_nowhere_else():
    assert parsed("https://a.example.com:0000443/x").url == "https://a.example.com/x"
    assert parsed("https://a.example.com:00008443/x").url == "https://a.example.com:8443/x"
    refused = askable("https://a.example.com:000044/x")
    assert isinstance(refused, Refusal)
    assert refused.outcome is Outcome.REFUSED


@pytest.mark.parametrize("scheme", ["httpſ", "ｈttps", "https\u200b", "HTTPſ"])  # noqa: RUF001 - the point
def test_a_scheme_in_other_letters_is_none(scheme):
    assert isinstance(parsed(f"{scheme}://a.example.com/x"), Refusal)


@pytest.mark.parametrize(
    ("authority", "parts"),
    [
        ("a.example", ("a.example", None)),
        ("a.example:80", ("a.example", 80)),
        ("127.0.0.1:00080", ("127.0.0.1", 80)),
        ("[::1]", ("::1", None)),
        ("[::1]:80", ("::1", 80)),
        ("[::1%lo]:80", None),
        ("[a.example]", None),
        ("[::1", None),
        ("[::1]80", None),
        ("[]:80", None),
        ("::1", None),
        (":80", None),
        ("", None),
        ("a.example:", None),
        ("a.example:+80", None),
        ("a.example:80:80", None),
    ],
)
def test_host_and_port_are_told_apart(authority, parts):
    assert split(authority) == parts


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("127.255.0.9", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("::1%lo", False),
        ("10.0.0.1", False),
        ("127.1", False),
        ("１２７.0.0.1", False),  # noqa: RUF001 - read as 127.0.0.1 by browsers, not here
        ("localhost.example", False),
        ("", False),
        (None, False),
    ],
)
def test_this_machine_is_known(host, own):
    assert is_loopback(host) is own


@pytest.mark.parametrize(
    ("domain", "base_url"),
    [
        ("t.example", "https://t.example"),
        ("t.example:443", "https://t.example"),
        ("t.example:0000443", "https://t.example"),
        ("t.example:8443", "https://t.example:8443"),
        ("127.0.0.1:8443", "https://127.0.0.1:8443"),
        ("http://127.0.0.1:000080", "http://127.0.0.1"),
        ("http://127.0.0.1:5000/", "http://127.0.0.1:5000"),
        ("HTTP://localhost:5000", "http://localhost:5000"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        ("[::1]:443", "https://[::1]"),
        ("t.example:", "https://t.example"),
        ("t.example:443/", "https://t.example"),
        (" t.example", "https://t.example"),
        ("t.example\n", "https://t.example"),
        ("https://t.example", "https://t.example"),
        ("http://127.0.0.1:80/a", "http://127.0.0.1"),
    ],
)
def test_a_tenant_has_one_address_however_it_is_written(domain, base_url):
    assert Settings(_env_file=None, domain=domain).base_url == base_url


@pytest.mark.parametrize(
    "domain",
    [
        "t.example:0",
        "t.example:65536",
        "t.example:+443",
        "t.example:４４３",  # noqa: RUF001 - digits to int()
        "t.example: 443",
        "http://t.example",
        "http://[::1%lo]:80",
        "http://127.0.0.1:0",
        "http://127.0.0.1:80:80",
        "http://127.0.0.1:80@evil.example",
    ],
)
def test_what_is_no_tenants_address_is_refused(domain):
    with pytest.raises(SettingsError, match=r"must be a host name|contains an @"):
        _ = Settings(_env_file=None, domain=domain).base_url
