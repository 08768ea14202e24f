"""Who asks, for whom, and what they may open.

Facts this module rests on:
- Basic sign-in; impersonation through the ExchangeImpersonation header, delegate access through t:Mailbox in
  distinguished folder ids (learn.microsoft.com/…/impersonation-and-ews-in-exchange, delegate-access-and-ews-in-exchange)
- an account without a mailbox must name one: ErrorMissingEmailAddress (…/web-service-reference/responsecode)
- with impersonation the impersonated mailbox owns the throttling budget (…/ews-throttling-in-exchange)
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass, field

from migrator.lab.ews.envelope import Fault, Refused
from migrator.lab.http import Request, Response
from migrator.lab.store import LabMailbox, MailboxNotFound
from migrator.lab.world import Account, World

ACCESS_DENIED = "Access is denied. Check credentials and try again."
NO_MAILBOX = "The SMTP address has no mailbox associated with it."


@dataclass(slots=True)
class Caller:
    """The account that signed in and the mailbox it acts as ("" for a service account that names mailboxes)."""

    account: Account
    own: LabMailbox | None
    impersonated: bool = False
    opened: frozenset[str] = field(default_factory=frozenset)  # addresses with full access, lower-case

    @property
    def owner(self) -> str:
        """Who pays: the budget owner."""
        return self.own.address if self.impersonated and self.own is not None else self.account.login

    def may_open(self, box: LabMailbox) -> bool:
        return box is self.own or box.address.lower() in self.opened


def credentials(request: Request) -> tuple[str, str] | None:
    """Login and password of a Basic header, None when there is none that can be read."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        login, colon, password = b64decode(value.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return None
    return (login, password) if colon else None


def sign_in_needed(world: World, request: Request) -> Response:
    """401 as the front end answers it."""
    schemes = {"basic": f'Basic realm="{request.host.partition(":")[0] or "localhost"}"', "ntlm": "NTLM"}
    headers = [("WWW-Authenticate", schemes[kind]) for kind in world.knobs.ews_auth if kind in schemes]
    if "ntlm" in world.knobs.ews_auth:
        headers.insert(0, ("WWW-Authenticate", "Negotiate"))
    return Response(401, [("Server", "Microsoft-IIS/10.0"), *headers, ("X-Powered-By", "ASP.NET")])


def caller(world: World, account: Account, impersonation: tuple[str, str] | None) -> Caller:
    """Raises Fault when the impersonation asked for is not allowed, or missing where it is demanded."""
    rule = world.knobs.ews_impersonation
    if impersonation is None:
        if rule == "required":
            raise Fault(
                "ErrorAccessDenied", "ExchangeImpersonation SOAP header must be present for this account."
            )
        own = world.exchange.mailbox(account.mailbox) if account.mailbox else None
        return Caller(account, own, opened=frozenset(account.full_access))
    if rule == "forbidden":
        raise Fault(
            "ErrorImpersonationDenied",
            "The user account does not have permission to impersonate other users.",
        )
    if not account.impersonates:
        raise _denied()
    box = _impersonated(world, *impersonation)
    if not account.may_impersonate(box.address):
        raise _denied()
    if not box.enabled:
        raise Fault("ErrorAccountDisabled", "The account is disabled.")
    rights: set[str] = set()
    for other in world.accounts.values():
        if other.mailbox and box.owns(other.mailbox):
            rights |= other.full_access
    return Caller(account, box, impersonated=True, opened=frozenset(rights))


def _denied() -> Fault:
    return Fault(
        "ErrorImpersonateUserDenied",
        "The account does not have permission to impersonate the requested user.",
    )


def _impersonated(world: World, kind: str, value: str) -> LabMailbox:
    if kind == "SID":
        for box in world.exchange.mailboxes.values():
            if box.settings.get("sid") == value:
                return box
        raise Fault("ErrorInvalidUserSid", "The specified SID is not valid.")
    try:
        box = world.exchange.mailbox(value)
    except MailboxNotFound:
        raise Fault("ErrorNonExistentMailbox", NO_MAILBOX) from None
    if kind == "PrimarySmtpAddress" and value.lower() != box.address.lower():
        raise Fault(
            "ErrorNonPrimarySmtpAddress",
            "The primary SMTP address must be specified when referencing a mailbox.",
            values=(("Primary", box.address),),
        )
    if kind == "PrincipalName" and value.lower() != box.upn.lower():
        raise Fault("ErrorInvalidUserPrincipalName", "The user principal name (UPN) is not valid.")
    return box


def named_mailbox(world: World, who: Caller, address: str) -> LabMailbox:
    """The mailbox of a t:Mailbox. Raises Refused when there is none, or the caller may not open it."""
    try:
        box = world.exchange.mailbox(address)
    except MailboxNotFound:
        raise Refused("ErrorNonExistentMailbox", NO_MAILBOX) from None
    if not who.may_open(box):
        raise Refused("ErrorAccessDenied", ACCESS_DENIED)
    return box


def default_mailbox(who: Caller) -> LabMailbox:
    """The mailbox meant where a request names none. Raises Refused."""
    if who.own is None:
        raise Refused(
            "ErrorMissingEmailAddress",
            "When making a request as an account that does not have a mailbox, you must specify the mailbox primary "
            "SMTP address for any distinguished folder Ids.",
        )
    return who.own


def mailbox_of_guid(world: World, who: Caller, guid: str) -> LabMailbox:
    """The mailbox that an id belongs to. Raises Refused."""
    box = world.exchange.mailboxes.get(guid)
    if box is None:
        raise Refused("ErrorNonExistentMailbox", "No mailbox with such guid.")
    if not who.may_open(box):
        raise Refused("ErrorAccessDenied", ACCESS_DENIED)
    return box
