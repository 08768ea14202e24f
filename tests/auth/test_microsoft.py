"""Sign-in against a token service on loopback, over TLS with a certificate authority of its own."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from migrator.auth import redact
from migrator.auth.microsoft import ADVICE, MicrosoftTokens, challenge_claims, read_certificate, roles_of
from migrator.auth.secrets import SecretStore
from migrator.errors import RunError, Transient, UserError
from migrator.settings import Endpoint
from tests.servers.http_script import Request, ScriptServer, Step, answer, hang_up

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC).timestamp()
CLIENT_SECRET = "Kx8~client.secret-value"


class FakeClock:
    def __init__(self) -> None:
        self.at = NOW
        self.slept: list[float] = []

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds


def token_answer(value: str = "token-1", **more: Any) -> Step:
    return answer(
        200,
        json.dumps({"token_type": "Bearer", "expires_in": 3600, "access_token": value, **more}).encode(),
        {"Content-Type": "application/json"},
    )


def refusal(number: int, error: str = "invalid_client", status: int = 401, text: str = "no.") -> Step:
    body = {
        "error": error,
        "error_description": f"AADSTS{number}: {text}\r\nTrace ID: 1\r\nCorrelation ID: 2",
        "error_codes": [number],
        "correlation_id": "0c2a8e5c-0000-4000-8000-1234567890ab",
    }
    return answer(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


class Authority:
    """Discovery, a token endpoint and a device code endpoint; `say` is what the token endpoint answers, in order."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.say: list[Step] = [token_answer()]
        self.device: Step | None = None
        self.discovery: Step | None = None
        self.server = ScriptServer(route=self.route, tls=tls)

    def route(self, request: Request) -> Step:
        base = f"{self.server.url}/contoso.example"
        if request.path.endswith("/.well-known/openid-configuration"):
            document = {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
            }
            return self.discovery or answer(
                200, json.dumps(document).encode(), {"Content-Type": "application/json"}
            )
        if request.path.endswith("/devicecode"):
            assert self.device is not None
            return self.device
        assert request.path == "/contoso.example/oauth2/v2.0/token"
        return self.say.pop(0) if len(self.say) > 1 else self.say[0]

    @property
    def forms(self) -> list[dict[str, str]]:
        return [
            {name: values[0] for name, values in parse_qs(each.body.decode()).items()}
            for each in self.server.requests
            if each.method == "POST" and each.path.endswith("/token")
        ]


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def authority(ca: trustme.CA) -> Iterator[Authority]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    found = Authority(context)
    with found.server:
        yield found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def endpoint(authority: Authority, ca: trustme.CA, tmp_path: Path) -> Endpoint:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return Endpoint(
        name="m365",
        kind="graph",
        auth="secret",
        tenant="contoso.example",
        client_id="11111111-2222-3333-4444-555555555555",
        secret="env:APP_SECRET",
        authority=authority.server.url,
        ca_file=str(tmp_path / "ca.pem"),
    )


Open = Callable[..., MicrosoftTokens]


@pytest.fixture
def tokens(endpoint: Endpoint, clock: FakeClock, tmp_path: Path) -> Iterator[Open]:
    opened = []

    def make(
        interactive: bool = False, say: Callable[[str], None] = print, **changes: Any
    ) -> MicrosoftTokens:
        secrets = SecretStore(tmp_path, environ={"APP_SECRET": CLIENT_SECRET, "PHRASE": "pass-phrase"})
        found = MicrosoftTokens(
            replace(endpoint, **changes), secrets, clock, say=say, interactive=interactive
        )
        opened.append(found)
        return found

    yield make
    for each in opened:
        each.close()
    redact.forgotten(CLIENT_SECRET)


# ---- client secret


def test_a_token_is_fetched_once_and_kept(authority: Authority, tokens: Open) -> None:
    found = tokens()
    assert [found.token() for _ in range(3)] == ["token-1"] * 3
    [form] = authority.forms
    assert form["grant_type"] == "client_credentials"
    assert form["client_secret"] == CLIENT_SECRET
    assert form["scope"] == "https://graph.microsoft.com/.default"
    assert "CP1" in form["claims"]


def test_nothing_is_asked_before_a_token_is_wanted(authority: Authority, tokens: Open) -> None:
    tokens()
    assert authority.server.requests == []


