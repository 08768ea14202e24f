"""Sign-in: what the token endpoint answers, and Microsoft's own msal against the lab over TLS."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msal
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from migrator.lab.m365.tokens import device_flows
from migrator.lab.server import Lab
from migrator.lab.world import App, ClientSecret, Tenant, TenantUser, World
from tests.lab.m365_world import APP, NOON, SECRET, TENANT, Answer, Cloud

SCOPE = "https://graph.microsoft.com/.default"


def _form(cloud: Cloud, path: str, **fields: str) -> Answer:
    return cloud.post(
        f"/{path}",
        urlencode(fields).encode(),
        service="token",
        headers={"Content-Type": "application/x-www-form-urlencoded", "client-request-id": "me-1"},
    )


def _ask(cloud: Cloud, tenant: str = TENANT, **fields: str) -> Answer:
    whole = {"grant_type": "client_credentials", "client_id": APP, "client_secret": SECRET, "scope": SCOPE}
    return _form(cloud, f"{tenant}/oauth2/v2.0/token", **(whole | fields))


@pytest.fixture
def cloud() -> Cloud:
    return Cloud(strict=False)


def test_secret_gives_a_token_that_graph_takes(cloud: Cloud) -> None:
    answer = _ask(cloud)
    assert (
        answer.status == 200 and answer.json["token_type"] == "Bearer" and answer.json["expires_in"] == 3600
    )
    cloud.token = answer.json["access_token"]
    assert cloud.get("/v1.0/users/alice@target.example/settings/exchange").status == 200
    claims = json.loads(base64.urlsafe_b64decode(cloud.token.split(".")[1] + "=="))
    assert claims["tid"] == TENANT and "MailboxItem.ImportExport.All" in claims["roles"]


def test_errors_have_the_shape_of_the_service(cloud: Cloud) -> None:
    answer = _ask(cloud, client_secret="wrong")
    body = answer.json
    assert answer.status == 401
    assert body["error"] == "invalid_client" and body["error_codes"] == [7000215]
    assert body["error_description"].startswith("AADSTS7000215: ")
    assert body["correlation_id"] == "me-1" and body["trace_id"] and body["timestamp"]
    assert "wrong" not in answer.body.decode()


@pytest.mark.parametrize(
    ("fields", "error", "code", "status"),
    [
        ({"client_id": "00000000-0000-0000-0000-000000000009"}, "unauthorized_client", 700016, 400),
        ({"client_secret": ""}, "invalid_client", 7000218, 401),
        ({"scope": "https://graph.microsoft.com/Mail.ReadWrite"}, "invalid_scope", 1002012, 400),
        ({"scope": "https://nowhere.example/.default"}, "invalid_resource", 500011, 400),
        ({"grant_type": "password"}, "unsupported_grant_type", 70003, 400),
        ({"grant_type": ""}, "invalid_request", 900144, 400),
    ],
)
def test_refusals(cloud: Cloud, fields: dict[str, str], error: str, code: int, status: int) -> None:
    answer = _ask(cloud, **fields)
    assert (answer.json["error"], answer.json["error_codes"], answer.status) == (error, [code], status)


def test_unknown_tenant_disabled_app_and_expired_secret(cloud: Cloud) -> None:
    assert _ask(cloud, "nowhere.example").json["error_codes"] == [90002]
    cloud.app.secrets.append(ClientSecret("old", expires=NOON - 1))
    assert _ask(cloud, client_secret="old").json["error_codes"] == [7000222]
    cloud.app.enabled = False
    assert _ask(cloud).json["error_codes"] == [7000112]


def test_a_tenant_is_known_by_domain_too(cloud: Cloud) -> None:
    assert _ask(cloud, "target.example").status == 200


def test_tokens_end(cloud: Cloud) -> None:
    cloud.token = _ask(cloud).json["access_token"]
    cloud.world.clock.advance(3601)
    answer = cloud.get("/v1.0/users/alice@target.example")
    assert answer.status == 401 and answer.code == "InvalidAuthenticationToken"
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_device_code_waits_for_a_person(cloud: Cloud) -> None:
    cloud.world.knobs = cloud.world.knobs.swap({"device_code_polls": 0})
    cloud.app.scopes = {"Mail.ReadWrite"}
    start = _form(
        cloud, f"{TENANT}/oauth2/v2.0/devicecode", client_id=APP, scope="Mail.ReadWrite offline_access"
    ).json
    grant = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "client_id": APP,
        "device_code": start["device_code"],
    }
    waiting = _form(cloud, f"{TENANT}/oauth2/v2.0/token", **grant).json
    assert waiting["error"] == "authorization_pending" and waiting["error_codes"] == [70016]
    device_flows(cloud.world).confirm(start["user_code"], "alice@target.example")
    done = _form(cloud, f"{TENANT}/oauth2/v2.0/token", **grant).json
    cloud.token = done["access_token"]
    assert cloud.get("/v1.0/me/mailFolders/inbox").status == 200
    assert cloud.get("/v1.0/users/bob@target.example/mailFolders/inbox").status == 403, "own mailbox only"
    again = _form(
        cloud,
        f"{TENANT}/oauth2/v2.0/token",
        grant_type="refresh_token",
        client_id=APP,
        refresh_token=done["refresh_token"],
    ).json
    assert again["access_token"] != done["access_token"]


def test_device_code_ends_declined_expired_or_without_consent(cloud: Cloud) -> None:
    cloud.world.knobs = cloud.world.knobs.swap({"device_code_polls": 0})
    path = f"{TENANT}/oauth2/v2.0"

    def flow() -> tuple[dict[str, Any], dict[str, str]]:
        start = _form(cloud, f"{path}/devicecode", client_id=APP, scope="Mail.ReadWrite").json
        return start, {"grant_type": "device_code", "client_id": APP, "device_code": start["device_code"]}

    start, grant = flow()
    device_flows(cloud.world).decline(start["user_code"])
    assert _form(cloud, f"{path}/token", **grant).json["error"] == "authorization_declined"
    start, grant = flow()
    device_flows(cloud.world).confirm(start["user_code"], "alice@target.example")
    assert _form(cloud, f"{path}/token", **grant).json["error_codes"] == [65001]
    start, grant = flow()
    cloud.world.clock.advance(901)
    assert _form(cloud, f"{path}/token", **grant).json["error_codes"] == [70019]
    cloud.app.public_client = False
    refused = _form(cloud, f"{path}/devicecode", client_id=APP, scope="Mail.ReadWrite")
    assert refused.json["error_codes"] == [7000218]


# -- stock msal, over TLS


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _certificate(key: rsa.RSAPrivateKey, days: int = 10) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mover")])
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - dt.timedelta(days=20))
        .not_valid_after(now + dt.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )


def _pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _public(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def lab(key: rsa.RSAPrivateKey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    world = World()
    tenant = world.add_tenant(Tenant(TENANT, "target.example", "Target"))
    tenant.apps[APP] = App(
        APP,
        "mover",
        [ClientSecret(SECRET)],
        [_public(_certificate(key))],
        roles={"User.Read.All"},
        scopes={"Mail.ReadWrite"},
        public_client=True,
    )
    tenant.users["alice@target.example"] = TenantUser("alice@target.example", "pw", "alice@target.example")
    world.m365.create_mailbox("alice@target.example", tenant=TENANT)
    with Lab(world, halves=("m365",), tls=True, folder=tmp_path_factory.mktemp("ca")) as running:
        yield running


@pytest.fixture
def http(lab: Lab) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.verify = str(lab.ca_file)
        session.trust_env = False
        yield session


def _client(lab: Lab, http: requests.Session, credential: Any) -> msal.ConfidentialClientApplication:
    return msal.ConfidentialClientApplication(
        APP,
        authority=f"{lab.urls.login}/{TENANT}",
        client_credential=credential,
        instance_discovery=False,
        http_client=http,
    )


def _accepted(lab: Lab, http: requests.Session, token: str) -> int:
    url = f"{lab.urls.graph}/v1.0/users/alice@target.example"
    return http.get(url, headers={"Authorization": f"Bearer {token}"}).status_code


def test_msal_signs_in_with_a_secret(lab: Lab, http: requests.Session) -> None:
    found = _client(lab, http, SECRET).acquire_token_for_client([SCOPE])
    assert _accepted(lab, http, found["access_token"]) == 200
    refused = _client(lab, http, "nonsense").acquire_token_for_client([SCOPE])
    assert refused["error_codes"] == [7000215]


def test_msal_signs_in_with_a_certificate(lab: Lab, http: requests.Session, key: rsa.RSAPrivateKey) -> None:
    certificate = _certificate(key)
    lab.do(lambda world: world.tenants[TENANT].apps[APP].certificates.append(_public(certificate)))
    sha1 = certificate.fingerprint(hashes.SHA1()).hex()
    found = _client(lab, http, {"private_key": _pem(key), "thumbprint": sha1}).acquire_token_for_client(
        [SCOPE]
    )
    assert _accepted(lab, http, found["access_token"]) == 200
    with_public = {"private_key": _pem(key), "public_certificate": _public(certificate).decode()}
    found = _client(lab, http, with_public).acquire_token_for_client([SCOPE])
    assert _accepted(lab, http, found["access_token"]) == 200


def test_a_foreign_or_expired_certificate_is_refused(
    lab: Lab, http: requests.Session, key: rsa.RSAPrivateKey
) -> None:
    known = _certificate(key)
    lab.do(lambda world: world.tenants[TENANT].apps[APP].certificates.append(_public(known)))
    sha1 = known.fingerprint(hashes.SHA1()).hex()
    other = rsa.generate_private_key(65537, 2048)
    forged = _client(lab, http, {"private_key": _pem(other), "thumbprint": sha1})
    assert forged.acquire_token_for_client([SCOPE])["error_codes"] == [700027]
    stranger = _certificate(other).fingerprint(hashes.SHA1()).hex()
    unknown = _client(lab, http, {"private_key": _pem(other), "thumbprint": stranger})
    assert unknown.acquire_token_for_client([SCOPE])["error_codes"] == [700027]
    old = _certificate(key, days=-1)
    lab.do(lambda world: world.tenants[TENANT].apps[APP].certificates.append(_public(old)))
    expired = {"private_key": _pem(key), "thumbprint": old.fingerprint(hashes.SHA1()).hex()}
    assert _client(lab, http, expired).acquire_token_for_client([SCOPE])["error_codes"] == [700027]


def test_msal_signs_a_person_in_by_device_code(lab: Lab, http: requests.Session) -> None:
    client = msal.PublicClientApplication(
        APP, authority=f"{lab.urls.login}/{TENANT}", instance_discovery=False, http_client=http
    )
    flow = client.initiate_device_flow(["Mail.ReadWrite"])
    assert flow["user_code"] in flow["message"]
    lab.do(lambda world: device_flows(world).confirm(flow["user_code"], "alice@target.example"))
    found = client.acquire_token_by_device_flow(flow)
    inbox = http.get(
        f"{lab.urls.graph}/v1.0/me/mailFolders/inbox",
        headers={"Authorization": f"Bearer {found['access_token']}"},
    )
    assert inbox.json()["displayName"] == "Inbox"
    account = client.get_accounts()[0]
    assert account["username"] == "alice@target.example"
    renewed = client.acquire_token_silent(["Mail.ReadWrite"], account=account, force_refresh=True)
    assert renewed["access_token"] != found["access_token"]


def test_msal_discovers_the_instance(lab: Lab, http: requests.Session) -> None:
    """Without switching instance discovery off: its address is then the lab's."""
    client = msal.ConfidentialClientApplication(
        APP,
        authority=f"{lab.urls.login}/{TENANT}",
        client_credential=SECRET,
        instance_discovery=f"{lab.urls.login}/common/discovery/instance",
        http_client=http,
    )
    assert "access_token" in client.acquire_token_for_client([SCOPE])
    with pytest.raises(ValueError, match="nowhere"):
        msal.ConfidentialClientApplication(
            APP,
            authority=f"{lab.urls.login}/nowhere.example",
            client_credential=SECRET,
            instance_discovery=False,
            http_client=http,
        )


def test_certificate_file_of_the_lab_is_what_verifies(lab: Lab, http: requests.Session) -> None:
    assert lab.ca_file is not None and Path(lab.ca_file).exists()
    http.verify = True
    with pytest.raises(requests.exceptions.SSLError):
        http.get(f"{lab.urls.login}/{TENANT}/v2.0/.well-known/openid-configuration")
