import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.images.address import Address, Outcome, Refusal, askable, ip_refusal, located, parsed

SANDBOX = "http://127.0.0.1:54321"


def names(*ips):
    """Resolve every name to these IP addresses."""
    return lambda host, port: ips


def placed(url, *ips, **rules):
    address = askable(url, **rules)
    assert isinstance(address, Address), address
    return located(address, resolve=names(*ips), seconds=5, exception=rules.get("exception"))


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/a.png",
        "https://127.1/a.png",
        "https://127.0.1/a.png",
        "https://2130706433/a.png",
        "https://0177.0.0.1/a.png",
        "https://0177.0.0.0x1/a.png",
        "https://0x7f.1/a.png",
        "https://0x7f000001/a.png",
        "https://017700000001/a.png",
        "https://127.0.0.1./a.png",
        "https://%31%32%37.0.0.1/a.png",
        "https://１２７.0.0.1/a.png",  # noqa: RUF001 - the trick itself
        "https://127。0。0。1/a.png",
        "https://①②⑦.⓪.⓪.①/a.png",
        "https://0/a.png",
        "https://0.0.0.0/a.png",
        "https://10.0.0.1/a.png",
        "https://172.16.0.1/a.png",
        "https://172.31.255.255/a.png",
        "https://192.168.1.1/a.png",
        "https://100.64.0.1/a.png",
        "https://169.254.169.254/latest/meta-data/",
        "https://2852039166/latest/meta-data/",
        "https://0xa9fea9fe/latest/meta-data/",
        "https://168.63.129.16/a.png",
        "https://198.18.0.1/a.png",
        "https://192.0.2.1/a.png",
        "https://224.0.0.1/a.png",
        "https://240.0.0.1/a.png",
        "https://255.255.255.255/a.png",
        "https://[::1]/a.png",
        "https://[0:0:0:0:0:0:0:1]/a.png",
        "https://[::]/a.png",
        "https://[fd00:ec2::254]/latest/meta-data/",
        "https://[fe80::1]/a.png",
        "https://[fec0::1]/a.png",
        "https://[ff02::1]/a.png",
        "https://[::ffff:127.0.0.1]/a.png",
        "https://[::ffff:7f00:1]/a.png",
        "https://[::ffff:8.8.8.8]/a.png",
        "https://[::127.0.0.1]/a.png",
        "https://[2002:7f00:1::]/a.png",
        "https://[2002:a9fe:a9fe::1]/a.png",
        "https://[2001:0:7f00:1::]/a.png",
        "https://[64:ff9b::127.0.0.1]/a.png",
        "https://[64:ff9b::a9fe:a9fe]/a.png",
        "https://[64:ff9b:1::808:808]/a.png",
        "https://[2001:db8::1]/a.png",
        "https://[5f00::1]/a.png",
        "https://localhost/a.png",
        "https://LOCALHOST/a.png",
        "https://localhost./a.png",
        "https://local\u00adhost/a.png",
        "https://ｌｏｃａｌｈｏｓｔ/a.png",  # noqa: RUF001 - the trick itself
        "https://a.localhost/a.png",
        "https://printer.local/a.png",
        "https://metadata.google.internal/a.png",
        "https://intranet/a.png",
        "https://router.lan/a.png",
        "https://good.example.com@127.0.0.1/a.png",
        "https://good.example.com@evil.example.com/a.png",
        "https://@evil.example.com/a.png",
        "https://user:secret@example.com/a.png",
        "https://good.example.com%40x@127.0.0.1/a.png",
        r"https:\\127.0.0.1\a.png",
        r"https://127.0.0.1\@good.example.com/a.png",
        "https://example.com:8443/a.png",
        "https://example.com:22/a.png",
        "https://example.com:80/a.png",
        "\t https://127.0.0.1\n/a.png ",
    ],
)
def test_an_address_that_may_not_lead_to_the_public_internet_is_refused(url):
    answer = askable(url)
    assert isinstance(answer, Refusal)
    assert answer.outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.png",
        "//example.com/a.png",
        "ftp://example.com/a.png",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "https:/example.com/a.png",
        "https:///example.com/a.png",
        "https://",
        "https://?x",
        "https://a b.example.com/",
        "https://a%00b.example.com/",
        "https://a%2fb.example.com/",
        "https://a%22b.example.com/",
        "https://a'b.example.com/",
        "https://a`b.example.com/",
        "https://a${b}.example.com/",
        "https://a<b.example.com/",
        "https://a*b.example.com/",
        "https://example..com/",
        "https://.example.com/",
        "https://example.com:99999/",
        "https://example.com:0/",
        "https://example.com:8a/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://[::1]x/",
        "https://1.2.3.4.5/",
        "https://256.1.1.1/",
        "https://1.2.3.09/",
        "https://4294967296/",
        "https://0x1ffffffff/",
        "https://example.0x/",
        "https://example.1/",
        f"https://{'a' * 64}.example.com/",
        f"https://{'a.' * 130}com/",
    ],
)
def test_what_no_browser_would_load_is_no_url(url):
    answer = askable(url)
    assert isinstance(answer, Refusal)
    assert answer.outcome is Outcome.NOT_URL


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://Example.COM", "https://example.com/"),
        ("https://example.com./a.png", "https://example.com/a.png"),
        ("HTTPS://example.com:443/a.png", "https://example.com/a.png"),
        (r"https:\\example.com\a\b.png", "https://example.com/a/b.png"),
        (r"https://example.com\@127.0.0.1/a.png", "https://example.com/@127.0.0.1/a.png"),
        ("https://exam\nple.com/a\t.png", "https://example.com/a.png"),
        ("https://bücher.example.com/ü.png", "https://xn--bcher-kva.example.com/%C3%BC.png"),
        ("https://134744072/a.png", "https://8.8.8.8/a.png"),
        ("https://[2606:4700:0:0::1111]/a.png", "https://[2606:4700::1111]/a.png"),
        ("https://example.com/a/../b/./c.png", "https://example.com/b/c.png"),
        ("https://example.com/a/%2E%2e/b.png", "https://example.com/b.png"),
        ("https://example.com/../..", "https://example.com/"),
        ("https://example.com/a b.png", "https://example.com/a%20b.png"),
        ("https://example.com/%41%zz.png", "https://example.com/%41%zz.png"),
        ("https://example.com?x=1", "https://example.com/?x=1"),
        ("https://example.com/a.png?", "https://example.com/a.png?"),
        ("https://example.com/a.png#b", "https://example.com/a.png"),
        (
            "https://example.com/'\"`${x}</script>\u2028.png",
            "https://example.com/%27%22%60$%7Bx%7D%3C/script%3E%E2%80%A8.png",
        ),
    ],
)
def test_an_address_has_one_spelling_that_browsers_agree_with(url, canonical):
    address = askable(url)
    assert isinstance(address, Address)
    assert address.url == canonical
    again = parsed(canonical)
    assert isinstance(again, Address)
    assert again.url == canonical


