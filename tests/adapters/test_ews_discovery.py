"""Autodiscover: the address of EWS from a mailbox' domain, and who may be given a password on the way."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from migrator.adapters.ews import discovery
from migrator.adapters.ews.client import EwsClient
from migrator.adapters.ews.faults import Seat
from migrator.adapters.ews.signin import Basic
from migrator.errors import JobError, UserError
from migrator.model import Mailbox
from tests.adapters.ews_lab import Wallet, context, endpoint
from tests.servers.http_script import Request, ScriptServer, Step, answer, ok

NS = "http://schemas.microsoft.com/exchange/2010/Autodiscover"


def settings(url: str, code: str = "NoError") -> Step:
    body = (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:a="http://www.w3.org/2005/08/addressing">'
        f'<s:Header><h:ServerVersionInfo xmlns:h="{NS}"><h:MajorVersion>15</h:MajorVersion><h:MinorVersion>1</h:MinorVersion>'
        "<h:MajorBuildNumber>2507</h:MajorBuildNumber><h:MinorBuildNumber>6</h:MinorBuildNumber>"
        "<h:Version>Exchange2016</h:Version></h:ServerVersionInfo></s:Header>"
        f'<s:Body><GetUserSettingsResponseMessage xmlns="{NS}"><Response xmlns:i="http://www.w3.org/2001/XMLSchema-instance">'
        f"<ErrorCode>NoError</ErrorCode><ErrorMessage/><UserResponses><UserResponse><ErrorCode>{code}</ErrorCode>"
        "<ErrorMessage>said</ErrorMessage><RedirectTarget i:nil='true'/><UserSettingErrors/><UserSettings>"
        '<UserSetting i:type="StringSetting"><Name>ExternalEwsUrl</Name>'
        f"<Value>{url}</Value></UserSetting></UserSettings></UserResponse></UserResponses></Response>"
        "</GetUserSettingsResponseMessage></s:Body></s:Envelope>"
    )
    return ok(body.encode(), {"Content-Type": "text/xml; charset=utf-8"})


@pytest.fixture
def domain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[ScriptServer, str, str]]]:
    """Serves https://localhost:port as a mail domain; returns (server, domain, ca file)."""
    from exchangelib.autodiscover import discovery as upstream

    from migrator.adapters.ews import patches

    # the name server is not asked for loopback
    monkeypatch.setattr(upstream.Autodiscovery, "_ensure_valid_hostname", lambda self, url: None)
    monkeypatch.setattr(upstream.Autodiscovery, "_get_srv_records", lambda self, hostname: [])
    patches._remembered.clear()
    upstream.autodiscover_cache._protocols.clear()
    authority = trustme.CA()
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    servers: list[ScriptServer] = []

    def start(route: Callable[[Request], Step]) -> tuple[ScriptServer, str, str]:
        def guarded(request: Request) -> Step:
            # the way to sign in is asked for without credentials first
            if "authorization" not in request.headers:
                return answer(401, b"", {"WWW-Authenticate": 'Basic realm="mail"'})
            return route(request)

        server = ScriptServer(route=guarded, tls=tls).__enter__()
        servers.append(server)
        return server, f"localhost:{server.port}", str(ca)

    yield start
    for server in servers:
        server.__exit__()


def find(domain: str, ca: str, sign_in: Basic | None = None) -> str:
    seat = Seat("old", f"ada@{domain}", f"ada@{domain}")
    return discovery.discover(
        f"ada@{domain}", sign_in or Basic(f"ada@{domain}", lambda: "pw"), seat, ca_file=ca
    )


def test_the_address_comes_from_the_domain_itself(domain) -> None:
    server, name, ca = domain(lambda request: settings("https://mail.example/EWS/Exchange.asmx"))
    assert find(name, ca) == "https://mail.example/EWS/Exchange.asmx"
    asked = server.requests[-1]
    assert asked.path.lower() == "/autodiscover/autodiscover.svc"
    assert base64.b64decode(asked.headers["authorization"].split()[1]).decode() == f"ada@{name}:pw"


