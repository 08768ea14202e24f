"""Delivery, at the wire: what arrives is what was previewed; what fails says why, and never where."""

from __future__ import annotations

import email
import email.policy
import json
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from migrator.notify import post as post_module
from migrator.notify.post import NotDelivered, Post
from migrator.notify.shapes import CARD_MOST, prepare
from migrator.plan.telling import Receiver
from tests.notify.kit import Known, desk, hook, message
from tests.servers.http_script import ScriptServer, Step, answer, break_off, hang_up, ok, raw_answer
from tests.servers.smtp_server import SmtpServer

SECRET = "/hooks/T0000/s3cr3t-path"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Any) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def send(receiver: Receiver, waits: list[float] | None = None, words: Any = None, **secrets: str) -> None:
    pauses = waits if waits is not None else []
    mailman = Post(receiver, Known(**secrets), sleep=pauses.append)
    try:
        mailman.send(prepare(words or message(), receiver))
    finally:
        mailman.close()


def refused(work: Callable[[], None]) -> NotDelivered:
    with pytest.raises(NotDelivered) as caught:
        work()
    assert "s3cr3t" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


# --- webhooks


@pytest.mark.parametrize("kind", ["json", "slack", "teams"])
def test_a_webhook_gets_what_was_previewed(kind: str) -> None:
    with ScriptServer([answer(202)]) as server:
        receiver = hook(kind)
        send(receiver, HOOK=server.url + SECRET + "\n")
        (asked,) = server.requests
    assert (asked.method, asked.path) == ("POST", SECRET)
    assert asked.body == prepare(message(), receiver).body
    assert asked.headers["content-type"] == "application/json"
    assert "authorization" not in asked.headers
    found = json.loads(asked.body)
    text = json.dumps(found)
    assert "it is done" in text
    assert "a line" in text
    assert "Copied" in text


def test_shapes() -> None:
    found = json.loads(prepare(message(), hook("teams")).body)
    card = found["attachments"][0]["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    # A TextBlock or FactSet would read Markdown in what others wrote.
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    assert {run["type"] for block in card["body"] for run in block["inlines"]} == {"TextRun"}
    found = json.loads(prepare(message("<!channel> & <https://x|y>"), hook("slack")).body)
    assert found["text"] == "Acme: &lt;!channel&gt; &amp; &lt;https://x|y&gt;"
    assert {block["type"] for block in found["blocks"]} == {"header", "section", "context"}
    assert all(block["text"]["type"] == "plain_text" for block in found["blocks"][:2])
    found = json.loads(prepare(message(), hook("json")).body)
    assert found == {
        "version": 1,
        "topic": "finished",
        "level": "good",
        "project": "Acme",
        "title": "it is done",
        "lines": ["a line"],
        "facts": {"Copied": "3"},
        "at": "2026-09-21T14:13:20+00:00",
    }


def test_a_card_stays_within_what_teams_takes() -> None:
    wide = message(lines=["😀" * 300] * 25)
    body = prepare(wide, hook("teams")).body
    assert len(body) <= CARD_MOST
    assert "more lines" in body.decode()


def test_a_token_is_sent_as_bearer() -> None:
    with ScriptServer([ok()]) as server:
        send(hook(token="env:TOKEN"), HOOK=server.url, TOKEN="hunter2-token")
        assert server.requests[0].headers["authorization"] == "Bearer hunter2-token"


@pytest.mark.parametrize(
    ("steps", "tries", "waits"),
    [
        ([answer(500), answer(503), ok()], 3, [2.0, 4.0]),
        ([answer(429, headers={"Retry-After": "7"}), ok()], 2, [7.0]),
        ([answer(429, headers={"Retry-After": "99999"}), ok()], 2, [30.0]),
        ([hang_up, break_off, ok()], 3, [2.0, 4.0]),
        ([raw_answer(b"no answer at all\r\n\r\n", close=True), ok()], 2, [2.0]),
    ],
)
def test_passing_trouble_is_tried_again(steps: list[Step], tries: int, waits: list[float]) -> None:
    waited: list[float] = []
    with ScriptServer(steps) as server:
        send(hook(), waited, HOOK=server.url + SECRET)
        assert len(server.requests) == tries
    assert waited == waits


@pytest.mark.parametrize(
    ("step", "tries", "words"),
    [
        (answer(500), 4, "HTTP 500"),
        (answer(400, b"s3cr3t echoed"), 1, "HTTP 400"),
        (answer(401), 1, "HTTP 401"),
        (answer(404), 1, "HTTP 404"),
        (answer(302, headers={"Location": "https://elsewhere.example/"}), 1, "redirects"),
        (hang_up, 4, "cannot be reached"),
    ],
)
def test_what_cannot_be_delivered_says_why(step: Step, tries: int, words: str) -> None:
    waited: list[float] = []
    with ScriptServer([step]) as server:
        error = refused(lambda: send(hook(), waited, HOOK=server.url + SECRET))
        assert len(server.requests) == tries
    assert words in str(error)
    assert str(server.port) not in str(error)


def test_an_answer_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post_module, "TIMEOUT_S", 0.1)
    with ScriptServer([lambda wire, request: None]) as server:
        error = refused(lambda: send(hook(), [], HOOK=server.url + SECRET))
    assert str(error) == "no answer in time"


def test_an_endless_answer_is_not_read() -> None:
    with ScriptServer([raw_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx")]) as server:
        send(hook(), HOOK=server.url)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://hooks.example/s3cr3t", "must begin with https://"),
        ("ftp://hooks.example/s3cr3t", "must begin with https://"),
        ("s3cr3t", "must begin with https://"),
        ("https://[s3cr3t", "no web address"),
        ("https:///s3cr3t", "must begin with https://"),
        ("file:///etc/passwd?s3cr3t", "must begin with https://"),
    ],
)
def test_addresses_that_are_refused(address: str, words: str) -> None:
    assert words in str(refused(lambda: send(hook(), HOOK=address)))


