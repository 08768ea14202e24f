"""Item trees → iCalendar, the inverse of `reading`; MS-OXCICAL 2.1.3 says what goes where."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

from migrator.formats.bodies import text_and_html
from migrator.formats.calendar import people, rules, zones
from migrator.formats.contentlines import escape, fold, parameter
from migrator.formats.converted import Notes, Written
from migrator.formats.errors import FormatError
from migrator.mapi import blobs
from migrator.mapi import properties as P
from migrator.mapi import recurrence as R
from migrator.mapi.item import TIME, Key, Message, Named, Properties, datetime_of
from migrator.record import record

PRODID: Final = "-//migrator//mailbox migration//EN"
PidTagAttachLongPathname: Final = 0x370D
_BUSY: Final = {0: "FREE", 1: "TENTATIVE", 2: "BUSY", 3: "OOF", 4: "WORKINGELSEWHERE"}
_METHODS: Final = (
    ("ipm.schedule.meeting.request", "REQUEST"),
    ("ipm.schedule.meeting.canceled", "CANCEL"),
    ("ipm.schedule.meeting.resp", "REPLY"),
)
_ANSWERS: Final = {"pos": "ACCEPTED", "neg": "DECLINED", "tent": "TENTATIVE"}
_MOST_ZONE_YEARS: Final = 80
# Named properties that are written, derived from others, or a matter of the mailbox alone; the rest is told in the notes.
_SETS: Final = (P.PSETID_APPOINTMENT, P.PSETID_MEETING, P.PSETID_COMMON, P.PSETID_TASK, P.PSETID_LOG)


@record(frozen=False)
class _Out:
    lines: list[bytes] = field(default_factory=list)

    def add(self, name: str, value: str, **parameters: str) -> None:
        head = name + "".join(
            f";{key.replace('_', '-')}={parameter(text)}" for key, text in parameters.items() if text
        )
        self.lines.append(fold(f"{head}:{value}"))

    def text(self, name: str, value: str, **parameters: str) -> None:
        if value:
            self.add(name, escape(value), **parameters)


@record(frozen=False)
class _Zones:
    """Zones that the events name, by the TZID under which they are described."""

    used: dict[str, tuple[tzinfo, int, int]] = field(default_factory=dict)
    days: str = ""

    def name(self, zone: tzinfo, year: int) -> str:
        key = getattr(zone, "key", "") or "Customized Time Zone"
        name, number = key, 1
        while name in self.used and self.used[name][0] is not zone and not _same(self.used[name][0], zone):
            number += 1
            name = f"{key} {number}"
        first, last = self.used[name][1:] if name in self.used else (year, year)
        self.used[name] = (zone, min(first, year), max(last, year))
        return name


def _same(one: tzinfo, other: tzinfo) -> bool:
    return all(zones.turns_of(one, year) == zones.turns_of(other, year) for year in (1999, 2010, 2024, 2030))


def write_ics(messages: Sequence[Message]) -> Written:
    """Appointments, meeting messages, tasks and journal entries as one iCalendar file in UTF-8.

    METHOD is that of the first message where it is a meeting message. Notes tell what iCalendar cannot hold. Raises
    FormatError (format_unsupported) for an item of another class, format_malformed for an appointment without a start.
    """
    notes = Notes()
    body = _Out()
    used = _Zones()
    method = method_of(messages[0]) if messages else ""
    for message in messages:
        item_class = message.properties.text(P.PidTagMessageClass).lower()
        if item_class.startswith(("ipm.appointment", "ipm.schedule.meeting", "ipm.ole.class.")):
            _events(message, body, used, notes, method)
        elif item_class.startswith("ipm.task"):
            _task(message, body, notes)
        elif item_class.startswith("ipm.activity"):
            _journal(message, body, notes)
        else:
            raise FormatError("an item that is no event, task or journal entry", code="format_unsupported")
    head = _Out()
    head.add("BEGIN", "VCALENDAR")
    head.add("VERSION", "2.0")
    head.add("PRODID", PRODID)
    if method:
        head.add("METHOD", method)
    if used.days:
        head.text("X-WR-TIMEZONE", used.days)  # the zone whose midnights all-day events begin at
    for name, (zone, first, last) in used.used.items():
        _timezone(head, name, zone, first, last)
    tail = _Out()
    tail.add("END", "VCALENDAR")
    return Written(b"".join(head.lines + body.lines + tail.lines), notes.all())


def method_of(message: Message) -> str:
    """METHOD of a meeting message: REQUEST, CANCEL, REPLY or COUNTER; "" for other items."""
    item_class = message.properties.text(P.PidTagMessageClass).lower()
    for beginning, method in _METHODS:
        if item_class.startswith(beginning):
            counter = message.properties.flag(P.PidLidAppointmentCounterProposal)
            return "COUNTER" if method == "REPLY" and counter else method
    return ""


# Zones ---------------------------------------------------------------------------------------------------------------


def zone_of(p: Properties, *keys: Key) -> zones.RuleZone | None:
    """The zone of an appointment by the first of its definitions that can be read."""
    for key in keys:
        octets = p.binary(key)
        if not octets:
            continue
        try:
            if key == P.PidLidTimeZoneStruct:
                name = p.text(P.PidLidTimeZoneDescription) or "Customized Time Zone"
                found = zones.zone_of_struct(blobs.parse_time_zone_struct(octets), name)
            else:
                found = zones.zone_of_definition(blobs.parse_time_zone_definition(octets))
        except blobs.BlobError:
            continue
        if found is not None:
            return found
    return None


def _timezone(out: _Out, name: str, zone: tzinfo, first: int, last: int) -> None:
    """VTIMEZONE with yearly rules where a year's rules go on, and single changes where they do not."""
    out.add("BEGIN", "VTIMEZONE")
    out.text("TZID", name)
    last = min(max(last, first), first + _MOST_ZONE_YEARS)
    years = zones.definition_of(zone, max(first, 1602), max(last, first) + 1).rules
    before = zones.offset_of(-(years[0].bias))
    for number, rule in enumerate(years):
        plain, summer = -rule.bias, -rule.bias - rule.daylight_bias
        end = years[number + 1].year - 1 if number + 1 < len(years) else None
        if not rule.standard.month or not rule.daylight.month:
            _observance(out, "STANDARD", before, zones.offset_of(plain), f"{rule.year}0101T000000", "")
            before = zones.offset_of(plain)
            continue
        for kind, moment, old, new in (
            ("DAYLIGHT", rule.daylight, plain, summer),
            ("STANDARD", rule.standard, summer, plain),
        ):
            wall = zones.moment_in(rule.year, moment)
            text = _yearly(moment, wall)
            if end is not None:
                stop = zones.moment_in(end, moment) - timedelta(minutes=old)
                text += f";UNTIL={stop:%Y%m%dT%H%M%S}Z"
            _observance(out, kind, zones.offset_of(old), zones.offset_of(new), f"{wall:%Y%m%dT%H%M%S}", text)
        before = zones.offset_of(plain)
    out.add("END", "VTIMEZONE")


