"""Offices: what goes to a proxy, what does not, which certificates count, and how it is said."""

import asyncio
import socket
import ssl
import time
from dataclasses import replace

import httpx
import pytest
import trustme
import truststore

from tests.lying import TOKEN, Liar, whole
from tests.tenant.office import AUTHORITY, PAGE, Proxy, TLSServer, tenant_behind, tenant_server, tls
from toolkit.errors import PictureAuditError, SettingsError, UnreachableError
from toolkit.images import network_settings
from toolkit.probing.gravatar import Question, asking
from toolkit.sandbox.server import Sandbox
from toolkit.tenant.client import Tenant, connect
from toolkit.tenant.credentials import Settings
from toolkit.tenant.host_transport import async_transport
from toolkit.tenant.http_transport import Limits

NAME = "tenant.eu.auth0.com"
CALM = Limits(attempts=3, patience=20.0, refusals=0.5)
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def office(no_credentials, monkeypatch, tmp_path):
    """An office whose certificates are trusted, and in which no proxy is set yet."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    AUTHORITY.cert_pem.write_to_path(tmp_path / "office.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "office.pem"))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


def tenant_at(domain=NAME, limits=CALM, **changes):
    values = {"domain": domain, "client_id": "id", "client_secret": "the-secret"} | changes
    return Tenant(Settings(_env_file=None, **values), limits=limits)


def failure(**changes):
    """Return what is said where a search fails."""
    with pytest.raises(PictureAuditError) as raised, tenant_at(**changes) as tenant:
        tenant.search("name:Bo")
    return str(raised.value)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_all_that_is_asked_of_a_tenant_goes_through_the_proxy(monkeypatch, variable, scheme):
    with tenant_behind(NAME) as (proxy, liar), monkeypatch.context() as patch:
        patch.setenv(variable, f"{scheme}{proxy.place}")
        with tenant_at() as tenant:
            assert tenant.search("name:Bo").total == 0
    assert set(proxy.requests) == {f"CONNECT {NAME}:443"}
    assert [one.partition("?")[0] for one in liar.requests] == [
        "POST /oauth/token",
        "GET /api/v2/users",
    ]


def test_a_socks_proxy_resolves_the_name_itself(monkeypatch):
    with tenant_behind(NAME) as (proxy, _):
        monkeypatch.setenv("ALL_PROXY", f"socks://{proxy.place}")
        with tenant_at() as tenant:
            assert tenant.search("name:Bo").total == 0
    assert set(proxy.requests) == {f"SOCKS {NAME}:443"}


def test_without_its_package_a_socks_proxy_says_what_to_install(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    monkeypatch.setattr(network_settings, "find_spec", lambda _: None)
    assert "--extra socks" in failure()


def test_a_socks_proxy_that_is_none_is_named(monkeypatch):
    with Proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"socks5://{proxy.place}")
        assert "(HTTPS_PROXY) does not answer as a proxy does" in failure()


@pytest.mark.parametrize("scheme", ["socks5", "http"])
def test_a_silent_proxy_is_named_soon(monkeypatch, scheme):
    quick = replace(CALM, connect=0.4, silence=0.4 if scheme == "http" else 60.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://{place}")
        begun = time.monotonic()
        told = failure(limits=quick)
    assert f"The proxy {place} (HTTPS_PROXY) takes connections, but does not answer" in told
    assert time.monotonic() - begun < 5


def test_a_proxys_password_is_asked_for_sent_and_never_shown(monkeypatch):
    wanted = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
    with tenant_behind(NAME, password="bo:p@ss-word", refusal=wanted) as (proxy, _):
        monkeypatch.setenv("HTTPS_PROXY", proxy.place)
        told = failure()
        assert f"{proxy.place} (HTTPS_PROXY) wants a name and password (HTTP 407)" in told
        monkeypatch.setenv("HTTPS_PROXY", f"http://bo:wrong-word@{proxy.place}")
        told = failure()
        assert f"{proxy.place} (HTTPS_PROXY) does not accept the name and password" in told
        assert "wrong-word" not in told
        monkeypatch.setenv("HTTPS_PROXY", f"http://bo:p%40ss-word@{proxy.place}")
        with tenant_at() as tenant:
            assert tenant.search("name:Bo").total == 0


REFUSALS = {
    "HTTP/1.1 403 Forbidden": "does not let anybody reach",
    "HTTP/1.1 502 Bad Gateway": "cannot reach tenant.eu.auth0.com now",
    "": "does not answer as a proxy does",
    "SSH-2.0-OpenSSH": "does not answer as a proxy does",
}


@pytest.mark.parametrize("line", REFUSALS)
def test_a_proxy_that_refuses_is_named_at_once_with_its_variable(monkeypatch, line):
    head = f"{line}\r\ncontent-length: 0\r\n\r\n".encode() if line else b""
    with Proxy(refusal=head) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"http://bo:pass-word@{proxy.place}")
        told = failure()
    assert f"The proxy {proxy.place} (ALL_PROXY) {REFUSALS[line]}" in told
    assert "pass-word" not in told
    assert len(proxy.requests) == 1


def test_a_proxy_that_is_not_there_is_named(monkeypatch):
    with Proxy() as proxy:
        place = proxy.place
    monkeypatch.setenv("https_proxy", place)
    assert f"The proxy {place} (https_proxy) cannot be reached" in failure()


def test_a_proxy_that_hiccups_in_the_middle_is_asked_again(monkeypatch):
    with tenant_behind(NAME) as (proxy, _):
        monkeypatch.setenv("HTTPS_PROXY", proxy.place)
        with tenant_at() as tenant:
            tenant.search("name:Bo")
            server, proxy._to = proxy._to, None
            proxy._refusal = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
            before = len(proxy.requests)
            with pytest.raises(UnreachableError, match="HTTP 503"):
                tenant.search("name:Bo")
            assert len(proxy.requests) == before + CALM.attempts
            proxy._to = server
            assert tenant.search("name:Bo").total == 0


NO_PROXY = [
    *(NAME, ".auth0.com", "auth0.com", "*.auth0.com", "*auth0.com", "*", f"a.example, {NAME}:443"),
    *(f"a.example {NAME}", f"<local>;{NAME}", f"{NAME}.", f'"{NAME}"', NAME.upper(), "auth0.com/"),
]


@pytest.mark.parametrize("listed", NO_PROXY)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_a_proxy_is_not_asked_for_a_host_of_no_proxy(monkeypatch, listed, variable):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv(variable, listed)
    assert network_settings.proxy_for(f"https://{NAME}/") is None
    others = f"other.example,[,.eu.auth0.com.example,10.0.0.0/8,{NAME}:8443,eu.auth0,.,,:"
    monkeypatch.setenv(variable, others)
    assert network_settings.proxy_for(f"https://{NAME}/").place == "127.0.0.1:9"


def test_with_no_proxy_the_proxy_sees_nothing_of_a_run(monkeypatch):
    with Proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.place)
        monkeypatch.setenv("NO_PROXY", ".invalid")
        assert "No host tenant.invalid is known here" in failure(domain="tenant.invalid")
    assert proxy.requests == []


def test_networks_in_no_proxy_are_read_as_curl_reads_them(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    monkeypatch.setenv("NO_PROXY", "nonsense/8, 10.0.0.0/8,2001:db8::/32")
    assert network_settings.proxy_for("https://10.1.2.3/") is None
    assert network_settings.proxy_for("https://[2001:db8::1]/") is None
    assert network_settings.proxy_for("https://11.1.2.3/").place == "proxy.example:80"


def test_nothing_on_this_machine_goes_to_a_proxy(monkeypatch):
    with Proxy() as proxy:
        for name in PROXIES[:3]:
            monkeypatch.setenv(name, proxy.place)
        with Sandbox([{"user_id": "auth0|1", "name": "Bo"}]) as sandbox:
            named = sandbox.environment()
            settings = Settings(
                _env_file=None,
                domain=named["AUTH0_DOMAIN"],
                client_id=named["AUTH0_CLIENT_ID"],
                client_secret=named["AUTH0_CLIENT_SECRET"],
            )
            with connect(settings) as tenant:
                assert tenant.search("name:Bo").total == 1
    assert proxy.requests == []


@pytest.mark.parametrize(
    "proxy",
    [
        "http://",
        "http://:3128",
        "ftp://proxy.example",
        "socks4://proxy.example:1",
        "http://[::1",
        "http://proxy.example:99999999",
        "http:/proxy.example:3128",
        "PROXY proxy.example:3128",
        "https=proxy.example:3128",
    ],
)
def test_what_is_no_proxy_is_told_by_its_variable(monkeypatch, proxy):
    monkeypatch.setenv("HTTPS_PROXY", f" {proxy}")
    with pytest.raises(SettingsError, match="HTTPS_PROXY is not the address of a proxy"):
        tenant_at()


@pytest.mark.parametrize("quote", ["'", '"', " "])
def test_quotation_marks_and_blanks_around_a_proxy_do_not_matter(monkeypatch, quote):
    for scheme in ("", "http://"):
        monkeypatch.setenv("HTTPS_PROXY", f"{quote}{scheme}proxy.example:3128{quote}")
        assert network_settings.proxy_for(f"https://{NAME}/").place == "proxy.example:3128"


def test_an_https_proxy_that_does_not_speak_tls_says_what_to_write(monkeypatch):
    with TLSServer(None) as server:
        monkeypatch.setenv("HTTPS_PROXY", f"https://127.0.0.1:{server.port}")
        assert "most want http://" in failure()


def test_a_page_in_place_of_a_tunnel_is_told_with_the_proxy(monkeypatch):
    page = b"HTTP/1.1 200 OK\r\n\r\n<html>Please sign in</html>"
    with Proxy(refusal=page) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.place)
        told = failure()
    assert f"Through the proxy {proxy.place} (HTTPS_PROXY), in place of {NAME}" in told


def test_tls_that_is_refused_is_not_said_to_be_none():
    context = tls("localhost")
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with TLSServer(context) as server:
        told = failure(domain=f"localhost:{server.port}")
    assert "At localhost the TLS connection cannot be made" in told


def test_the_most_special_variable_decides_and_is_named(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks4://nobody.example")
    monkeypatch.setenv("HTTPS_PROXY", "https://[2001:db8::1]")
    found = network_settings.proxy_for("https://tenant.example/")
    assert (found.name, found.place) == ("HTTPS_PROXY", "[2001:db8::1]:443")
    assert found.for_httpx().ssl_context is not None


def test_gravatar_is_asked_through_the_proxy_and_its_refusal_is_told(monkeypatch):
    with Proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.place)
        questions = [Question("0" * 32)]
        with pytest.raises(UnreachableError, match=r"does not let anybody reach gravatar\.com"):
            list(asking(questions, base_url="https://gravatar.com", patience=1.0, rate=50.0))
    assert set(proxy.requests) == {"CONNECT gravatar.com:443"}


def test_the_asynchronous_transport_knows_an_error_of_the_proxy_too(monkeypatch):
    async def ask():
        async with httpx.AsyncClient(transport=async_transport(f"https://{NAME}")) as client:
            await client.get(f"https://{NAME}/")

    with Proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.place)
    with pytest.raises(httpx.ProxyError) as raised:
        asyncio.run(ask())
    told = network_settings.connection_failure(raised.value, f"https://{NAME}")
    assert f"The proxy {proxy.place} (HTTPS_PROXY) cannot be reached" in told


# Certificates


def test_an_untrusted_certificate_is_called_by_that_name(monkeypatch):
    office = trustme.CA(organization_name="Office \x1b[31m" + "x" * 63)
    for authority, name in ((AUTHORITY, "trustme v"), (office, f"Office 31m{'x' * 48}”")):
        with TLSServer(tls("localhost", authority=authority)) as server, monkeypatch.context() as m:
            m.delenv("SSL_CERT_FILE")
            told = failure(domain=f"localhost:{server.port}")
        assert f"The certificate of localhost is signed by “{name}" in told
        assert "an authority that this computer does not trust" in told
        assert told.endswith("set SSL_CERT_FILE to that authority's certificate (PEM).")


def test_an_authority_without_a_name_is_not_named():
    assert network_settings._name_of(()) == ""
    assert network_settings._name_of([[("countryName", "NZ")]]) == ""


@pytest.mark.parametrize(
    ("names", "expired", "words"),
    [
        (["localhost"], True, "The certificate of localhost has expired"),
        (["other.example"], False, "that localhost shows is for another host"),
    ],
)
def test_expired_and_foreign_certificates_are_told_apart(names, expired, words):
    with TLSServer(tls(*names, expired=expired)) as server:
        assert words in failure(domain=f"localhost:{server.port}")


def test_what_does_not_speak_tls_is_told():
    with TLSServer(None) as server:
        told = failure(domain=f"localhost:{server.port}")
    assert "At localhost something answers, but not with TLS" in told


def test_the_certificate_of_a_tenant_behind_a_proxy_is_checked_too(monkeypatch):
    with tenant_behind("other.example") as (proxy, _):
        monkeypatch.setenv("HTTPS_PROXY", proxy.place)
        assert f"that {NAME} shows is for another host" in failure()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_that_are_not_there_are_told_by_variable_and_path(
    monkeypatch, tmp_path, variable
):
    monkeypatch.setenv(variable, "/nowhere/office.pem")
    assert f"{variable} names /nowhere/office.pem, where there is no file" in failure()
    path = tmp_path / "folder" / "empty.pem"
    path.parent.mkdir()
    monkeypatch.setenv(variable, "/" + "x" * 5000)
    assert "where there is no file" in failure()
    path.write_text("nothing")
    named = path if variable == "SSL_CERT_FILE" else path.parent
    monkeypatch.setenv(variable, str(named))
    assert f"{variable} names {named}, where no certificate can be read" in failure()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("empty", "the file is empty"),
        ("der", "openssl x509 -inform der"),
        ("key", "it is a private key"),
        ("pkcs7", "openssl pkcs7"),
    ],
)
def test_what_stands_there_in_place_of_a_certificate_is_told(
    monkeypatch, tmp_path, variable, form, words
):
    content = {
        "empty": b"\n",
        "der": ssl.PEM_cert_to_DER_cert(AUTHORITY.cert_pem.bytes().decode()),
        "key": AUTHORITY.private_key_pem.bytes(),
        "pkcs7": b"-----BEGIN PKCS7-----\n",
    }
    path = tmp_path / "folder" / "office.crt"
    path.parent.mkdir()
    path.write_bytes(content[form])
    monkeypatch.setenv(variable, str(path if variable == "SSL_CERT_FILE" else path.parent))
    told = failure()
    assert f"{variable} names" in told
    assert words in told


def test_a_folder_in_place_of_a_file_names_the_other_variable(monkeypatch, tmp_path):
    path = tmp_path / "office.pem"
    monkeypatch.setenv("SSL_CERT_DIR", str(path))
    assert "SSL_CERT_FILE is the variable for one file" in failure()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path))
    assert "SSL_CERT_DIR is the variable for folders" in failure()


def test_quotation_marks_around_a_path_do_not_matter(monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", f' "{tmp_path / "office.pem"}" ')
    with tenant_behind(NAME) as (proxy, _):
        monkeypatch.setenv("HTTPS_PROXY", proxy.place)
        with tenant_at() as tenant:
            assert tenant.search("name:Bo").total == 0


def test_a_folder_of_certificates_counts_and_the_systems_still_do(monkeypatch, tmp_path):
    folder = tmp_path / "certificates"
    folder.mkdir()
    (folder / "readme").write_text("no certificate")
    AUTHORITY.cert_pem.write_to_path(folder / "any-name.pem")
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    with tenant_behind(NAME) as (proxy, _):
        monkeypatch.setenv("HTTPS_PROXY", proxy.place)
        with tenant_at() as tenant:
            assert tenant.search("name:Bo").total == 0


def test_by_the_systems_own_verification_the_same_holds(monkeypatch):
    monkeypatch.setattr(network_settings, "_by_openssl", lambda: False)
    with tenant_behind(NAME) as (proxy, _), monkeypatch.context() as patch:
        patch.setenv("HTTPS_PROXY", proxy.place)
        with tenant_at() as tenant:
            assert tenant.search("name:Bo").total == 0
    with TLSServer(tls("other.example")) as server:
        assert "is for another host" in failure(domain=f"localhost:{server.port}")
    assert type(network_settings.trusted()) is truststore.SSLContext
    assert network_settings.trusted() is network_settings.trusted()


def test_a_broken_certificate_setting_does_not_matter_on_this_machine(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with tenant_server() as liar, tenant_at(liar.base_url) as tenant:
        assert tenant.search("name:Bo").total == 0


# What answers in the tenant's place

LOGIN = whole("<!DOCTYPE html><title>Guest network</title>").replace(
    b"application/json", b"text/html"
)
PORTALS = {
    "a page": (LOGIN, r"a web page came back instead of data \(HTTP 200, “Guest network”\)"),
    "a page without a type": (whole("\ufeff <html>"), "a web page came back"),
    "a page that is forbidden": (LOGIN.replace(b"200 OK", b"403 No"), "a web page came back"),
    "a page that is missing": (LOGIN.replace(b"200 OK", b"404 No"), "a web page came back"),
    "a redirect": (
        whole("", "location: https://portal.example/?for=x", status="302 Found"),
        "a redirect to another address",
    ),
    "a proxy's refusal": (whole("", status="407 Who"), "a proxy on the way wants a name"),
}


@pytest.mark.parametrize("what", PORTALS)
@pytest.mark.parametrize("where", ["/oauth/token", "/api/v2/users"])
def test_a_page_in_place_of_data_is_told_and_not_taken_for_the_tenants_word(what, where):
    answer, words = PORTALS[what]

    def serve(asked):
        return [answer if where in asked else TOKEN]

    limits = replace(CALM, attempts=1)
    with Liar(serve) as liar, tenant_at(liar.base_url, limits) as tenant:
        with pytest.raises(UnreachableError, match=words) as raised:
            tenant.search("name:Bo")
        assert "portal.example" not in str(raised.value)
        assert "scope" not in str(raised.value)
    assert sum(where in one for one in liar.requests) == 1


@pytest.mark.parametrize("what", PORTALS)
def test_a_page_that_comes_in_between_is_waited_out(what):
    served = []

    def serve(asked):
        served.append(asked)
        return [
            TOKEN if "token" in asked else PORTALS[what][0] if len(served) == 2 else whole(PAGE)
        ]

    with Liar(serve) as liar, tenant_at(liar.base_url) as tenant:
        assert tenant.search("name:Bo").total == 0
    assert len(served) == 3
