"""iCalendar → item trees. MS-OXCICAL is the map, MS-OXOCAL, MS-OXOTASK and MS-OXOJRNL say what the properties hold."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

from migrator.formats.calendar import people, rules, zones
from migrator.formats.calendar.people import Person
from migrator.formats.contentlines import Component, Line, from_base64, read
from migrator.formats.converted import Converted, Notes
from migrator.formats.errors import FormatError
from migrator.mapi import blobs
from migrator.mapi import properties as P
from migrator.mapi import recurrence as R
from migrator.mapi.item import (
    BINARY,
    BOOLEAN,
    FLOAT64,
    INT32,
    MULTIPLE,
    STRING,
    TIME,
    Attachment,
    Message,
    Properties,
)
from migrator.record import record

MOST_COMPONENTS: Final = 100_000
MOST_PEOPLE: Final = 5_000
EXCEPTION_CLASS: Final = "IPM.OLE.CLASS.{00061055-0000-0000-C000-000000000046}"
PidTagAttachLongPathname: Final = 0x370D
_NEVER: Final = 0x0CB34557A3DD4000  # 4500-08-31 23:59 UTC: PidLidClipEnd of a series without end

_EPOCH: Final = datetime(1601, 1, 1)
_LAST: Final = datetime(4500, 1, 1)
# Properties of a component that are taken over, or say nothing that an item could keep.
_TAKEN: Final = {
    "SUMMARY DESCRIPTION LOCATION DTSTART DTEND DURATION DUE COMPLETED PERCENT-COMPLETE UID RECURRENCE-ID RRULE RDATE EXDATE "
    "EXRULE ORGANIZER ATTENDEE CLASS PRIORITY STATUS TRANSP SEQUENCE DTSTAMP CREATED LAST-MODIFIED CATEGORIES ATTACH CONTACT "
    "X-ALT-DESC X-MICROSOFT-CDO-BUSYSTATUS X-MICROSOFT-CDO-INTENDEDSTATUS X-MICROSOFT-CDO-IMPORTANCE "
    "X-MICROSOFT-CDO-ALLDAYEVENT X-MICROSOFT-DISALLOW-COUNTER X-MICROSOFT-CDO-APPT-SEQUENCE X-MICROSOFT-CDO-INSTTYPE "
    "X-MICROSOFT-CDO-OWNERAPPTID X-MS-OLK-ORIGINALSTART X-MS-OLK-ORIGINALEND COMMENT"
}
_KNOWN: Final = frozenset(" ".join(_TAKEN).split())
_BUSY: Final = {"FREE": 0, "TENTATIVE": 1, "BUSY": 2, "OOF": 3, "WORKINGELSEWHERE": 4}
_METHODS: Final = {
    "REQUEST": "IPM.Schedule.Meeting.Request",
    "ADD": "IPM.Schedule.Meeting.Request",
    "CANCEL": "IPM.Schedule.Meeting.Canceled",
    "COUNTER": "IPM.Schedule.Meeting.Resp.Tent",
}
_REPLIES: Final = {
    "ACCEPTED": "IPM.Schedule.Meeting.Resp.Pos",
    "DECLINED": "IPM.Schedule.Meeting.Resp.Neg",
    "TENTATIVE": "IPM.Schedule.Meeting.Resp.Tent",
}
_DURATION: Final = re.compile(
    r"\s*([+-])?P(?:(\d{1,6})W)?(?:(\d{1,7})D)?(?:T(?:(\d{1,7})H)?(?:(\d{1,8})M)?(?:(\d{1,9})S)?)?\s*$",
    re.IGNORECASE,
)


@record
class When:
    """A moment as iCalendar says it: a wall time in a zone, or a day. floating: no zone was told."""

    wall: datetime  # naive
    zone: tzinfo
    day: bool = False
    floating: bool = False

    @property
    def utc(self) -> datetime:
        return self.wall.replace(tzinfo=self.zone).astimezone(UTC)


@record(frozen=False)
class _Zones:
    """Finds the zone of a TZID: by its name, else by the file's VTIMEZONE."""

    default: tzinfo
    described: dict[str, Component] = field(default_factory=dict)
    found: dict[str, tzinfo | None] = field(default_factory=dict)

    def get(self, name: str) -> tzinfo | None:
        key = name.strip().strip('"')
        if key not in self.found:
            self.found[key] = self._look(key)
        return self.found[key]

    def _look(self, key: str) -> tzinfo | None:
        component = self.described.get(key)
        if zone := zones.zone_of_name(key):
            # Google and others define "custom" zones under names that exist; names are what programs go by.
            return zone
        if component is None:
            return None
        if zone := zones.zone_of_name(component.text("X-LIC-LOCATION")):
            return zone
        return zones.zone_of_component(component)


@record(frozen=False)
class _Context:
    zones: _Zones
    method: str
    owner: str
    meetings: bool


def read_ics(
    raw: bytes, *, zone: str = "", owner: str = "", meetings: bool = True, default_zone: str = "UTC"
) -> list[Converted]:
    """Items of an iCalendar file: appointments, meeting messages, tasks, journal entries.

    zone: IANA or Windows name in which floating times are read; "" takes the file's own X-WR-TIMEZONE, else `default_zone`.
    owner: address of the mailbox's owner, by which his own answer and his own meetings are known. meetings: METHOD makes
    meeting requests, answers and cancellations; without it all are appointments, as for a file in a calendar folder.

    One series with its changed instances is one item; what one series cannot say becomes several items (see `rules.plan`).
    Raises FormatError when there is nothing to convert; a component that cannot be converted beside others that can is
    told in the first item's notes (component_malformed, component_unsupported).
    """
    reading = read(raw)
    calendars = [c for c in reading.components if c.name == "VCALENDAR"]
    loose = [c for c in reading.components if c.name in ("VEVENT", "VTODO", "VJOURNAL", "VTIMEZONE")]
    if loose:
        calendars.append(Component("VCALENDAR", [], loose))
    shared = Notes()
    if reading.malformed:
        shared.add("line_malformed")
    made: list[Converted] = []
    failed = unsupported = 0
    described = {
        child.text("TZID").strip('"'): child
        for calendar in calendars
        for child in calendar.children[:MOST_COMPONENTS]
        if child.name == "VTIMEZONE"
    }
    total = sum(len(calendar.children) for calendar in calendars)
    if total > MOST_COMPONENTS:
        raise FormatError(f"{total} components in one calendar", code="format_limit")
    for calendar in calendars:
        context = _context(calendar, described, zone, owner, meetings, default_zone)
        groups, others = _grouped(calendar.children)
        unsupported += others
        for group in groups:
            try:
                made += _convert(group, context)
            except (FormatError, OverflowError, blobs.BlobError):
                failed += 1
    if not made:
        if failed:
            raise FormatError("no component with a usable date")
        if unsupported:
            raise FormatError("no event, task or journal entry", code="format_unsupported")
        raise FormatError("a calendar that holds nothing", code="format_unsupported")
    if failed:
        shared.add("component_malformed")
    if unsupported:
        shared.add("component_unsupported")
    if shared.all():
        made[0] = Converted(made[0].message, (*made[0].notes, *shared.all()))
    return made