def test_no_other_host_is_asked(authority: Authority, tokens: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    tokens().token()
    assert {each.headers["host"].split(":")[0] for each in authority.server.requests} == {"localhost"}


def test_it_is_renewed_before_its_end(authority: Authority, tokens: Open, clock: FakeClock) -> None:
    authority.say = [token_answer("token-1"), token_answer("token-2")]
    found = tokens()
    found.token()
    clock.at += 3600 - 301
    assert found.token() == "token-1"
    clock.at += 2
    assert found.token() == "token-2"


def test_a_short_life_is_used_for_four_fifths(authority: Authority, tokens: Open, clock: FakeClock) -> None:
    authority.say = [token_answer("token-1", expires_in=100), token_answer("token-2")]
    found = tokens()
    found.token()
    clock.at += 79
    assert found.token() == "token-1"
    clock.at += 2
    assert found.token() == "token-2"


def test_the_old_token_serves_while_the_service_is_down(
    authority: Authority, tokens: Open, clock: FakeClock
) -> None:
    authority.say = [token_answer("token-1"), answer(503), answer(503), token_answer("token-2")]
    found = tokens()
    found.token()
    clock.at += 3400
    assert found.token() == "token-1"
    clock.at += 300
    with pytest.raises(Transient):
        found.token()
    assert found.token() == "token-2"


def test_many_threads_share_one_token(authority: Authority, tokens: Open) -> None:
    found = tokens()
    start = threading.Barrier(8)

    def take() -> str:
        start.wait()
        return found.token()

    with ThreadPoolExecutor(8) as pool:
        values = [each.result() for each in [pool.submit(take) for _ in range(8)]]
    assert values == ["token-1"] * 8
    assert len(authority.forms) == 1


def test_a_refused_token_is_renewed_once_for_all(authority: Authority, tokens: Open) -> None:
    authority.say = [token_answer("token-1"), token_answer("token-2"), token_answer("token-3")]
    found = tokens()
    stale = found.token()
    assert found.renew(stale) == "token-2"
    assert found.renew(stale) == "token-2"  # another thread, with the same refusal
    assert len(authority.forms) == 2


def test_a_claims_challenge_goes_along(authority: Authority, tokens: Open) -> None:
    authority.say = [token_answer("token-1"), token_answer("token-2")]
    found = tokens()
    claims = '{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}'
    assert found.renew(found.token(), claims) == "token-2"
    sent = json.loads(authority.forms[1]["claims"])
    assert sent["access_token"]["nbf"] == {"essential": True, "value": "1604106651"}


# ---- certificates


def key_and_certificate(ends: datetime) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "migrator")])
    return key, (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(ends - timedelta(days=365))
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )


@pytest.fixture(scope="module")
def pair() -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    return key_and_certificate(datetime(2027, 6, 1, tzinfo=UTC))


def pem_of(key: rsa.RSAPrivateKey, phrase: bytes | None = None) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(phrase) if phrase else serialization.NoEncryption(),
    )


def assertion_is_good(form: dict[str, str], certificate: x509.Certificate, audience: str) -> None:
    head, claims, signature = form["client_assertion"].split(".")

    def part(text: str) -> Any:
        return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))

    assert part(claims)["aud"] == audience
    assert part(head)["alg"] == "PS256"
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(
        base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)),
        f"{head}.{claims}".encode(),
        padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH),
        hashes.SHA256(),
    )


@pytest.mark.parametrize("shape", ["pem", "encrypted pem", "pfx", "encrypted pfx"])
def test_a_certificate_signs_in(
    authority: Authority,
    tokens: Open,
    pair: tuple[rsa.RSAPrivateKey, x509.Certificate],
    tmp_path: Path,
    shape: str,
) -> None:
    key, certificate = pair
    phrase = b"pass-phrase" if "encrypted" in shape else None
    public = certificate.public_bytes(serialization.Encoding.PEM)
    if "pem" in shape:
        path = tmp_path / "app.pem"
        path.write_bytes(public + pem_of(key, phrase))
    else:
        path = tmp_path / "app.pfx"
        encryption: Any = (
            serialization.BestAvailableEncryption(phrase) if phrase else serialization.NoEncryption()
        )
        path.write_bytes(pkcs12.serialize_key_and_certificates(b"m", key, certificate, None, encryption))
    found = tokens(auth="certificate", certificate=f"file:{path.name}", secret="env:PHRASE" if phrase else "")
    assert found.token() == "token-1"
    assertion_is_good(
        authority.forms[0], certificate, f"{authority.server.url}/contoso.example/oauth2/v2.0/token"
    )


def test_a_certificate_that_is_over_is_told_before_anything_is_sent(
    authority: Authority, tokens: Open, tmp_path: Path
) -> None:
    key, certificate = key_and_certificate(datetime(2026, 11, 1, tzinfo=UTC))
    (tmp_path / "app.pem").write_bytes(pem_of(key) + certificate.public_bytes(serialization.Encoding.PEM))
    with pytest.raises(UserError) as caught:
        tokens(auth="certificate", certificate="file:app.pem", secret="").token()
    assert caught.value.code == "certificate_expired"
    assert "2026-11-01" in str(caught.value)
    assert authority.forms == []