def _yearly(moment: blobs.SystemTime, wall: datetime) -> str:
    if (moment.hour, moment.minute, moment.second) == (23, 59, 59):
        # "The last moment of a Saturday" is the first of the day after it, which no n-th weekday names.
        days = range(7 * moment.day - 5, 7 * moment.day + 2) if moment.day < 5 else range(-6, 1)
        if moment.day < 5:
            listed = ",".join(map(str, days))
            return f"FREQ=YEARLY;BYMONTH={wall.month};BYMONTHDAY={listed};BYDAY={rules.DAYS[wall.isoweekday() % 7]}"
        return f"FREQ=YEARLY;BYMONTH={wall.month};BYDAY=1{rules.DAYS[wall.isoweekday() % 7]}"
    nth = -1 if moment.day >= 5 else moment.day
    return f"FREQ=YEARLY;BYMONTH={moment.month};BYDAY={nth}{rules.DAYS[moment.day_of_week % 7]}"


def _observance(out: _Out, kind: str, old: str, new: str, start: str, rule: str) -> None:
    out.add("BEGIN", kind)
    out.add("DTSTART", start)
    out.add("TZOFFSETFROM", old)
    out.add("TZOFFSETTO", new)
    if rule:
        out.add("RRULE", rule)
    out.add("END", kind)


# Events --------------------------------------------------------------------------------------------------------------


def _ticks(p: Properties, *keys: Key) -> datetime | None:
    for key in keys:
        moment = p.time(key)
        if moment is not None:
            return moment
    return None


