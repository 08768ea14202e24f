"""The sign-in service: discovery, tokens for applications (secret, certificate) and for people (device code, refresh).

Facts (learn.microsoft.com/entra/identity-platform, v2.0 endpoints):
- an application's token carries its roles, a person's token its scopes (scp); app-only requests ask for `<resource>/.default`
- a certificate signs a JWT (client_assertion) whose audience is the token endpoint, issuer and subject the client id
- errors are OAuth's words with AADSTS numbers; a wrong client is 401, everything else 400
- people confirm a device code in a browser; until then polls answer authorization_pending (AADSTS70016)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from migrator.lab.faults import Action
from migrator.lab.http import Request, Response
from migrator.lab.m365.errors import SignInError
from migrator.lab.world import App, Call, ClientSecret, Tenant, TenantUser, Token, World

GRAPH_ID = "00000003-0000-0000-c000-000000000000"
RESOURCES = {
    "https://graph.microsoft.com": "https://graph.microsoft.com",
    GRAPH_ID: "https://graph.microsoft.com",
    "https://outlook.office365.com": "https://outlook.office365.com",
    "https://outlook.office.com": "https://outlook.office365.com",
}
DEVICE_CODE_S = 900
REFRESH_S = 90 * 86_400
_KEY = hashlib.sha256(b"lab signing key: worth nothing outside of the lab").digest()
_OIDC = {"openid", "profile", "offline_access", "email"}
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def jwt(claims: dict[str, Any]) -> str:
    """A token that looks like Microsoft's: header, claims and a signature that nobody but the lab could check."""
    head = _b64(b'{"alg":"HS256","typ":"JWT","kid":"lab"}') + "." + _b64(json.dumps(claims).encode())
    return head + "." + _b64(hmac.new(_KEY, head.encode(), hashlib.sha256).digest())


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass(slots=True)
class DeviceFlow:
    """A code that waits for a person. upon: who confirmed; declined: somebody said no."""

    user_code: str
    app_id: str
    scopes: frozenset[str]
    resource: str
    upn: str = ""
    declined: bool = False
    polls: int = 0


@dataclass(slots=True)
class DeviceFlows:
    """Kept in `world.notes["device_flows"]`, so that tests and the control port can play the person."""

    by_user_code: dict[str, DeviceFlow] = field(default_factory=dict)

    def confirm(self, user_code: str, upn: str) -> None:
        self.by_user_code[user_code].upn = upn

    def decline(self, user_code: str) -> None:
        self.by_user_code[user_code].declined = True


def device_flows(world: World) -> DeviceFlows:
    flows = world.notes.setdefault("device_flows", DeviceFlows())
    assert isinstance(flows, DeviceFlows)
    return flows