def test_files_that_are_no_certificate(pair: tuple[rsa.RSAPrivateKey, x509.Certificate]) -> None:
    key, certificate = pair
    other = rsa.generate_private_key(65537, 2048)
    public = certificate.public_bytes(serialization.Encoding.PEM).decode()
    locked = pem_of(key, b"right").decode()
    for text, phrase, hint in (
        ("nonsense", "", "cannot be read"),
        (public, "", "cannot be read"),
        (pem_of(key).decode(), "", "no certificate"),
        (pem_of(other).decode() + public, "", "no certificate"),
        (locked + public, "", "passphrase"),
        (locked + public, "wrong", "passphrase"),
        ("-----BEGIN PKCS12-----\nAAAA\n-----END PKCS12-----\n", "", "cannot be read"),
    ):
        with pytest.raises(UserError) as caught:
            read_certificate(text, phrase, what="endpoint m365: file:x.pem")
        assert hint in str(caught.value)
        assert "file:x.pem" in str(caught.value)
        assert "BEGIN" not in str(caught.value)


# ---- device code


DEVICE = {
    "user_code": "ABC-DEF",
    "device_code": "very-long-device-code-1234567890",
    "verification_uri": "https://microsoft.com/devicelogin",
    "expires_in": 900,
    "interval": 5,
    "message": "To sign in, open https://microsoft.com/devicelogin and enter ABC-DEF.\x1b[31m",
}


def pending(error: str = "authorization_pending") -> Step:
    return refusal(70016, error, 400)


@pytest.mark.filterwarnings("ignore:Attempted too soon")  # msal looks at the wall clock, ours is a test's
def test_a_person_signs_in_by_device_code(authority: Authority, tokens: Open, clock: FakeClock) -> None:
    authority.device = answer(200, json.dumps(DEVICE).encode(), {"Content-Type": "application/json"})
    authority.say = [pending(), pending("slow_down"), pending(), token_answer("for-a-person")]
    said: list[str] = []
    found = tokens(interactive=True, say=said.append, auth="device", secret="")
    assert found.token() == "for-a-person"
    assert clock.slept == [5, 10, 10]
    assert len(said) == 1
    assert "ABC-DEF" in said[0]
    assert "\x1b" not in said[0]


@pytest.mark.filterwarnings("ignore:Attempted too soon")
def test_a_code_that_nobody_enters_runs_out(authority: Authority, tokens: Open, clock: FakeClock) -> None:
    authority.device = answer(
        200, json.dumps({**DEVICE, "expires_in": 12}).encode(), {"Content-Type": "application/json"}
    )
    authority.say = [pending()]
    with pytest.raises(UserError) as caught:
        tokens(interactive=True, say=lambda text: None, auth="device", secret="").token()
    assert caught.value.code == "device_code_expired"
    assert clock.slept == [5, 5, 5]


def test_nobody_is_asked_where_nobody_is(authority: Authority, tokens: Open) -> None:
    with pytest.raises(UserError) as caught:
        tokens(auth="device", secret="").token()
    assert caught.value.code == "sign_in_needs_person"
    assert [each for each in authority.server.requests if each.method == "POST"] == []


# ---- errors


@pytest.mark.parametrize("number", sorted(ADVICE))
def test_every_number_has_advice(number: int) -> None:
    advice = ADVICE[number]
    assert advice.code
    assert advice.text
    assert advice.remedy.endswith((".", "y", "s"))


@pytest.mark.parametrize(
    ("number", "code", "hint"),
    [
        (7000222, "secret_expired", "new client secret"),
        (7000215, "secret_wrong", "not its id"),
        (700027, "certificate_refused", "clock"),
        (700016, "app_unknown", "client_id"),
        (65001, "consent_missing", "admin consent"),
        (90002, "tenant_unknown", "tenant"),
        (53003, "policy_blocks", "Conditional Access"),
        (900382, "wrong_cloud", "cloud"),
        (999999, "sign_in_refused", "AADSTS"),
    ],
)
def test_a_refused_sign_in_is_explained(
    authority: Authority, tokens: Open, number: int, code: str, hint: str
) -> None:
    authority.say = [refusal(number)]
    with pytest.raises(UserError) as caught:
        tokens().token()
    error = caught.value
    assert error.code == code
    assert hint in f"{error} {error.remedy}"
    assert f"AADSTS{number}" in str(error)
    assert "endpoint m365" in str(error)
    assert "0c2a8e5c-0000-4000-8000-1234567890ab" in str(error)
    assert CLIENT_SECRET not in f"{error} {error.remedy} {error!r}"