def test_a_secret_that_is_not_there() -> None:
    assert "url: env:HOOK is not set" in str(refused(lambda: send(hook())))


def test_tls_is_verified(tls: ssl.SSLContext, ca_file: str) -> None:
    with ScriptServer([ok()], tls=tls) as server:
        error = refused(lambda: send(hook(), [], HOOK=server.url + SECRET))
        assert "certificate is not trusted" in str(error)
        assert server.requests == []
        send(hook(ca_file=ca_file), HOOK=server.url + SECRET)
        assert len(server.requests) == 1
        error = refused(
            lambda: send(hook(ca_file=ca_file), [], HOOK=server.url.replace("localhost", "127.0.0.1"))
        )
        assert "certificate is not trusted" in str(error), "another name than the certificate's"


def test_passwords_of_netrc_are_not_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hunter2\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with ScriptServer([ok()]) as server:
        send(hook(), HOOK=server.url)
        assert "authorization" not in server.requests[0].headers


# --- mail


def test_a_mail_is_what_was_previewed() -> None:
    receiver_words = message("fünf Postfächer sind fertig", lines=[".a dot first", "=cmd"])
    with SmtpServer() as server:
        receiver = desk(server.port)
        send(receiver, words=receiver_words)
        (mail,) = server.mails
    assert (mail.sender, mail.to) == ("robot@example.com", ["desk@example.com", "boss@example.com"])
    assert mail.data == prepare(receiver_words, receiver).body
    found = email.message_from_bytes(mail.data, policy=email.policy.default)
    assert found["Subject"] == "[Acme] fünf Postfächer sind fertig"
    assert found["To"] == "desk@example.com, boss@example.com"
    assert found["Auto-Submitted"] == "auto-generated"
    assert found["Message-ID"].endswith("@example.com>")
    assert found.get_content().replace("\r\n", "\n").splitlines()[2:4] == [".a dot first", "=cmd"]


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_by_tls_with_a_password(security: str, tls: ssl.SSLContext, ca_file: str) -> None:
    with SmtpServer(tls=tls, starttls=security == "starttls", users={"robot": "hunter2"}) as server:
        receiver = desk(server.port, security=security, username="robot", secret="env:PW", ca_file=ca_file)
        send(receiver, PW="hunter2")
        assert (server.mails[0].encrypted, server.mails[0].user) == (True, "robot")
        error = refused(lambda: send(receiver, [], PW="hunter2-wrong"))
        assert str(error).startswith("sign-in was refused (535 5.7.8 no such user \\x1b[31m")
        assert server.connections == 2, "a password that is refused is not tried again"
        error = refused(lambda: send(desk(server.port, security=security), []))
        assert "certificate is not trusted" in str(error)
    assert len(server.mails) == 1


def test_without_starttls_nothing_is_sent() -> None:
    with SmtpServer(users={"robot": "hunter2"}) as server:
        receiver = desk(server.port, security="starttls", username="robot", secret="env:PW")
        assert "STARTTLS" in str(refused(lambda: send(receiver, [], PW="hunter2")))
        assert "AUTH" not in server.verbs
        assert server.mails == []


@pytest.mark.parametrize(
    ("answers", "connections", "words"),
    [
        ({"MAIL": ["451 later"]}, 2, ""),
        ({".": ["452 no room"] * 2}, 3, ""),
        ({"CONNECT": ["421 busy"]}, 2, ""),
        ({"RCPT": ["450 greylisted", "450 greylisted"]}, 2, ""),
        ({".": ["554 no spam here"]}, 1, "refused (554 no spam here)"),
        ({"RCPT": ["550 who?", "550 who?"]}, 1, "all receivers were refused (550 who?)"),
        ({"RCPT": ["550 who?"]}, 1, "delivered, but not to desk@example.com"),
    ],
)
def test_what_a_mail_server_says(answers: dict[str, list[str]], connections: int, words: str) -> None:
    with SmtpServer(answers=answers) as server:
        if words:
            assert words in str(refused(lambda: send(desk(server.port), [])))
        else:
            send(desk(server.port), [])
            assert len(server.mails) == 1
        assert server.connections == connections


def test_a_mail_server_that_is_not_there() -> None:
    with SmtpServer() as server:
        port = server.port
    waited: list[float] = []
    assert "cannot be reached" in str(refused(lambda: send(desk(port), waited)))
    assert waited == [2.0, 4.0, 8.0]


# --- apprise


def test_apprise_delivers_to_a_service_of_its_own() -> None:
    pytest.importorskip("apprise", reason="extra `notify` is not installed")
    receiver = hook("apprise")
    with ScriptServer([ok()]) as server:
        send(receiver, HOOK=f"json://127.0.0.1:{server.port}{SECRET}")
        (asked,) = server.requests
    assert asked.path.startswith(SECRET)
    assert json.loads(asked.body)["title"] == "Acme: it is done"
    assert json.loads(asked.body)["message"] == prepare(message(), receiver).body.decode()
    with ScriptServer([answer(403)]) as server:
        assert "apprise could not" in str(
            refused(lambda: send(receiver, [], HOOK=f"json://127.0.0.1:{server.port}{SECRET}"))
        )
    assert "none that apprise knows" in str(refused(lambda: send(receiver, HOOK="s3cr3t")))


def test_without_apprise(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "apprise", None)
    assert "migrator[notify]" in str(refused(lambda: send(hook("apprise"), HOOK="json://localhost")))
