"""vCard ⇄ contacts and distribution lists, on cards made here."""

from __future__ import annotations

import base64
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.formats.contact import (
    build_stream,
    checksum,
    members_of,
    parse_stream,
    read_vcf,
    set_members,
    write_vcf,
)
from migrator.formats.errors import FormatError
from migrator.mapi import blobs, fasttransfer
from migrator.mapi import properties as P
from migrator.mapi.item import Message, Properties

PNG = bytes.fromhex("89504e470d0a1a0a") + bytes(40)


def card(*lines: str, version: str = "3.0") -> bytes:
    return "\r\n".join(["BEGIN:VCARD", f"VERSION:{version}", *lines, "END:VCARD", ""]).encode()


def one(raw: bytes) -> Message:
    made = read_vcf(raw)
    assert len(made) == 1
    assert fasttransfer.read(fasttransfer.write(made[0].message)).properties == made[0].message.properties
    return made[0].message


FULL = card(
    "N:Müller;Jörg;Karl,Maria;Dr.;jun.",
    "FN:Dr. Jörg Müller",
    "NICKNAME:Jö",
    "ORG:Brightwater\\, Inc.;Pumps;East",
    "TITLE:Engineer",
    "ROLE:Hydraulics",
    "EMAIL;TYPE=INTERNET:second@example.com",
    "EMAIL;TYPE=INTERNET,PREF:first@example.com",
    "EMAIL:third@example.com",
    "EMAIL:fourth@example.com",
    "TEL;TYPE=WORK,VOICE:+49 1",
    "TEL;TYPE=WORK:+49 2",
    "TEL;TYPE=WORK:+49 3",
    "TEL;TYPE=HOME:+49 4",
    "TEL;TYPE=CELL:+49 5",
    "TEL;TYPE=WORK,FAX:+49 6",
    "TEL;TYPE=PAGER:+49 7",
    "TEL:+49 8",
    "ADR;TYPE=WORK,PREF:PO 1;Room 5;Main St. 1;Berlin;BE;10115;Germany",
    "LABEL;TYPE=WORK:Main St. 1\\n10115 Berlin",
    "ADR;TYPE=HOME:;;Home St. 2;Potsdam;;14467;Germany",
    "ADR:;;Other St. 3;Köln;;50667;",
    "ADR;TYPE=HOME:;;Holiday St. 4;Rügen;;18528;",
    "URL;TYPE=WORK:https\\://example.com",
    "URL;TYPE=HOME:https://home.example.com",
    "X-MS-IMADDRESS:chat@example.com",
    "BDAY:1980-02-29",
    "X-MS-ANNIVERSARY:20050607",
    "X-MS-MANAGER:The Boss",
    "X-MS-ASSISTANT:Helper",
    "X-MS-SPOUSE:Partner",
    "CATEGORIES:Friends,Work\\, hard",
    "NOTE:line one\\nline two\\; more",
    f"PHOTO;ENCODING=b;TYPE=PNG:{base64.b64encode(PNG).decode()}",
    "UID:abc-123",
    "REV:2024-01-02T03:04:05Z",
    "CLASS:PRIVATE",
    "GEO:1;2",
)