@record(frozen=False)
class _Event:
    """What of an event its lines need: the series' zone, whether it lasts all day."""

    start: datetime  # aware, UTC
    end: datetime
    zone: tzinfo | None
    day: bool


def _read(p: Properties, notes: Notes, series: _Event | None = None) -> _Event:
    counter = p.flag(P.PidLidAppointmentCounterProposal)
    start = _ticks(p, P.PidLidAppointmentProposedStartWhole) if counter else None
    end = _ticks(p, P.PidLidAppointmentProposedEndWhole) if counter else None
    start = start or _ticks(p, P.PidLidAppointmentStartWhole, P.PidLidCommonStart, P.PidTagStartDate)
    end = end or _ticks(p, P.PidLidAppointmentEndWhole, P.PidLidCommonEnd, P.PidTagEndDate)
    if start is None:
        raise FormatError("an appointment without a start")
    if end is None or end < start:
        end = start + timedelta(minutes=max(p.integer(P.PidLidAppointmentDuration), 0))
    keys: tuple[Key, ...] = (
        P.PidLidAppointmentTimeZoneDefinitionStartDisplay,
        P.PidLidAppointmentTimeZoneDefinitionRecur,
        P.PidLidTimeZoneStruct,
    )
    if p.binary(P.PidLidAppointmentRecur):  # the series' times are told in this zone, whatever is displayed
        keys = (keys[1], keys[2], keys[0])
    zone: tzinfo | None = zone_of(p, *keys) or (series.zone if series else None)
    return _Event(start, end, zone, p.flag(P.PidLidAppointmentSubType))


def _events(message: Message, out: _Out, used: _Zones, notes: Notes, method: str) -> None:
    p = message.properties
    event = _read(p, notes)
    blob: R.AppointmentRecurrence | None = None
    octets = p.binary(P.PidLidAppointmentRecur)
    if octets and not p.flag(P.PidLidIsException):
        try:
            blob = R.parse_recurrence(octets)
        except blobs.BlobError:
            notes.add("recurrence_unreadable")
    if blob is not None and event.zone is None and not event.day:
        event.zone = UTC
        notes.add("zone_missing")
    rule = rules.rule_of(blob.pattern) if blob is not None else None
    if blob is not None and rule is None:
        notes.add("recurrence_dropped")  # a Hijri calendar, or a pattern that never happens
    out.add("BEGIN", "VEVENT")
    first: datetime | None = None
    if blob is not None and rule is not None:
        first = _first(blob)
        length = timedelta(minutes=max(blob.end_offset - blob.start_offset, 0))
        # A series is what its blob says; start and end of the item may have been moved by its first exception.
        zone = event.zone or UTC
        event.start, event.end = _utc(first, zone), _utc(first + length, zone)
        _span(out, event, used, first, first + length)
        _recurrence(out, blob, rule, first, event)
    else:
        _span(out, event, used)
    uid = _uid(message)
    out.text("UID", uid)
    replaced = p.time(P.PidLidExceptionReplaceTime)
    if blob is None and (p.flag(P.PidLidIsException) or replaced is not None):
        _instance(out, p, event, replaced, used)
    _details(message, out, event, notes, method)
    out.add("END", "VEVENT")
    if blob is not None and rule is not None and first is not None:
        _exceptions(message, out, used, notes, method, blob, event, uid)
    _losses(message, notes)


def _utc(wall: datetime, zone: tzinfo) -> datetime:
    try:
        return wall.replace(tzinfo=zone).astimezone(UTC)
    except OverflowError as error:
        raise FormatError("a date beyond the calendar") from error


def _first(blob: R.AppointmentRecurrence) -> datetime:
    day = next(rules.days_of(blob.pattern))
    return datetime.combine(day, datetime.min.time()) + timedelta(minutes=blob.start_offset % 1440)


def _span(
    out: _Out, event: _Event, used: _Zones, start: datetime | None = None, end: datetime | None = None
) -> None:
    """DTSTART and DTEND. start, end: wall times where the caller knows them better than UTC can tell."""
    first = start or _wall(event.start, event)
    last = end or _wall(event.end, event)
    if event.day:
        days = max((last.date() - first.date()).days, 1)
        used.days = used.days or getattr(event.zone, "key", "")
        out.add("DTSTART", f"{first:%Y%m%d}", VALUE="DATE")
        out.add("DTEND", f"{first.date() + timedelta(days=days):%Y%m%d}", VALUE="DATE")
        return
    for name, wall, utc in (("DTSTART", first, event.start), ("DTEND", last, event.end)):
        _moment(out, name, wall, utc, event, used)


