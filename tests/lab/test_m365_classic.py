"""Classic Graph: batches, mail folders and messages, MIME, attachments, events and their invitations, contacts, settings."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from tests.lab.m365_world import Answer, Cloud, mail, q

USER = "/v1.0/users/alice@target.example"
KEY = "String {7f1c0000-0000-0000-0000-000000000001} Name MigKey"
PERSON = {"emailAddress": {"address": "ann@source.example", "name": "Ann"}}


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


# -- $batch


def _batch(cloud: Cloud, *members: dict[str, Any]) -> Answer:
    return cloud.post("/v1.0/$batch", {"requests": list(members)})


def _get(number: int, url: str, **more: Any) -> dict[str, Any]:
    return {"id": str(number), "method": "GET", "url": url, **more}


def test_batch_answers_each_member(cloud: Cloud) -> None:
    ids = cloud.fill(2)
    mailbox = f"/admin/exchange/mailboxes/{cloud.mailbox_id()}"
    answer = _batch(
        cloud,
        _get(1, "/users/alice@target.example/mailFolders/inbox?$select=totalItemCount"),
        _get(2, "users/alice@target.example/mailFolders/nosuch"),
        {
            "id": "3",
            "method": "POST",
            "url": f"{mailbox}/exportItems",
            "headers": {"Content-Type": "application/json"},
            "body": {"itemIds": ids},
        },
        {
            "id": "4",
            "method": "DELETE",
            "url": f"{mailbox}/folders/inbox/items/{q(ids[0])}?disposalType=softDelete",
        },
    )
    found = {one["id"]: one for one in answer.json["responses"]}
    assert answer.status == 200
    assert {key: one["status"] for key, one in found.items()} == {"1": 200, "2": 404, "3": 200, "4": 204}
    assert found["1"]["body"]["totalItemCount"] == 2
    assert len(found["3"]["body"]["value"]) == 2
    counts = cloud.world.journal.counts("service", "operation")
    assert counts[("graph", "batch")] == 1 and counts[("batch", "exportItems")] == 1


def test_batch_refusals(cloud: Cloud) -> None:
    inbox = "/users/alice@target.example/mailFolders/inbox"
    assert _batch(cloud, *(_get(n, inbox) for n in range(21))).status == 400
    assert _batch(cloud, _get(1, inbox), _get(1, inbox)).status == 400
    assert _batch(cloud, _get(1, inbox, dependsOn=["9"])).status == 400
    assert cloud.post("/v1.0/$batch", {"requests": []}).status == 400
    assert cloud.post("/v1.0/$batch", {"requests": [_get(1, inbox)]}, auth=False).status == 401


def test_batch_chains(cloud: Cloud) -> None:
    create = {
        "id": "1",
        "method": "POST",
        "url": "/users/alice@target.example/mailFolders",
        "headers": {"Content-Type": "application/json"},
        "body": {"displayName": "Inbox"},
    }
    answer = _batch(
        cloud,
        create,
        _get(2, "/users/alice@target.example/mailFolders/inbox", dependsOn=["1"]),
        _get(3, "/users/alice@target.example/mailFolders/inbox", dependsOn=["2"]),
    )
    statuses = {one["id"]: one["status"] for one in answer.json["responses"]}
    assert statuses == {"1": 409, "2": 424, "3": 424}


def test_batch_members_are_throttled_alone_and_four_at_once(cloud: Cloud) -> None:
    cloud.world.knobs = cloud.world.knobs.swap(
        {"graph_throttling": "own", "graph_limits": {"requests": 6, "concurrent": 4}}
    )
    inbox = "/users/alice@target.example/mailFolders/inbox"
    answer = _batch(cloud, *(_get(n, inbox) for n in range(10)))
    statuses = sorted(one["status"] for one in answer.json["responses"])
    assert statuses == [200] * 6 + [429] * 4
    refused = next(one for one in answer.json["responses"] if one["status"] == 429)
    assert refused["headers"]["Retry-After"] == "600"
    assert refused["body"]["error"]["code"] == "ApplicationThrottled"


def test_batch_never_has_more_than_four_in_flight(cloud: Cloud) -> None:
    """At work at the same time, though the client sent ten: none is refused for concurrency."""
    cloud.world.knobs = cloud.world.knobs.swap({"graph_throttling": "published"})
    cloud.world.faults.add("slow", service="batch", delay_s=0.001)

    async def together() -> Answer:
        async def pause(seconds: float) -> None:
            await asyncio.sleep(0)

        cloud.world.clock.wait = pause  # type: ignore[method-assign]
        members = [_get(n, "/users/alice@target.example/mailFolders/inbox") for n in range(10)]
        return await cloud.send("POST", "/v1.0/$batch", {"requests": members})

    answer = asyncio.run(together())
    assert {one["status"] for one in answer.json["responses"]} == {200}


# -- users and settings


def test_user(cloud: Cloud) -> None:
    row = cloud.get(f"{USER}?$select=userPrincipalName,proxyAddresses,accountEnabled").json
    assert row["proxyAddresses"] == ["SMTP:alice@target.example"] and row["accountEnabled"] is True
    assert "displayName" not in row
    rows = cloud.get("/v1.0/users?$filter=startswith(userPrincipalName,'bob')").json["value"]
    assert [one["displayName"] for one in rows] == ["Bob Brown"]


def test_mailbox_settings(cloud: Cloud) -> None:
    url = f"{USER}/mailboxSettings"
    assert cloud.get(url + "?$select=userPurpose").json["userPurpose"] == "user"
    changed = cloud.patch(
        url,
        {
            "automaticRepliesSetting": {"status": "alwaysEnabled", "internalReplyMessage": "away"},
            "timeZone": "UTC",
        },
    )
    assert changed.json["automaticRepliesSetting"]["internalReplyMessage"] == "away"
    assert changed.json["automaticRepliesSetting"]["externalAudience"] == "all"
    bad = {"automaticRepliesSetting": {"status": "sometimes"}}
    assert cloud.patch(url, bad).code == "RequestBodyRead"


def test_master_categories(cloud: Cloud) -> None:
    url = f"{USER}/outlook/masterCategories"
    made = cloud.post(url, {"displayName": "Red", "color": "preset0"})
    assert made.status == 201
    assert cloud.post(url, {"displayName": "red", "color": "preset1"}).status == 409
    assert cloud.post(url, {"displayName": "x", "color": "pink"}).status == 400
    assert [one["displayName"] for one in cloud.get(url).json["value"]] == ["Red"]


# -- mail folders


def test_mail_folders(cloud: Cloud) -> None:
    names = [one["displayName"] for one in cloud.get(f"{USER}/mailFolders?$top=100").json["value"]]
    assert "Inbox" in names and "Calendar" not in names
    made = cloud.post(f"{USER}/mailFolders", {"displayName": "Projects"})
    assert made.status == 201 and made.json["isHidden"] is False
    assert cloud.post(f"{USER}/mailFolders", {"displayName": "projects"}).code == "ErrorFolderExists"
    child = cloud.post(f"{USER}/mailFolders/inbox/childFolders", {"displayName": "in", "isHidden": True})
    assert child.status == 201
    assert cloud.get(f"{USER}/mailFolders/inbox/childFolders").json["value"] == []
    shown = cloud.get(f"{USER}/mailFolders/inbox/childFolders?includeHiddenFolders=true").json["value"]
    assert [one["displayName"] for one in shown] == ["in"]
    admin = cloud.get(f"{cloud.base()}/folders/{q(made.json['id'])}").json
    assert admin["type"] == "IPF.Note", "classic Graph cannot set the class"
    moved = cloud.post(f"{USER}/mailFolders/{q(made.json['id'])}/move", {"destinationId": "inbox"})
    assert moved.json["parentFolderId"] == cloud.folder_id()
    assert cloud.delete(f"{USER}/mailFolders/{q(made.json['id'])}").status == 204
    assert cloud.get(f"{USER}/mailFolders/delta").json["value"]


# -- messages


def _message(**more: Any) -> dict[str, Any]:
    return {
        "subject": "Q3",
        "body": {"contentType": "html", "content": "<p>Hello <b>you</b></p>"},
        "from": PERSON,
        "toRecipients": [PERSON],
        **more,
    }


def _extended(**values: str) -> list[dict[str, str]]:
    names = {
        "flags": "Integer 0x0E07",
        "received": "SystemTime 0x0E06",
        "sent": "SystemTime 0x0039",
        "key": KEY,
    }
    return [{"id": names[name], "value": value} for name, value in values.items()]


def test_message_without_flags_is_a_draft_of_now(cloud: Cloud) -> None:
    made = cloud.post(f"{USER}/mailFolders/inbox/messages", _message(receivedDateTime="2001-01-01T00:00:00Z"))
    assert made.status == 201
    row = made.json
    assert row["isDraft"] is True and row["receivedDateTime"] == row["sentDateTime"] == "2026-09-21T14:13:20Z"
    assert row["bodyPreview"] == "Hello you" and row["internetMessageId"].startswith("<")
    assert row["parentFolderId"] == cloud.folder_id()


def test_message_with_flags_keeps_dates_and_state(cloud: Cloud) -> None:
    made = cloud.post(
        f"{USER}/mailFolders/inbox/messages",
        _message(
            isRead=False,
            internetMessageId="<a@b>",
            importance="high",
            categories=["Red"],
            flag={"flagStatus": "flagged"},
            singleValueExtendedProperties=_extended(
                flags="4", received="2019-03-01T09:00:05Z", sent="2019-03-01T09:00:00Z", key="k1"
            ),
            attachments=[
                {
                    "@odata.type": "#microsoft.graph.fileAttachment",
                    "name": "a.pdf",
                    "contentType": "application/pdf",
                    "contentBytes": base64.b64encode(b"pdf").decode(),
                }
            ],
        ),
    ).json
    assert made["isDraft"] is False and made["isRead"] is False and made["hasAttachments"] is True
    assert (made["receivedDateTime"], made["sentDateTime"]) == (
        "2019-03-01T09:00:05Z",
        "2019-03-01T09:00:00Z",
    )
    assert (made["importance"], made["categories"]) == ("high", ["Red"])
    assert (
        made["flag"] == {"flagStatus": "flagged"}
        and made["from"] == PERSON
        and made["toRecipients"] == [PERSON]
    )
    where = f"singleValueExtendedProperties/Any(ep: ep/id eq '{KEY}' and ep/value eq 'K1')"
    found = cloud.get(f"{USER}/mailFolders/inbox/messages?$select=id&$filter={where}").json["value"]
    assert [one["id"] for one in found] == [made["id"]]
    assert (
        cloud.get(f"{USER}/mailFolders/inbox/messages?$filter={where.replace('K1', 'no')}").json["value"]
        == []
    )
    by_id = (
        f"$filter=internetMessageId eq '<a@b>'&$expand=singleValueExtendedProperties($filter=id eq '{KEY}')"
    )
    row = cloud.get(f"{USER}/messages?{by_id}").json["value"][0]
    assert row["singleValueExtendedProperties"] == [{"id": KEY, "value": "k1"}]
    headers = cloud.get(f"{USER}/messages/{q(made['id'])}?$select=internetMessageHeaders").json
    assert headers["internetMessageHeaders"] == []


def test_unknown_names_are_refused(cloud: Cloud) -> None:
    quiet = Cloud(strict=False)
    answer = quiet.post(f"{USER}/messages", _message(recievedDateTime="2020-01-01T00:00:00Z"))
    assert (answer.status, answer.code) == (400, "RequestBodyRead")
    assert cloud.get(f"{USER}/messages?$select=subjekt").status == 400


def test_only_drafts_change_their_content(cloud: Cloud) -> None:
    draft = cloud.post(f"{USER}/messages", _message()).json["id"]
    fixed = cloud.post(
        f"{USER}/mailFolders/inbox/messages", _message(singleValueExtendedProperties=_extended(flags="1"))
    ).json["id"]
    assert cloud.patch(f"{USER}/messages/{q(draft)}", {"subject": "new"}).json["subject"] == "new"
    refused = cloud.patch(f"{USER}/messages/{q(fixed)}", {"subject": "new"})
    assert (refused.status, refused.code) == (400, "ErrorInvalidPropertySet")
    changed = cloud.patch(f"{USER}/messages/{q(fixed)}", {"isRead": False, "categories": ["Blue"]}).json
    assert changed["isRead"] is False and changed["categories"] == ["Blue"]
    flags = _extended(flags="1")
    still = cloud.patch(f"{USER}/messages/{q(draft)}", {"singleValueExtendedProperties": flags}).json
    assert still["isDraft"] is True, "0x0E07 is honoured at creation only"


MIME = (
    b"From: Ann <ann@source.example>\r\nTo: alice@target.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Message-ID: <m@source.example>\r\nDate: Mon, 1 Jan 2018 10:00:00 +0000\r\n\r\nhello\r\n"
)


def test_mime_makes_drafts_only(cloud: Cloud) -> None:
    text = {"Content-Type": "text/plain"}
    made = cloud.post(f"{USER}/messages", base64.b64encode(MIME), headers=text)
    assert made.status == 201
    row = made.json
    assert (row["subject"], row["isDraft"], row["internetMessageId"]) == ("Grüße", True, "<m@source.example>")
    assert (row["sentDateTime"], row["receivedDateTime"]) == ("2018-01-01T10:00:00Z", "2026-09-21T14:13:20Z")
    assert row["parentFolderId"] == cloud.folder_id("drafts")
    bad = cloud.post(f"{USER}/messages", b"not base64!", headers=text)
    assert (bad.status, bad.code) == (400, "ErrorMimeContentInvalidBase64String")
    moved = cloud.post(f"{USER}/messages/{q(row['id'])}/move", {"destinationId": cloud.folder_id()}).json
    assert moved["id"] != row["id"] and moved["parentFolderId"] == cloud.folder_id()
    assert cloud.get(f"{USER}/messages/{q(row['id'])}").code == "ErrorItemNotFound"
    large = cloud.post(f"{USER}/messages", b"QUJD" * 2**20 + b"QQ==", headers=text)
    assert large.status == 413


def test_imported_items_are_messages_too(cloud: Cloud) -> None:
    (item_id,) = cloud.fill(1)
    row = cloud.get(f"{USER}/messages/{q(item_id)}").json
    assert (row["subject"], row["isRead"], row["isDraft"]) == ("Subject 0 ü", True, False)
    assert row["body"] == {"contentType": "text", "content": "Hello\r\n"}
    url, tasks = cloud.session(), cloud.folder_id("tasks")
    cloud.put(url, tasks, mail(1, item_class="IPM.Task"))
    assert [one["id"] for one in cloud.get(f"{USER}/messages").json["value"]] == [item_id]
    assert cloud.get(f"{USER}/mailFolders/inbox/messages/$count").body == b"1"


def test_messages_page_sort_and_tell_changes(cloud: Cloud) -> None:
    ids = cloud.fill(12)
    first = cloud.get(f"{USER}/mailFolders/inbox/messages?$select=id&$orderby=receivedDateTime asc").json
    assert [one["id"] for one in first["value"]] == ids[:10] and "%24skip=10" in first["@odata.nextLink"]
    rest = cloud.get(first["@odata.nextLink"]).json
    assert [one["id"] for one in rest["value"]] == ids[10:] and "@odata.nextLink" not in rest
    unread = cloud.get(f"{USER}/messages?$filter=isRead eq false&$count=true").json
    assert unread["@odata.count"] == 0
    link = cloud.get(f"{USER}/mailFolders/inbox/messages/delta?$select=subject&$top=50").json[
        "@odata.deltaLink"
    ]
    cloud.patch(f"{USER}/messages/{q(ids[3])}", {"isRead": False})
    cloud.delete(f"{USER}/messages/{q(ids[4])}")
    changes = {one["id"]: one for one in cloud.get(link).json["value"]}
    assert changes[ids[3]]["isRead"] is False and changes[ids[4]]["@removed"] == {"reason": "deleted"}
    gone = cloud.get(f"{USER}/mailFolders/deleteditems/messages?$select=subject").json["value"]
    assert [one["subject"] for one in gone] == ["Subject 4 ü"]


def test_copies_and_purges(cloud: Cloud) -> None:
    (item_id,) = cloud.fill(1)
    copy = cloud.post(f"{USER}/messages/{q(item_id)}/copy", {"destinationId": "archive"})
    assert copy.status == 201 and copy.json["id"] != item_id
    assert cloud.post(f"{USER}/messages/{q(item_id)}/permanentDelete").status == 204
    assert cloud.get(f"{USER}/messages/{q(item_id)}").status == 404


# -- attachments


def test_attachments(cloud: Cloud) -> None:
    message = cloud.post(f"{USER}/messages", _message()).json["id"]
    url = f"{USER}/messages/{q(message)}/attachments"
    made = cloud.post(
        url,
        {
            "@odata.type": "#microsoft.graph.fileAttachment",
            "name": "a.txt",
            "contentType": "text/plain",
            "contentBytes": base64.b64encode(b"text").decode(),
            "contentId": "cid-1",
            "isInline": True,
        },
    )
    assert made.status == 201 and made.json["size"] == 4
    inner = {"@odata.type": "#microsoft.graph.message", "subject": "inside"}
    item = cloud.post(url, {"@odata.type": "#microsoft.graph.itemAttachment", "name": "mail", "item": inner})
    assert item.json["@odata.type"] == "#microsoft.graph.itemAttachment"
    rows = cloud.get(url).json["value"]
    assert [(one["name"], one["isInline"]) for one in rows] == [("a.txt", True), ("mail", False)]
    one = f"{url}/{q(rows[0]['id'])}"
    assert base64.b64decode(cloud.get(one).json["contentBytes"]) == b"text"
    assert cloud.get(one + "/$value").body == b"text"
    assert cloud.delete(one).status == 204
    assert len(cloud.get(url).json["value"]) == 1
    big = base64.b64encode(bytes(3 * 2**20 - 2**18)).decode()
    fits = cloud.post(
        url, {"@odata.type": "#microsoft.graph.fileAttachment", "name": "b", "contentBytes": big}
    )
    assert fits.status == 201
    over = base64.b64encode(bytes(3 * 2**20)).decode()
    large = cloud.post(
        url, {"@odata.type": "#microsoft.graph.fileAttachment", "name": "b", "contentBytes": over}
    )
    assert large.status == 413


def test_upload_session(cloud: Cloud) -> None:
    message = cloud.post(f"{USER}/messages", _message()).json["id"]
    create = f"{USER}/messages/{q(message)}/attachments/createUploadSession"
    size = 5 * 2**20
    told = {"attachmentType": "file", "name": "big.bin", "size": size, "contentType": "application/x-thing"}
    started = cloud.post(create, {"AttachmentItem": told})
    assert started.status == 201 and started.json["nextExpectedRanges"] == ["0-"]
    url = started.json["uploadUrl"]

    def put(first: int, data: bytes, **headers: str) -> Answer:
        span = f"bytes {first}-{first + len(data) - 1}/{size}"
        return cloud.call("PUT", url, data, service="import", headers={"Content-Range": span, **headers})

    piece = 2 * 2**20
    assert put(piece, bytes(10)).status == 416, "out of order"
    assert put(0, bytes(piece), authorization="Bearer x").status == 400
    assert put(0, bytes(4 * 2**20 + 1)).status == 413
    assert cloud.call("PUT", url, bytes(5), service="import").status == 400
    assert put(0, b"a" * piece).json["nextExpectedRanges"] == [str(piece)]
    assert cloud.call("GET", url, service="import").json["nextExpectedRanges"] == [str(piece)]
    assert put(piece, b"b" * piece).status == 200
    done = put(2 * piece, b"c" * (size - 2 * piece))
    assert done.status == 201 and done.headers["location"].startswith("https://import.lab/")
    (row,) = cloud.get(f"{USER}/messages/{q(message)}/attachments?$select=name,size").json["value"]
    assert (row["name"], row["size"]) == ("big.bin", size)
    assert put(0, bytes(5)).status == 401, "the session is over"
    for wrong in ({"size": 10}, {"size": 200 * 2**20}, {"attachmentType": "item"}):
        assert cloud.post(create, {"AttachmentItem": {**told, **wrong}}).status == 400


# -- events and contacts


def _event(**more: Any) -> dict[str, Any]:
    return {
        "subject": "Review",
        "start": {"dateTime": "2026-01-05T10:00:00", "timeZone": "W. Europe Standard Time"},
        "end": {"dateTime": "2026-01-05T11:30:00", "timeZone": "Europe/Berlin"},
        **more,
    }


def test_events_with_attendees_send_invitations(cloud: Cloud) -> None:
    alone = cloud.post(f"{USER}/events", _event(location={"displayName": "Room 5"}, showAs="oof"))
    assert alone.status == 201 and cloud.world.journal.invitations() == 0
    assert alone.json["start"] == {"dateTime": "2026-01-05T09:00:00.0000000", "timeZone": "UTC"}
    assert (alone.json["location"]["displayName"], alone.json["showAs"]) == ("Room 5", "oof")
    two = [{"type": "required", **PERSON}, {"type": "optional", **PERSON}]
    made = cloud.post(f"{USER}/calendar/events", _event(attendees=two)).json
    assert cloud.world.journal.invitations() == 2
    assert [one["to"] for one in cloud.alice.settings["outbox"]] == ["ann@source.example"] * 2
    assert made["organizer"]["emailAddress"]["address"] == "alice@target.example", "whoever it was before"
    assert [one["type"] for one in made["attendees"]] == ["required", "optional"]
    cloud.patch(f"{USER}/events/{q(made['id'])}", {"subject": "moved"})
    cloud.delete(f"{USER}/events/{q(made['id'])}")
    assert cloud.world.journal.invitations() == 6


def test_importing_a_meeting_invites_nobody(cloud: Cloud) -> None:
    cloud.put(cloud.session(), cloud.folder_id("calendar"), mail(1, item_class="IPM.Appointment"))
    assert cloud.world.journal.invitations() == 0 and "outbox" not in cloud.alice.settings
    assert [one["subject"] for one in cloud.get(f"{USER}/events").json["value"]] == ["Subject 1 ü"]


def test_events_again_and_wrong(cloud: Cloud) -> None:
    first = cloud.post(f"{USER}/events", _event(transactionId="t-1")).json["id"]
    assert cloud.post(f"{USER}/events", _event(transactionId="t-1")).json["id"] == first
    assert cloud.post(f"{USER}/events", {"subject": "no dates"}).status == 400
    backwards = _event(end={"dateTime": "2020-01-01T00:00:00", "timeZone": "UTC"})
    assert cloud.post(f"{USER}/events", backwards).status == 400
    zone = _event(start={"dateTime": "2026-01-05T10:00:00", "timeZone": "Nowhere"})
    assert cloud.post(f"{USER}/events", zone).status == 400
    view = f"{USER}/calendarView?startDateTime=2026-01-05T00:00:00Z&endDateTime="
    assert len(cloud.get(view + "2026-01-06T00:00:00Z").json["value"]) == 1
    assert cloud.get(view + "2026-01-05T01:00:00Z").json["value"] == []
    assert cloud.get(f"{USER}/calendarView").status == 400


def test_calendars(cloud: Cloud) -> None:
    made = cloud.post(f"{USER}/calendars", {"name": "Team"})
    assert made.status == 201
    names = [one["name"] for one in cloud.get(f"{USER}/calendars").json["value"]]
    assert names == ["Calendar", "Team"]
    cloud.post(f"{USER}/calendars/{q(made.json['id'])}/events", _event())
    assert len(cloud.get(f"{USER}/calendars/{q(made.json['id'])}/events").json["value"]) == 1
    assert cloud.get(f"{USER}/events").json["value"] == []
    assert cloud.get(f"{USER}/calendars/{q(cloud.folder_id())}").status == 404


def test_contacts(cloud: Cloud) -> None:
    body = {
        "givenName": "Grace",
        "surname": "Hopper",
        "emailAddresses": [{"address": "grace@navy.example", "name": "Grace"}],
        "businessPhones": ["1"],
        "homeAddress": {"city": "New York"},
        "birthday": "1906-12-09T00:00:00Z",
        "personalNotes": "bug",
    }
    made = cloud.post(f"{USER}/contacts", body)
    assert made.status == 201
    row = made.json
    assert (row["displayName"], row["fileAs"], row["birthday"]) == ("Grace Hopper",) * 2 + (
        "1906-12-09T00:00:00Z",
    )
    assert row["emailAddresses"] == body["emailAddresses"] and row["homeAddress"] == {"city": "New York"}
    changed = cloud.patch(f"{USER}/contacts/{q(row['id'])}", {"jobTitle": "Rear Admiral"}).json
    assert changed["jobTitle"] == "Rear Admiral" and changed["givenName"] == "Grace"
    four = [{"address": f"{n}@x.example", "name": "n"} for n in range(4)]
    assert cloud.post(f"{USER}/contacts", {"givenName": "x", "emailAddresses": four}).status == 400
    folder = cloud.post(f"{USER}/contactFolders", {"displayName": "Club"}).json
    inside = f"{USER}/contactFolders/{q(folder['id'])}/contacts"
    cloud.post(inside, {"givenName": "Ada"})
    assert [one["givenName"] for one in cloud.get(inside).json["value"]] == ["Ada"]
    assert [one["displayName"] for one in cloud.get(f"{USER}/contactFolders").json["value"]] == ["Club"]
    assert cloud.delete(f"{USER}/contacts/{q(row['id'])}").status == 204
    assert cloud.get(f"{USER}/contacts").json["value"] == []