class TestContacts:
    def test_names_and_organisation(self) -> None:
        p = one(FULL).properties
        for key, text in (
            (P.PidTagMessageClass, "IPM.Contact"),
            (P.PidTagSurname, "Müller"),
            (P.PidTagGivenName, "Jörg"),
            (P.PidTagMiddleName, "Karl Maria"),
            (P.PidTagDisplayNamePrefix, "Dr."),
            (P.PidTagGeneration, "jun."),
            (P.PidTagDisplayName, "Dr. Jörg Müller"),
            (P.PidTagSubject, "Dr. Jörg Müller"),
            (P.PidLidFileUnder, "Müller, Jörg Karl Maria"),
            (P.PidTagNickname, "Jö"),
            (P.PidTagCompanyName, "Brightwater, Inc."),
            (P.PidTagDepartmentName, "Pumps; East"),
            (P.PidTagTitle, "Engineer"),
            (P.PidTagProfession, "Hydraulics"),
            (P.PidTagManagerName, "The Boss"),
            (P.PidTagAssistant, "Helper"),
            (P.PidTagSpouseName, "Partner"),
            (P.PidLidInstantMessagingAddress, "chat@example.com"),
            (P.PidTagBusinessHomePage, "https://example.com"),
            (P.PidTagPersonalHomePage, "https://home.example.com"),
        ):
            assert p.text(key) == text, key

    def test_three_addresses_with_what_address_pickers_need(self) -> None:
        p = one(FULL).properties
        assert p.text(P.PidLidEmail1EmailAddress) == "first@example.com"  # the preferred one
        assert p.text(P.PidLidEmail2EmailAddress) == "second@example.com"
        assert p.text(P.PidLidEmail3EmailAddress) == "third@example.com"
        assert p.text(P.PidLidEmail1AddressType) == "SMTP"
        assert p.text(P.PidLidEmail1DisplayName) == "Dr. Jörg Müller (first@example.com)"
        entry = blobs.parse_entry_id(p.binary(P.PidLidEmail1OriginalEntryId))
        assert isinstance(entry, blobs.OneOff)
        assert (entry.address_type, entry.address) == ("SMTP", "first@example.com")
        assert p.get(P.PidLidAddressBookProviderEmailList) == [0, 1, 2]
        assert p.integer(P.PidLidAddressBookProviderArrayType) == 7

    def test_what_finds_no_place_stands_in_the_text(self) -> None:
        made = read_vcf(FULL)[0]
        body = made.message.properties.text(P.PidTagBody)
        assert body.startswith("line one\r\nline two; more\r\n\r\n")
        assert "E-mail: fourth@example.com" in body
        assert "Holiday St. 4" in body
        assert "contact_overflow" in made.notes
        assert "dropped:GEO" in made.notes

    def test_numbers(self) -> None:
        p = one(FULL).properties
        for key, number in (
            (P.PidTagBusinessTelephoneNumber, "+49 1"),
            (P.PidTagBusiness2TelephoneNumber, "+49 2"),
            (P.PidTagHomeTelephoneNumber, "+49 4"),
            (P.PidTagMobileTelephoneNumber, "+49 5"),
            (P.PidTagBusinessFaxNumber, "+49 6"),
            (P.PidTagPagerTelephoneNumber, "+49 7"),
        ):
            assert p.text(key) == number
        told = " ".join(str(value.value) for value in p.values())
        assert all(f"+49 {n}" in told for n in range(1, 9))

    def test_addresses(self) -> None:
        p = one(FULL).properties
        assert p.text(P.PidLidWorkAddressStreet) == "Main St. 1"
        assert p.text(P.PidTagOfficeLocation) == "Room 5"
        assert p.text(P.PidLidWorkAddressPostOfficeBox) == "PO 1"
        assert p.text(P.PidLidWorkAddressCity) == "Berlin"
        assert p.text(P.PidLidWorkAddressPostalCode) == "10115"
        assert p.text(P.PidLidWorkAddressCountry) == "Germany"
        assert p.text(P.PidLidWorkAddress) == "Main St. 1\r\n10115 Berlin"
        assert p.integer(P.PidLidPostalAddressId) == 2
        assert p.text(P.PidTagHomeAddressCity) == "Potsdam"
        assert p.text(P.PidLidHomeAddress) == "Home St. 2\r\nPotsdam 14467\r\nGermany"
        assert p.text(P.PidTagOtherAddressCity) == "Köln"

    def test_dates_picture_and_the_rest(self) -> None:
        message = one(FULL)
        p = message.properties
        assert p.time(P.PidTagBirthday) == datetime(1980, 2, 29, 11, 59, tzinfo=UTC)
        assert p.time(P.PidLidBirthdayLocal) == datetime(1980, 2, 29, tzinfo=UTC)
        assert p.time(P.PidTagWeddingAnniversary) == datetime(2005, 6, 7, 11, 59, tzinfo=UTC)
        assert p.get(P.PidNameKeywords) == ["Friends", "Work, hard"]
        assert p.flag(P.PidLidPrivate)
        assert p.time(P.PidTagLastModificationTime) == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
        a = message.attachments[0].properties
        assert a.flag(P.PidTagAttachmentContactPhoto)
        assert a.text(P.PidTagAttachLongFilename) == "ContactPicture.jpg"
        assert bytes(a.binary(P.PidTagAttachDataBinary)) == PNG
        assert p.flag(P.PidLidHasPicture)

    def test_written_and_read_again(self) -> None:
        message = one(FULL)
        again = one(write_vcf([message]).octets)
        assert again.properties == message.properties
        assert again.attachments == message.attachments
        assert all(len(line) <= 75 for line in write_vcf([message]).octets.split(b"\r\n"))

    def test_vcard_2_1(self) -> None:
        raw = (
            b"BEGIN:VCARD\r\nVERSION:2.1\r\nN;CHARSET=ISO-8859-1;ENCODING=QUOTED-PRINTABLE:M=FCller;J=F6rg\r\n"
            b"FN;CHARSET=windows-1251:\xc8\xe2\xe0\xed\r\nTEL;HOME;VOICE:1\r\nTEL;CELL:2\r\nORG:Company, The;Dept\r\n"
            b"NOTE;ENCODING=QUOTED-PRINTABLE;CHARSET=UTF-8:first=0D=0A=\r\nsecond =C3=BC=\r\n more\r\n"
            b"PHOTO;PNG;ENCODING=BASE64:\r\n    iVBORw0K\r\n    GgoAAAAA\r\n\r\nBDAY:19800102\r\nEND:VCARD\r\n"
        )
        message = one(raw)
        p = message.properties
        assert (p.text(P.PidTagSurname), p.text(P.PidTagGivenName)) == ("Müller", "Jörg")
        assert p.text(P.PidTagDisplayName) == "Иван"
        assert p.text(P.PidTagBody) == "first\r\nsecond ü more"
        assert (p.text(P.PidTagHomeTelephoneNumber), p.text(P.PidTagMobileTelephoneNumber)) == ("1", "2")
        assert p.text(P.PidTagCompanyName) == "Company, The"
        assert bytes(message.attachments[0].properties.binary(P.PidTagAttachDataBinary)).startswith(
            b"\x89PNG"
        )
        assert p.time(P.PidLidBirthdayLocal) == datetime(1980, 1, 2, tzinfo=UTC)

    def test_vcard_4(self) -> None:
        raw = card(
            "FN:Simon",
            "EMAIL;PREF=2:b@example.com",
            "EMAIL;PREF=1:a@example.com",
            'TEL;VALUE=uri;TYPE="work,voice":tel:+1-418;ext=102',
            f"PHOTO:data:image/png;base64,{base64.b64encode(PNG).decode()}",
            "BDAY:--0203",
            "RELATED;TYPE=spouse;VALUE=text:Pat",
            "IMPP:xmpp:a@example.com",
            version="4.0",
        )
        message = one(raw)
        p = message.properties
        assert p.text(P.PidLidEmail1EmailAddress) == "a@example.com"
        assert p.text(P.PidTagBusinessTelephoneNumber) == "+1-418;ext=102"
        assert bytes(message.attachments[0].properties.binary(P.PidTagAttachDataBinary)) == PNG
        assert P.PidTagBirthday not in p
        assert "Birthday: --0203" in p.text(P.PidTagBody)
        assert p.text(P.PidTagSpouseName) == "Pat"
        assert p.text(P.PidLidInstantMessagingAddress) == "xmpp:a@example.com"

    def test_apple_s_labels(self) -> None:
        raw = card(
            "FN:x",
            "item1.X-ABDATE:1975-03-01",
            "item1.X-ABLabel:_$!<Anniversary>!$_",
            "item2.X-ABRELATEDNAMES:Jenny",
            "item2.X-ABLabel:_$!<Spouse>!$_",
            "item3.TEL:5",
            "item3.X-ABLabel:_$!<HomeFAX>!$_",
        )
        p = one(raw).properties
        assert p.time(P.PidLidWeddingAnniversaryLocal) == datetime(1975, 3, 1, tzinfo=UTC)
        assert p.text(P.PidTagSpouseName) == "Jenny"
        assert "5" in " ".join(str(value.value) for value in p.values())

    def test_without_a_name(self) -> None:
        assert one(card("EMAIL:a@example.com")).properties.text(P.PidTagDisplayName) == "a@example.com"
        assert one(card("ORG:Company")).properties.text(P.PidTagDisplayName) == "Company"

    def test_address_of_the_old_directory(self) -> None:
        message = one(card("FN:x"))
        p = message.properties
        p.set(P.PidLidEmail1AddressType, 0x1F, "EX")
        p.set(P.PidLidEmail1EmailAddress, 0x1F, "/o=Org/cn=x")
        written = write_vcf([message])
        assert "address_ex" in written.notes
        p.set(P.PidLidEmail1OriginalDisplayName, 0x1F, "x@example.com")
        assert b"x@example.com" in write_vcf([message]).octets