class SignIn:
    """Handler of the login service."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def handle(self, request: Request) -> Response:
        parts = request.segments()
        tail = "/".join(parts[1:]).lower()
        form = _form(request)
        if parts and tail in ("v2.0/.well-known/openid-configuration", ".well-known/openid-configuration"):
            return await self._perform(
                request, "openidConfiguration", "", lambda call: self._discovery(request, parts[0])
            )
        if parts and parts[0].lower() == "common" and tail == "discovery/instance":
            return await self._perform(
                request, "instanceDiscovery", "", lambda call: self._instances(request)
            )
        if len(parts) >= 3 and tail == "common/userrealm":
            return _json({"ver": "1.0", "account_type": "Managed"})
        if parts and tail == "oauth2/v2.0/token" and request.method == "POST":
            grant = form.get("grant_type", "")
            return await self._perform(
                request,
                "token",
                form.get("client_id", ""),
                lambda call: self._token(parts[0], form, request, call),
                {"grant": grant.rpartition(":")[2] or grant},
            )
        if parts and tail == "oauth2/v2.0/devicecode" and request.method == "POST":
            return await self._perform(
                request,
                "devicecode",
                form.get("client_id", ""),
                lambda call: self._device_code(parts[0], form, request),
            )
        if parts and tail == "discovery/v2.0/keys":
            return _json({"keys": []})
        return Response(404, [("Content-Type", "text/html")], b"<html><body>Not found</body></html>")

    async def _perform(
        self, request: Request, operation: str, app_id: str, work: Any, detail: dict[str, Any] | None = None
    ) -> Response:
        def guarded(call: Call) -> Response:
            try:
                made = work(call)
                assert isinstance(made, Response)
                return made
            except SignInError as error:
                call.code = f"AADSTS{error.number}"
                return self._refuse(error, request)

        def word(action: Action) -> Response:
            return self._refuse(
                SignInError(action.code, 90033, "A transient error has occurred.", action.status or 503),
                request,
            )

        return await self.world.perform(
            request, operation, app_id=app_id, work=guarded, word=word, detail=detail
        )

    def _refuse(self, error: SignInError, request: Request) -> Response:
        body = error.body(
            str(uuid.uuid4()),
            request.headers.get("client-request-id") or str(uuid.uuid4()),
            self.world.clock.now(),
        )
        return _json(body, error.status)

    # -- discovery

    def _tenant(self, name: str) -> Tenant:
        tenant = self.world.tenant(name)
        if tenant is None:
            raise SignInError(
                "invalid_request",
                90002,
                f"Tenant '{name}' not found. Check to make sure you have the correct tenant ID and are signing into the "
                "correct cloud.",
            )
        return tenant

    def _base(self, request: Request) -> str:
        return request.base_url if request.host else self.world.urls.login

    def _discovery(self, request: Request, name: str) -> Response:
        if name.lower() in ("common", "organizations"):
            shown = "{tenantid}"
            path = name
        else:
            shown = path = self._tenant(name).id
        base = f"{self._base(request)}/{path}"
        return _json(
            {
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "token_endpoint_auth_methods_supported": [
                    "client_secret_post",
                    "private_key_jwt",
                    "client_secret_basic",
                ],
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "response_modes_supported": ["query", "fragment", "form_post"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "issuer": f"{self._base(request)}/{shown}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                "tenant_region_scope": "EU",
                "cloud_instance_name": "microsoftonline.com",
                "msgraph_host": "graph.microsoft.com",
            }
        )

    def _instances(self, request: Request) -> Response:
        """What MSAL asks before it trusts an authority that it does not know (instance_discovery=<this address>)."""
        wanted = urlsplit(request.params.get("authorization_endpoint", ""))
        base = self._base(request)
        # MSAL leaves the port out of what it asks for.
        if wanted.hostname != urlsplit(base).hostname:
            return _json(
                {
                    "error": "invalid_instance",
                    "error_description": "AADSTS50049: Unknown or invalid instance.",
                },
                400,
            )
        tenant = wanted.path.strip("/").partition("/")[0]
        host = request.host
        return _json(
            {
                "tenant_discovery_endpoint": f"{base}/{tenant}/v2.0/.well-known/openid-configuration",
                "api-version": "1.1",
                "metadata": [
                    {
                        "preferred_network": host,
                        "preferred_cache": host,
                        "aliases": [host.partition(":")[0], host],
                    }
                ],
            }
        )

    # -- tokens

    def _token(self, tenant_name: str, form: dict[str, str], request: Request, call: Call) -> Response:
        tenant = self._tenant(tenant_name)
        app = self._app(tenant, form)
        grant = form.get("grant_type", "")
        if grant == "client_credentials":
            self._prove(app, form, request, tenant)
            return self._for_app(tenant, app, form)
        if grant in (_DEVICE_GRANT, "device_code"):
            return self._for_device(tenant, app, form)
        if grant == "refresh_token":
            return self._refresh(tenant, app, form)
        if not grant:
            raise SignInError(
                "invalid_request",
                900144,
                "The request body must contain the following parameter: 'grant_type'.",
            )
        raise SignInError(
            "unsupported_grant_type", 70003, f"The app requested an unsupported grant type '{grant}'."
        )

    def _app(self, tenant: Tenant, form: dict[str, str]) -> App:
        client_id = form.get("client_id", "")
        if not client_id:
            raise SignInError(
                "invalid_request",
                900144,
                "The request body must contain the following parameter: 'client_id'.",
            )
        app = tenant.app(client_id)
        if app is None:
            raise SignInError(
                "unauthorized_client",
                700016,
                f"Application with identifier '{client_id}' was not found in the directory '{tenant.name}'. This can happen "
                "if the application has not been installed by the administrator of the tenant or consented to by any user "
                "in the tenant. You may have sent your authentication request to the wrong tenant.",
            )
        if not app.enabled:
            raise SignInError(
                "unauthorized_client", 7000112, f"Application '{client_id}'({app.name}) is disabled."
            )
        return app

    def _prove(self, app: App, form: dict[str, str], request: Request, tenant: Tenant) -> None:
        """The client shows that it is the application. Raises SignInError."""
        if form.get("client_assertion"):
            if form.get("client_assertion_type") != _ASSERTION:
                raise SignInError(
                    "invalid_request", 900144, "The request body must contain 'client_assertion_type'."
                )
            check_assertion(
                form["client_assertion"],
                app,
                audiences={
                    f"{self._base(request)}/{name}{tail}"
                    for name in (tenant.id, tenant.domain)
                    for tail in ("/oauth2/v2.0/token", "/v2.0", "/")
                },
                now=self.world.clock.now(),
            )
            return
        given = form.get("client_secret")
        if not given:
            raise SignInError(
                "invalid_client",
                7000218,
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
                401,
            )
        _check_secret(app, given, self.world.clock.now())

    def _for_app(self, tenant: Tenant, app: App, form: dict[str, str]) -> Response:
        scopes = form.get("scope", "").split()
        if len(scopes) != 1 or not scopes[0].endswith("/.default"):
            raise SignInError(
                "invalid_scope",
                1002012,
                f"The provided value for scope {form.get('scope', '')} is not valid. Client credential flows must have a "
                "scope value with /.default suffixed to the resource identifier (application ID URI).",
            )
        resource = self._resource(scopes[0].removesuffix("/.default"), tenant)
        lifetime = self.world.knobs.token_lifetime_s
        token = self._issue(tenant, app, resource, lifetime, roles=frozenset(app.roles))
        return _json(
            {
                "token_type": "Bearer",
                "expires_in": int(lifetime),
                "ext_expires_in": int(lifetime),
                "access_token": token.value,
            }
        )

    def _resource(self, name: str, tenant: Tenant) -> str:
        # A lab's own Graph address is as good as Microsoft's name for it.
        graph = self.world.urls.graph
        if graph and name.rstrip("/") == graph:
            name = "https://graph.microsoft.com"
        resource = RESOURCES.get(name.rstrip("/").lower())
        if resource is None:
            raise SignInError(
                "invalid_resource",
                500011,
                f"The resource principal named {name} was not found in the tenant named {tenant.name}. This can happen if "
                "the application has not been installed by the administrator of the tenant or consented to by any user in "
                "the tenant.",
            )
        if resource != RESOURCES[GRAPH_ID] and not tenant.exchange:
            raise SignInError(
                "invalid_client",
                650052,
                f"The app is trying to access a service '{name}' that your organization '{tenant.name}' lacks a service "
                "principal for.",
            )
        return resource

    def _issue(
        self,
        tenant: Tenant,
        app: App,
        resource: str,
        lifetime: float,
        *,
        roles: frozenset[str] = frozenset(),
        scopes: frozenset[str] = frozenset(),
        user: TenantUser | None = None,
    ) -> Token:
        now = self.world.clock.now()
        claims: dict[str, Any] = {
            "aud": resource,
            "iss": f"https://sts.windows.net/{tenant.id}/",
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now + lifetime),
            "app_displayname": app.name,
            "appid": app.client_id,
            "idtyp": "user" if user else "app",
            "tid": tenant.id,
            "uti": uuid.uuid4().hex,
            "ver": "1.0",
        }
        if user:
            claims |= {"scp": " ".join(sorted(scopes)), "upn": user.upn, "oid": _oid(user)}
        else:
            claims["roles"] = sorted(roles)
        return self.world.tokens.issue(
            "access",
            lifetime,
            value=jwt(claims),
            app_id=app.client_id,
            tenant=tenant.id,
            user=user.upn if user else "",
            audience=resource,
            roles=roles,
            scopes=scopes,
        )

    # -- people

    def _device_code(self, tenant_name: str, form: dict[str, str], request: Request) -> Response:
        tenant = self._tenant(tenant_name)
        app = self._app(tenant, form)
        if not app.public_client:
            raise SignInError(
                "invalid_client",
                7000218,
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
                401,
            )
        resource, scopes = self._scopes(form.get("scope", ""), tenant)
        user_code = self._user_code()
        flow = DeviceFlow(user_code, app.client_id, scopes, resource)
        device_flows(self.world).by_user_code[user_code] = flow
        token = self.world.tokens.issue("device", DEVICE_CODE_S, app_id=app.client_id, tenant=tenant.id)
        token.detail["flow"] = flow
        page = f"{self._base(request)}/common/oauth2/deviceauth"
        return _json(
            {
                "user_code": user_code,
                "device_code": token.value,
                "verification_uri": page,
                "expires_in": DEVICE_CODE_S,
                "interval": 1,
                "message": f"To sign in, use a web browser to open the page {page} and enter the code {user_code} to "
                "authenticate.",
            }
        )

    def _user_code(self) -> str:
        return "".join(self.world.random.choice("ABCDEFGHJKLMNPQRSTUVWXYZ23456789") for _ in range(9))

    def _scopes(self, text: str, tenant: Tenant) -> tuple[str, frozenset[str]]:
        """(resource, names without their resource). Raises SignInError."""
        resource = RESOURCES[GRAPH_ID]
        names: set[str] = set()
        for scope in text.split():
            if scope.lower() in _OIDC:
                names.add(scope.lower())
            elif "/" in scope:
                where, _, name = scope.rpartition("/")
                resource = self._resource(where, tenant)
                names.add(name)
            else:
                names.add(scope)
        if not names - _OIDC:
            raise SignInError(
                "invalid_scope",
                70011,
                f"The provided request must include a 'scope' input parameter: '{text}'.",
            )
        return resource, frozenset(names)

    def _for_device(self, tenant: Tenant, app: App, form: dict[str, str]) -> Response:
        value = form.get("device_code", "") or form.get("code", "")
        token = self.world.tokens.look(value, "device")
        if token is None or token.app_id != app.client_id:
            raise SignInError(
                "bad_verification_code",
                70018,
                "Invalid verification code due to User typing in wrong user code for device code flow.",
            )
        if token.expires <= self.world.clock.now():
            raise SignInError(
                "expired_token", 70019, "Verification code expired. Have the user retry the sign-in."
            )
        flow: DeviceFlow = token.detail["flow"]
        if flow.declined:
            raise SignInError(
                "authorization_declined", 70000, "The user has denied access to the scopes requested."
            )
        if not flow.upn:
            flow.polls += 1
            waiting = self.world.knobs.device_code_polls
            if waiting and flow.polls > waiting:  # the knob plays the person
                first = next(iter(tenant.users.values()), None)
                flow.upn = first.upn if first else ""
        if not flow.upn:
            raise SignInError(
                "authorization_pending",
                70016,
                "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
            )
        user = tenant.users.get(flow.upn.lower())
        if user is None:
            raise SignInError(
                "invalid_grant",
                50034,
                f"The user account {flow.upn} does not exist in the {tenant.id} directory.",
            )
        if not user.enabled:
            raise SignInError("invalid_grant", 50057, "The user account is disabled.")
        self.world.tokens.remove(value)
        return self._for_user(tenant, app, user, flow.resource, flow.scopes)

    def _for_user(
        self, tenant: Tenant, app: App, user: TenantUser, resource: str, scopes: frozenset[str]
    ) -> Response:
        granted = scopes & (app.scopes | _OIDC) if ".default" not in scopes else frozenset(app.scopes)
        missing = scopes - granted - _OIDC - {".default"}
        if missing or not granted - _OIDC:
            raise SignInError(
                "invalid_grant",
                65001,
                f"The user or administrator has not consented to use the application with ID '{app.client_id}' named "
                f"'{app.name}'. Send an interactive authorization request for this user and resource.",
            )
        lifetime = self.world.knobs.token_lifetime_s
        token = self._issue(tenant, app, resource, lifetime, scopes=granted - _OIDC, user=user)
        refresh = self.world.tokens.issue(
            "refresh",
            REFRESH_S,
            app_id=app.client_id,
            tenant=tenant.id,
            user=user.upn,
            audience=resource,
            scopes=scopes,
        )
        now = self.world.clock.now()
        prefix = f"{resource}/"
        return _json(
            {
                "token_type": "Bearer",
                "scope": " ".join(sorted(prefix + scope for scope in granted - _OIDC)),
                "expires_in": int(lifetime),
                "ext_expires_in": int(lifetime),
                "access_token": token.value,
                "refresh_token": refresh.value,
                "id_token": jwt(
                    {
                        "aud": app.client_id,
                        "iss": f"{self.world.urls.login}/{tenant.id}/v2.0",
                        "iat": int(now),
                        "nbf": int(now),
                        "exp": int(now + lifetime),
                        "name": user.upn.partition("@")[0],
                        "oid": _oid(user),
                        "preferred_username": user.upn,
                        "sub": _oid(user),
                        "tid": tenant.id,
                        "ver": "2.0",
                    }
                ),
                "client_info": _b64(json.dumps({"uid": _oid(user), "utid": tenant.id}).encode()),
            }
        )

    def _refresh(self, tenant: Tenant, app: App, form: dict[str, str]) -> Response:
        value = form.get("refresh_token", "")
        token = self.world.tokens.look(value, "refresh")
        if token is None or token.app_id != app.client_id or token.tenant != tenant.id:
            raise SignInError("invalid_grant", 9002313, "Invalid request. Request is malformed or invalid.")
        if token.expires <= self.world.clock.now():
            raise SignInError(
                "invalid_grant",
                700082,
                "The refresh token has expired due to inactivity. Sign in again.",
            )
        user = tenant.users.get(token.user.lower())
        if user is None:
            raise SignInError("invalid_grant", 50034, f"The user account {token.user} does not exist.")
        if not user.enabled:
            raise SignInError("invalid_grant", 50057, "The user account is disabled.")
        resource, scopes = token.audience, token.scopes
        if form.get("scope"):
            resource, scopes = self._scopes(form["scope"], tenant)
        return self._for_user(tenant, app, user, resource, scopes)


def _check_secret(app: App, given: str, now: float) -> None:
    matching: ClientSecret | None = None
    for secret in app.secrets:
        if hmac.compare_digest(secret.value.encode(), given.encode()):
            matching = secret
    if matching is None:
        raise SignInError(
            "invalid_client",
            7000215,
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not "
            f"the client secret ID, for a secret added to app '{app.client_id}'.",
            401,
        )
    if matching.expires is not None and matching.expires <= now:
        raise SignInError(
            "invalid_client",
            7000222,
            f"The provided client secret keys for app '{app.client_id}' are expired. Visit the Azure portal to create new "
            "keys for your app, or consider using certificate credentials for added security.",
            401,
        )


def check_assertion(assertion: str, app: App, *, audiences: set[str], now: float) -> None:
    """The JWT that a client signs with its certificate's key. Raises SignInError.

    Checked: signed (RS256, PS256) by the key of a registered certificate that the header's x5t or x5t#S256 names, not
    expired, meant for this tenant's token endpoint, issuer and subject the application itself.
    """
    import jwt as pyjwt
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    def refuse(text: str) -> SignInError:
        return SignInError(
            "invalid_client", 700027, f"Client assertion failed signature validation. {text}", 401
        )

    try:
        head = pyjwt.get_unverified_header(assertion)
    except pyjwt.PyJWTError as error:
        raise SignInError("invalid_client", 50027, "JWT token is invalid or malformed.", 401) from error
    wanted = {head.get("x5t"), head.get("x5t#S256")} - {None}
    for pem in app.certificates:
        certificate = x509.load_pem_x509_certificate(pem)
        prints = {
            _b64(certificate.fingerprint(hashes.SHA1())),
            _b64(certificate.fingerprint(hashes.SHA256())),
        }
        if not {str(name).rstrip("=") for name in wanted} & prints:
            continue
        if certificate.not_valid_after_utc.timestamp() <= now:
            raise refuse("[Reason - The key used is expired.]")
        try:
            claims = pyjwt.decode(
                assertion,
                key=certificate.public_key(),  # type: ignore[arg-type]
                algorithms=["RS256", "PS256"],
                options={"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except pyjwt.PyJWTError as error:
            raise refuse("[Reason - The signature is not the key's.]") from error
        _check_claims(claims, app, audiences, now)
        return
    raise refuse(
        f"[Reason - The key was not found., Thumbprint of key used by client: '{_hex(head.get('x5t'))}']"
    )


def _check_claims(claims: dict[str, Any], app: App, audiences: set[str], now: float) -> None:
    expires, begins = claims.get("exp"), claims.get("nbf", 0)
    if not isinstance(expires, int | float) or expires <= now or begins > now + 300:
        raise SignInError(
            "invalid_client", 700024, "Client assertion is not within its valid time range.", 401
        )
    if str(claims.get("iss", "")).lower() != app.client_id or claims.get("sub") != claims.get("iss"):
        raise SignInError(
            "invalid_client",
            700021,
            "Client assertion application identifier doesn't match 'client_id'.",
            401,
        )
    if claims.get("aud") not in audiences:
        raise SignInError(
            "invalid_client",
            700023,
            f"Client assertion audience claim does not match Realm issuer: {claims.get('aud')}.",
            401,
        )


def _hex(thumbprint: object) -> str:
    text = str(thumbprint or "")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).hex().upper()
    except (ValueError, binascii.Error):
        return ""


def _oid(user: TenantUser) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"user.{user.upn.lower()}"))


def _form(request: Request) -> dict[str, str]:
    if request.method != "POST":
        return {}
    return dict(parse_qsl(bytes(request.body).decode("utf-8", "replace"), keep_blank_values=True))


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(
        status,
        [("Content-Type", "application/json; charset=utf-8"), ("Cache-Control", "no-store, no-cache")],
        json.dumps(body).encode(),
    )