def _moment(out: _Out, name: str, wall: datetime, utc: datetime, event: _Event, used: _Zones) -> None:
    zone = event.zone
    # A wall time that the zone has twice would be read as its first one; UTC says which is meant.
    if zone is None or zone is UTC or getattr(zone, "key", "") == "UTC" or _utc(wall, zone) != utc:
        out.add(name, f"{utc:%Y%m%dT%H%M%S}Z")
    else:
        out.add(name, f"{wall:%Y%m%dT%H%M%S}", TZID=used.name(zone, wall.year))


def _wall(moment: datetime, event: _Event) -> datetime:
    if event.zone is not None:
        return moment.astimezone(event.zone).replace(tzinfo=None)
    plain = moment.replace(tzinfo=None)
    if event.day and plain.time() != datetime.min.time():
        # A midnight of an unknown zone: the nearest day.
        return datetime.combine((plain + timedelta(hours=12)).date(), datetime.min.time())
    return plain


def _recurrence(
    out: _Out, blob: R.AppointmentRecurrence, rule: rules.Rule, first: datetime, event: _Event
) -> None:
    pattern = blob.pattern
    until = ""
    if pattern.end_type == R.END_BY_DATE and (end := R.local_time(pattern.end_date)) is not None:
        last = datetime.combine(end.date(), first.time())
        zone = event.zone or UTC
        until = f"{last:%Y%m%d}" if event.day else f"{_utc(last, zone):%Y%m%dT%H%M%S}Z"
    out.add("RRULE", rules.rule_text(rule, until))


def _exdates(out: _Out, walls: Iterable[datetime], event: _Event, used: _Zones) -> None:
    for wall in walls:
        if event.day:
            out.add("EXDATE", f"{wall:%Y%m%d}", VALUE="DATE")
        else:
            _moment(out, "EXDATE", wall, _utc(wall, event.zone or UTC), event, used)


def _replaced(p: Properties, series: _Event) -> datetime | None:
    moment = p.time(P.PidLidExceptionReplaceTime)
    return _wall(moment, series) if moment is not None else None


def _exceptions(
    message: Message,
    out: _Out,
    used: _Zones,
    notes: Notes,
    method: str,
    blob: R.AppointmentRecurrence,
    series: _Event,
    uid: str,
) -> None:
    """Left-out and changed instances. The blob says which there are, the hidden attachments hold what the blob cannot."""
    bodies: dict[datetime, Message] = {}
    for attachment in message.attachments:
        inner = attachment.embedded
        if inner is None or not _is_exception(attachment.properties, inner):
            continue
        place = _replaced(inner.properties, series)
        if place is None and (moment := attachment.properties.time(P.PidTagExceptionReplaceTime)) is not None:
            place = _wall(moment, series)
        if place is not None:
            bodies[place] = inner
        elif (start := attachment.properties.time(P.PidTagExceptionStartTime)) is not None:
            matching = R.minutes_of(start.replace(tzinfo=None))
            for entry in blob.exceptions:
                original = R.local_time(entry.original_start)
                if entry.start == matching and original is not None:
                    bodies[original] = inner
    changed: set[date] = set()
    events: list[tuple[datetime, R.RecurrenceException, Message]] = []
    for entry in blob.exceptions:
        place = R.local_time(entry.original_start)
        if place is None:
            notes.add("exception_unreadable")
            continue
        changed.add(place.date())
        body = bodies.get(place) or next((m for w, m in bodies.items() if w.date() == place.date()), None)
        events.append((place, entry, body if body is not None else Message()))
        if body is None and entry.body:
            notes.add("exception_without_body")
    offset = timedelta(minutes=blob.start_offset % 1440)
    walls = []
    for minutes in sorted(blob.pattern.deleted):
        day = R.local_time(minutes)
        if day is not None and day.date() not in changed:
            walls.append(datetime.combine(day.date(), datetime.min.time()) + offset)
    if walls:
        # EXDATE belongs to the series' own component, which was just ended.
        end = out.lines.pop()
        _exdates(out, walls, series, used)
        out.lines.append(end)
    for place, entry, body in events:
        _exception(message, out, used, notes, method, series, uid, place, entry, body)