class TestLists:
    def test_group_of_version_4(self) -> None:
        raw = card(
            "KIND:group",
            "FN:Team",
            "MEMBER;CN=Ann:mailto:ann@example.com",
            "MEMBER:urn:uuid:B-1",
            version="4.0",
        )
        raw += card("FN:Bob Known", "EMAIL:bob@example.com", "UID:urn:uuid:b-1", version="4.0")
        group, contact = (made.message for made in read_vcf(raw))
        p = group.properties
        assert p.text(P.PidTagMessageClass) == "IPM.DistList"
        assert p.text(P.PidLidDistributionListName) == "Team"
        assert members_of(p) == [("Ann", "SMTP", "ann@example.com"), ("Bob Known", "SMTP", "bob@example.com")]
        members = p.get(P.PidLidDistributionListMembers)
        assert p.get(P.PidLidDistributionListOneOffMembers) == members
        assert p.integer(P.PidLidDistributionListChecksum) & 0xFFFFFFFF == checksum(members)
        assert contact.properties.text(P.PidTagMessageClass) == "IPM.Contact"
        again = one(write_vcf([group]).octets)
        assert members_of(again.properties) == members_of(p)

    def test_groups_of_apple(self) -> None:
        raw = card(
            "N:Team", "FN:Team", "X-ADDRESSBOOKSERVER-KIND:group", "X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:gone"
        )
        made = read_vcf(raw)[0]
        assert made.message.properties.text(P.PidTagMessageClass) == "IPM.DistList"
        assert "member_unknown" in made.notes
        assert "gone" in made.message.properties.text(P.PidTagBody)

    def test_large_list_is_kept_as_a_stream(self) -> None:
        p = Properties()
        people = [(f"Person {n}", f"person{n}@example.com") for n in range(500)]
        set_members(p, people)
        assert p.get(P.PidLidDistributionListMembers) == []
        assert [(name, address) for name, _, address in members_of(p)] == people

    def test_checksum_is_that_of_a_list_by_outlook(self) -> None:
        # Two wrapped members of a recorded list and the checksum that Outlook put beside them.
        head = "00000000c091add3519dcf11a4a900aa0047faa4c300000000cbb89467e6064248a8209cc1e3b9a12807004ab111f7c892"
        tail = "94409843750be6086bc400000000010e00004ab111f7c89294409843750be6086bc4000000001db"
        members = [bytes.fromhex(f"{head}{tail}{end}0000") for end in ("5", "3")]
        assert checksum(members) == 0xD81A3347

    @settings(max_examples=50, deadline=None)
    @given(st.binary(max_size=200))
    def test_any_stream(self, octets: bytes) -> None:
        try:
            parse_stream(octets)
        except FormatError:
            return
        assert len(octets) >= 28

    def test_stream_is_cut(self) -> None:
        stream = build_stream([b"abc", b"defg"])
        assert parse_stream(stream) == [(b"abc", b"abc"), (b"defg", b"defg")]
        with pytest.raises(FormatError):
            parse_stream(stream[:45])


