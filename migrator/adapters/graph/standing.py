"""What Microsoft 365 tells of a mailbox's licence and room.

Facts this module rests on:
- a user's `assignedPlans` name each service plan with its service ("exchange") and state ("Enabled", "Warning",
  "Suspended", "Deleted"); they come only when selected (learn.microsoft.com/graph/api/resources/assignedplan)
- shared and resource mailboxes need no licence up to 50 GB; `mailboxSettings/userPurpose` tells them from people's
  (learn.microsoft.com/graph/api/user-get-mailboxsettings; …/office365/servicedescriptions/exchange-online-limits)
- used and allowed octets stand in a report of the whole tenant alone: GET /reports/getMailboxUsageDetail(period='D7'),
  Reports.Read.All, answered 302 to a short-lived URL of a CSV file that is fetched without our token; the figures are one
  or two days old; names in it may be hidden by a setting of the admin centre
  (learn.microsoft.com/graph/api/reportroot-getmailboxusagedetail)
- the largest message that a mailbox receives (MaxReceiveSize) is told by no call; 36 MB where nobody set another, at most
  150 MB (learn.microsoft.com/office365/servicedescriptions/exchange-online-limits)
"""

from __future__ import annotations

import csv
import io
import threading
from urllib.parse import quote, urlsplit

from migrator.adapters.graph.client import Call, Wire, words
from migrator.adapters.transport import AnswerLost, NotSent
from migrator.errors import JobError, MigratorError, Throttled, UserError
from migrator.interfaces import Standing
from migrator.record import record

RECEIVE_DEFAULT = 36 << 20
USER = Call("read the user's plans", "User.Read.All")
PURPOSE = Call("read the mailbox settings", "MailboxSettings.Read")
REPORT = Call("read the usage report", "Reports.Read.All")
REPORT_PATH = "/reports/getMailboxUsageDetail(period='D7')"
_LIVE = {"enabled", "warning"}
_NEEDS_NONE = {"shared": "a shared mailbox", "room": "a room", "equipment": "a device"}
_LICENSE = (
    "Assign a licence with Exchange Online to the user: admin centre, Users, Active users, Licenses and apps."
)
_QUOTA_BY_HAND = "Look it up: Get-MailboxStatistics and Get-Mailbox | fl ProhibitSendReceiveQuota."


@record
class Usage:
    """A line of the report; octets."""

    used: int
    most: int | None
    as_of: str


class Usages:
    """The tenant's usage report, asked for once by whoever comes first. Thread-safe."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._lock = threading.Lock()
        self._found: dict[str, Usage] | None = None
        self._why = ""
        self._remedy = ""

    def of(self, *names: str) -> tuple[Usage | None, str, str]:
        """The line of the first of these names that is there; else why not, and what would help. Raises Throttled."""
        with self._lock:
            if self._found is None:
                self._found = self._ask()
            found = next(
                (self._found[name.casefold()] for name in names if name.casefold() in self._found), None
            )
            if found is not None:
                return found, "", ""
            if self._why:
                return None, self._why, self._remedy
        return (
            None,
            "the usage report does not have this mailbox (yet: it is a day or two behind)",
            _QUOTA_BY_HAND,
        )

    def _ask(self) -> dict[str, Usage]:
        name = self._wire.endpoint.name
        try:
            reply = self._wire.send("GET", self._wire.base + REPORT_PATH, REPORT, name, accept=(302,))
        except Throttled:
            raise
        except (JobError, UserError) as error:
            missing = error.code == "permission"
            self._why = (
                "the application may not read the usage report (Reports.Read.All)"
                if missing
                else f"the usage report cannot be read: {error.code}"
            )
            self._remedy = f"Grant Reports.Read.All to the application, or: {_QUOTA_BY_HAND}"
            return {}
        where = reply.headers.get("location", "")
        parts = urlsplit(where)
        if parts.scheme != "https" and not (self._wire.loopback and parts.scheme == "http"):
            self._why, self._remedy = "the usage report leads nowhere", _QUOTA_BY_HAND
            return {}
        try:
            # The address is a secret of its own, and our token is none of that server's business.
            answer = self._wire.transport.request("GET", where, headers={"Accept": "text/csv"})
        except (NotSent, AnswerLost):
            self._why, self._remedy = "the usage report could not be fetched", _QUOTA_BY_HAND
            return {}
        if answer.status != 200:
            self._why, self._remedy = (
                f"the usage report could not be fetched: HTTP {answer.status}",
                _QUOTA_BY_HAND,
            )
            return {}
        found = parse(bytes(answer.body).decode("utf-8-sig", "replace"))
        if found and not any("@" in one for one in found):
            self._why = "the usage report hides the names of mailboxes"
            self._remedy = (
                "Show them: admin centre, Settings, Org settings, Reports, Display concealed user names: off."
            )
            return {}
        return found


def parse(text: str) -> dict[str, Usage]:
    """The report's CSV: user principal name in small letters → usage. Lines without figures are left out."""
    found: dict[str, Usage] = {}
    for row in csv.DictReader(io.StringIO(text, newline="")):
        name = (row.get("User Principal Name") or "").strip().casefold()
        used = _number(row.get("Storage Used (Byte)"))
        if not name or used is None or (row.get("Is Deleted") or "").strip().casefold() == "true":
            continue
        most = _number(row.get("Prohibit Send/Receive Quota (Byte)"))
        found[name] = Usage(used, most or None, words(row.get("Report Refresh Date") or "", 20))
    return found


