"""The tenant's usage report of mailboxes: a redirect to a short-lived address of a CSV file.

Facts: learn.microsoft.com/graph/api/reportroot-getmailboxusagedetail (302, pre-authenticated URL, columns),
learn.microsoft.com/microsoft-365/admin/activity-reports (names may be concealed; figures are one or two days old).
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from migrator.lab.http import Request, Response
from migrator.lab.m365 import errors
from migrator.lab.m365.graph import Context, Routes
from migrator.lab.store import LabMailbox

if TYPE_CHECKING:
    from migrator.lab.m365.room import Room

routes = Routes()
DOWNLOAD = "reportdownload"
_LIFE_S = 300.0
_KEPT = "m365_reports"  # in world.notes: key → (until, CSV)
_NAME = re.compile(r"getMailboxUsageDetail\(period='(D7|D30|D90|D180)'\)", re.IGNORECASE)
COLUMNS = (
    "Report Refresh Date", "User Principal Name", "Display Name", "Is Deleted", "Deleted Date", "Created Date",
    "Last Activity Date", "Item Count", "Storage Used (Byte)", "Issue Warning Quota (Byte)", "Prohibit Send Quota (Byte)",
    "Prohibit Send/Receive Quota (Byte)", "Deleted Item Count", "Deleted Item Size (Byte)", "Has Archive", "Report Period",
)  # fmt: skip


@routes.on("GET", "/reports/{report}", "getMailboxUsageDetail", "Reports.Read.All", directory=True)
def usage_detail(context: Context) -> Response:
    match = _NAME.fullmatch(context.args["report"])
    if match is None:
        raise errors.no_segment(context.args["report"])
    world = context.room.world
    tenant, _ = context.room.app(context.token)
    boxes = [box for box in world.m365.mailboxes.values() if box.tenant.lower() == tenant.id.lower()]
    key = secrets.token_urlsafe(24)
    text = _table(boxes, match[1][1:], world.clock.now(), world.knobs.report_conceals_names)
    world.notes.setdefault(_KEPT, {})[key] = (world.clock.now() + _LIFE_S, text)
    return Response(302, [("Location", f"{context.request.base_url}/{DOWNLOAD}/{key}")])


def download(room: Room, request: Request) -> Response:
    """The CSV file behind the address, without any sign-in. Whoever sends a token here has let it out."""
    until, text = room.world.notes.get(_KEPT, {}).get(request.segments()[-1], (0.0, ""))
    if room.world.clock.now() >= until:
        return Response(403)
    if "authorization" in request.headers:
        return Response(400)  # storage behind such addresses refuses two kinds of authorisation at once
    return Response(200, [("Content-Type", "application/octet-stream")], b"\xef\xbb\xbf" + text.encode())


def _table(boxes: list[LabMailbox], days: str, now: float, conceal: bool) -> str:
    to = io.StringIO(newline="")
    rows = csv.writer(to, lineterminator="\r\n")
    rows.writerow(COLUMNS)
    day = datetime.fromtimestamp(now - 2 * 86_400, UTC).date().isoformat()
    for box in boxes:
        if not box.licensed:
            continue
        upn, name = box.upn, box.display_name
        if conceal:
            upn, name = (
                hashlib.md5(word.encode(), usedforsecurity=False).hexdigest().upper() for word in (upn, name)
            )
        most = box.quota_octets
        rows.writerow(
            (day, upn, name, "False", "", "", day, len(box.items), box.octets, most * 98 // 100, most * 99 // 100, most,
             0, 0, "False", days)
        )  # fmt: skip
    return to.getvalue()