def test_an_address_without_tls_is_refused(domain) -> None:
    _, name, ca = domain(lambda request: settings("http://mail.example/EWS/Exchange.asmx"))
    with pytest.raises(UserError) as info:
        find(name, ca)
    assert info.value.code == "no_url"


def test_a_refused_password_is_not_carried_from_step_to_step(domain) -> None:
    server, name, ca = domain(lambda request: answer(401, b"", {"WWW-Authenticate": 'Basic realm="mail"'}))
    sign_in = Basic(f"ada@{name}", lambda: "wrong")
    for _ in range(2):
        with pytest.raises(UserError) as info:
            find(name, ca, sign_in)
        assert info.value.code == "wrong_password"
        with pytest.raises(UserError):
            sign_in.check()
        break
    assert sum("authorization" in request.headers for request in server.requests) == 1


def test_an_unknown_user_is_told_as_such(domain) -> None:
    _, name, ca = domain(lambda request: settings("", "InvalidUser"))
    with pytest.raises(JobError) as info:
        find(name, ca)
    assert info.value.code == "no_mailbox"


def test_a_domain_without_exchange(domain, monkeypatch: pytest.MonkeyPatch) -> None:
    _, name, ca = domain(lambda request: ok(b"<html>our shop</html>", {"Content-Type": "text/html"}))
    from exchangelib.autodiscover import discovery as upstream

    monkeypatch.setattr(upstream.Autodiscovery, "_step_2", lambda self, hostname: self._step_6())
    with pytest.raises((UserError, JobError)) as info:
        find(name, ca)
    assert info.value.remedy


@pytest.mark.parametrize(
    ("host", "trusted"),
    [
        ("old.example", True),
        ("mail.OLD.example", True),
        ("hoster.example", True),
        ("evilold.example", False),
        ("old.example.evil.test", False),
        ("", False),
    ],
)
def test_who_may_be_given_a_password(host: str, trusted: bool) -> None:
    assert discovery.trusted_host(host, "old.example", ("hoster.example",)) is trusted


def test_an_unauthenticated_hint_to_a_stranger_is_not_followed(
    domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, name, ca = domain(lambda request: answer(404))
    from exchangelib.autodiscover import discovery as upstream

    def hinted(self, hostname: str):  # type: ignore[no-untyped-def]
        assert not self._redirect_url_is_valid("https://evil.test/autodiscover/autodiscover.svc")
        return self._step_6()

    monkeypatch.setattr(upstream.Autodiscovery, "_step_2", hinted)
    with pytest.raises(UserError) as info:
        find(name, ca)
    assert info.value.code == "autodiscover_host"
    assert "evil.test" in str(info.value)
    assert "autodiscover_hosts" in info.value.remedy


def test_a_client_without_url_asks_once_per_domain(domain) -> None:
    """The address found is used, and remembered for the domain's other mailboxes."""
    from tests.adapters.test_ews_wire import INBOX, PAGE, response, xml

    def route(request: Request) -> Step:
        if "autodiscover" in request.path.lower():
            return settings(f"https://localhost:{port[0]}/EWS/Exchange.asmx")
        return xml(response("SyncFolderItems", PAGE))

    port = [0]
    server, name, ca = domain(route)
    port[0] = server.port
    client = EwsClient(
        endpoint("", ca_file=ca, username=f"svc@{name}"), context(Wallet({"env:SERVICE": "pw"}))
    )
    for user in ("ada", "bob"):
        assert client.source(Mailbox("old", f"{user}@{name}")).page(INBOX, None).last
    paths = [r.path.lower() for r in server.requests if "authorization" in r.headers]
    assert paths.count("/autodiscover/autodiscover.svc") == 1
    assert paths.count("/ews/exchange.asmx") == 2
    client.close()