def _number(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isdecimal() and text.isascii() else None


def standing_of(wire: Wire, usages: Usages, address: str, affinity: str, most_octets: int | None) -> Standing:
    """most_octets: what the endpoint's option says of the largest item. Raises Throttled and Transient, to be repeated."""
    upn, licence, why, remedy = _licence(wire, address, affinity)
    usage, quota_why, quota_remedy = usages.of(address, upn) if upn else usages.of(address)
    return Standing(
        quota_octets=usage.most if usage else None,
        used_octets=usage.used if usage else None,
        as_of=usage.as_of if usage else "",
        quota_why=quota_why,
        quota_remedy=quota_remedy,
        licence=licence,
        licence_why=why,
        licence_remedy=remedy,
        receive_octets=most_octets or RECEIVE_DEFAULT,
        receive_by="endpoint" if most_octets else "default",
    )


def _licence(wire: Wire, address: str, affinity: str) -> tuple[str, str, str, str]:
    """(user principal name, state, why, remedy)."""
    user = f"{wire.base}/users/{quote(address, safe='@')}"
    try:
        document, _ = wire.get(
            f"{user}?$select=userPrincipalName,assignedPlans", USER, address, affinity=affinity
        )
    except MigratorError as error:
        if not isinstance(error, JobError | UserError):
            raise
        return (
            "",
            "",
            f"the user's plans cannot be read: {error.code}",
            "Grant User.Read.All to the application.",
        )
    upn = document.get("userPrincipalName")
    upn = upn if isinstance(upn, str) else ""
    plans = document.get("assignedPlans")
    if not isinstance(plans, list):
        return upn, "", "the service did not tell the user's plans", ""
    mine = [
        plan for plan in plans if isinstance(plan, dict) and str(plan.get("service")).casefold() == "exchange"
    ]
    if any(str(plan.get("capabilityStatus")).casefold() in _LIVE for plan in mine):
        return upn, "licensed", "", ""
    purpose = _purpose(wire, user, address, affinity)
    if purpose in _NEEDS_NONE:
        return upn, "not needed", f"{_NEEDS_NONE[purpose]} of up to 50 GB", ""
    lost = "its Exchange plan is suspended or removed" if mine else "no Exchange plan is assigned"
    return upn, "none", lost, _LICENSE


def _purpose(wire: Wire, user: str, address: str, affinity: str) -> str:
    try:
        document, _ = wire.get(
            f"{user}/mailboxSettings?$select=userPurpose", PURPOSE, address, affinity=affinity
        )
    except (JobError, UserError):
        return ""  # no right to read it, or not known to this service: then it is a person's mailbox
    found = document.get("userPurpose")
    return found.casefold() if isinstance(found, str) else ""
