"""iCalendar ⇄ appointments, tasks, journal entries, on calendars made here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from migrator.formats.calendar import messages_of, method_of, octets_of, read_ics, reading, write_ics
from migrator.formats.calendar import zones as Z
from migrator.formats.errors import FormatError
from migrator.mapi import blobs, fasttransfer
from migrator.mapi import properties as P
from migrator.mapi import recurrence as R
from migrator.mapi.item import Message
from tests.formats.calendars import event, ics, instants


def one(raw: bytes, **options: Any) -> Message:
    made = read_ics(raw, **options)
    assert len(made) == 1
    # Every tree must be one that a stream can hold.
    assert fasttransfer.read(fasttransfer.write(made[0].message)).properties == made[0].message.properties
    return made[0].message


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


BERLIN = "DTSTART;TZID=Europe/Berlin:20240610T093000", "DTEND;TZID=Europe/Berlin:20240610T110000"


class TestSingle:
    def test_texts_and_times(self) -> None:
        raw = ics(
            event(
                *BERLIN,
                "SUMMARY:Größe\\, Ort\\; Zeit",
                "DESCRIPTION:first\\nsecond",
                "LOCATION:Room 1",
                "CATEGORIES:Blue,Work\\, hard",
                "CATEGORIES:Third",
                "CLASS:PRIVATE",
                "PRIORITY:1",
                "SEQUENCE:3",
                "CONTACT:Jane",
                "CREATED:20240102T030405Z",
                "GEO:1;2",
            )
        )
        made = read_ics(raw)[0]
        p = made.message.properties
        assert p.text(P.PidTagMessageClass) == "IPM.Appointment"
        assert p.text(P.PidTagSubject) == "Größe, Ort; Zeit"
        assert p.text(P.PidTagBody) == "first\r\nsecond"
        assert p.text(P.PidLidLocation) == "Room 1"
        assert p.time(P.PidLidAppointmentStartWhole) == utc(2024, 6, 10, 7, 30)
        assert p.time(P.PidLidAppointmentEndWhole) == utc(2024, 6, 10, 9)
        assert p.integer(P.PidLidAppointmentDuration) == 90
        assert p.get(P.PidNameKeywords) == ["Blue", "Work, hard", "Third"]
        assert p.integer(P.PidTagSensitivity) == 2
        assert p.flag(P.PidLidPrivate)
        assert p.integer(P.PidTagImportance) == 2
        assert p.integer(P.PidLidAppointmentSequence) == 3
        assert p.get(P.PidLidContacts) == ["Jane"]
        assert p.time(P.PidTagCreationTime) == utc(2024, 1, 2, 3, 4, 5)
        assert p.integer(P.PidTagMessageFlags) & 8 == 0  # not a draft
        zone = blobs.parse_time_zone_definition(p.binary(P.PidLidAppointmentTimeZoneDefinitionStartDisplay))
        assert zone.name == "W. Europe Standard Time"
        assert [(r.flags, r.bias, r.daylight_bias) for r in zone.rules] == [(2, -60, -60)]
        assert zone.rules[0].daylight == blobs.SystemTime(0, 3, 0, 5, 2)
        assert zone.rules[0].standard == blobs.SystemTime(0, 10, 0, 5, 3)
        assert made.notes == ("dropped:GEO",)

    def test_uid_becomes_both_forms_of_the_global_object_id(self) -> None:
        p = one(ics(event(*BERLIN, uid="foreign-uid@example.org"))).properties
        for key in (P.PidLidGlobalObjectId, P.PidLidCleanGlobalObjectId):
            assert blobs.parse_global_object_id(p.binary(key)).uid == "foreign-uid@example.org"
        own = "040000008200E00074C5B7101A82E008" + "00" * 20 + "10000000" + "AB" * 16
        p = one(ics(event(*BERLIN, uid=own))).properties
        assert bytes(p.binary(P.PidLidGlobalObjectId)).hex().upper() == own

    def test_without_uid_the_same_calendar_gives_the_same_id(self) -> None:
        raw = ics("BEGIN:VEVENT", *BERLIN, "SUMMARY:x", "END:VEVENT")
        ids = {bytes(one(raw).properties.binary(P.PidLidGlobalObjectId)) for _ in range(2)}
        assert len(ids) == 1
        assert "uid_missing" in read_ics(raw)[0].notes

    @pytest.mark.parametrize(
        ("lines", "start", "end"),
        [
            (("DTSTART;VALUE=DATE:20240610",), utc(2024, 6, 10), utc(2024, 6, 11)),
            (
                ("DTSTART;VALUE=DATE:20240610", "DTEND;VALUE=DATE:20240613"),
                utc(2024, 6, 10),
                utc(2024, 6, 13),
            ),
            (("DTSTART;VALUE=DATE:20240610", "DURATION:P2D"), utc(2024, 6, 10), utc(2024, 6, 12)),
        ],
    )
    def test_all_day(self, lines: tuple[str, ...], start: datetime, end: datetime) -> None:
        p = one(ics(event(*lines))).properties
        assert p.flag(P.PidLidAppointmentSubType)
        assert p.time(P.PidLidAppointmentStartWhole) == start
        assert p.time(P.PidLidAppointmentEndWhole) == end

    def test_whole_days_said_by_midnights(self) -> None:
        lines = ("DTSTART;TZID=Asia/Tokyo:20240610T000000", "DTEND;TZID=Asia/Tokyo:20240612T000000")
        p = one(ics(event(*lines, "X-MICROSOFT-CDO-ALLDAYEVENT:TRUE"))).properties
        assert p.flag(P.PidLidAppointmentSubType)
        assert p.time(P.PidLidAppointmentStartWhole) == utc(2024, 6, 9, 15)
        assert not one(ics(event(*lines))).properties.flag(P.PidLidAppointmentSubType)

    def test_all_day_begins_at_midnight_of_the_calendar_s_zone(self) -> None:
        p = one(ics(event("DTSTART;VALUE=DATE:20240610")), zone="America/New_York").properties
        assert p.time(P.PidLidAppointmentStartWhole) == utc(2024, 6, 10, 4)
        again = one(
            write_ics([one(ics(event("DTSTART;VALUE=DATE:20240610")), zone="America/New_York")]).octets
        )
        assert again.properties.time(P.PidLidAppointmentStartWhole) == utc(2024, 6, 10, 4)

    @pytest.mark.parametrize(
        ("duration", "end"),
        [
            ("PT90M", utc(2024, 6, 10, 9)),
            ("P1DT1H", utc(2024, 6, 11, 8, 30)),
            ("P1W", utc(2024, 6, 17, 7, 30)),
        ],
    )
    def test_duration(self, duration: str, end: datetime) -> None:
        p = one(ics(event(BERLIN[0], f"DURATION:{duration}"))).properties
        assert p.time(P.PidLidAppointmentEndWhole) == end

    def test_days_of_a_duration_are_days_of_the_calendar(self) -> None:
        # Summer time ends between the two: 25 hours.
        p = one(ics(event("DTSTART;TZID=Europe/Berlin:20241026T120000", "DURATION:P1D"))).properties
        assert p.integer(P.PidLidAppointmentDuration) == 25 * 60

    @pytest.mark.parametrize(
        ("lines", "busy"),
        [
            ((), 2),
            (("TRANSP:TRANSPARENT",), 0),
            (("STATUS:TENTATIVE",), 1),
            (("X-MICROSOFT-CDO-BUSYSTATUS:OOF", "TRANSP:OPAQUE"), 3),
            (("X-MICROSOFT-CDO-BUSYSTATUS:WORKINGELSEWHERE",), 4),
        ],
    )
    def test_busy(self, lines: tuple[str, ...], busy: int) -> None:
        message = one(ics(event(*BERLIN, *lines)))
        assert message.properties.integer(P.PidLidBusyStatus) == busy
        assert one(write_ics([message]).octets).properties.integer(P.PidLidBusyStatus) == busy

    @pytest.mark.parametrize(
        ("trigger", "minutes"),
        [
            ("TRIGGER:-PT15M", 15),
            ("TRIGGER:-P1D", 1440),
            ("TRIGGER;RELATED=END:-PT2H", 30),
            ("TRIGGER;VALUE=DATE-TIME:20240610T070000Z", 30),
            ("TRIGGER:PT5M", 0),
        ],
    )
    def test_alarm(self, trigger: str, minutes: int) -> None:
        p = one(ics(event(*BERLIN, "BEGIN:VALARM", "ACTION:DISPLAY", trigger, "END:VALARM"))).properties
        assert p.flag(P.PidLidReminderSet)
        assert p.integer(P.PidLidReminderDelta) == minutes
        assert p.time(P.PidLidReminderTime) == utc(2024, 6, 10, 7, 30)
        signal = p.time(P.PidLidReminderSignalTime)
        assert signal is not None
        assert (utc(2024, 6, 10, 7, 30) - signal).total_seconds() == 60 * minutes

    def test_no_alarm_no_reminder_and_a_second_one_is_told(self) -> None:
        assert not one(ics(event(*BERLIN))).properties.flag(P.PidLidReminderSet)
        alarm = ("BEGIN:VALARM", "ACTION:DISPLAY", "TRIGGER:-PT5M", "END:VALARM")
        assert "alarm_dropped" in read_ics(ics(event(*BERLIN, *alarm, *alarm)))[0].notes

    def test_html_and_attachments(self) -> None:
        message = one(
            ics(
                event(
                    *BERLIN,
                    "DESCRIPTION:plain",
                    "X-ALT-DESC;FMTTYPE=text/html:<p>rich\\, text ü</p>",
                    "ATTACH;ENCODING=BASE64;VALUE=BINARY;FMTTYPE=text/plain;X-FILENAME=a b.txt:aGVsbG8=",
                    "ATTACH:https://example.com/agenda.pdf",
                )
            )
        )
        p = message.properties
        assert bytes(p.binary(P.PidTagHtml)) == "<p>rich, text ü</p>".encode()
        assert p.integer(P.PidTagInternetCodepage) == 65001
        file, link = message.attachments
        assert bytes(file.properties.binary(P.PidTagAttachDataBinary)) == b"hello"
        assert file.properties.text(P.PidTagAttachLongFilename) == "a b.txt"
        assert link.properties.integer(P.PidTagAttachMethod) == 7
        again = one(write_ics([message]).octets)
        assert again.attachments[0].properties == file.properties
        assert again.attachments[1].properties == link.properties
        assert again.properties.binary(P.PidTagHtml) == p.binary(P.PidTagHtml)


class TestZones:
    @pytest.mark.parametrize(
        "name",
        [
            "Europe/Berlin",
            "W. Europe Standard Time",
            "/mozilla.org/20050126_1/Europe/Berlin",
            '"Europe/Berlin"',
        ],
    )
    def test_names(self, name: str) -> None:
        p = one(ics(event(f"DTSTART;TZID={name}:20240610T093000"))).properties
        assert p.time(P.PidLidAppointmentStartWhole) == utc(2024, 6, 10, 7, 30)

    ODD = "\r\n".join(
        [
            "BEGIN:VTIMEZONE",
            "TZID:Nowhere",
            "BEGIN:STANDARD",
            "DTSTART:16011104T020000",
            "RRULE:FREQ=YEARLY;BYDAY=1SU;BYMONTH=11",
            "TZOFFSETFROM:-0330",
            "TZOFFSETTO:-0430",
            "END:STANDARD",
            "BEGIN:DAYLIGHT",
            "DTSTART:16010311T020000",
            "RRULE:FREQ=YEARLY;BYDAY=2SU;BYMONTH=3",
            "TZOFFSETFROM:-0430",
            "TZOFFSETTO:-0330",
            "END:DAYLIGHT",
            "END:VTIMEZONE",
        ]
    )

    def test_own_vtimezone(self) -> None:
        summer = event("DTSTART;TZID=Nowhere:20240610T120000", uid="a")
        winter = event("DTSTART;TZID=Nowhere:20240110T120000", uid="b")
        first, second = read_ics(ics(summer, winter, zones=self.ODD))
        assert first.message.properties.time(P.PidLidAppointmentStartWhole) == utc(2024, 6, 10, 15, 30)
        assert second.message.properties.time(P.PidLidAppointmentStartWhole) == utc(2024, 1, 10, 16, 30)
        zone = blobs.parse_time_zone_definition(
            first.message.properties.binary(P.PidLidAppointmentTimeZoneDefinitionStartDisplay)
        )
        assert zone.name == "Nowhere"
        assert zone.rules[0].bias == 270
        assert zone.rules[0].daylight == blobs.SystemTime(0, 3, 0, 2, 2)
        assert zone.rules[0].standard == blobs.SystemTime(0, 11, 0, 1, 2)

    def test_own_vtimezone_survives_writing(self) -> None:
        series = event("DTSTART;TZID=Nowhere:20240110T120000", "RRULE:FREQ=MONTHLY;COUNT=12")
        message = one(ics(series, zones=self.ODD))
        again = one(write_ics([message]).octets)
        assert instants(again, utc(2026, 1, 1)) == instants(message, utc(2026, 1, 1))

    def test_unknown_name_is_told(self) -> None:
        assert "zone_unknown" in read_ics(ics(event("DTSTART;TZID=Atlantis:20240610T120000")))[0].notes

    def test_floating_time_is_read_in_the_zone_given(self) -> None:
        made = read_ics(ics(event("DTSTART:20240610T120000")), zone="Asia/Tokyo")[0]
        assert made.message.properties.time(P.PidLidAppointmentStartWhole) == utc(2024, 6, 10, 3)
        assert "time_floating" in made.notes

    @pytest.mark.parametrize(
        "name",
        [
            "Europe/Berlin",
            "America/New_York",
            "Asia/Kolkata",
            "Australia/Sydney",
            "America/Santiago",
            "Asia/Kathmandu",
        ],
    )
    def test_rules_say_what_the_zone_says(self, name: str) -> None:
        zone = Z.zone_of_name(name)
        assert zone is not None
        made = Z.definition_of(zone, 2005, 2035)
        rules = Z.zone_of_definition(blobs.parse_time_zone_definition(blobs.build_time_zone_definition(made)))
        assert rules is not None
        moments = [
            datetime(year, month, 1 + 3 * k, 9)
            for year in range(2005, 2036)
            for month in range(1, 13)
            for k in range(9)
        ]
        assert Z.fits(zone, rules, moments)

    def test_a_year_with_four_changes_is_told(self) -> None:
        made = read_ics(
            ics(event("DTSTART;TZID=Africa/Casablanca:20160101T090000", "RRULE:FREQ=DAILY;COUNT=300"))
        )
        assert "zone_approximated" in made[0].notes

    @pytest.mark.parametrize(
        "name", ["../../etc/passwd", "/etc/localtime", "a" * 500, "Europe/..", "localtime", ""]
    )
    def test_hostile_names_are_no_paths(self, name: str) -> None:
        assert Z.zone_of_name(name) is None


PEOPLE = (
    'ORGANIZER;CN="Smith, Bob";SENT-BY="mailto:amy@example.com":mailto:bob@example.com',
    "ATTENDEE;CN=Jane;ROLE=REQ-PARTICIPANT;PARTSTAT=ACCEPTED;RSVP=TRUE:mailto:jane@example.com",
    "ATTENDEE;CN=Opt;ROLE=OPT-PARTICIPANT;PARTSTAT=TENTATIVE:MAILTO:opt@example.com",
    "ATTENDEE;CN=Room;CUTYPE=ROOM:mailto:room@example.com",
)


class TestMeetings:
    def test_request(self) -> None:
        message = one(ics(event(*BERLIN, *PEOPLE), method="REQUEST"))
        p = message.properties
        assert p.text(P.PidTagMessageClass) == "IPM.Schedule.Meeting.Request"
        assert p.text(P.PidTagSentRepresentingName) == "Smith, Bob"
        assert p.text(P.PidTagSentRepresentingSmtpAddress) == "bob@example.com"
        assert p.text(P.PidTagSenderSmtpAddress) == "amy@example.com"
        rows = [
            (
                r.text(P.PidTagDisplayName),
                r.text(P.PidTagSmtpAddress),
                r.integer(P.PidTagRecipientType),
                r.integer(P.PidTagRecipientFlags),
                r.integer(P.PidTagRecipientTrackStatus),
            )
            for r in message.recipients
        ]
        assert rows == [
            ("Jane", "jane@example.com", 1, 1, 3),
            ("Opt", "opt@example.com", 2, 1, 2),
            ("Room", "room@example.com", 3, 1, 5),
        ]
        assert p.integer(P.PidLidAppointmentStateFlags) == 3
        assert p.flag(P.PidTagResponseRequested)
        assert method_of(message) == "REQUEST"

    def test_as_an_appointment_of_a_calendar(self) -> None:
        p = one(
            ics(event(*BERLIN, *PEOPLE), method="REQUEST"), meetings=False, owner="Jane@example.com"
        ).properties
        assert p.text(P.PidTagMessageClass) == "IPM.Appointment"
        assert p.integer(P.PidLidResponseStatus) == 3
        rows = one(ics(event(*BERLIN, *PEOPLE))).recipients
        assert [(r.text(P.PidTagDisplayName), r.integer(P.PidTagRecipientFlags)) for r in rows[:2]] == [
            ("Smith, Bob", 3),
            ("Jane", 1),
        ]
        assert [r.integer(P.PidTagRowid) for r in rows] == [0, 1, 2, 3]
        assert p.integer(P.PidLidAppointmentStateFlags) == 3
        p = one(ics(event(*BERLIN, *PEOPLE)), owner="bob@example.com").properties
        assert p.integer(P.PidLidAppointmentStateFlags) == 1  # his own meeting
        assert p.integer(P.PidLidResponseStatus) == 1

    @pytest.mark.parametrize(
        ("answer", "end"), [("ACCEPTED", "Pos"), ("DECLINED", "Neg"), ("TENTATIVE", "Tent")]
    )
    def test_reply(self, answer: str, end: str) -> None:
        lines = (
            "ORGANIZER:mailto:bob@example.com",
            f"ATTENDEE;CN=Jane;PARTSTAT={answer}:mailto:jane@example.com",
        )
        message = one(ics(event(*BERLIN, *lines, "COMMENT:sorry"), method="REPLY"))
        p = message.properties
        assert p.text(P.PidTagMessageClass) == f"IPM.Schedule.Meeting.Resp.{end}"
        assert p.text(P.PidTagSentRepresentingSmtpAddress) == "jane@example.com"
        assert [r.text(P.PidTagSmtpAddress) for r in message.recipients] == ["bob@example.com"]
        assert p.text(P.PidTagBody) == "sorry"
        octets, method = octets_of(message)
        assert method == "REPLY"
        assert messages_of(octets)[0].properties.text(P.PidTagMessageClass).endswith(end)

    def test_cancellation(self) -> None:
        message = one(ics(event(*BERLIN, *PEOPLE, "STATUS:CANCELLED"), method="CANCEL"))
        assert message.properties.text(P.PidTagMessageClass) == "IPM.Schedule.Meeting.Canceled"
        assert message.properties.integer(P.PidLidAppointmentStateFlags) & 4

    def test_counter_proposal(self) -> None:
        lines = ("ORGANIZER:mailto:bob@example.com", "ATTENDEE;PARTSTAT=TENTATIVE:mailto:jane@example.com")
        p = one(ics(event(*BERLIN, *lines), method="COUNTER")).properties
        assert p.flag(P.PidLidAppointmentCounterProposal)
        assert p.time(P.PidLidAppointmentProposedStartWhole) == utc(2024, 6, 10, 7, 30)

    def test_an_organiser_without_guests_is_no_meeting(self) -> None:
        p = one(ics(event(*BERLIN, PEOPLE[0], "ATTENDEE:mailto:bob@example.com"))).properties
        assert p.integer(P.PidLidAppointmentStateFlags) == 0
        assert p.integer(P.PidLidResponseStatus) == 0
        assert p.text(P.PidTagSentRepresentingSmtpAddress) == "bob@example.com"

    def test_people_survive_writing(self) -> None:
        message = one(ics(event(*BERLIN, *PEOPLE), method="REQUEST"))
        again = one(write_ics([message]).octets)
        assert again.recipients == message.recipients
        for key in (P.PidTagSentRepresentingName, P.PidTagSenderSmtpAddress, P.PidTagMessageClass):
            assert again.properties.get(key) == message.properties.get(key)

    def test_names_with_bare_colons(self) -> None:
        message = one(ics(event(*BERLIN, "ATTENDEE;CN=Dr: No:mailto:no@example.com")))
        assert message.recipients[0].text(P.PidTagSmtpAddress) == "no@example.com"


SERIES = (
    "DTSTART;TZID=Europe/Berlin:20240304T090000",
    "DTEND;TZID=Europe/Berlin:20240304T100000",
    "RRULE:FREQ=WEEKLY;COUNT=10",
    "SUMMARY:Weekly",
    "LOCATION:Here",
    "DESCRIPTION:text",
)


class TestSeries:
    def test_blob_and_zone(self) -> None:
        message = one(ics(event(*SERIES)))
        p = message.properties
        blob = R.parse_recurrence(p.binary(P.PidLidAppointmentRecur))
        assert (blob.pattern.frequency, blob.pattern.pattern_type, blob.pattern.period) == (
            R.WEEKLY,
            R.WEEK,
            1,
        )
        assert (blob.pattern.end_type, blob.pattern.occurrences) == (R.END_AFTER, 10)
        assert (blob.start_offset, blob.end_offset) == (540, 600)
        assert p.flag(P.PidLidRecurring)
        assert p.integer(P.PidLidRecurrenceType) == 2
        # Nine o'clock on both sides of the change to summer time.
        starts = list(instants(message, utc(2025, 1, 1)))
        assert starts[0] == utc(2024, 3, 4, 8)
        assert starts[-1] == utc(2024, 5, 6, 7)
        struct = blobs.parse_time_zone_struct(p.binary(P.PidLidTimeZoneStruct))
        assert (struct.bias, struct.daylight_bias) == (-60, -60)
        assert p.get(P.PidLidClipEnd) == (datetime(2024, 5, 6) - datetime(1601, 1, 1)).days * 864_000_000_000

    def test_first_date_time_is_as_outlook_computes_it(self) -> None:
        # The recorded series of tests/mapi/recurrences.py: weekly on Tuesday, weeks begin on Sunday.
        raw = ics(
            event("DTSTART:20100420T080000Z", "DTEND:20100420T083000Z", "RRULE:FREQ=WEEKLY;BYDAY=TU;WKST=SU")
        )
        blob = R.parse_recurrence(one(raw).properties.binary(P.PidLidAppointmentRecur))
        assert blob.pattern.first_date_time == 8640

    def test_left_out_changed_and_cancelled(self) -> None:
        raw = ics(
            event(*SERIES, "EXDATE;TZID=Europe/Berlin:20240311T090000", "EXDATE:20240318T080000Z"),
            event(
                "RECURRENCE-ID;TZID=Europe/Berlin:20240325T090000",
                "DTSTART;TZID=Europe/Berlin:20240326T140000",
                "DTEND;TZID=Europe/Berlin:20240326T160000",
                "SUMMARY:Moved",
                "LOCATION:There",
                "DESCRIPTION:other",
                "X-MICROSOFT-CDO-BUSYSTATUS:OOF",
            ),
            event(
                "RECURRENCE-ID;TZID=Europe/Berlin:20240401T090000",
                "DTSTART;TZID=Europe/Berlin:20240401T090000",
                "STATUS:CANCELLED",
            ),
        )
        message = one(raw)
        found = instants(message, utc(2025, 1, 1))
        assert utc(2024, 3, 11, 8) not in found
        assert utc(2024, 3, 18, 8) not in found
        assert utc(2024, 3, 25, 8) not in found
        assert utc(2024, 4, 1, 7) not in found
        assert found[utc(2024, 3, 26, 13)] == "Moved"
        assert len(found) == 7
        blob = R.parse_recurrence(message.properties.binary(P.PidLidAppointmentRecur))
        assert len(blob.pattern.deleted) == 4  # changed instances are among them
        assert len(blob.pattern.modified) == 1
        entry = blob.exceptions[0]
        assert (entry.subject, entry.location, entry.busy_status, entry.body) == ("Moved", "There", 3, True)
        hidden = message.attachments[0]
        a = hidden.properties
        assert a.integer(P.PidTagAttachMethod) == 5
        assert a.flag(P.PidTagAttachmentHidden)
        assert a.integer(P.PidTagAttachmentFlags) == 2
        assert a.time(P.PidTagExceptionStartTime) == utc(
            2024, 3, 26, 14
        )  # local time, kept as if it were UTC
        assert a.time(P.PidTagExceptionReplaceTime) == utc(2024, 3, 25, 8)
        inner = hidden.embedded
        assert inner is not None
        assert (
            inner.properties.text(P.PidTagMessageClass)
            == "IPM.OLE.CLASS.{00061055-0000-0000-C000-000000000046}"
        )
        assert inner.properties.time(P.PidLidExceptionReplaceTime) == utc(2024, 3, 25, 8)
        assert inner.properties.text(P.PidTagBody) == "other"
        again = one(write_ics([message]).octets)
        assert instants(again, utc(2025, 1, 1)) == found
        assert R.parse_recurrence(again.properties.binary(P.PidLidAppointmentRecur)) == blob
        assert again.attachments[0].embedded is not None
        assert again.attachments[0].embedded.properties.text(P.PidTagBody) == "other"

    def test_changed_to_all_day(self) -> None:
        raw = ics(
            event(*SERIES),
            event(
                "RECURRENCE-ID;TZID=Europe/Berlin:20240311T090000",
                "DTSTART;VALUE=DATE:20240312",
                "SUMMARY:Weekly",
            ),
        )
        message = one(raw, zone="Europe/Berlin")
        blob = R.parse_recurrence(message.properties.binary(P.PidLidAppointmentRecur))
        assert blob.exceptions[0].sub_type == 1
        assert R.local_time(blob.exceptions[0].start) == datetime(2024, 3, 12)

    def test_instance_of_an_all_day_series_with_times(self) -> None:
        raw = ics(
            event("DTSTART;VALUE=DATE:20240115", "RRULE:FREQ=WEEKLY;COUNT=4"),
            event("RECURRENCE-ID;VALUE=DATE:20240122", "DTSTART:20240123T130000Z", "DTEND:20240123T140000Z"),
        )
        message = one(raw, zone="Europe/Berlin")
        found = instants(message, utc(2025, 1, 1))
        assert utc(2024, 1, 23, 13) in found
        assert len(found) == 4
        blob = R.parse_recurrence(message.properties.binary(P.PidLidAppointmentRecur))
        assert blob.exceptions[0].sub_type == 0
        assert instants(one(write_ics([message]).octets), utc(2025, 1, 1)) == found
        # Exchange may hold such an instance without the mark that it is no whole day.
        blob.exceptions[0].sub_type = None
        message.properties.set(P.PidLidAppointmentRecur, 0x0102, R.build_recurrence(blob))
        assert instants(one(write_ics([message]).octets), utc(2025, 1, 1)) == found

    def test_dates_beside_the_rule_become_items_of_their_own(self) -> None:
        made = read_ics(
            ics(
                event(
                    *SERIES,
                    "RDATE;TZID=Europe/Berlin:20240306T120000",
                    "RDATE;VALUE=PERIOD:20240307T100000Z/PT3H",
                )
            )
        )
        assert "recurrence_dates_apart" in made[0].notes
        starts = {s for one_made in made for s in instants(one_made.message, utc(2025, 1, 1))}
        assert {utc(2024, 3, 6, 11), utc(2024, 3, 7, 10)} <= starts
        assert len(starts) == 12
        lengths = {m.message.properties.integer(P.PidLidAppointmentDuration) for m in made}
        assert 180 in lengths
        ids = {bytes(m.message.properties.binary(P.PidLidGlobalObjectId)) for m in made}
        assert len(ids) == 3

    def test_instance_that_the_series_does_not_have(self) -> None:
        stray = event("RECURRENCE-ID:20240305T010000Z", "DTSTART:20240305T010000Z", "SUMMARY:Stray")
        made = read_ics(ics(event(*SERIES), stray))
        assert [m.message.properties.text(P.PidTagSubject) for m in made] == ["Weekly", "Stray"]
        assert "instance_apart" in made[1].notes

    def test_instance_alone(self) -> None:
        raw = ics(
            event("RECURRENCE-ID:20240305T010000Z", "DTSTART:20240306T020000Z", *PEOPLE), method="REQUEST"
        )
        message = one(raw)
        p = message.properties
        assert p.flag(P.PidLidIsException)
        assert blobs.parse_global_object_id(p.binary(P.PidLidGlobalObjectId)).instance == (2024, 3, 5)
        assert blobs.parse_global_object_id(p.binary(P.PidLidCleanGlobalObjectId)).instance is None
        assert b"RECURRENCE-ID:20240305T010000Z" in write_ics([message]).octets
        assert b"RRULE" not in write_ics([message]).octets

    def test_all_day_series(self) -> None:
        raw = ics(
            event(
                "DTSTART;VALUE=DATE:20240115",
                "DTEND;VALUE=DATE:20240117",
                "RRULE:FREQ=MONTHLY;UNTIL=20240515",
            )
        )
        message = one(raw, zone="America/New_York")
        blob = R.parse_recurrence(message.properties.binary(P.PidLidAppointmentRecur))
        assert (blob.start_offset, blob.end_offset) == (0, 2880)
        assert len(instants(message, utc(2025, 1, 1))) == 5
        again = one(write_ics([message]).octets)
        assert R.parse_recurrence(again.properties.binary(P.PidLidAppointmentRecur)) == blob

    def test_everything_left_out(self) -> None:
        raw = ics(
            event(
                "DTSTART:20240101T100000Z",
                "RRULE:FREQ=DAILY;COUNT=2",
                "EXDATE:20240101T100000Z,20240102T100000Z",
            )
        )
        assert instants(one(raw), utc(2025, 1, 1)) == {}

    def test_malformed_rule_is_told_and_the_event_stays(self) -> None:
        made = read_ics(ics(event("DTSTART:20240101T100000Z", "RRULE:FREQ=SOMETIMES")))
        assert len(made) == 1
        assert "recurrence_malformed" in made[0].notes

    def test_series_in_a_zone_whose_rules_change_within_it(self) -> None:
        raw = ics(event("DTSTART;TZID=America/New_York:20050301T090000", "RRULE:FREQ=DAILY;COUNT=1500"))
        message = one(raw)
        zone = Z.zone_of_name("America/New_York")
        expected = {
            (datetime(2005, 3, 1, 9) + timedelta(days=n)).replace(tzinfo=zone).astimezone(UTC)
            for n in range(1500)
        }
        assert set(instants(message, utc(2030, 1, 1))) == expected


class TestTasksAndJournals:
    def test_task(self) -> None:
        raw = ics(
            "BEGIN:VTODO",
            "UID:t1",
            "SUMMARY:Taxes",
            "DTSTART;VALUE=DATE:20240401",
            "DUE;VALUE=DATE:20240415",
            "STATUS:IN-PROCESS",
            "PERCENT-COMPLETE:40",
            "PRIORITY:1",
            "RRULE:FREQ=YEARLY",
            "BEGIN:VALARM",
            "ACTION:DISPLAY",
            "TRIGGER;VALUE=DATE-TIME:20240414T080000Z",
            "END:VALARM",
            "END:VTODO",
        )
        message = one(raw)
        p = message.properties
        assert p.text(P.PidTagMessageClass) == "IPM.Task"
        assert p.time(P.PidLidTaskStartDate) == utc(2024, 4, 1)
        assert p.time(P.PidLidTaskDueDate) == utc(2024, 4, 15)
        assert p.integer(P.PidLidTaskStatus) == 1
        assert p.get(P.PidLidPercentComplete) == pytest.approx(0.4)
        pattern, rest = R.parse_pattern(p.binary(P.PidLidTaskRecurrence))
        assert (pattern.frequency, pattern.day, rest) == (R.YEARLY, 15, b"")
        again = one(write_ics([message]).octets).properties
        for key in (
            P.PidTagSubject,
            P.PidLidTaskStartDate,
            P.PidLidTaskDueDate,
            P.PidLidTaskStatus,
            P.PidLidTaskRecurrence,
            P.PidLidGlobalObjectId,
            P.PidTagImportance,
            P.PidLidReminderSignalTime,
        ):
            assert again.get(key) == p.get(key), key

    def test_completed_task(self) -> None:
        p = one(
            ics("BEGIN:VTODO", "UID:t", "SUMMARY:x", "COMPLETED:20240105T120000Z", "END:VTODO")
        ).properties
        assert p.integer(P.PidLidTaskStatus) == 2
        assert p.flag(P.PidLidTaskComplete)
        assert p.time(P.PidLidTaskDateCompleted) == utc(2024, 1, 5)

    def test_journal(self) -> None:
        raw = ics(
            "BEGIN:VJOURNAL",
            "UID:j",
            "DTSTART:20240105T120000Z",
            "SUMMARY:Log",
            "DESCRIPTION:a",
            "DESCRIPTION:b",
            "END:VJOURNAL",
        )
        message = one(raw)
        p = message.properties
        assert p.text(P.PidTagMessageClass) == "IPM.Activity"
        assert p.text(P.PidTagBody) == "a\r\n\r\nb"
        assert p.time(P.PidLidLogStart) == utc(2024, 1, 5, 12)
        assert one(write_ics([message]).octets).properties.text(P.PidTagBody) == p.text(P.PidTagBody)


class TestFaults:
    @pytest.mark.parametrize(
        ("raw", "code"),
        [
            (b"", "format_malformed"),
            (b"hello", "format_malformed"),
            (b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", "format_unsupported"),
            (ics("BEGIN:VFREEBUSY", "END:VFREEBUSY"), "format_unsupported"),
            (ics(event("SUMMARY:no date")), "format_malformed"),
            (ics(event("DTSTART:00010101T000000Z")), "format_malformed"),
            (ics(event("DTSTART:99990101T000000Z")), "format_malformed"),
            (b"BEGIN:A\r\n" * 50, "format_limit"),
        ],
    )
    def test_typed_error(self, raw: bytes, code: str) -> None:
        with pytest.raises(FormatError) as caught:
            read_ics(raw)
        assert caught.value.code == code

    def test_too_many_components(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reading, "MOST_COMPONENTS", 3)
        with pytest.raises(FormatError) as caught:
            read_ics(ics(*[event(*BERLIN, uid=str(n)) for n in range(4)]))
        assert caught.value.code == "format_limit"

    def test_a_bad_component_beside_a_good_one_is_told(self) -> None:
        made = read_ics(ics(event("SUMMARY:no date", uid="x"), event(*BERLIN, "SUMMARY:good")))
        assert [m.message.properties.text(P.PidTagSubject) for m in made] == ["good"]
        assert "component_malformed" in made[0].notes

    def test_forgiving_lines(self) -> None:
        raw = (
            b"\xef\xbb\xbfBEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;;VALUE=DATE-TIME:20240610T093000Z\n"
            b"SUMMARY:a b\n  c \xe4\nDESCRIPTION:first\nsecond line without a fold\nRRULE:FREQ=DAILY\\;COUNT=3\nEND:VEVENT\n"
        )
        message = one(raw)
        assert message.properties.text(P.PidTagSubject) == "a b c ä"
        assert message.properties.text(P.PidTagBody) == "first\r\nsecond line without a fold"
        assert len(instants(message, utc(2025, 1, 1))) == 3

    def test_mac_line_ends_and_utf16(self) -> None:
        raw = ics(event(*BERLIN, "SUMMARY:x"))
        assert one(raw.replace(b"\r\n", b"\r")).properties.text(P.PidTagSubject) == "x"
        assert one(b"\xff\xfe" + raw.decode().encode("utf-16-le")).properties.text(P.PidTagSubject) == "x"

    def test_other_kinds_are_refused_when_writing(self) -> None:
        message = Message()
        message.properties.set(P.PidTagMessageClass, 0x1F, "IPM.Note")
        with pytest.raises(FormatError):
            write_ics([message])

    @pytest.mark.parametrize(
        "rule",
        [
            "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
            "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
            "FREQ=DAILY;INTERVAL=7;BYDAY=TU",
            "FREQ=YEARLY;BYWEEKNO=53;BYMONTH=6",
            "FREQ=DAILY;COUNT=2147483647",
            "FREQ=SECONDLY",
            "FREQ=HOURLY;INTERVAL=2147483647",
            "FREQ=YEARLY;INTERVAL=2147483647",
            "FREQ=MONTHLY;BYDAY=" + ",".join(f"{n}MO" for n in range(1, 54)),
        ],
    )
    @pytest.mark.timeout(10)
    def test_rules_made_to_be_searched_forever(self, rule: str) -> None:
        made = read_ics(ics(event("DTSTART:20240101T100000Z", f"RRULE:{rule}")))
        assert 1 <= len(made) <= 402