def _context(
    calendar: Component,
    described: dict[str, Component],
    zone: str,
    owner: str,
    meetings: bool,
    default_zone: str,
) -> _Context:
    names = [zone, calendar.text("X-WR-TIMEZONE"), default_zone]
    default: tzinfo = next((z for name in names if name and (z := zones.zone_of_name(name))), UTC)
    return _Context(
        _Zones(default, described), calendar.text("METHOD").upper(), owner.strip().lower(), meetings
    )


def _grouped(children: Iterable[Component]) -> tuple[list[list[Component]], int]:
    """Components that are one item: a master first, then its changed instances. And how many are of no known kind."""
    groups: dict[object, list[Component]] = {}
    others = 0
    for number, child in enumerate(children):
        if child.name not in ("VEVENT", "VTODO", "VJOURNAL"):
            others += child.name not in ("VTIMEZONE",)
            continue
        key: object = (child.name, child.text("UID") or number)
        if child.first("RECURRENCE-ID") is None:
            group = groups.setdefault(key, [])
            if group and group[0].first("RECURRENCE-ID") is None:
                groups[number] = [child]  # a second master under one UID
            else:
                group.insert(0, child)
        else:
            groups.setdefault(key, []).append(child)
    return list(groups.values()), others


def _convert(group: list[Component], context: _Context) -> list[Converted]:
    if group[0].name == "VTODO":
        return [_task(component, context) for component in group]
    if group[0].name == "VJOURNAL":
        return [_journal(component, context) for component in group]
    return _Event(group, context).convert()


# Values --------------------------------------------------------------------------------------------------------------


def _when(line: Line | None, context: _Context, notes: Notes) -> When | None:
    return _moment(line.value, line, context, notes) if line is not None else None


def _moment(text: str, line: Line, context: _Context, notes: Notes) -> When | None:
    plain = text.strip().upper().replace("-", "").replace(":", "")
    utc = plain.endswith("Z")
    plain = plain.rstrip("Z")
    day = "T" not in plain
    try:
        wall = datetime.strptime(plain, "%Y%m%d" if day else "%Y%m%dT%H%M%S")
    except ValueError:
        if not re.fullmatch(r"\d{8}T\d{4}(\d\d)?", plain):
            return None
        try:  # a leap second, or no seconds
            wall = datetime.strptime(plain[:13], "%Y%m%dT%H%M")
        except ValueError:
            return None
    if not _EPOCH + timedelta(days=2) <= wall < _LAST:
        return None
    if day:
        return When(wall, context.zones.default, day=True)
    if utc:
        return When(wall, UTC)
    name = line.parameter("TZID")
    if name.strip().strip('"'):
        zone = context.zones.get(name)
        if zone is not None:
            return When(wall, zone)
        notes.add("zone_unknown")
        return When(wall, context.zones.default)
    notes.add("time_floating")
    return When(wall, context.zones.default, floating=True)


def _duration(text: str) -> timedelta | None:
    match = _DURATION.match(text)
    if match is None:
        return None
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[1:])
    try:
        size = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        return None
    return -size if match[1] == "-" else size


def _number(text: str, default: int = 0) -> int:
    return int(text) if re.fullmatch(r"[+-]?\d{1,9}", text.strip()) else default


def _midnight(moment: date) -> int:
    return R.minutes_of(datetime(moment.year, moment.month, moment.day))


def _local_ticks(wall: datetime) -> int:
    """A wall time kept as if it were UTC."""
    delta = wall - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 10_000_000