TRICKS = st.sampled_from(list("\"'`<>{}$\\^|[]@:/?#%.0xa1 \t\n\u2028\u00ad。１\ud800"))  # noqa: RUF001 - tricks


@given(st.text(TRICKS | st.characters(), max_size=60), st.text(TRICKS, max_size=40))
def test_whatever_is_typed_is_refused_or_spelled_in_harmless_ascii(host, path):
    for text in (host, f"https://{host}", f"https://{host}.example.com/{path}"):
        answer = askable(text)
        if isinstance(answer, Address):
            assert answer.url.isascii()
            assert not set(answer.url) & set("\"'`<>{}\\^| \r\n\t")
            assert parsed(answer.url) is not None
            assert parsed(answer.url).url == answer.url


def test_http_is_asked_only_when_told():
    refused = askable("http://example.com/a.png")
    assert isinstance(refused, Refusal)
    assert refused.outcome is Outcome.INSECURE
    assert isinstance(askable("http://example.com/a.png", insecure=True), Address)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        (f"{SANDBOX}/avatars/ab.png", True),
        ("http://127.1:54321/avatars/ab.png", True),
        ("http://127.0.0.1:54322/avatars/ab.png", False),
        ("http://127.0.0.2:54321/avatars/ab.png", False),
        ("https://127.0.0.1:54321/avatars/ab.png", False),
        ("http://localhost:54321/avatars/ab.png", False),
        ("http://127.0.0.1/avatars/ab.png", False),
        ("http://x@127.0.0.1:54321/avatars/ab.png", False),
    ],
)
def test_the_one_exception_is_exactly_its_scheme_host_and_port(url, allowed):
    assert isinstance(askable(url, exception=SANDBOX), Address) is allowed


def test_an_exception_that_is_not_loopback_excepts_nothing():
    intranet = "http://10.0.0.1:8080"
    refused = placed(f"{intranet}/a.png", exception=intranet)
    assert isinstance(refused, Refusal)


@pytest.mark.parametrize(
    "ips",
    [
        ["169.254.169.254"],
        ["127.0.0.1"],
        ["::1"],
        ["fd00:ec2::254"],
        ["::ffff:169.254.169.254"],
        ["64:ff9b::a9fe:a9fe"],
        ["fe80::1%eth0"],
        ["1.1.1.1", "10.0.0.1"],
        ["2606:4700::1111", "::1"],
    ],
)
def test_a_name_is_refused_if_any_of_its_addresses_is(ips):
    answer = placed("https://rebound.example.com/a.png", *ips)
    assert isinstance(answer, Refusal)
    assert answer.outcome is Outcome.REFUSED


@pytest.mark.parametrize("ip", ["1.1.1.1", "2606:4700::1111", "64:ff9b::808:808"])
def test_a_name_of_public_addresses_may_be_asked(ip):
    (found,) = placed("https://example.com/a.png", ip)
    assert str(found) == ip


def test_a_number_is_not_looked_up():
    def resolve(host, port):
        raise AssertionError(host)

    address = askable("https://1.1.1.1/a.png")
    (found,) = located(address, resolve=resolve, seconds=5)
    assert str(found) == "1.1.1.1"
    assert ip_refusal(found) is None


def test_a_name_that_nobody_knows_is_unreachable():
    def resolve(host, port):
        raise socket.gaierror

    answer = located(askable("https://example.com/a.png"), resolve=resolve, seconds=5)
    assert answer.outcome is Outcome.UNREACHABLE
    assert placed("https://example.com/a.png").outcome is Outcome.UNREACHABLE


def test_nobody_waits_for_a_resolver_that_hangs(request):
    hung = threading.Event()
    request.addfinalizer(hung.set)

    def resolve(host, port):
        hung.wait()
        return ["1.1.1.1"]

    answer = located(askable("https://example.com/a.png"), resolve=resolve, seconds=0.05)
    assert answer.outcome is Outcome.TOO_SLOW


def test_neither_refusals_nor_repr_repeat_what_may_name_a_person():
    url = "https://example.com/alice-secret?token=alice-secret#alice-secret"
    assert "alice" not in repr(askable(url))
    assert "alice" not in repr(askable(url.replace("https", "http")))
