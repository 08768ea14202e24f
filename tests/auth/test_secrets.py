from __future__ import annotations

import base64
import logging
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.auth import redact
from migrator.auth.secrets import PKCS12_HEAD, Secret, SecretStore
from migrator.errors import UserError


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    before = set(redact._known)
    yield
    for value in set(redact._known) - before:
        redact.forgotten(value)


def test_environment(tmp_path: Path) -> None:
    store = SecretStore(environ={"PW": "s3cret-value"})
    assert store.reveal("env:PW", what="line 3, source password") == "s3cret-value"


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ("env:NOPE", "secret_missing"),
        ("env:EMPTY", "secret_missing"),
        ("file:nope.txt", "secret_missing"),
        ("", "secret_missing"),
        ("env:", "secret_reference"),
        ("keyring:only-service", "secret_reference"),
        ("vault:x", "secret_reference"),
    ],
)
def test_what_is_missing_is_named_with_its_place(tmp_path: Path, reference: str, code: str) -> None:
    store = SecretStore(tmp_path, environ={"EMPTY": ""})
    with pytest.raises(UserError) as caught:
        store.reveal(reference, what="line 7, target secret")
    assert caught.value.code == code
    assert "line 7, target secret" in str(caught.value)


def test_a_password_in_the_place_of_a_reference_is_not_repeated() -> None:
    with pytest.raises(UserError) as caught:
        SecretStore(environ={}).reveal("hunter2:Tr0ub4dor", what="endpoint old")
    shown = f"{caught.value} {caught.value.remedy} {caught.value!r}"
    assert "hunter2" not in shown
    assert "Tr0ub4dor" not in shown


def test_a_file_gives_its_first_line_from_the_project_folder(tmp_path: Path) -> None:
    (tmp_path / "pw.txt").write_bytes(b"\xef\xbb\xbffirst line  \r\nsecond\n")
    assert SecretStore(tmp_path).reveal("file:pw.txt", what="x") == "first line  "


def test_a_pem_is_given_whole(tmp_path: Path) -> None:
    pem = "# for the app\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    (tmp_path / "key.pem").write_text(pem)
    assert SecretStore(tmp_path).reveal("file:key.pem", what="x") == pem


def test_a_pfx_is_wrapped(tmp_path: Path) -> None:
    (tmp_path / "key.PFX").write_bytes(bytes(range(256)))
    text = SecretStore(tmp_path).reveal("file:key.PFX", what="x")
    assert text.startswith(PKCS12_HEAD)
    assert base64.b64decode("".join(text.splitlines()[1:-1])) == bytes(range(256))


def test_a_binary_or_empty_or_huge_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "b").write_bytes(b"\nsecond\n")
    (tmp_path / "c").write_bytes(b"x" * ((1 << 20) + 1))
    for name in "abc":
        with pytest.raises(UserError):
            SecretStore(tmp_path).reveal(f"file:{name}", what="x")


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_a_file_that_others_can_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "pw.txt"
    path.write_text("secret-value")
    path.chmod(0o644)
    told: list[str] = []
    store = SecretStore(tmp_path, warn=told.append)
    store.reveal("file:pw.txt", what="endpoint old, password")
    store.reveal("file:pw.txt", what="endpoint old, password")
    assert len(told) == 1
    assert "file:pw.txt" in told[0]
    path.chmod(0o600)
    told.clear()
    SecretStore(tmp_path, warn=told.append).reveal("file:pw.txt", what="x")
    assert told == []


def test_a_secret_is_looked_up_once(tmp_path: Path) -> None:
    path = tmp_path / "pw.txt"
    path.write_text("first")
    store = SecretStore(tmp_path)
    assert store.reveal("file:pw.txt", what="x") == "first"
    path.unlink()
    assert store.reveal("file:pw.txt", what="x") == "first"


def test_the_secret_store_of_the_system() -> None:
    import keyring
    import keyring.backend
    import keyring.errors

    class Fake(keyring.backend.KeyringBackend):
        priority = -1.0

        def set_password(self, service: str, username: str, password: str) -> None:
            raise NotImplementedError

        def get_password(self, service: str, username: str) -> str | None:
            if username == "locked":
                raise keyring.errors.KeyringLocked("no")
            return "from-the-ring" if (service, username) == ("migrator", "a/b") else None

    old = keyring.get_keyring()
    keyring.set_keyring(Fake())
    try:
        store = SecretStore()
        assert store.reveal("keyring:migrator/a/b", what="x") == "from-the-ring"
        for name, code in (("nobody", "secret_missing"), ("locked", "secret_store")):
            with pytest.raises(UserError) as caught:
                store.reveal(f"keyring:migrator/{name}", what="endpoint old")
            assert caught.value.code == code
            assert f"keyring:migrator/{name}" in str(caught.value)
    finally:
        keyring.set_keyring(old)