def _is_exception(p: Properties, inner: Message) -> bool:
    return inner.properties.text(P.PidTagMessageClass).lower().startswith("ipm.ole.class.{00061055") or bool(
        p.integer(P.PidTagAttachmentFlags) & 2
    )


def _exception(
    message: Message,
    out: _Out,
    used: _Zones,
    notes: Notes,
    method: str,
    series: _Event,
    uid: str,
    place: datetime,
    entry: R.RecurrenceException,
    body: Message,
) -> None:
    """One changed instance: what the blob's entry says over what the attachment holds over what the series has."""
    start, end = R.local_time(entry.start), R.local_time(entry.end)
    if start is None or end is None:
        notes.add("exception_unreadable")
        return
    zone = series.zone or UTC
    day = bool(entry.sub_type) if entry.sub_type is not None else series.day
    # An instance of an all-day series may have got times without being marked so: days would lose them.
    day = day and start.time() == end.time() == datetime.min.time()
    event = _Event(_utc(start, zone), _utc(end, zone), series.zone, day)
    merged = Message(Properties(message.properties), body.recipients or message.recipients, [])
    own = body.properties
    for key in _PER_INSTANCE:
        if key in own:
            merged.properties[key] = own[key]
    if entry.body or P.PidTagHtml in own or P.PidTagBody in own or P.PidTagRtfCompressed in own:
        for key in (P.PidTagHtml, P.PidTagBody, P.PidTagRtfCompressed):
            if key not in own:
                merged.properties.pop(key, None)
    for key, value in (
        (P.PidTagSubject, entry.subject),
        (P.PidLidLocation, entry.location),
    ):
        if value is not None:
            merged.properties.set(key, 0x001F, value)
    for key, number in (
        (P.PidLidBusyStatus, entry.busy_status),
        (P.PidLidReminderDelta, entry.reminder_delta),
        (P.PidLidAppointmentStateFlags, entry.meeting_type),
    ):
        if number is not None:
            merged.properties.set(key, 3, number)
    if entry.reminder is not None:
        merged.properties.set(P.PidLidReminderSet, 0x000B, bool(entry.reminder))
    merged.attachments = [
        a for a in body.attachments if a.embedded is None or not _is_exception(a.properties, a.embedded)
    ]
    out.add("BEGIN", "VEVENT")
    _span(out, event, used, start, end)
    out.text("UID", uid)
    if series.day:
        out.add("RECURRENCE-ID", f"{place:%Y%m%d}", VALUE="DATE")
    else:
        _moment(out, "RECURRENCE-ID", place, _utc(place, zone), series, used)
    _details(merged, out, event, notes, method)
    out.add("END", "VEVENT")


_PER_INSTANCE: Final[tuple[Key, ...]] = (
    P.PidTagSubject,
    P.PidTagBody,
    P.PidTagHtml,
    P.PidTagRtfCompressed,
    P.PidTagInternetCodepage,
    P.PidTagImportance,
    P.PidTagSensitivity,
    P.PidTagCreationTime,
    P.PidTagLastModificationTime,
    P.PidNameKeywords,
    P.PidLidLocation,
    P.PidLidBusyStatus,
    P.PidLidIntendedBusyStatus,
    P.PidLidAppointmentSequence,
    P.PidLidAppointmentStateFlags,
    P.PidLidReminderSet,
    P.PidLidReminderDelta,
    P.PidLidOwnerCriticalChange,
    P.PidLidAppointmentNotAllowPropose,
    P.PidLidContacts,
)


def _instance(out: _Out, p: Properties, event: _Event, replaced: datetime | None, used: _Zones) -> None:
    """RECURRENCE-ID of a single instance that stands alone."""
    if replaced is None:
        try:
            spot = blobs.parse_global_object_id(p.binary(P.PidLidGlobalObjectId)).instance
            replaced = datetime(*spot, tzinfo=UTC) if spot else None
        except (blobs.BlobError, ValueError):
            replaced = None
        if replaced is None:
            return
        # Only the day is known: the time is that of the instance itself.
        replaced = _utc(
            datetime.combine(replaced.date(), _wall(event.start, event).time()), event.zone or UTC
        )
    wall = _wall(replaced, event)
    if event.day:
        out.add("RECURRENCE-ID", f"{wall:%Y%m%d}", VALUE="DATE")
    else:
        _moment(out, "RECURRENCE-ID", wall, replaced, event, used)


