"""What conversions between the item tree and foreign formats give back.

Notes are short and stable, so that reports can count them: a word such as `recurrence_expanded`, where needed with a
detail behind a colon that is never text of the item (`dropped:GEO`).
"""

from __future__ import annotations

from typing import Final

from migrator.mapi.item import Message
from migrator.record import record


@record
class Converted:
    """A foreign format as an item tree. notes: what the tree does not hold or holds otherwise."""

    message: Message
    notes: tuple[str, ...] = ()


@record
class Written:
    """An item tree, or several, in a foreign format. notes: what the format does not hold."""

    octets: bytes
    notes: tuple[str, ...] = ()


class Notes:
    """Notes in the order they were made, each once."""

    __slots__ = ("_notes",)

    def __init__(self) -> None:
        self._notes: dict[str, None] = {}

    def add(self, note: str) -> None:
        if len(self._notes) < 100:  # hostile input makes no endless report
            self._notes[note] = None

    def all(self) -> tuple[str, ...]:
        return tuple(self._notes)


NOTES: Final[dict[str, str]] = {
    # reading calendars and cards
    "line_malformed": "lines that say nothing, or parts without an end",
    "component_malformed": "an event, task or entry without a usable date; the others are there",
    "component_unsupported": "free/busy times and other parts that are no items",
    "dropped": "a property that an item has no place for; its name stands behind the colon",
    "uid_missing": "no UID; one was made of the content",
    "date_malformed": "a date that is none",
    "start_missing": "no start; the end stands for it",
    "end_before_start": "an end before the start; the start stands for it",
    "seconds_dropped": "seconds of a series' time of day",
    "time_floating": "times without a zone were read in the calendar's own",
    "zone_unknown": "a zone that nobody knows; the calendar's own stands for it",
    "zone_approximated": "a zone that changes more often in a year than an item can hold; some times may be an hour off",
    "zone_missing": "a series without a readable zone was written in UTC",
    "attach_elsewhere": "an attachment that is in the mail around the calendar",
    "attendee_nameless": "an attendee without name and address",
    "attendees_cut": "more attendees than an item takes",
    "delegation_dropped": "who passed an invitation on to whom",
    "alarm_dropped": "an alarm beyond the one that an item has, or of a kind that it cannot have",
    "alarm_after_start": "an alarm after the start; it goes off at the start",
    "answer_unknown": "an answer that is neither yes, no nor maybe",
    "method_add": "an added instance came as an invitation of its own",
    "method_unsupported": "a scheduling method that items do not have",
    "task_time_of_day": "the time of day of a task, which has dates only",
    "task_cancelled": "a cancelled task is kept as a deferred one",
    # series
    "recurrence_malformed": "a rule that is none; the event stands alone",
    "recurrence_split": "a rule that takes several series",
    "recurrence_expanded": "a rule that no series can say; its instances are single items",
    "recurrence_cut": "not all instances of such a rule: it has too many, or no end",
    "recurrence_count_dropped": "an end too far off to be counted; the series has none",
    "recurrence_exact_until": "instances after this year that the rule does not have are not left out",
    "recurrence_start_apart": "a first instance that is not one of the rule; it is an item of its own",
    "recurrence_empty": "a rule that never happens",
    "recurrence_dates_apart": "dates beside the rule; they are items of their own",
    "recurrence_dates_dropped": "dates beside the rule of a task",
    "recurrence_without_instances": "a series all of whose instances are left out",
    "recurrence_dropped": "a recurrence that the other side cannot say",
    "recurrence_unreadable": "a recurrence that cannot be read",
    "recurrence_regenerates": "a task that is due anew after completion; the dates of its rule are kept",
    "exrule_cut": "an endless rule of exceptions, as far as it was followed",
    "period_dropped": "an instance's own length",
    "range_dropped": "a change of all later instances; only the one named is changed",
    "instance_apart": "a changed instance without its series",
    "exception_unreadable": "a changed instance that cannot be read",
    "exception_without_body": "a changed instance whose own text is not there",
    # cards
    "contact_overflow": "more addresses, numbers or dates than a contact has places for; its text has them",
    "members_cut": "more members than a list takes",
    "member_unknown": "a member that is named by an unknown id; the list's text has it",
    "member_without_address": "a member without an e-mail address",
    "member_unreadable": "a member that only the old mailbox can resolve",
    "members_unreadable": "a list of members that cannot be read",
    # writing
    "address_ex": "an address that only the old directory can resolve",
    "attached_item_dropped": "an attached item",
    "attachment_dropped": "an attachment that the format has no place for",
    "html_body": "formatting of an HTML text",
    "rtf_body": "formatting of an RTF body",
    "rtf_unreadable": "a compressed RTF body that cannot be read",
    "journal_duration": "how long a journal entry took",
    "task_status": "a task that waits or is deferred",
    "named_properties": "properties that the format has no field for",
}
"""Word → explanation, of calendars and cards (those of mail: `mime.NOTES`). A word may have a detail behind a colon."""
