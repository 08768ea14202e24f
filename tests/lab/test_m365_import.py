"""Import of items: sessions, the separate host, streams, what survives, limits, throttling, scripted faults."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pybase64
import pytest

from migrator.lab.m365.imports import parse_body
from migrator.mapi import fasttransfer
from tests.lab.m365_world import Answer, Cloud, mail, q

VALUES = (
    "singleValueExtendedProperties($filter=id eq 'String 0x1035' or id eq 'Binary 0x300B' or id eq 'SystemTime 0x0E06' "
    "or id eq 'Integer 0x0E07' or id eq 'SystemTime 0x3007')"
)


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def _values(cloud: Cloud, item_id: str, folder: str = "inbox") -> dict[str, str]:
    row = cloud.get(f"{cloud.base()}/folders/{folder}/items/{q(item_id)}?$expand={VALUES}").json
    return {one["id"]: one["value"] for one in row.get("singleValueExtendedProperties", ())}


def _post(cloud: Cloud, url: str, body: Any, **headers: str) -> Answer:
    return cloud.post(url, body, service="import", headers={"Content-Type": "application/json", **headers})


# -- sessions


def test_session(cloud: Cloud) -> None:
    answer = cloud.post(f"{cloud.base()}/createImportSession")
    url = answer.json["importUrl"]
    assert url.startswith(
        f"https://import.lab/api/gv1.0/Mailboxes('{cloud.mailbox_id()}')/importItem?authtoken="
    )
    whole, _, fraction = answer.json["expirationDateTime"].partition(".")
    assert whole == "2026-09-21T15:13:20" and len(fraction) == 8, "seven digits and Z"
    beta = cloud.post(f"/beta/admin/exchange/mailboxes/{cloud.mailbox_id()}/createImportSession")
    assert "/api/gbeta/" in beta.json["importUrl"]


def test_session_may_answer_201() -> None:
    cloud = Cloud({"create_session_status": 201})
    assert cloud.post(f"{cloud.base()}/createImportSession").status == 201


def test_session_ends(cloud: Cloud) -> None:
    url, folder = cloud.session(), cloud.folder_id()
    assert cloud.put(url, folder, mail()).status == 200
    cloud.world.clock.advance(3601)
    late = cloud.put(url, folder, mail())
    assert late.status == 401
    assert cloud.put(url.replace("authtoken=", "authtoken=x"), folder, mail()).status == 401
    assert len(cloud.alice.role("inbox").items) == 1


def test_url_takes_no_other_credential(cloud: Cloud) -> None:
    url, folder = cloud.session(), cloud.folder_id()
    body = {"FolderId": folder, "Mode": "create", "Data": base64.b64encode(mail()).decode()}
    assert _post(cloud, url, body, authorization=f"Bearer {cloud.token}").status == 400
    bare = url.partition("?")[0]
    assert _post(cloud, f"{bare}?authtoken={cloud.token}", body).status == 401, "Graph's token is none here"
    assert cloud.get(url, service="import").status == 400
    assert not cloud.alice.role("inbox").items


# -- create


def test_create_stores_the_bytes_and_shows_the_properties(cloud: Cloud) -> None:
    url, folder, stream = cloud.session(), cloud.folder_id(), mail(7)
    answer = cloud.put(url, folder, stream)
    assert answer.status == 200 and len(base64.b64decode(answer.json["changeKey"])) == 22
    item_id = answer.json["itemId"]
    assert _values(cloud, item_id) == {
        "String 0x1035": "<7@source.example>",
        "Binary 0x300B": base64.b64encode((7).to_bytes(16, "big")).decode(),
        "SystemTime 0xE06": "2022-06-18T04:26:52Z",
        "Integer 0xE07": "1",
        "SystemTime 0x3007": "2019-04-17T18:40:00Z",
    }
    row = cloud.get(f"{cloud.base()}/folders/inbox/items/{q(item_id)}").json
    assert base64.b64decode(row["changeKey"])[8:] == base64.b64decode(answer.json["changeKey"])
    for _ in range(2):
        out = cloud.post(f"{cloud.base()}/exportItems", {"itemIds": [item_id]}).json["value"][0]
        assert base64.b64decode(out["data"]) == stream and out["changeKey"] == row["changeKey"]


def test_create_always_creates_and_the_journal_sees_doubles(cloud: Cloud) -> None:
    url, folder = cloud.session(), cloud.folder_id()
    ids = {cloud.put(url, folder, mail()).json["itemId"] for _ in range(2)}
    assert len(ids) == 2
    ((address, _, _, times),) = cloud.world.journal.doubles()
    assert (address, times) == ("alice@target.example", 2)
    assert cloud.world.journal.invitations() == 0


def test_every_class_and_hidden_items(cloud: Cloud) -> None:
    url = cloud.session()
    for name, item_class in (
        ("calendar", "IPM.Appointment"),
        ("tasks", "IPM.Task"),
        ("notes", "IPM.StickyNote"),
    ):
        item_id = cloud.put(url, cloud.folder_id(name), mail(1, item_class=item_class)).json["itemId"]
        assert cloud.get(f"{cloud.base()}/folders/{name}/items/{q(item_id)}").json["type"] == item_class
    hidden = cloud.put(url, cloud.folder_id(), mail(2, flags=0x40))
    assert hidden.status == 200
    assert cloud.get(f"{cloud.base()}/folders/inbox/items").json["value"] == []


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"FolderId": None}, 400, "ErrorInvalidRequest"),
        ({"FolderId": "inbox"}, 400, "ErrorInvalidIdMalformed"),
        ({"Mode": "append"}, 400, "ErrorInvalidRequest"),
        ({"Mode": None}, 400, "ErrorInvalidRequest"),
        ({"ItemId": "x"}, 400, "ErrorInvalidRequest"),
        ({"ChangeKey": "x"}, 400, "ErrorInvalidRequest"),
        ({"Data": ""}, 400, None),
        ({"Data": None}, 400, "ErrorInvalidRequest"),
        ({"Data": "AQAA*AAg"}, 400, "ErrorInvalidRequest"),
        ({"Data": base64.b64encode(b"hello world").decode()}, 400, "ErrorCorruptData"),
        ({"Surprise": 1}, 400, "BadRequest"),
    ],
)
def test_refused_bodies(cloud: Cloud, change: dict[str, Any], status: int, code: str | None) -> None:
    body = {
        "FolderId": cloud.folder_id(),
        "Mode": "create",
        "Data": base64.b64encode(mail()).decode(),
        **change,
    }
    answer = _post(cloud, cloud.session(), {name: value for name, value in body.items() if value is not None})
    assert answer.status == status
    assert code is None or answer.code == code
    assert not cloud.alice.role("inbox").items and not list(cloud.world.journal.stored())


def test_body_that_is_no_json_or_no_object(cloud: Cloud) -> None:
    url = cloud.session()
    assert _post(cloud, url, b"{").status == 400
    assert _post(cloud, url, b"[]").status == 400
    assert cloud.post(url, b"x", service="import", headers={"Content-Type": "text/plain"}).status == 415


@pytest.mark.parametrize(
    "broken",
    [
        mail()[:-3],
        mail() + b"\x00\x00",
        mail().replace(b"\x01\x00\x00\x00\x08", b"\x09\x00\x00\x00\x08", 1),
        mail().replace(b"\x03\x00\x07\x0e", b"\x0a\x00\x07\x0e", 1),
        b"",
        b"=== Truncated Data ===",
    ],
)
def test_broken_streams_are_refused(cloud: Cloud, broken: bytes) -> None:
    answer = cloud.put(cloud.session(), cloud.folder_id(), broken)
    assert answer.status == 400
    assert not cloud.alice.role("inbox").items


def test_foreign_and_gone_folders(cloud: Cloud) -> None:
    url = cloud.session()
    assert cloud.put(url, cloud.folder_id("inbox", cloud.bob), mail()).status == 400
    made = cloud.post(f"{cloud.base()}/folders", {"displayName": "gone", "type": "IPF.Note"}).json["id"]
    cloud.world.m365.delete_folder(cloud.alice.by_path("gone"))
    assert cloud.put(url, made, mail()).code == "ErrorFolderNotFound"
    other = cloud.session(cloud.bob).replace(cloud.mailbox_id(cloud.bob), cloud.mailbox_id())
    assert cloud.put(other, cloud.folder_id(), mail()).status == 401, "the session is for another mailbox"


# -- update


def _update(cloud: Cloud, url: str, item_id: str, key: str, stream: bytes, folder: str = "inbox") -> Answer:
    body = {
        "FolderId": cloud.folder_id(folder),
        "Mode": "update",
        "ItemId": item_id,
        "ChangeKey": key,
        "Data": base64.b64encode(stream).decode(),
    }
    return _post(cloud, url, {name: value for name, value in body.items() if value})


def test_update_needs_the_present_pair(cloud: Cloud) -> None:
    url = cloud.session()
    first = cloud.put(url, cloud.folder_id(), mail(1)).json
    second = _update(cloud, url, first["itemId"], first["changeKey"], mail(2))
    assert second.status == 200 and second.json["itemId"] == first["itemId"]
    assert second.json["changeKey"] != first["changeKey"]
    stale = _update(cloud, url, first["itemId"], first["changeKey"], mail(3))
    assert (stale.status, stale.code) == (409, "ErrorIrresolvableConflict")
    assert _update(cloud, url, first["itemId"], "", mail(3)).status == 400
    assert _update(cloud, url, "", second.json["changeKey"], mail(3)).status == 400
    assert _update(cloud, url, first["itemId"], "nonsense", mail(3)).status == 400
    elsewhere = _update(cloud, url, first["itemId"], second.json["changeKey"], mail(3), "drafts")
    assert elsewhere.status == 404
    assert _values(cloud, first["itemId"])["String 0x1035"] == "<2@source.example>"
    assert not cloud.world.journal.doubles()


def test_update_by_the_long_key_is_a_knob(cloud: Cloud) -> None:
    url = cloud.session()
    item_id = cloud.put(url, cloud.folder_id(), mail(1)).json["itemId"]
    key = cloud.get(f"{cloud.base()}/folders/inbox/items/{q(item_id)}").json["changeKey"]
    assert _update(cloud, url, item_id, key, mail(2)).status == 200
    cloud.world.knobs = cloud.world.knobs.swap(
        {"update_accepts_long_keys": False, "import_stale_status": 412}
    )
    key = cloud.get(f"{cloud.base()}/folders/inbox/items/{q(item_id)}").json["changeKey"]
    assert _update(cloud, url, item_id, key, mail(2)).status == 400


# -- limits


def test_size_limits(cloud: Cloud) -> None:
    url, folder = cloud.session(), cloud.folder_id()
    cloud.alice.max_receive_octets = 5000
    large = cloud.put(url, folder, mail(size=6000))
    assert (large.status, large.code) == (413, "ErrorMessageSizeExceeded")
    cloud.world.knobs = cloud.world.knobs.swap({"import_body_octets": 1000})
    refused = cloud.put(url, folder, mail(size=3000))
    assert (refused.status, refused.body) == (413, b"")


def test_quota_and_full_folder(cloud: Cloud) -> None:
    url, folder = cloud.session(), cloud.folder_id()
    cloud.alice.quota_octets = len(mail()) + 10
    assert cloud.put(url, folder, mail()).status == 200
    full = cloud.put(url, folder, mail())
    assert (full.status, full.code) == (403, "ErrorQuotaExceeded")
    cloud.world.knobs = cloud.world.knobs.swap({"import_quota_status": 507})
    assert cloud.put(url, folder, mail()).status == 507
    cloud.alice.quota_octets = 2**40
    cloud.world.m365.folder_limit = 1
    assert cloud.put(url, folder, mail()).code == "ErrorQuotaExceeded"


# -- what survives


@pytest.mark.parametrize(
    ("knob", "lost", "value"),
    [
        ("preserve_search_key", "Binary 0x300B", None),
        ("preserve_message_id", "String 0x1035", None),
        ("preserve_delivery_time", "SystemTime 0xE06", "2026-09-21T14:13:20Z"),
        ("preserve_flags", "Integer 0xE07", "9"),
        ("preserve_creation_time", "SystemTime 0x3007", "2026-09-21T14:13:20Z"),
    ],
)
def test_what_the_store_does_not_keep(knob: str, lost: str, value: str | None) -> None:
    cloud = Cloud({knob: False})
    plain = Cloud()
    item_id = cloud.put(cloud.session(), cloud.folder_id(), mail()).json["itemId"]
    kept = plain.put(plain.session(), plain.folder_id(), mail()).json["itemId"]
    before, after = _values(plain, kept), _values(cloud, item_id)
    assert after.get(lost) == value != before[lost]
    assert {k: v for k, v in after.items() if k != lost} == {k: v for k, v in before.items() if k != lost}
    data = cloud.post(f"{cloud.base()}/exportItems", {"itemIds": [item_id]}).json["value"][0]["data"]
    assert fasttransfer.decode(base64.b64decode(data)).version == (15, 20, 8900, 12)


def test_store_that_writes_its_own_streams() -> None:
    cloud = Cloud({"import_normalises": True})
    stream = mail(1, p0x6610=(3, 5), p0x0E1B=(0x000B, True))
    item_id = cloud.put(cloud.session(), cloud.folder_id(), stream).json["itemId"]
    data = cloud.post(f"{cloud.base()}/exportItems", {"itemIds": [item_id]}).json["value"][0]["data"]
    message = fasttransfer.read(base64.b64decode(data))
    assert 0x0E1B not in message.properties
    assert message.properties.time(0x3008) == cloud.world.clock.utc()


def test_streams_that_are_not_taken() -> None:
    cloud = Cloud({"import_accepts_ews": ["15.20", "14"], "import_refused_classes": ["IPM.Task"]})
    url, folder = cloud.session(), cloud.folder_id()
    assert cloud.put(url, folder, mail()).status == 400, "15.1"
    online = bytes(fasttransfer.write(fasttransfer.read(mail()), version=(15, 20, 1, 1)))
    assert cloud.put(url, folder, online).status == 200
    cloud.world.knobs = cloud.world.knobs.swap({"import_accepts_ews": ["15.1"]})
    assert cloud.put(url, folder, mail()).status == 200
    assert cloud.put(url, folder, mail(item_class="IPM.Task.Sub")).code == "ErrorItemClassNotSupported"
    cloud.world.knobs = cloud.world.knobs.swap(
        {"import_accepts_synthetic": False, "import_accepts_fai": False}
    )
    assert cloud.put(url, folder, mail()).status == 200
    assert cloud.put(url, folder, mail(flags=0x40)).status == 400
    bare = fasttransfer.read(mail())
    del bare.properties[0x3008]
    assert cloud.put(url, folder, bytes(fasttransfer.write(bare))).code == "ErrorCorruptData"


# -- throttling


def test_four_at_once(cloud: Cloud) -> None:
    """Six requests that overlap in time: four pass, two are told to wait."""
    cloud.world.knobs = cloud.world.knobs.swap({"graph_throttling": "published"})
    url, folder = cloud.session(), cloud.folder_id()
    bob = (cloud.session(cloud.bob), cloud.folder_id("inbox", cloud.bob))

    async def all_together() -> list[Answer]:
        wait = asyncio.Event()

        async def held(seconds: float) -> None:
            await wait.wait()

        cloud.world.clock.wait = held  # type: ignore[method-assign]
        cloud.world.knobs = cloud.world.knobs.swap({"latency_s": 1.0})
        body = {"Mode": "create", "Data": base64.b64encode(mail()).decode()}
        tasks = [
            asyncio.create_task(cloud.send("POST", to, {"FolderId": where, **body}, service="import"))
            for to, where in [(url, folder)] * 6 + [bob]
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        wait.set()
        return list(await asyncio.gather(*tasks))

    answers = asyncio.run(all_together())
    assert sorted(answer.status for answer in answers) == [200] * 5 + [429] * 2
    assert answers[-1].status == 200, "another mailbox has a gauge of its own"
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.code == "ApplicationThrottled"
    assert refused.json["error"]["message"] == "Application is over its MailboxConcurrency limit."
    assert refused.headers["retry-after"] == "10"
    cloud.world.knobs = cloud.world.knobs.swap({"latency_s": 0.0})
    assert cloud.put(url, folder, mail()).status == 200, "the gauge went down again"
    assert len([entry for entry in cloud.world.journal.entries if entry.throttled]) == 2


def test_bytes_and_requests_windows(cloud: Cloud) -> None:
    octets = len(base64.b64encode(mail(size=4000))) + 200
    limits = {"requests": 12, "upload_octets": octets * 3, "concurrent": 0}
    url, folder = cloud.session(), cloud.folder_id()
    cloud.world.knobs = cloud.world.knobs.swap({"graph_throttling": "own", "graph_limits": limits})
    answers = [cloud.put(url, folder, mail(size=4000)) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].json["error"]["message"] == "Application is over its IncomingBytes limit."
    assert answers[-1].headers["retry-after"] == "300"
    cloud.world.clock.advance(301)
    assert cloud.put(url, folder, mail(size=4000)).status == 200
    statuses = [cloud.get("/v1.0/users/alice@target.example/mailFolders/inbox").status for _ in range(8)]
    assert statuses == [200] * 7 + [429], "Graph and the import host share the window"
    cloud.world.clock.advance(601)
    assert cloud.put(url, folder, mail(size=4000)).status == 200


@pytest.mark.parametrize(
    ("how", "shape"), [("seconds", "600"), ("fraction", "600.000"), ("date", "GMT"), ("absent", None)]
)
def test_forms_of_retry_after(how: str, shape: str | None) -> None:
    cloud = Cloud()
    url, folder = cloud.session(), cloud.folder_id()
    cloud.world.knobs = cloud.world.knobs.swap(
        {
            "graph_throttling": "own",
            "graph_limits": {"requests": 1, "retry_after": how, "code": "TooManyRequests"},
        }
    )
    cloud.put(url, folder, mail())
    refused = cloud.put(url, folder, mail())
    assert refused.code == "TooManyRequests"
    told = refused.headers.get("retry-after")
    assert told is None if shape is None else str(told).endswith(shape)


# -- scripted faults


def test_lost_answer_stores_the_item(cloud: Cloud) -> None:
    url, folder = cloud.session(), cloud.folder_id()
    cloud.world.faults.add("lost_answer", operation="importItem", nth=1)
    cloud.put(url, folder, mail())
    assert cloud.put(url, folder, mail()).status == 200
    assert len(cloud.alice.role("inbox").items) == 2
    assert [entry.status for entry in cloud.world.journal.select(operation="importItem")] == [0, 200]


def test_faults_in_graphs_words(cloud: Cloud) -> None:
    url, folder = cloud.session(), cloud.folder_id()
    cloud.world.faults.add("throttled_429", operation="importItem", nth=1)
    cloud.world.faults.add("empty_503", operation="importItem", nth=2)
    cloud.world.faults.add("item_error", operation="importItem", subject="Subject 3", code="ErrorCorruptData")
    throttled = cloud.put(url, folder, mail())
    assert (throttled.status, throttled.headers["retry-after"]) == (429, "2")
    assert throttled.code == "ApplicationThrottled"
    empty = cloud.put(url, folder, mail())
    assert (empty.status, empty.body) == (503, b"")
    assert cloud.put(url, folder, mail(3)).code == "ErrorCorruptData"
    assert cloud.put(url, folder, mail(4)).status == 200


def test_expired_sessions_and_tokens_in_mid_run(cloud: Cloud) -> None:
    url, folder = cloud.session(), cloud.folder_id()
    cloud.world.faults.add("expire_sessions", operation="importItem", nth=2)
    assert [cloud.put(url, folder, mail()).status for _ in range(3)] == [200, 401, 401]
    cloud.world.faults.add("expire_tokens", operation="listItems", nth=1)
    assert cloud.get(f"{cloud.base()}/folders/inbox/items").status == 401


# -- the short cut through the body


@pytest.mark.parametrize(
    "body",
    [
        b'{"FolderId":"f","Mode":"create","Data":"%s"}',
        b'{ "Data" : "%s" , "FolderId":"f", "Mode":"create"}',
        b'{"Data":"%s","FolderId":"f","Mode":"create"}\n',
    ],
)
def test_data_is_cut_out_of_any_layout(body: bytes) -> None:
    fields, stream = parse_body(body.replace(b"%s", pybase64.b64encode(b"octets")))
    assert stream == b"octets" and fields["FolderId"] == "f" and fields["Mode"] == "create"


def test_data_with_escapes_or_decoys() -> None:
    escaped = pybase64.b64encode(b"\xff\xff\xfe").replace(b"/", b"\\/")
    assert b"\\/" in escaped
    assert parse_body(b'{"Mode":"create","Data":"%s"}' % escaped)[1] == b"\xff\xff\xfe"
    decoy = b'{"FolderId":"\\"Data\\":\\"QUJD\\"","Mode":"create","Data":"REVG"}'
    assert parse_body(decoy)[1] == b"DEF"
