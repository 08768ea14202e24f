"""The mailbox import/export API: mailbox ids, folders, items, delta, deletion, export."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from tests.lab.m365_world import TENANT, Cloud, mail, q


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def _all(cloud: Cloud, url: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while url:
        answer = cloud.get(url)
        assert answer.status == 200, answer.body
        rows += answer.json["value"]
        url = answer.json.get("@odata.nextLink", "")
    return rows


# -- mailbox ids


def test_mailbox_id(cloud: Cloud) -> None:
    answer = cloud.get("/v1.0/users/Alice@Target.example/settings/exchange")
    assert re.fullmatch(rf"MBX:[0-9a-f-]{{36}}@{TENANT}", answer.json["primaryMailboxId"])
    assert "inPlaceArchiveMailboxId" not in answer.json
    assert "inPlaceArchiveMailboxId" in cloud.get("/beta/users/alice@target.example/settings/exchange").json
    assert cloud.get(f"/v1.0/users/{cloud.alice.user_id}/settings/exchange").json["primaryMailboxId"]


def test_mailbox_id_of_another_shape_works_as_well() -> None:
    cloud = Cloud({"mailbox_id_shape": "opaque"})
    assert not cloud.mailbox_id().startswith("MBX:")
    assert cloud.get(f"{cloud.base()}/folders/inbox").status == 200


def test_no_mailbox(cloud: Cloud) -> None:
    assert cloud.get("/v1.0/users/nobody@target.example/settings/exchange").code == "Request_ResourceNotFound"
    none = cloud.get("/v1.0/users/nobox@target.example/settings/exchange")
    assert (none.status, none.code) == (404, "MailboxNotEnabledForRESTAPI")
    cloud.bob.licensed = False
    assert cloud.get("/v1.0/users/bob@target.example/settings/exchange").code == "MailboxNotEnabledForRESTAPI"
    assert cloud.get("/v1.0/admin/exchange/mailboxes/MBX:x@y/folders").status == 404


def test_a_new_mailbox_takes_its_time() -> None:
    cloud = Cloud({"provisioning_s": 600})
    url = "/v1.0/users/alice@target.example/settings/exchange"
    assert cloud.get(url).status == 404
    cloud.world.clock.advance(601)
    assert cloud.get(url).status == 200


# -- rights


def test_rights_are_asked_for() -> None:
    cloud = Cloud(roles={"User.Read.All", "MailboxFolder.Read.All"})
    base = cloud.base()
    assert cloud.get(f"{base}/folders").status == 200
    assert cloud.post(f"{base}/folders", {"displayName": "x", "type": "IPF.Note"}).code == "ErrorAccessDenied"
    assert cloud.get(f"{base}/folders/inbox/items").status == 403
    assert cloud.post(f"{base}/createImportSession").status == 403
    assert cloud.post(f"{base}/exportItems", {"itemIds": ["x"]}).status == 403


def test_scoped_application_sees_its_mailboxes_only(cloud: Cloud) -> None:
    cloud.app.mailbox_scope = frozenset({"alice@target.example"})
    assert cloud.get(f"{cloud.base()}/folders").status == 200
    other = cloud.get(f"{cloud.base(cloud.bob)}/folders")
    assert (other.status, other.code) == (403, "ErrorAccessDenied")


def test_without_a_token(cloud: Cloud) -> None:
    for header in ({}, {"authorization": "Bearer nonsense"}, {"authorization": "Basic x"}):
        answer = cloud.get("/v1.0/users/alice@target.example", auth=False, headers=header)
        assert (answer.status, answer.code) == (401, "InvalidAuthenticationToken")
    wrong = cloud.world.tokens.issue("access", 60, tenant=TENANT, audience="https://outlook.office365.com")
    answer = cloud.get("/v1.0/users/x", auth=False, headers={"authorization": f"Bearer {wrong.value}"})
    assert answer.status == 401


# -- folders


def test_folders_come_ten_a_page(cloud: Cloud) -> None:
    first = cloud.get(f"{cloud.base()}/folders")
    assert len(first.json["value"]) == 10
    assert first.json["@odata.nextLink"].endswith("?%24skip=10")
    names = [row["wellKnownName"] for row in _all(cloud, f"{cloud.base()}/folders")]
    assert {"inbox", "calendar", "tasks", "notes", "journal", "contacts"} <= set(names)
    assert len(names) == len(set(names))
    assert len(cloud.get(f"{cloud.base()}/folders?$top=999").json["value"]) == len(names)
    assert cloud.get(f"{cloud.base()}/folders?$top=1000").status == 400


def test_folder_rows(cloud: Cloud) -> None:
    row = cloud.get(f"{cloud.base()}/folders/Inbox").json
    assert row["displayName"] == "Inbox" and row["type"] == "IPF.Note" and row["wellKnownName"] == "inbox"
    assert row["parentMailboxUrl"].endswith(cloud.mailbox_id())
    german = cloud.get(f"{cloud.base(cloud.bob)}/folders/inbox").json
    assert german["displayName"] == "Posteingang"
    by_id = cloud.get(f"{cloud.base()}/folders/{q(row['id'])}").json
    assert by_id["id"] == row["id"]
    assert cloud.get(f"{cloud.base()}/folders/{q(german['id'])}").code == "ErrorFolderNotFound", (
        "bound to a mailbox"
    )
    assert cloud.get(f"{cloud.base()}/folders/{q(row['id'].swapcase())}").status in (400, 404)
    assert cloud.get(f"{cloud.base()}/folders/nosuchname").code == "ErrorFolderNotFound"
    slim = cloud.get(f"{cloud.base()}/folders/inbox?$select=displayName").json
    assert slim.keys() - {"@odata.context", "@odata.type"} == {"id", "displayName"}


def test_newer_members_can_be_missing() -> None:
    cloud = Cloud({"well_known_name": False, "parent_mailbox_url": False})
    row = cloud.get(f"{cloud.base()}/folders/inbox").json
    assert "wellKnownName" not in row and "parentMailboxUrl" not in row


def test_create_folder_of_a_class(cloud: Cloud) -> None:
    base = cloud.base()
    made = cloud.post(
        f"{base}/folders/MsgFolderRoot/childFolders",
        {
            "displayName": "Projekte/ä 🚚",
            "type": "IPF.Task",
            "singleValueExtendedProperties": [
                {"id": "String {7f1c0000-0000-0000-0000-000000000001} Name MigKey", "value": "f-42"}
            ],
        },
    )
    assert made.status == 201 and made.json["type"] == "IPF.Task" and made.json["wellKnownName"] is None
    again = cloud.post(f"{base}/folders", {"displayName": "projekte/Ä 🚚", "type": "IPF.Note"})
    assert (again.status, again.code) == (409, "ErrorFolderExists")
    child = cloud.post(
        f"{base}/folders/{q(made.json['id'])}/childFolders", {"displayName": "a", "type": "IPF.Note"}
    )
    assert child.json["parentFolderId"] == made.json["id"]
    children = cloud.get(f"{base}/folders/{q(made.json['id'])}/childFolders").json["value"]
    assert [row["displayName"] for row in children] == ["a"]
    expand = "$expand=singleValueExtendedProperties($filter=id eq 'String {7f1c0000-0000-0000-0000-000000000001} Name MigKey')"
    found = cloud.get(f"{base}/folders/{q(made.json['id'])}?{expand}").json
    assert found["singleValueExtendedProperties"][0]["value"] == "f-42"
    assert found["childFolderCount"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {"displayName": "x"},
        {"type": "IPF.Note"},
        {"displayName": " ", "type": "IPF.Note"},
        {"displayName": "x", "type": "Note"},
    ],
)
def test_folders_that_are_not_created(cloud: Cloud, body: dict[str, str]) -> None:
    assert cloud.post(f"{cloud.base()}/folders", body).status == 400
    assert cloud.world.journal.counts("operation", "write")[("createFolder", True)] == 1


def test_filter_folders_by_class(cloud: Cloud) -> None:
    rows = cloud.get(f"{cloud.base()}/folders?$filter=type eq 'IPF.Appointment'&$count=true").json
    assert [row["displayName"] for row in rows["value"]] == ["Calendar"] and rows["@odata.count"] == 1
    assert cloud.get(f"{cloud.base()}/folders?$filter=nonsense eq 'x'").status == 400
    assert cloud.get(f"{cloud.base()}/folders/$count").body.isdigit()


def test_hidden_folders_on_request(cloud: Cloud) -> None:
    cloud.world.m365.create_folder(cloud.alice.visible_root, "Settings", "IPF.Configuration", hidden=True)
    plain = {row["displayName"] for row in _all(cloud, f"{cloud.base()}/folders")}
    everything = {
        row["displayName"] for row in _all(cloud, f"{cloud.base()}/folders?includeHiddenFolders=true")
    }
    assert everything - plain == {"Settings"}


def test_rename_and_delete_folder(cloud: Cloud) -> None:
    base = cloud.base()
    made = cloud.post(f"{base}/folders", {"displayName": "old", "type": "IPF.Note"}).json
    url = f"{base}/folders/{q(made['id'])}"
    assert cloud.patch(url, {"displayName": "new"}).json["displayName"] == "new"
    assert cloud.patch(f"{base}/folders/inbox", {"displayName": "x"}).status == 400
    assert cloud.delete(url).status == 204
    bin_ = cloud.get(f"{base}/folders/deleteditems/childFolders").json["value"]
    assert [row["displayName"] for row in bin_] == ["new"]
    assert cloud.delete(url).status == 204
    assert cloud.get(url).code == "ErrorFolderNotFound"
    assert cloud.delete(f"{base}/folders/inbox").status == 400


# -- items


def test_items_page_by_page(cloud: Cloud) -> None:
    ids = cloud.fill(25)
    base = cloud.base()
    first = cloud.get(f"{base}/folders/inbox/items?$count=true").json
    assert len(first["value"]) == 10 and first["@odata.count"] == 25
    assert sorted(row["id"] for row in _all(cloud, f"{base}/folders/inbox/items")) == sorted(ids)
    assert len(cloud.get(f"{base}/folders/inbox/items?$top=20").json["value"]) == 20
    assert cloud.get(f"{base}/folders/inbox/items/$count").body == b"25"
    assert cloud.get(f"{base}/folders/inbox").json["totalItemCount"] == 25


def test_item_rows(cloud: Cloud) -> None:
    (item_id,) = cloud.fill(1)
    row = cloud.get(f"{cloud.base()}/folders/inbox/items/{q(item_id)}").json
    assert row["type"] == "IPM.Note" and row["size"] == len(mail(0)) and row["categories"] == []
    assert row["createdDateTime"] == "2019-04-17T18:40:00Z"
    assert row["lastModifiedDateTime"] == "2026-09-21T14:13:20Z", "when the server stored it"
    assert len(base64.b64decode(row["changeKey"])) == 30
    assert row["@odata.etag"] == f'W/"{row["changeKey"]}"'
    assert "subject" not in row
    other = cloud.get(f"{cloud.base()}/folders/drafts/items/{q(item_id)}")
    assert (other.status, other.code) == (404, "ErrorItemNotFound")


def test_listing_parses_no_stream(cloud: Cloud) -> None:
    cloud.world.m365.keep_streams = False
    cloud.fill(2)
    wanted = "id eq 'Integer 0x0E07' or id eq 'String 0x0037'"
    answer = cloud.get(
        f"{cloud.base()}/folders/inbox/items?$expand=singleValueExtendedProperties($filter={wanted})"
    )
    rows = [
        {one["id"]: one["value"] for one in row["singleValueExtendedProperties"]}
        for row in answer.json["value"]
    ]
    assert [row["Integer 0xE07"] for row in rows] == ["1", "1"]


def test_expand_shows_imported_properties_with_normalised_ids(cloud: Cloud) -> None:
    cloud.fill(1)
    wanted = (
        "id eq 'String 0x1035' or id eq 'SystemTime 0x0E06' or id eq 'Integer 0x0E07' or id eq 'Binary 0x300B' "
        "or id eq 'String 0x0037' or id eq 'Integer 0x0E08' or id eq 'String 0x007D' or id eq 'Integer 0x1035'"
    )
    row = cloud.get(
        f"{cloud.base()}/folders/inbox/items?$expand=singleValueExtendedProperties($filter={wanted})"
    ).json["value"][0]
    found = {one["id"]: one["value"] for one in row["singleValueExtendedProperties"]}
    assert found == {
        "String 0x1035": "<0@source.example>",
        "SystemTime 0xE06": "2022-06-18T04:26:45Z",
        "Integer 0xE07": "1",
        "Binary 0x300B": base64.b64encode(bytes(16)).decode(),
        "String 0x37": "Subject 0 ü",
        "Integer 0xE08": str(len(mail(0))),
    }
    assert (
        cloud.get(f"{cloud.base()}/folders/inbox/items?$expand=singleValueExtendedProperties").status == 400
    )
    assert (
        cloud.get(
            f"{cloud.base()}/folders/inbox/items?$expand=singleValueExtendedProperties($filter=id eq 'x')"
        ).code
        == "ErrorInvalidProperty"
    )


def test_filters_on_items(cloud: Cloud) -> None:
    ids = cloud.fill(5)
    items = f"{cloud.base()}/folders/inbox/items"
    where = (
        "singleValueExtendedProperties/Any(ep: ep/id eq 'String 0x1035' and ep/value eq '<3@source.example>')"
    )
    assert [row["id"] for row in cloud.get(f"{items}?$filter={where}").json["value"]] == [ids[3]]
    assert cloud.get(f"{items}?$filter=createdDateTime gt 2030-01-01T00:00:00Z").json["value"] == []
    oldest = cloud.get(f"{items}?$orderby=receivedDateTime&$top=1&$select=id").json["value"]
    assert oldest[0]["id"] == ids[0]
    cloud.world.knobs = cloud.world.knobs.swap({"filter_extended": False})
    assert cloud.get(f"{items}?$filter={where}").status == 400


# -- delta


def test_delta_tells_all_then_changes(cloud: Cloud) -> None:
    ids = cloud.fill(5)
    url = f"{cloud.base()}/folders/inbox/items/delta?$select=id,type&$top=2"
    seen: list[str] = []
    pages = 0
    while True:
        body = cloud.get(url).json
        pages += 1
        seen += [row["id"] for row in body["value"]]
        assert all("size" not in row for row in body["value"]), "the tokens carry $select"
        if "@odata.deltaLink" in body:
            link = body["@odata.deltaLink"]
            break
        url = body["@odata.nextLink"]
    assert sorted(seen) == sorted(ids) and pages == 3
    assert cloud.get(link).json["value"] == []
    cloud.delete(f"{cloud.base()}/folders/inbox/items/{q(ids[1])}?disposalType=hardDelete")
    (new,) = cloud.fill(1)
    changes = cloud.get(link).json["value"]
    assert {row["id"]: row.get("@removed") for row in changes} == {ids[1]: {"reason": "deleted"}, new: None}
    assert cloud.get(link).json["value"] == changes, "a token may be used again"


def test_delta_page_size_by_preference_and_only_its_options(cloud: Cloud) -> None:
    cloud.fill(3)
    url = f"{cloud.base()}/folders/inbox/items/delta"
    assert len(cloud.get(url, headers={"Prefer": "odata.maxpagesize=2"}).json["value"]) == 2
    assert cloud.get(f"{url}?$filter=type eq 'IPM.Note'").status == 400
    assert cloud.get(f"{url}?$filter=receivedDateTime ge 2030-01-01T00:00:00Z").json["value"] == []


def test_delta_tokens_end(cloud: Cloud) -> None:
    url = f"{cloud.base()}/folders/inbox/items/delta"
    link = cloud.get(url).json["@odata.deltaLink"]
    assert cloud.get(f"{url}?$deltatoken=nonsense").status == 400
    other = link.replace("/inbox/", "/drafts/")
    assert cloud.get(other).status == 400, "a token of another folder"
    cloud.world.sync_epoch += 1
    gone = cloud.get(link)
    assert (gone.status, gone.code) == (410, "SyncStateNotFound")
    cloud.world.knobs = cloud.world.knobs.swap({"delta_honoured": False})
    assert cloud.get(cloud.get(url).json["@odata.deltaLink"]).status == 410


def test_folder_delta(cloud: Cloud) -> None:
    body = cloud.get(f"{cloud.base()}/folders/delta?$top=100").json
    names = {row["displayName"] for row in body["value"]}
    assert {"Inbox", "Calendar"} <= names and "Finder" not in names
    made = cloud.post(
        f"{cloud.base()}/folders/inbox/childFolders", {"displayName": "n", "type": "IPF.Note"}
    ).json
    changes = cloud.get(body["@odata.deltaLink"]).json["value"]
    assert [row["id"] for row in changes] == [made["id"]]
    below = cloud.get(f"{cloud.base()}/folders/inbox/childFolders/delta").json["value"]
    assert [row["displayName"] for row in below] == ["n"]


# -- deletion


def test_disposal_type_is_mandatory(cloud: Cloud) -> None:
    (item_id,) = cloud.fill(1)
    url = f"{cloud.base()}/folders/inbox/items/{q(item_id)}"
    assert cloud.delete(url).status == 400
    assert cloud.delete(f"{url}?disposalType=other").status == 400
    assert cloud.delete(f"{url}?disposalType=softDelete").status == 204
    kept = cloud.get(f"{cloud.base()}/folders/recoverableitemsdeletions/items").json["value"]
    assert len(kept) == 1 and kept[0]["id"] != item_id, "a moved item has a new id"
    assert cloud.delete(f"{url}?disposalType=softDelete").code == "ErrorItemNotFound"


def test_hold_forbids_hard_deletion(cloud: Cloud) -> None:
    (item_id,) = cloud.fill(1)
    cloud.alice.on_hold = True
    url = f"{cloud.base()}/folders/inbox/items/{q(item_id)}?disposalType="
    assert cloud.delete(url + "hardDelete").status == 403
    assert cloud.delete(url + "softDelete").status == 204


# -- export


def _export(cloud: Cloud, ids: list[str], key: str = "itemIds") -> Any:
    return cloud.post(f"{cloud.base()}/exportItems", {key: ids})


def test_export_gives_back_the_bytes_with_errors_per_item(cloud: Cloud) -> None:
    ids = cloud.fill(19)
    for key in ("itemIds", "ItemIds"):
        rows = {row["itemId"]: row for row in _export(cloud, [*ids, "bad"], key).json["value"]}
        assert rows["bad"]["error"]["code"] == "ErrorInvalidIdMalformed" and "data" not in rows["bad"]
        for number, item_id in enumerate(ids):
            assert base64.b64decode(rows[item_id]["data"]) == mail(number)
            assert len(base64.b64decode(rows[item_id]["changeKey"])) == 30
    assert cloud.world.journal.writes(operation="exportItems") == 0


def test_export_order_is_nobodys_promise(cloud: Cloud) -> None:
    ids = cloud.fill(12)
    orders = [[row["itemId"] for row in _export(cloud, ids).json["value"]] for _ in range(3)]
    assert any(order != ids for order in orders)


def test_export_limits(cloud: Cloud) -> None:
    ids = cloud.fill(1)
    assert _export(cloud, ids * 21).status == 400
    assert _export(cloud, []).status == 400
    cloud.world.knobs = cloud.world.knobs.swap({"export_response_octets": 100})
    assert _export(cloud, ids).status == 504


def test_export_of_other_mailboxes_items_fails(cloud: Cloud) -> None:
    ids = cloud.fill(1)
    answer = cloud.post(f"{cloud.base(cloud.bob)}/exportItems", {"itemIds": ids})
    assert answer.json["value"][0]["error"]["code"] == "ErrorItemNotFound"


def test_export_spelling_and_truncation() -> None:
    cloud = Cloud({"export_error_key": "Error"}, strict=False)
    ids = cloud.fill(2)
    assert "Error" in _export(cloud, ["bad"]).json["value"][0]
    cloud.world.faults.add("truncated_data", operation="exportItems", nth=1)
    cloud.world.faults.add("item_error", operation="exportItems", nth=2, code="ErrorItemNotFound")
    rows = {row["itemId"]: row for row in _export(cloud, ids).json["value"]}
    assert rows[ids[0]]["data"].endswith("=== Truncated Data ===")
    assert rows[ids[1]]["Error"]["code"] == "ErrorItemNotFound"


# -- the edges of the host


def test_unknown_paths_and_methods(cloud: Cloud) -> None:
    assert cloud.get("/v1.0/nonsense").status == 400
    assert cloud.get("/v3/users").status == 400
    assert cloud.call("PUT", f"{cloud.base()}/folders").status == 405
    assert cloud.post(f"{cloud.base()}/folders", b"{not json").status == 400
    assert cloud.post(f"{cloud.base()}/folders", b"[]").status == 400


def test_body_above_four_megabytes(cloud: Cloud) -> None:
    answer = cloud.post(f"{cloud.base()}/folders", {"displayName": "x" * 2**22, "type": "IPF.Note"})
    assert answer.status == 413


def test_errors_carry_ids_and_the_clients_own(cloud: Cloud) -> None:
    answer = cloud.get(f"{cloud.base()}/folders/nosuchname", headers={"client-request-id": "mine"})
    inner = answer.json["error"]["innerError"]
    assert inner["client-request-id"] == "mine" and inner["request-id"] == answer.headers["request-id"]
    assert inner["date"] == "2026-09-21T14:13:20"