def test_a_sign_in_that_worked_and_does_no_longer_stops_the_run(authority: Authority, tokens: Open) -> None:
    authority.say = [token_answer("token-1"), refusal(7000222)]
    found = tokens()
    with pytest.raises(RunError) as caught:
        found.renew(found.token())
    assert caught.value.code == "secret_expired"


def test_a_server_that_repeats_the_secret_does_not_spread_it(authority: Authority, tokens: Open) -> None:
    authority.say = [refusal(999999, text=f"wrong secret '{CLIENT_SECRET}' \x1b[2J")]
    with pytest.raises(UserError) as caught:
        tokens().token()
    assert CLIENT_SECRET not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "step",
    [
        refusal(90033, "temporarily_unavailable", 503),
        refusal(90033, "invalid_request", 400),
        answer(503),
        answer(500, b"<html>"),
        answer(200, b"<html>sign in to the wifi"),
        hang_up,
    ],
    ids=["503 90033", "400 90033", "503 empty", "500 html", "200 html", "hang up"],
)
def test_passing_trouble(authority: Authority, tokens: Open, step: Step) -> None:
    authority.say = [step, token_answer("token-9")]
    found = tokens()
    with pytest.raises(Transient):
        found.token()
    assert found.token() == "token-9"  # nothing is replayed from a cache


def test_the_wait_that_the_service_asks_for(authority: Authority, tokens: Open) -> None:
    authority.say = [answer(429, b"{}", {"Retry-After": "17"})]
    with pytest.raises(Transient) as caught:
        tokens().token()
    assert caught.value.retry_after_s == 17


def test_an_unknown_tenant(authority: Authority, tokens: Open) -> None:
    authority.discovery = refusal(90002, "invalid_tenant", 400, "Tenant 'contoso.exmple' not found.")
    with pytest.raises(UserError) as caught:
        tokens().token()
    assert caught.value.code == "tenant_unknown"


def test_a_service_that_is_not_there(endpoint: Endpoint, tokens: Open) -> None:
    with pytest.raises(Transient) as caught:
        tokens(authority="https://127.0.0.1:9").token()
    assert caught.value.code == "sign_in_unreachable"


def test_an_untrusted_certificate_is_not_accepted(authority: Authority, tokens: Open) -> None:
    with pytest.raises(UserError) as caught:
        tokens(ca_file="").token()
    assert caught.value.code == "tls"
    assert authority.server.requests == []


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"tenant": ""}, "tenant"),
        ({"tenant": "common"}, "common"),
        ({"tenant": "a/../b"}, "tenant"),
        ({"client_id": ""}, "client_id"),
        ({"secret": ""}, "secret"),
        ({"auth": "certificate"}, "certificate"),
        ({"auth": "magic"}, "magic"),
        ({"authority": "http://127.0.0.1:1"}, "https"),
    ],
)
def test_settings_that_cannot_work_are_told_at_once(tokens: Open, changes: dict[str, Any], hint: str) -> None:
    with pytest.raises(UserError) as caught:
        tokens(**changes)
    assert hint in " ".join(caught.value.problems)


def test_a_ca_file_that_is_none(tokens: Open, tmp_path: Path) -> None:
    (tmp_path / "not.pem").write_text("hello")
    with pytest.raises(UserError) as caught:
        tokens(ca_file=str(tmp_path / "not.pem")).token()
    assert caught.value.code == "ca_file"


# ---- reading tokens and challenges


def test_claims_are_read_out_of_a_challenge() -> None:
    claims = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'
    packed = base64.b64encode(claims.encode()).decode()
    header = (
        f'Bearer realm="", authorization_uri="https://x/y", error="insufficient_claims", claims="{packed}"'
    )
    assert challenge_claims(header) == claims
    assert challenge_claims(header.replace("insufficient_claims", "invalid_token")) == ""
    assert challenge_claims('Bearer error="insufficient_claims", claims="%%%"') == ""
    assert challenge_claims('Bearer error="insufficient_claims"') == ""
    assert challenge_claims("") == ""


def test_roles_that_a_token_shows() -> None:
    def token(claims: Any) -> str:
        return "h." + base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=") + ".s"

    assert roles_of(token({"roles": ["A.All", "B"]})) == {"A.All", "B"}
    assert roles_of(token({"scp": "A B"})) == {"A", "B"}
    assert roles_of(token({})) == frozenset()
    for odd in ("opaque", "a.b.c", token([1]), ""):
        assert roles_of(odd) is None