def _body_text(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")


# What all kinds share ------------------------------------------------------------------------------------------------


def _common(component: Component, item_class: str, context: _Context, notes: Notes) -> Message:
    message = Message()
    p = message.properties
    p.set(P.PidTagMessageClass, STRING, item_class)
    # Read, and not a draft: an item without flags opens as unsent.
    p.set(P.PidTagMessageFlags, INT32, 1)
    summary = " ".join(component.text("SUMMARY").split("\n"))
    p.set(P.PidTagSubject, STRING, summary)
    p.set(P.PidTagSubjectPrefix, STRING, "")
    p.set(P.PidTagNormalizedSubject, STRING, summary)
    p.set(P.PidTagConversationTopic, STRING, summary)
    _body(p, component, notes)
    importance = {**dict.fromkeys(range(1, 5), 2), 5: 1, **dict.fromkeys(range(6, 10), 0)}.get(
        _number(component.text("PRIORITY")), 1
    )
    if component.text("X-MICROSOFT-CDO-IMPORTANCE") in ("0", "1", "2"):
        importance = int(component.text("X-MICROSOFT-CDO-IMPORTANCE"))
    p.set(P.PidTagImportance, INT32, importance)
    p.set(P.PidTagPriority, INT32, {0: -1, 1: 0, 2: 1}[importance])
    sensitivity = {"PERSONAL": 1, "PRIVATE": 2, "CONFIDENTIAL": 3}.get(component.text("CLASS").upper(), 0)
    p.set(P.PidTagSensitivity, INT32, sensitivity)
    p.set(P.PidLidPrivate, BOOLEAN, sensitivity == 2)
    categories = [
        text.strip() for line in component.all("CATEGORIES") for text in line.texts() if text.strip()
    ]
    if categories:
        p.set(P.PidNameKeywords, MULTIPLE | STRING, list(dict.fromkeys(categories))[:500])
    contacts = [line.text().strip() for line in component.all("CONTACT") if line.value.strip()]
    if contacts:
        p.set(P.PidLidContacts, MULTIPLE | STRING, contacts[:500])
    for name, key in (("CREATED", P.PidTagCreationTime), ("LAST-MODIFIED", P.PidTagLastModificationTime)):
        if when := _when(component.first(name), context, Notes()):
            p.set(key, TIME, when.utc)
    stamp = p.time(P.PidTagLastModificationTime) or p.time(P.PidTagCreationTime)
    if (when := _when(component.first("DTSTAMP"), context, Notes())) is not None:
        stamp = when.utc
    if stamp is not None:
        p.set(
            P.PidTagMessageDeliveryTime, TIME, stamp
        )  # without it an item counts as received when it is written
    for line in component.lines:
        if line.name not in _KNOWN:
            notes.add(f"dropped:{line.name if re.fullmatch('[A-Z0-9-]{1,40}', line.name) else 'X'}")
    if any(child.name != "VALARM" for child in component.children):
        notes.add("dropped:COMPONENT")
    return message


def _body(p: Properties, component: Component, notes: Notes) -> None:
    texts = [line.text() for line in component.all("DESCRIPTION") if line.value.strip()]
    comments = [line.text() for line in component.all("COMMENT") if line.value.strip()]
    # An answer's text comes as a comment; beside a description it is put behind it.
    text = "\n\n".join(texts + comments)
    html = next(
        (
            line.text()
            for line in component.all("X-ALT-DESC")
            if line.parameter("FMTTYPE").lower() == "text/html" and line.value.strip()
        ),
        "",
    )
    if not html and text.lstrip()[:15].lower().startswith(("<!doctype html", "<html")):
        html = text
    if text:
        p.set(P.PidTagBody, STRING, _body_text(text))
    if html:
        p.set(P.PidTagHtml, BINARY, html.encode("utf-8", "replace"))
        p.set(P.PidTagInternetCodepage, INT32, 65001)
        p.set(P.PidTagNativeBody, INT32, 3)
    elif text:
        p.set(P.PidTagNativeBody, INT32, 1)


def _attachments(message: Message, component: Component, notes: Notes) -> None:
    for line in component.all("ATTACH")[:1000]:
        a = Properties()
        a.set(P.PidTagAttachNumber, INT32, len(message.attachments))
        name = re.split(r"[/\\]", line.parameter("X-FILENAME") or line.parameter("FILENAME"))[-1][:255]
        octets = line.octets
        if octets is None and line.parameter("VALUE").upper() == "BINARY":
            octets = from_base64(line.value.encode("utf-8", "replace"))
        elif octets is None and (found := re.match(r"data:([^,;]*)[^,]*;base64,(.*)", line.value, re.DOTALL)):
            octets = from_base64(found[2].encode("utf-8", "replace"))
        if octets is not None:
            name = name or f"attachment{len(message.attachments) + 1}"
            a.set(P.PidTagAttachMethod, INT32, 1)
            a.set(P.PidTagAttachDataBinary, BINARY, octets)
        else:
            address = line.value.strip()
            if not address or address.upper().startswith("CID:"):
                notes.add("attach_elsewhere")  # in the mail that the calendar came with
                continue
            name = name or re.split(r"[?#]", address)[0].rstrip("/").rpartition("/")[2][:255] or address[:255]
            a.set(P.PidTagAttachMethod, INT32, 7)
            a.set(PidTagAttachLongPathname, STRING, address[:4096])
        a.set(P.PidTagAttachLongFilename, STRING, name)
        a.set(P.PidTagDisplayName, STRING, name)
        stem, dot, extension = name.rpartition(".")
        if stem and len(extension) <= 10:
            a.set(P.PidTagAttachExtension, STRING, dot + extension)
        if line.parameter("FMTTYPE"):
            a.set(P.PidTagAttachMimeTag, STRING, line.parameter("FMTTYPE")[:255])
        a.set(P.PidTagRenderingPosition, INT32, -1)
        message.attachments.append(Attachment(a))


def _alarm(
    component: Component, start: When | None, end: When | None, context: _Context, notes: Notes
) -> int | None:
    """Minutes before the start at which to remind; None for no reminder. The first that shows or sounds is taken."""
    found: int | None = None
    for alarm in component.children:
        if alarm.name != "VALARM":
            continue
        line = alarm.first("TRIGGER")
        minutes: int | None = None
        if line is not None and start is not None:
            size = _duration(line.value)
            if size is not None:
                from_end = line.parameter("RELATED").upper() == "END"
                anchor = end if from_end and end is not None else start
                minutes = round((start.utc - (anchor.utc + size)).total_seconds() / 60)
            elif when := _moment(line.value, line, context, Notes()):
                minutes = round((start.utc - when.utc).total_seconds() / 60)
        if (
            minutes is None
            or alarm.text("ACTION").upper() in ("EMAIL", "PROCEDURE", "NONE")
            or found is not None
        ):
            notes.add("alarm_dropped")
            continue
        if minutes < 0:
            notes.add("alarm_after_start")
        found = min(max(minutes, 0), 2_000_000)
    return found


def _remind(p: Properties, minutes: int | None, start: When | None) -> None:
    p.set(P.PidLidReminderSet, BOOLEAN, minutes is not None)
    if minutes is None or start is None:
        return
    p.set(P.PidLidReminderDelta, INT32, minutes)
    p.set(P.PidLidReminderTime, TIME, start.utc)
    p.set(P.PidLidReminderSignalTime, TIME, start.utc - timedelta(minutes=minutes))


# Events --------------------------------------------------------------------------------------------------------------


class _Event:
    def __init__(self, group: list[Component], context: _Context) -> None:
        self.context = context
        self.notes = Notes()
        masters = [c for c in group if c.first("RECURRENCE-ID") is None]
        self.master = masters[0] if masters else None
        self.overrides = [c for c in group if c.first("RECURRENCE-ID") is not None]
        self.periods: dict[datetime, timedelta] = {}  # instances with a length of their own
        self.uid = group[0].text("UID")
        if not self.uid:
            # Stable, so that a second reading makes the same item.
            lines = "\n".join(f"{line.name}:{line.value}" for line in group[0].lines)
            self.uid = hashlib.blake2b(lines.encode("utf-8", "replace"), digest_size=20).hexdigest()
            self.notes.add("uid_missing")

    def convert(self) -> list[Converted]:
        if self.master is None:
            return [self.alone(component) for component in self.overrides]
        notes = self.notes
        start, end = self.times(self.master, notes)
        message = self.item(self.master, start, end, notes)
        self.identify(message.properties, None)
        plan = self.plan(start)
        if plan is None:
            strays = [self.alone(component) for component in self.overrides]
            return [Converted(message, notes.all()), *strays]
        return self.recurring(self.master, message, start, end, plan)

    def times(self, component: Component, notes: Notes) -> tuple[When, When]:
        start = _when(component.first("DTSTART"), self.context, notes)
        end = _when(component.first("DTEND"), self.context, notes)
        if start is None and end is not None:
            start = end
            notes.add("start_missing")
        if start is None:
            start = (
                _when(component.first("RECURRENCE-ID"), self.context, notes)
                if component.first("RECURRENCE-ID")
                else None
            )
        if start is None:
            raise FormatError("an event without a usable start")
        size = _duration(component.text("DURATION")) if end is None else None
        try:
            if end is None and size is not None and size >= timedelta(0):
                # Days are days on the calendar, hours are real ones (RFC 5545 3.3.6).
                wall = start.wall + timedelta(days=size.days)
                moment = wall.replace(tzinfo=start.zone).astimezone(UTC) + timedelta(seconds=size.seconds)
                end = When(
                    wall if start.day else moment.astimezone(start.zone).replace(tzinfo=None),
                    start.zone,
                    day=start.day,
                )
            if end is None:
                end = When(start.wall + timedelta(days=1), start.zone, day=True) if start.day else start
        except OverflowError as error:
            raise FormatError("an event that never ends") from error
        if start.day and not end.day:
            start = When(start.wall, end.zone)
        elif end.day and not start.day:
            end = When(end.wall, start.zone)
        midnight = datetime.min.time()
        whole = component.text("X-MICROSOFT-CDO-ALLDAYEVENT").upper() == "TRUE"
        if whole and not start.day and start.wall.time() == end.wall.time() == midnight:
            # Exchange also says whole days by midnights.
            start, end = When(start.wall, start.zone, day=True), When(end.wall, end.zone, day=True)
        if end.utc < start.utc:
            notes.add("end_before_start")
            end = start
        if start.day and end.wall == start.wall:
            end = When(start.wall + timedelta(days=1), start.zone, day=True)
        return start, end

    # One item

    def item(
        self, component: Component, start: When, end: When, notes: Notes, *, item_class: str = ""
    ) -> Message:
        context = self.context
        method = context.method if context.meetings else ""
        if not item_class:
            item_class = self.item_class(component, method, notes)
        message = _common(component, item_class, context, notes)
        p = message.properties
        p.set(P.PidTagIconIndex, INT32, 0x400)
        p.set(P.PidLidSideEffects, INT32, 0x171)
        location = " ".join(component.text("LOCATION").split("\n"))
        p.set(P.PidLidLocation, STRING, location)
        p.set(P.PidLidWhere, STRING, location)
        self.span(p, start, end)
        self.busy(p, component, method)
        self.zone(p, start, end, notes)
        sequence = _number(component.text("X-MICROSOFT-CDO-APPT-SEQUENCE") or component.text("SEQUENCE"))
        p.set(P.PidLidAppointmentSequence, INT32, max(sequence, 0))
        if component.text("X-MICROSOFT-DISALLOW-COUNTER").upper() == "TRUE":
            p.set(P.PidLidAppointmentNotAllowPropose, BOOLEAN, True)
        if component.text("X-MICROSOFT-CDO-OWNERAPPTID"):
            p.set(P.PidTagOwnerAppointmentId, INT32, _number(component.text("X-MICROSOFT-CDO-OWNERAPPTID")))
        stamp = _when(component.first("DTSTAMP"), context, Notes())
        if any(
            line.parameter("DELEGATED-TO") or line.parameter("DELEGATED-FROM")
            for line in component.all("ATTENDEE")
        ):
            notes.add("delegation_dropped")
        if stamp is not None:
            p.set(P.PidLidOwnerCriticalChange, TIME, stamp.utc)
            if method == "REPLY":
                p.set(P.PidLidAttendeeCriticalChange, TIME, stamp.utc)
        self.people(message, component, method, notes)
        if method == "COUNTER":
            p.set(P.PidLidAppointmentCounterProposal, BOOLEAN, True)
            p.set(P.PidLidAppointmentProposedStartWhole, TIME, start.utc)
            p.set(P.PidLidAppointmentProposedEndWhole, TIME, end.utc)
        if item_class.startswith("IPM.Schedule") and stamp is not None:
            p.set(P.PidTagClientSubmitTime, TIME, stamp.utc)
        _remind(p, _alarm(component, start, end, context, notes), start)
        _attachments(message, component, notes)
        return message

    def item_class(self, component: Component, method: str, notes: Notes) -> str:
        if method in _METHODS:
            if method == "ADD":
                notes.add("method_add")
            return _METHODS[method]
        if method == "REPLY":
            attendees = component.all("ATTENDEE")
            answer = attendees[0].parameter("PARTSTAT").upper() if attendees else ""
            if answer not in _REPLIES:
                notes.add("answer_unknown")
            return _REPLIES.get(answer, "IPM.Schedule.Meeting.Resp.Tent")
        if method not in ("", "PUBLISH"):
            notes.add("method_unsupported")
        return "IPM.Appointment"

    def span(self, p: Properties, start: When, end: When) -> None:
        p.set(P.PidLidAppointmentStartWhole, TIME, start.utc)
        p.set(P.PidLidAppointmentEndWhole, TIME, end.utc)
        p.set(P.PidLidCommonStart, TIME, start.utc)
        p.set(P.PidLidCommonEnd, TIME, end.utc)
        p.set(P.PidTagStartDate, TIME, start.utc)
        p.set(P.PidTagEndDate, TIME, end.utc)
        p.set(P.PidLidClipStart, TIME, start.utc)
        p.set(P.PidLidClipEnd, TIME, end.utc)
        minutes = round((end.utc - start.utc).total_seconds() / 60)
        p.set(P.PidLidAppointmentDuration, INT32, min(minutes, 2**31 - 1))
        p.set(P.PidLidAppointmentSubType, BOOLEAN, _all_day(start, end))
        p.set(P.PidLidRecurring, BOOLEAN, False)

    def busy(self, p: Properties, component: Component, method: str) -> None:
        status = component.text("STATUS").upper()
        busy = {"TRANSPARENT": 0, "OPAQUE": 2}.get(component.text("TRANSP").upper(), 2)
        if busy and status == "TENTATIVE":
            busy = 1
        busy = _BUSY.get(component.text("X-MICROSOFT-CDO-BUSYSTATUS").upper(), busy)
        intended = _BUSY.get(component.text("X-MICROSOFT-CDO-INTENDEDSTATUS").upper(), busy)
        if method == "REQUEST" and "X-MICROSOFT-CDO-BUSYSTATUS" not in {
            line.name for line in component.lines
        }:
            busy = min(busy, 1)  # not accepted yet
        p.set(P.PidLidBusyStatus, INT32, busy)
        p.set(P.PidLidIntendedBusyStatus, INT32, intended)

    def zone(self, p: Properties, start: When, end: When, notes: Notes) -> None:
        if start.zone is UTC and not start.day:
            return  # a time without a place: shown in the reader's zone
        for key, when in (
            (P.PidLidAppointmentTimeZoneDefinitionStartDisplay, start),
            (P.PidLidAppointmentTimeZoneDefinitionEndDisplay, end),
        ):
            year = when.wall.year
            made = zones.definition_of(when.zone, year, year)
            p.set(key, BINARY, blobs.build_time_zone_definition(made))
            self.check_zone(when.zone, made, [start.wall, end.wall], notes)
        p.set(P.PidLidTimeZoneDescription, STRING, zones.windows_name(start.zone)[:250])

    def check_zone(
        self, zone: tzinfo, made: blobs.TimeZoneDefinition, moments: Iterable[datetime], notes: Notes
    ) -> None:
        rules_zone = zones.zone_of_definition(made)
        if rules_zone is None or not zones.fits(zone, rules_zone, moments):
            notes.add("zone_approximated")

    def people(self, message: Message, component: Component, method: str, notes: Notes) -> None:
        p = message.properties
        line = component.first("ORGANIZER")
        organizer = people.person_of(line) if line is not None else None
        attendees = component.all("ATTENDEE")
        if len(attendees) > MOST_PEOPLE:
            notes.add("attendees_cut")
            attendees = attendees[:MOST_PEOPLE]
        own = self.context.owner
        is_mine = organizer is not None and own != "" and organizer.address.lower() == own
        response = 0
        if method == "COUNTER" and len(attendees) == 1:
            method = "REPLY"  # says who proposes; with several attendees only the mail around it does
        rows: list[Properties] = []
        mail = message.properties.text(P.PidTagMessageClass).startswith("IPM.Schedule")
        replier: Person | None = None
        for attendee in attendees:
            person = people.person_of(attendee)
            if person is None:
                notes.add("attendee_nameless")
                continue
            answer = people.RESPONSES.get(attendee.parameter("PARTSTAT").upper() or "NEEDS-ACTION", 5)
            if own and person.address.lower() == own:
                response = answer
            if method == "REPLY":
                replier = replier or person
                continue
            if not mail and organizer is not None and person.address.lower() == organizer.address.lower():
                continue  # stands in front
            rows.append(people.recipient(person, len(rows), self.role(attendee), response=answer))
        if organizer is not None and rows and not mail:
            # In a calendar the organiser stands among the recipients; of a request he is the sender.
            row = people.recipient(
                organizer, 0, people.TO, flags=people.SENDABLE | people.ORGANIZER, response=1
            )
            rows.insert(0, row)
            for number, other in enumerate(rows):
                other.set(P.PidTagRowid, INT32, number)
        if method == "REPLY":
            if organizer is not None:
                rows = [people.recipient(organizer, 0, people.TO)]
            if replier is not None:
                people.set_party(p, people.SENDER, replier)
                people.set_party(p, people.REPRESENTING, replier)
        elif organizer is not None:
            people.set_party(p, people.REPRESENTING, organizer)
            sent_by = line.parameter("SENT-BY") if line is not None else ""
            agent = people.person_of(Line("ORGANIZER", sent_by)) if sent_by else None
            people.set_party(p, people.SENDER, agent or organizer)
        message.recipients = rows
        meeting = bool(rows) or mail
        state = 0
        if meeting:
            state = 1 | (0 if is_mine or method == "REPLY" else 2)
            p.set(P.PidTagIconIndex, INT32, 0x402)
            p.set(P.PidLidAllAttendeesString, STRING, people.names(message, 1, 2, 3))
            p.set(P.PidLidToAttendeesString, STRING, people.names(message, 1))
            p.set(P.PidLidCcAttendeesString, STRING, people.names(message, 2))
            p.set(
                P.PidTagResponseRequested,
                BOOLEAN,
                any(a.parameter("RSVP").upper() == "TRUE" for a in attendees),
            )
            p.set(P.PidLidFInvited, BOOLEAN, True)
        if component.text("STATUS").upper() == "CANCELLED" or method == "CANCEL":
            state |= 4
        p.set(P.PidLidAppointmentStateFlags, INT32, state)
        if is_mine:
            response = 1
        elif meeting and not response:
            response = 5
        p.set(P.PidLidResponseStatus, INT32, response if meeting else 0)

    def role(self, attendee: Line) -> int:
        if attendee.parameter("CUTYPE").upper() in ("RESOURCE", "ROOM"):
            return people.RESOURCE
        return (
            people.CC
            if attendee.parameter("ROLE").upper() in ("OPT-PARTICIPANT", "NON-PARTICIPANT")
            else people.TO
        )

    def identify(self, p: Properties, instance: date | None, suffix: str = "") -> None:
        uid = self.uid + suffix
        spot = (instance.year, instance.month, instance.day) if instance else None
        made = blobs.global_object_id_of(uid, spot)
        p.set(P.PidLidGlobalObjectId, BINARY, blobs.build_global_object_id(made))
        p.set(P.PidLidCleanGlobalObjectId, BINARY, blobs.build_global_object_id(made.clean()))
        p.set(P.PidLidIsException, BOOLEAN, instance is not None)

    def alone(self, component: Component, note: str = "") -> Converted:
        """A changed instance whose series is not here, or does not have it."""
        notes = Notes()
        if note:
            notes.add(note)
        start, end = self.times(component, notes)
        message = self.item(component, start, end, notes)
        line = component.first("RECURRENCE-ID")
        original = _when(line, self.context, Notes())
        place = original or start
        self.identify(message.properties, place.wall.date())
        message.properties.set(P.PidLidExceptionReplaceTime, TIME, place.utc)
        if line is not None and line.parameter("RANGE"):
            notes.add("range_dropped")
        return Converted(message, notes.all())

    # Series

    def plan(self, start: When) -> rules.Plan | None:
        assert self.master is not None
        lines = self.master.all("RRULE")
        extra = self.dates("RDATE", start)
        if not lines and not extra:
            return None
        without = frozenset(self.dates("EXDATE", start)) | self.excluded(start)
        plan = rules.Plan()
        if not lines:
            plan.singles = [] if start.wall in without else [start.wall]
        for line in lines[:10]:
            try:
                rule = rules.parse_rule(line.value, self.untils(line.value, start))
            except rules.RuleError:
                self.notes.add("recurrence_malformed")
                if not plan.singles:
                    plan.singles.append(start.wall)
                continue
            made = rules.plan(rule, start.wall, without, whole=not plan.series and not plan.singles)
            plan.series += made.series
            plan.singles += made.singles
            plan.notes += made.notes
        known = {day for one in plan.series for day in _instances(one, extra)}
        further = [moment for moment in extra if moment not in known and moment not in without]
        if any(moment in self.periods for moment in known):
            self.notes.add("period_dropped")
        if further:
            plan.notes.append("recurrence_dates_apart")
        plan.singles = list(dict.fromkeys(plan.singles + further))[: 2 * rules.MOST_SINGLES]
        if any(one.pattern.period and start.wall.second for one in plan.series):
            plan.notes.append("seconds_dropped")
        return plan

    def dates(self, name: str, start: When) -> list[datetime]:
        """Wall times, in the zone of the series, that RDATE or EXDATE list."""
        assert self.master is not None
        found: list[datetime] = []
        for line in self.master.all(name):
            for text in re.split("[,;]", line.value)[:5000]:  # vCalendar 1.0 has semicolons
                if not text.strip():
                    continue
                moment = _moment(text.split("/")[0], line, self.context, self.notes)
                if moment is None:
                    self.notes.add("date_malformed")
                    continue
                found.append(self.in_zone(moment, start))
                if "/" in text:
                    self.period(found[-1], moment, text.split("/")[1], line)
        return found[:20_000]

    def period(self, place: datetime, moment: When, text: str, line: Line) -> None:
        size = _duration(text)
        end = _moment(text, line, self.context, Notes()) if size is None else None
        if end is not None:
            size = end.utc - moment.utc
        if size is None or size < timedelta(0):
            self.notes.add("date_malformed")
        else:
            self.periods[place] = size

    def in_zone(self, moment: When, start: When) -> datetime:
        if moment.day:  # a day stands for the instance of that day
            return datetime.combine(moment.wall.date(), start.wall.time())
        if start.day:
            return datetime.combine(moment.wall.date(), start.wall.time())
        return _wall_in(moment, start.zone)

    def untils(self, text: str, start: When) -> dict[str, datetime]:
        match = re.search(r"(?:UNTIL\s*=\s*|\s)(\d{8}(?:T\d{6}Z?)?)", text, re.IGNORECASE)
        if match is None:
            return {}
        value = match[1].upper()
        moment = _moment(value, Line("UNTIL", value), self.context, Notes())
        if moment is None:
            return {}
        if moment.day:
            return {value: datetime.combine(moment.wall.date(), datetime.max.time().replace(microsecond=0))}
        if start.day:
            # Some write a time with an all-day series: midnight UTC is meant as the day.
            return {value: moment.wall}
        wall = moment.wall if moment.floating else moment.utc.astimezone(start.zone).replace(tzinfo=None)
        return {value: wall}

    def excluded(self, start: When) -> frozenset[datetime]:
        assert self.master is not None
        found: set[datetime] = set()
        for line in self.master.all("EXRULE")[:10]:
            try:
                rule = rules.parse_rule(line.value, self.untils(line.value, start))
            except rules.RuleError:
                self.notes.add("recurrence_malformed")
                continue
            listed = list(zip(range(rules.PROOF), rules.expand(rule, start.wall), strict=False))
            found |= {moment for _, moment in listed}
            if rule.until is None and rule.count is None:
                self.notes.add("exrule_cut")
        return frozenset(found)

    def recurring(
        self, master: Component, message: Message, start: When, end: When, plan: rules.Plan
    ) -> list[Converted]:
        for note in plan.notes:
            self.notes.add(note)
        length = end.wall - start.wall
        changes = self.changes(start)
        made: list[Converted] = []
        for number, one in enumerate(plan.series):
            first = message if number == 0 else self.again(master, number)
            self.series(first, one, start, end, changes)
            made.append(Converted(first, ()))
        for single in plan.singles:
            component = changes.pop(single, None)
            if component is not None and component.text("STATUS").upper() == "CANCELLED":
                continue
            notes = Notes()
            if component is not None:
                own_start, own_end = self.times(component, notes)
            else:
                own_start = When(single, start.zone, day=start.day)
                own_end = When(single + self.periods.get(single, length), start.zone, day=start.day)
            one_message = self.item(component or master, own_start, own_end, notes)
            suffix = f"/{single:%Y%m%dT%H%M%S}" if made or len(plan.singles) > 1 else ""
            self.identify(one_message.properties, None, suffix)
            made.append(Converted(one_message, tuple(n for n in notes.all() if not n.startswith("dropped:"))))
        if made:
            made[0] = Converted(made[0].message, tuple(dict.fromkeys((*self.notes.all(), *made[0].notes))))
        made += [self.alone(component, "instance_apart") for component in changes.values()]
        if not made:
            # Every instance is left out: the item stays, as the series that it was.
            self.notes.add("recurrence_without_instances")
            made.append(Converted(message, self.notes.all()))
        return made

    def again(self, master: Component, number: int) -> Message:
        start, end = self.times(master, Notes())
        message = self.item(master, start, end, Notes())
        self.identify(message.properties, None, f"/{number + 1}")
        return message

    def changes(self, start: When) -> dict[datetime, Component]:
        """Changed instances by the wall time at which the series would have them."""
        found: dict[datetime, Component] = {}
        for component in self.overrides[:5000]:
            line = component.first("RECURRENCE-ID")
            original = _when(line, self.context, self.notes)
            if original is None or line is None:
                self.notes.add("date_malformed")
                continue
            if line.parameter("RANGE"):
                self.notes.add("range_dropped")
            place = self.in_zone(original, start)
            before = found.get(place)
            if before is None or _number(component.text("SEQUENCE")) >= _number(before.text("SEQUENCE")):
                found[place] = component
        return found

    def series(
        self, message: Message, one: rules.Series, start: When, end: When, changes: dict[datetime, Component]
    ) -> None:
        p = message.properties
        length = end.wall - start.wall
        first = When(one.start, start.zone, day=start.day)
        last = When(one.start + length, start.zone, day=start.day)
        self.span(p, first, last)
        offset = one.start.hour * 60 + one.start.minute
        blob = R.AppointmentRecurrence(one.pattern, offset, offset + round(length.total_seconds() / 60))
        if _all_day(first, last):
            blob.start_offset, blob.end_offset = 0, max(length.days, 1) * 1440
        self.exceptions(message, blob, one, first, last, changes)
        p.set(P.PidLidRecurring, BOOLEAN, True)
        p.set(P.PidLidIsRecurring, BOOLEAN, True)
        p.set(P.PidLidAppointmentRecur, BINARY, R.build_recurrence(blob))
        p.set(
            P.PidLidRecurrenceType,
            INT32,
            {R.DAILY: 1, R.WEEKLY: 2, R.MONTHLY: 3, R.YEARLY: 4}[one.pattern.frequency],
        )
        p.set(P.PidLidRecurrencePattern, STRING, R.describe(blob))
        p.set(P.PidTagIconIndex, INT32, 0x403 if message.recipients else 0x401)
        p.set(P.PidLidClipStart, TIME, _local_ticks(datetime.combine(one.start.date(), datetime.min.time())))
        never = one.pattern.end_type == R.END_NEVER
        ending = None if never else R.local_time(one.pattern.end_date)
        p.set(P.PidLidClipEnd, TIME, _NEVER if ending is None else _local_ticks(ending))
        # A series needs a zone: without one its times would not follow the clock.
        year = one.start.year
        until = zones.LAST_YEAR if ending is None else ending.year
        definition = zones.definition_of(start.zone, year, until, recurring=True)
        p.set(P.PidLidTimeZoneStruct, BINARY, blobs.build_time_zone_struct(zones.struct_of(start.zone, year)))
        p.set(P.PidLidTimeZoneDescription, STRING, definition.name)
        p.set(
            P.PidLidAppointmentTimeZoneDefinitionRecur, BINARY, blobs.build_time_zone_definition(definition)
        )
        sample = [
            datetime.combine(day, one.start.time())
            for _, day in zip(range(400), rules.days_of(one.pattern), strict=False)
        ]
        self.check_zone(start.zone, definition, sample, self.notes)
        _remind(p, p.integer(P.PidLidReminderDelta) if p.flag(P.PidLidReminderSet) else None, first)

    def exceptions(
        self,
        message: Message,
        blob: R.AppointmentRecurrence,
        one: rules.Series,
        first: When,
        last: When,
        changes: dict[datetime, Component],
    ) -> None:
        pattern = blob.pattern
        here = set(_instances(one, list(changes)))
        gone = set(pattern.deleted)
        for place in sorted(here):
            component = changes.pop(place)
            day = _midnight(place.date())
            if (
                day in gone
                and day not in pattern.modified
                and component.text("STATUS").upper() != "CANCELLED"
            ):
                # EXDATE and a changed instance for one day: the instance lives.
                gone.discard(day)
            if component.text("STATUS").upper() == "CANCELLED":
                gone.add(day)
                continue
            notes = Notes()
            start, end = self.times(component, notes)
            self.exception(message, blob, component, place, start, end, first)
            gone.add(day)
            pattern.modified.append(_midnight(_wall_in(start, first.zone).date()))
            for note in notes.all():
                self.notes.add(note)
        pattern.deleted = sorted(gone)
        pattern.modified.sort()
        blob.exceptions.sort(key=lambda e: e.start)

    def exception(
        self,
        message: Message,
        blob: R.AppointmentRecurrence,
        component: Component,
        place: datetime,
        start: When,
        end: When,
        series: When,
    ) -> None:
        own = self.item(component, start, end, self.notes, item_class=EXCEPTION_CLASS)
        original = When(place, series.zone, day=series.day)
        own_start, own_end = _wall_in(start, series.zone), _wall_in(end, series.zone)
        entry = R.RecurrenceException(
            R.minutes_of(own_start), R.minutes_of(max(own_end, own_start)), R.minutes_of(place)
        )
        p, master = own.properties, message.properties
        if p.text(P.PidTagSubject) != master.text(P.PidTagSubject):
            entry.subject = p.text(P.PidTagSubject)[:2000]
        if p.text(P.PidLidLocation) != master.text(P.PidLidLocation):
            entry.location = p.text(P.PidLidLocation)[:2000]
        if p.flag(P.PidLidReminderSet) != master.flag(P.PidLidReminderSet):
            entry.reminder = int(p.flag(P.PidLidReminderSet))
        if p.flag(P.PidLidReminderSet) and p.integer(P.PidLidReminderDelta) != master.integer(
            P.PidLidReminderDelta
        ):
            entry.reminder_delta = p.integer(P.PidLidReminderDelta)
        if p.integer(P.PidLidBusyStatus) != master.integer(P.PidLidBusyStatus):
            entry.busy_status = p.integer(P.PidLidBusyStatus)
        if p.flag(P.PidLidAppointmentSubType) != master.flag(P.PidLidAppointmentSubType):
            entry.sub_type = int(p.flag(P.PidLidAppointmentSubType))
        if p.integer(P.PidLidAppointmentStateFlags) != master.integer(P.PidLidAppointmentStateFlags):
            entry.meeting_type = p.integer(P.PidLidAppointmentStateFlags)
        entry.body = _bodies(p) != _bodies(master)
        if own.attachments:
            entry.attachment = 1
        blob.exceptions.append(entry)
        p.set(P.PidLidExceptionReplaceTime, TIME, original.utc)
        self.identify(p, place.date())
        a = Properties()
        a.set(P.PidTagAttachNumber, INT32, len(message.attachments))
        a.set(P.PidTagAttachMethod, INT32, 5)
        a.set(P.PidTagRenderingPosition, INT32, -1)
        a.set(P.PidTagDisplayName, STRING, "Untitled")
        a.set(P.PidTagAttachEncoding, BINARY, b"")
        a.set(P.PidTagAttachmentFlags, INT32, 2)
        a.set(P.PidTagAttachmentHidden, BOOLEAN, True)
        a.set(P.PidTagAttachmentLinkId, INT32, 0)
        # Start and end in the series' own time, the replaced moment in UTC: MS-OXOCAL 2.2.10.1.
        a.set(P.PidTagExceptionStartTime, TIME, _local_ticks(own_start))
        a.set(P.PidTagExceptionEndTime, TIME, _local_ticks(own_end))
        a.set(P.PidTagExceptionReplaceTime, TIME, original.utc)
        message.attachments.append(Attachment(a, own))


def _wall_in(moment: When, zone: tzinfo) -> datetime:
    """The wall time of a moment in a zone; that of days and floating times as it is."""
    if moment.day or moment.floating or moment.zone is zone:
        return moment.wall
    return moment.utc.astimezone(zone).replace(tzinfo=None)


def _all_day(start: When, end: When) -> bool:
    return start.day and end.day


def _bodies(p: Properties) -> tuple[str, bytes]:
    return p.text(P.PidTagBody), bytes(p.binary(P.PidTagHtml))


def _instances(one: rules.Series, moments: Iterable[datetime]) -> list[datetime]:
    """Those of the moments that are instances of the series (left-out ones included)."""
    wanted = {moment for moment in moments if moment.time() == one.start.time()}
    if not wanted:
        return []
    latest = max(wanted).date()
    found = []
    for day in rules.days_of(one.pattern):
        if day > latest:
            break
        moment = datetime.combine(day, one.start.time())
        if moment in wanted:
            found.append(moment)
    return found


# Tasks and journal entries -------------------------------------------------------------------------------------------


def _set_uid(p: Properties, component: Component) -> None:
    """Exchange keeps no UID with tasks and journal entries: it stands where appointments have it."""
    if uid := component.text("UID"):
        made = blobs.build_global_object_id(blobs.global_object_id_of(uid))
        p.set(P.PidLidGlobalObjectId, BINARY, made)
        p.set(P.PidLidCleanGlobalObjectId, BINARY, made)


def _task(component: Component, context: _Context) -> Converted:
    notes = Notes()
    message = _common(component, "IPM.Task", context, notes)
    p = message.properties
    _set_uid(p, component)
    start = _when(component.first("DTSTART"), context, notes)
    due = _when(component.first("DUE"), context, notes)
    size = _duration(component.text("DURATION"))
    if due is None and start is not None and size is not None:
        due = When(start.wall + size, start.zone, start.day, start.floating)
    for key, common, when in (
        (P.PidLidTaskStartDate, P.PidLidCommonStart, start),
        (P.PidLidTaskDueDate, P.PidLidCommonEnd, due),
    ):
        if when is None:
            continue
        # Tasks have dates (a local midnight, kept as if it were UTC); the time of day lives on in the common ones.
        p.set(key, TIME, _local_ticks(datetime.combine(when.wall.date(), datetime.min.time())))
        p.set(common, TIME, when.utc)
        if not when.day:
            notes.add("task_time_of_day")
    status = {"IN-PROCESS": 1, "COMPLETED": 2, "CANCELLED": 4}.get(component.text("STATUS").upper(), 0)
    percent = min(max(_number(component.text("PERCENT-COMPLETE")), 0), 100)
    completed = _when(component.first("COMPLETED"), context, notes)
    if completed is not None or percent == 100:
        status = 2
    if status == 4:
        notes.add("task_cancelled")
    if status == 2:
        percent = 100
    elif percent and status == 0:
        status = 1
    p.set(P.PidLidTaskStatus, INT32, status)
    p.set(P.PidLidPercentComplete, FLOAT64, percent / 100)
    p.set(P.PidLidTaskComplete, BOOLEAN, status == 2)
    if completed is not None:
        wall = completed.utc.astimezone(context.zones.default).replace(tzinfo=None)
        p.set(
            P.PidLidTaskDateCompleted, TIME, _local_ticks(datetime.combine(wall.date(), datetime.min.time()))
        )
    line = component.first("ORGANIZER")
    organizer = people.person_of(line) if line is not None else None
    if organizer is not None:
        p.set(P.PidLidTaskOwner, STRING, organizer.name)
        people.set_party(p, people.REPRESENTING, organizer)
    for number, attendee in enumerate(component.all("ATTENDEE")[:MOST_PEOPLE]):
        if person := people.person_of(attendee):
            message.recipients.append(people.recipient(person, number, people.TO))
    p.set(P.PidLidTaskVersion, INT32, 1)
    p.set(P.PidLidTaskState, INT32, 1)
    p.set(P.PidLidTaskOwnership, INT32, 0)
    p.set(P.PidLidTaskFRecurring, BOOLEAN, False)
    p.set(P.PidTagIconIndex, INT32, 0x500)
    anchor = due or start
    _remind(p, _alarm(component, start or due, due, context, notes), anchor)
    _recurring_task(p, component, anchor, context, notes)
    _attachments(message, component, notes)
    return Converted(message, notes.all())


def _recurring_task(
    p: Properties, component: Component, anchor: When | None, context: _Context, notes: Notes
) -> None:
    lines = component.all("RRULE")
    if component.first("RECURRENCE-ID") is not None:
        notes.add("instance_apart")
    if component.all("RDATE", "EXDATE", "EXRULE"):
        notes.add("recurrence_dates_dropped")
    if not lines:
        return
    plan = rules.Plan()
    if anchor is not None and len(lines) == 1:
        event = _Event([component], context)
        midnight = datetime.combine(anchor.wall.date(), datetime.min.time())
        try:
            rule = rules.parse_rule(lines[0].value, event.untils(lines[0].value, anchor))
            plan = rules.plan(rule, midnight, whole=False)
        except rules.RuleError:
            plan = rules.Plan()
    if len(plan.series) != 1 or plan.series[0].pattern.deleted:
        notes.add("recurrence_dropped")
        return
    p.set(P.PidLidTaskRecurrence, BINARY, R.build_pattern(plan.series[0].pattern))
    p.set(P.PidLidTaskFRecurring, BOOLEAN, True)
    p.set(P.PidTagIconIndex, INT32, 0x501)


def _journal(component: Component, context: _Context) -> Converted:
    notes = Notes()
    message = _common(component, "IPM.Activity", context, notes)
    p = message.properties
    _set_uid(p, component)
    start = _when(component.first("DTSTART"), context, notes) or _when(
        component.first("DTSTAMP"), context, notes
    )
    p.set(P.PidLidLogType, STRING, "Journal")
    p.set(P.PidLidLogTypeDesc, STRING, "Journal")
    p.set(P.PidLidLogDuration, INT32, 0)
    p.set(P.PidTagIconIndex, INT32, 0x602)
    if start is not None:
        for key in (P.PidLidLogStart, P.PidLidLogEnd, P.PidLidCommonStart, P.PidLidCommonEnd):
            p.set(key, TIME, start.utc)
    line = component.first("ORGANIZER")
    organizer = people.person_of(line) if line is not None else None
    if organizer is not None:
        people.set_party(p, people.REPRESENTING, organizer)
    for number, attendee in enumerate(component.all("ATTENDEE")[:MOST_PEOPLE]):
        if person := people.person_of(attendee):
            message.recipients.append(people.recipient(person, number, people.TO))
    if component.all("RRULE", "RDATE"):
        notes.add("recurrence_dropped")
    _attachments(message, component, notes)
    return Converted(message, notes.all())