def _uid(message: Message) -> str:
    p = message.properties
    for key in (P.PidLidCleanGlobalObjectId, P.PidLidGlobalObjectId):
        octets = bytes(p.binary(key))
        if not octets:
            continue
        try:
            return blobs.parse_global_object_id(octets).uid
        except blobs.BlobError:
            return octets.hex().upper()
    key_of = bytes(p.binary(P.PidTagSearchKey)) or repr(
        (p.text(P.PidTagSubject), p.get(P.PidLidAppointmentStartWhole), p.get(P.PidTagCreationTime))
    ).encode("utf-8", "replace")
    return hashlib.blake2b(key_of, digest_size=16).hexdigest()


def _stamp(out: _Out, name: str, moment: datetime | None) -> None:
    if moment is not None:
        out.add(name, f"{moment:%Y%m%dT%H%M%S}Z")


def _shared(message: Message, out: _Out, notes: Notes) -> None:
    """What events, tasks and journal entries have in common."""
    p = message.properties
    stamp = _ticks(
        p,
        P.PidLidOwnerCriticalChange,
        P.PidTagLastModificationTime,
        P.PidTagCreationTime,
        P.PidTagClientSubmitTime,
    )
    _stamp(out, "DTSTAMP", stamp or datetime(1970, 1, 1, tzinfo=UTC))
    _stamp(out, "CREATED", p.time(P.PidTagCreationTime))
    _stamp(out, "LAST-MODIFIED", p.time(P.PidTagLastModificationTime))
    out.text("SUMMARY", p.text(P.PidTagSubject))
    _description(p, out, notes)
    categories = p.get(P.PidNameKeywords)
    if isinstance(categories, list) and categories:
        out.add("CATEGORIES", ",".join(escape(one) for one in categories if isinstance(one, str)))
    contacts = p.get(P.PidLidContacts)
    for one in contacts if isinstance(contacts, list) else ():
        if isinstance(one, str):
            out.text("CONTACT", one)
    sensitivity = p.integer(P.PidTagSensitivity)
    if p.flag(P.PidLidPrivate) and sensitivity == 0:
        sensitivity = 2
    out.add("CLASS", {1: "PERSONAL", 2: "PRIVATE", 3: "CONFIDENTIAL"}.get(sensitivity, "PUBLIC"))
    out.add("PRIORITY", {0: "9", 2: "1"}.get(p.integer(P.PidTagImportance, 1), "5"))
    for attachment in message.attachments:
        _attach(attachment.properties, attachment.embedded, out, notes)


def _description(p: Properties, out: _Out, notes: Notes) -> None:
    text, html = text_and_html(p, notes)
    out.text("X-ALT-DESC", html, FMTTYPE="text/html")
    out.text("DESCRIPTION", text)


def _attach(p: Properties, embedded: Message | None, out: _Out, notes: Notes) -> None:
    if embedded is not None:
        if not _is_exception(p, embedded):
            notes.add("attached_item_dropped")
        return
    name = p.text(P.PidTagAttachLongFilename) or p.text(P.PidTagAttachFilename) or p.text(P.PidTagDisplayName)
    kind = p.text(P.PidTagAttachMimeTag)
    where = p.text(PidTagAttachLongPathname)
    if where and p.integer(P.PidTagAttachMethod) in (2, 3, 4, 7):
        out.add("ATTACH", where.replace("\r", "").replace("\n", ""), FMTTYPE=kind, X_FILENAME=name)
        return
    octets = p.binary(P.PidTagAttachDataBinary)
    if p.integer(P.PidTagAttachMethod, 1) != 1:
        notes.add("attachment_dropped")
        return
    out.add(
        "ATTACH",
        base64.b64encode(octets).decode("ascii"),
        ENCODING="BASE64",
        VALUE="BINARY",
        FMTTYPE=kind,
        X_FILENAME=name,
    )


