"""What the rows of a signed report say about each other: does the balance that is stated follow from the items?"""

from __future__ import annotations

from collections import Counter
from typing import Any

from migrator.model import SkipReason
from migrator.report.proof.records import FORMAT, OPEN, ItemRow, Malformed

_MOST = 1000


class Balance:
    """Rows are taken in their order; what is wrong with the sums comes at the end of each mailbox."""

    def __init__(self) -> None:
        self.mailbox: dict[str, Any] | None = None
        self.folders: dict[int, dict[str, Any]] = {}
        self.mailboxes = 0
        self.problems: list[tuple[str, int | None]] = []
        self.totals: Counter[str] = Counter()
        self.closes = True
        self._items: dict[int, Counter[tuple[str, str]]] = {}
        self._rows: dict[int, int] = {}
        self._last = ""
        self._begun = False

    def take(self, index: int, row: ItemRow | dict[str, Any]) -> None:
        """Raises Malformed for a row that cannot stand at this place."""
        if isinstance(row, ItemRow):
            self._item(row)
            return
        kind = row["row"]
        if (kind == "about") is self._begun:
            raise Malformed(
                "the file does not begin with what it is about" if not self._begun else "a second beginning"
            )
        self._begun = True
        if kind == "about":
            if row["format"] != FORMAT:
                raise Malformed("another format")
        elif kind == "mailbox":
            self._close_mailbox()
            if row["no"] != self.mailboxes:
                raise Malformed("the mailboxes are not in their order")
            self.mailboxes += 1
            self.mailbox, self.folders, self._items, self._rows, self._last = row, {}, {}, {}, ""
            self.closes = self.closes and row["state"] in ("done", "partial")
        elif self.mailbox is None or row["mailbox"] != self.mailbox["no"]:
            raise Malformed("it stands at another mailbox than its own")
        elif kind == "folder":
            if row["no"] != len(self.folders):
                raise Malformed("the folders are not in their order")
            self.folders[row["no"]] = row
            self._rows[row["no"]] = index

    def _item(self, row: ItemRow) -> None:
        if self.mailbox is None or row.mailbox != self.mailbox["no"] or row.folder not in self.folders:
            raise Malformed("an item of a mailbox or folder that is not there")
        # Base64url is not in the order of its octets, so the order is that of the octets.
        key = row.key.translate(_ORDER)
        if key <= self._last:
            raise Malformed("an item stands twice, or not in the order of the keys")
        self._last = key
        self._items.setdefault(row.folder, Counter())[row.state, row.why] += 1

    def _close_mailbox(self) -> None:
        for number, folder in self.folders.items():
            seen = self._items.get(number, Counter())
            stated: Counter[tuple[str, str]] = Counter(
                {(state, ""): folder[state] for state in ("copied", "present", OPEN)}
            )
            for state in ("skipped", "failed"):
                stated.update({(state, why): count for why, count in folder[state].items()})
            if +stated != seen or folder["listed"] != sum(seen.values()):
                self._say(
                    f"row {self._rows[number]}: a folder's balance does not follow from its items",
                    self._rows[number],
                )
            self.totals.update({state: folder[state] for state in ("copied", "present", OPEN)})
            self.totals["skipped"] += sum(folder["skipped"].values())
            self.totals["failed"] += sum(folder["failed"].values())
            self.totals["source"] += folder["listed"]
            if folder["left_out"] != SkipReason.SEARCH_FOLDER.value:
                self.totals["source"] += folder["not_listed"]
                self.totals["skipped" if folder["left_out"] else OPEN] += folder["not_listed"]
            self.closes = (
                self.closes and not folder[OPEN] and (bool(folder["left_out"]) or not folder["not_listed"])
            )

    def _say(self, text: str, row: int | None) -> None:
        if len(self.problems) < _MOST:
            self.problems.append((text, row))

    def close(self) -> list[tuple[str, int | None]]:
        """(what is wrong, row) for every folder whose balance is not the sum of its items."""
        self._close_mailbox()
        self.folders = {}
        return self.problems

    def against(self, head: dict[str, Any]) -> list[str]:
        """What the head says and the rows do not."""
        found = []
        if +Counter(head["totals"]) != +self.totals:
            found.append("the totals of the head do not follow from the rows")
        if head["closes"] is not self.closes:
            found.append("whether the balance closes does not follow from the rows")
        if head["mailboxes"] != self.mailboxes:
            found.append("the head counts other mailboxes than stand here")
        return found


_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_ORDER = {ord(char): chr(48 + value) for value, char in enumerate(_ALPHABET)}