def test_a_machine_without_secret_store() -> None:
    import keyring
    import keyring.backends.fail

    old = keyring.get_keyring()
    keyring.set_keyring(keyring.backends.fail.Keyring())
    try:
        with pytest.raises(UserError) as caught:
            SecretStore().reveal("keyring:a/b", what="x")
        assert "env:NAME" in caught.value.remedy
    finally:
        keyring.set_keyring(old)


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("very-secret")
    assert "very-secret" not in f"{secret!r} {secret} {secret:>20} {[secret]}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


# ---- redaction

TOKEN = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwcyJ9.c2lnbmF0dXJlLWhlcmU"
IMPORT_URL = (
    "https://outlook.office365.com/api/gv1.0/Mailboxes('MBX:a@b')/importItem?authtoken=" + TOKEN + "&x=1"
)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"POST {IMPORT_URL} HTTP/1.1", TOKEN),
        ("importItem?authtoken=short", "short"),
        (f"Authorization: Bearer {TOKEN}", TOKEN),
        ("{'Authorization': 'Basic dXNlcjpwYXNz', 'Accept': '*/*'}", "dXNlcjpwYXNz"),
        ("('Authorization', 'Bearer opaque.token-1')", "opaque.token-1"),
        ('-H "Authorization: NTLM TlRMTVNTUAABAAAA"', "TlRMTVNTUAABAAAA"),
        ("authorization=Bearer opaque.token-1", "opaque.token-1"),
        ("Proxy-Authorization: Basic cHJveHk6cHc=", "cHJveHk6cHc"),
        ('{"access_token":"abc\\"def","token_type":"Bearer"}', "def"),
        ("grant_type=password&client_secret=a~b.c%2F&scope=x", "a~b.c%2F"),
        ("password=Tr0ub4dor&next=1", "Tr0ub4dor"),
        ('{"password": "Tr0ub4dor"}', "Tr0ub4dor"),
        ("https://admin:pa55word@proxy.example:8080/", "pa55word"),
        ("Set-Cookie: session=abcdef; path=/", "abcdef"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----", "MIIEow"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEow", "MIIEow"),
        ("client_assertion=" + TOKEN, TOKEN),
        ('{"device_code":"GAQABAAEAAAD"}', "GAQABAAEAAAD"),
    ],
)
def test_shapes_of_secrets_are_taken_out(text: str, secret: str) -> None:
    shown = redact.redact(text)
    assert secret not in shown
    assert redact.MASK in shown
    assert redact.redact(shown) == shown


def test_the_rest_of_the_text_stays() -> None:
    assert redact.redact("authtoken=abc&folder=7 and 12 items") == "authtoken=***&folder=7 and 12 items"
    plain = "pass=delta alice@contoso.com: no authorization, 3 of 40 000 items, HTTP 429 ApplicationThrottled, Message-ID <a@b>"
    assert redact.redact(plain) == plain


def test_known_values_are_taken_out_in_every_form() -> None:
    redact.known("p/ss wörd+1")
    try:
        for form in ("p/ss wörd+1", "p%2Fss%20w%C3%B6rd%2B1", "p%2Fss+w%C3%B6rd%2B1"):
            assert redact.redact(f"sent {form}!") == "sent ***!"
    finally:
        redact.forgotten("p/ss wörd+1")
    assert redact.redact("sent p/ss wörd+1!") == "sent p/ss wörd+1!"


def test_what_is_revealed_is_known() -> None:
    SecretStore(environ={"PW": "grandfather-clock"}).reveal("env:PW", what="x")
    assert "grandfather" not in redact.redact("the server said: grandfather-clock is wrong")


def test_log_records_are_redacted_with_arguments_and_traceback(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("migrator.test.redact")
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Keep()
    handler.addFilter(redact.RedactingFilter())
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        logger.debug("POST %s", IMPORT_URL)
        logger.debug("wrong %d format", "password=Tr0ub4dor")
        try:
            raise ValueError(f"Bearer {TOKEN}")
        except ValueError:
            logger.exception("failed: %(header)s", {"header": f"Authorization: Bearer {TOKEN}"})
    finally:
        logger.removeHandler(handler)
    text = "\n".join(lines)
    assert len(lines) == 3
    assert TOKEN not in text
    assert "Tr0ub4dor" not in text
    assert "ValueError" in text