def _details(message: Message, out: _Out, event: _Event, notes: Notes, method: str) -> None:
    p = message.properties
    _shared(message, out, notes)
    out.text("LOCATION", p.text(P.PidLidLocation) or p.text(P.PidLidWhere))
    out.add("SEQUENCE", str(max(p.integer(P.PidLidAppointmentSequence), 0)))
    busy = p.integer(P.PidLidBusyStatus, 2)
    out.add("TRANSP", "TRANSPARENT" if busy == 0 else "OPAQUE")
    state = p.integer(P.PidLidAppointmentStateFlags)
    out.add("STATUS", "CANCELLED" if state & 4 else "TENTATIVE" if busy == 1 else "CONFIRMED")
    out.add("X-MICROSOFT-CDO-BUSYSTATUS", _BUSY.get(busy, "BUSY"))
    intended = p.integer(P.PidLidIntendedBusyStatus, -1)
    if intended in _BUSY and intended != busy:
        out.add("X-MICROSOFT-CDO-INTENDEDSTATUS", _BUSY[intended])
    if event.day:
        out.add("X-MICROSOFT-CDO-ALLDAYEVENT", "TRUE")
    if p.integer(P.PidTagOwnerAppointmentId):
        out.add("X-MICROSOFT-CDO-OWNERAPPTID", str(p.integer(P.PidTagOwnerAppointmentId)))
    if p.flag(P.PidLidAppointmentNotAllowPropose):
        out.add("X-MICROSOFT-DISALLOW-COUNTER", "TRUE")
    _people(message, out, method, notes)
    _alarm(p, out)


def _address(person: people.Person, notes: Notes) -> str:
    if person.type == "SMTP" and person.address:
        return f"mailto:{person.address}".replace("\r", "").replace("\n", "")
    if person.type == "URI":
        return person.address.replace("\r", "").replace("\n", "")
    if person.address:
        notes.add("address_ex")
    return "invalid:nomail"


def _people(message: Message, out: _Out, method: str, notes: Notes) -> None:
    p = message.properties
    organizers = [r for r in message.recipients if r.integer(P.PidTagRecipientFlags) & people.ORGANIZER]
    meeting = p.integer(P.PidLidAppointmentStateFlags) & 1 or message.recipients
    if not meeting and not method:
        return
    if method == "REPLY" or (method == "COUNTER" and not organizers):
        answer = p.text(P.PidTagMessageClass).lower().rpartition(".")[2]
        replier = people.party(p, people.REPRESENTING) or people.party(p, people.SENDER)
        for row in message.recipients[:1]:
            if person := people.person_of_recipient(row):
                out.add("ORGANIZER", _address(person, notes), CN=person.name)
        if replier is not None:
            partstat = _ANSWERS.get(answer, "NEEDS-ACTION")
            out.add("ATTENDEE", _address(replier, notes), CN=replier.name, PARTSTAT=partstat)
        return
    organizer = people.party(p, people.REPRESENTING)
    if organizer is None and organizers:
        organizer = people.person_of_recipient(organizers[0])
    if organizer is not None:
        agent = people.party(p, people.SENDER)
        sent_by = ""
        if agent is not None and agent.type == "SMTP" and agent.address.lower() != organizer.address.lower():
            sent_by = f"mailto:{agent.address}"
        out.add("ORGANIZER", _address(organizer, notes), CN=organizer.name, SENT_BY=sent_by)
    rsvp = "TRUE" if p.flag(P.PidTagResponseRequested) else ""
    for row in message.recipients:
        person = people.person_of_recipient(row)
        if person is None or row.integer(P.PidTagRecipientFlags) & people.ORGANIZER:
            continue
        kind = row.integer(P.PidTagRecipientType, 1) & 0xF
        if row.integer(P.PidTagRecipientFlags) & 0x20:
            continue  # taken off this instance
        answer = people.PARTSTATS.get(row.integer(P.PidTagRecipientTrackStatus), "NEEDS-ACTION")
        out.add(
            "ATTENDEE",
            _address(person, notes),
            CN=person.name,
            CUTYPE="RESOURCE" if kind == people.RESOURCE else "",
            ROLE={people.CC: "OPT-PARTICIPANT", people.RESOURCE: "NON-PARTICIPANT"}.get(
                kind, "REQ-PARTICIPANT"
            ),
            PARTSTAT=answer,
            RSVP=rsvp,
        )


def _alarm(p: Properties, out: _Out) -> None:
    if not p.flag(P.PidLidReminderSet):
        return
    minutes = p.integer(P.PidLidReminderDelta, 15)
    if minutes == 0x5AE980E1:  # "the default", MS-OXORMDR 2.2.1.1
        minutes = 15
    out.add("BEGIN", "VALARM")
    out.add("ACTION", "DISPLAY")
    out.add("DESCRIPTION", "Reminder")
    out.add("TRIGGER", f"-PT{max(minutes, 0)}M", RELATED="START")
    out.add("END", "VALARM")