class TestFaults:
    @pytest.mark.parametrize("raw", [b"", b"text", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", b"\x00" * 100])
    def test_typed_error(self, raw: bytes) -> None:
        with pytest.raises(FormatError):
            read_vcf(raw)

    def test_other_kinds_are_refused(self) -> None:
        message = Message()
        message.properties.set(P.PidTagMessageClass, 0x1F, "IPM.Note")
        with pytest.raises(FormatError):
            write_vcf([message])

    def test_card_that_never_ends(self) -> None:
        raw = b"BEGIN:VCARD\nVERSION:3.0\nFN:a\nBEGIN:VCARD\nVERSION:3.0\nFN:b\nEND:VCARD\n"
        made = read_vcf(raw)
        assert [m.message.properties.text(P.PidTagDisplayName) for m in made] == ["a", "b"]
        assert "line_malformed" in made[0].notes

    @pytest.mark.timeout(30)
    def test_damage_is_an_item_or_a_typed_error(self) -> None:
        dice = random.Random(6350)
        for _ in range(300):
            raw = bytearray(FULL)
            for _ in range(dice.randrange(1, 15)):
                spot = dice.randrange(len(raw))
                raw[spot : spot + dice.randrange(3)] = dice.choice(
                    [b"", b"\n", b":", b";", b",", b'"', b"\xff", b"\\", b"="]
                )
            try:
                made = read_vcf(bytes(raw))
            except FormatError:
                continue
            for each in made:
                fasttransfer.write(each.message)
                write_vcf([each.message])

    @settings(max_examples=100, deadline=None)
    @given(
        st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=80),
        st.text(max_size=200),
    )
    def test_any_text_survives(self, name: str, note: str) -> None:
        note = "".join(c for c in note if c == "\n" or c.isprintable()).strip()
        name = " ".join(name.split()) or "x"
        message = one(card("FN:x"))
        message.properties.set(P.PidTagDisplayName, 0x1F, name)
        message.properties.set(P.PidTagBody, 0x1F, note)
        again = one(write_vcf([message]).octets).properties
        assert again.text(P.PidTagDisplayName) == name
        assert again.text(P.PidTagBody).replace("\r\n", "\n") == note
