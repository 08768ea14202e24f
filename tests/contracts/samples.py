"""What the contracts put into a mailbox, in words that every system understands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime

from migrator.model import FolderPath, ItemRef, Kind

MOMENT = datetime(2023, 4, 5, 6, 7, 8, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sample:
    """One item to be seeded. An adapter's fixture makes of it whatever its system keeps."""

    subject: str
    path: FolderPath = ("Inbox",)
    kind: Kind = Kind.MAIL
    body: str = "One line.\r\n"
    message_id: str = ""  # with angle brackets; "" for none
    received: datetime = MOMENT
    seen: bool = False
    draft: bool = False

    def mime(self) -> bytes:
        message = EmailMessage()
        message["From"] = "Ada <ada@old.example>"
        message["To"] = "bob@old.example"
        message["Subject"] = self.subject
        message["Date"] = format_datetime(self.received)
        if self.message_id:
            message["Message-ID"] = self.message_id
        message.set_content(self.body)
        return message.as_bytes()

    def ref(self) -> ItemRef:
        """As a listing would tell it; id, version and size are the system's own."""
        return ItemRef(
            id="",
            folder=self.path,
            kind=self.kind,
            version="",
            size=None,
            received=self.received,
            sent=self.received,
            message_id=self.message_id,
            subject=self.subject,
            seen=self.seen,
            draft=self.draft,
        )


def mails(count: int, path: FolderPath = ("Inbox",), start: int = 0) -> list[Sample]:
    """Plain mails, each with a Message-ID and a second of its own; every other one read."""
    return [
        Sample(
            subject=f"mail {number}",
            path=path,
            body=f"body {number}\r\n" * (1 + number % 5),
            message_id=f"<mail-{number}@old.example>",
            received=MOMENT + timedelta(seconds=number),
            seen=number % 2 == 0,
        )
        for number in range(start, start + count)
    ]


HOSTILE_NAMES = (
    "a/b",
    "back\\slash",
    "ends with a dot.",
    "emoji \U0001f4ec\U0001f3fd",
    "قائمة",
    "n" * 255,
    "<b>&amp;</b>",
    "=HYPERLINK(1)",
    "per%20cent",
    "'quote'",
)
"""Names that some layer is tempted to interpret."""