_SAID: Final = {
    key
    for name, key in vars(P).items()
    if name.startswith("PidLid") and isinstance(key, Named) and key.guid in _SETS
} | {P.PidNameKeywords}


def _losses(message: Message, notes: Notes) -> None:
    if any(isinstance(key, Named) and key not in _SAID for key in message.properties):
        notes.add("named_properties")


# Tasks and journal entries -------------------------------------------------------------------------------------------


def _day(p: Properties, key: Key) -> datetime | None:
    value = p.typed(key)
    return datetime_of(value.value) if value is not None and value.type == TIME else None


def _task(message: Message, out: _Out, notes: Notes) -> None:
    p = message.properties
    out.add("BEGIN", "VTODO")
    out.text("UID", _uid(message))
    _shared(message, out, notes)
    start, due = _day(p, P.PidLidTaskStartDate), _day(p, P.PidLidTaskDueDate)
    if start is not None:
        out.add("DTSTART", f"{start:%Y%m%d}", VALUE="DATE")
    if due is not None and (start is None or due >= start):
        # RFC 5545 3.6.2 wants DUE after DTSTART; a task of one day has both on that day, as every program writes it.
        out.add("DUE", f"{due:%Y%m%d}", VALUE="DATE")
    status = p.integer(P.PidLidTaskStatus)
    out.add("STATUS", {1: "IN-PROCESS", 2: "COMPLETED", 4: "CANCELLED"}.get(status, "NEEDS-ACTION"))
    if status in (3, 4):
        notes.add("task_status")
    percent = p.get(P.PidLidPercentComplete)
    if isinstance(percent, float) and 0 <= percent <= 1:
        out.add("PERCENT-COMPLETE", str(round(percent * 100)))
    if (completed := _day(p, P.PidLidTaskDateCompleted)) is not None:
        out.add("COMPLETED", f"{completed:%Y%m%dT%H%M%S}Z")
    octets = p.binary(P.PidLidTaskRecurrence)
    if octets and p.flag(P.PidLidTaskFRecurring, default=True):
        _task_rule(octets, out, notes)
    if organizer := people.party(p, people.REPRESENTING):
        out.add("ORGANIZER", _address(organizer, notes), CN=organizer.name)
    for row in message.recipients:
        if person := people.person_of_recipient(row):
            out.add("ATTENDEE", _address(person, notes), CN=person.name)
    if p.flag(P.PidLidReminderSet) and (when := p.time(P.PidLidReminderTime)) is not None:
        out.add("BEGIN", "VALARM")
        out.add("ACTION", "DISPLAY")
        out.add("DESCRIPTION", "Reminder")
        signal = p.time(P.PidLidReminderSignalTime) or when
        out.add("TRIGGER", f"{signal:%Y%m%dT%H%M%S}Z", VALUE="DATE-TIME")
        out.add("END", "VALARM")
    out.add("END", "VTODO")
    _losses(message, notes)


def _task_rule(octets: bytes | memoryview, out: _Out, notes: Notes) -> None:
    try:
        pattern, _ = R.parse_pattern(octets)
    except blobs.BlobError:
        notes.add("recurrence_unreadable")
        return
    rule = rules.rule_of(pattern)
    if rule is None:
        notes.add("recurrence_dropped")
        return
    if pattern.sliding:
        notes.add("recurrence_regenerates")
    end = R.local_time(pattern.end_date) if pattern.end_type == R.END_BY_DATE else None
    out.add("RRULE", rules.rule_text(rule, f"{end:%Y%m%d}" if end is not None else ""))


def _journal(message: Message, out: _Out, notes: Notes) -> None:
    p = message.properties
    out.add("BEGIN", "VJOURNAL")
    out.text("UID", _uid(message))
    _shared(message, out, notes)
    _stamp(out, "DTSTART", _ticks(p, P.PidLidLogStart, P.PidLidCommonStart))
    if p.integer(P.PidLidLogDuration):
        notes.add("journal_duration")
    if organizer := people.party(p, people.REPRESENTING):
        out.add("ORGANIZER", _address(organizer, notes), CN=organizer.name)
    for row in message.recipients:
        if person := people.person_of_recipient(row):
            out.add("ATTENDEE", _address(person, notes), CN=person.name)
    out.add("END", "VJOURNAL")
    _losses(message, notes)
