"""The lab judged by strangers: Microsoft's Graph SDK and azure-identity, over TLS, every exchange held against the description.

Needs the extra `strangers` (200 MB). The SDK has no call for the import URL itself nor for creating mailbox folders, so the
import is posted with httpx, which the SDK brings along, and folders are made through the classic endpoint.
"""

from __future__ import annotations

import base64
import importlib.util
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from migrator.lab.clock import LabClock
from migrator.lab.server import Lab
from tests.lab import graph_schema
from tests.lab.m365_world import APP, SECRET, TENANT, Cloud, mail

pytestmark = [
    pytest.mark.strangers,
    pytest.mark.skipif(
        importlib.util.find_spec("msgraph") is None, reason="msgraph-sdk is not installed (extra `strangers`)"
    ),
]
ALICE = "alice@target.example"


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    world = Cloud(strict=False, clock=LabClock()).world
    folder = tmp_path_factory.mktemp("ca")
    with graph_schema.judged(world), Lab(world, halves=("m365",), tls=True, folder=folder) as running:
        yield running


Use = Callable[[Any, Any], Awaitable[None]]


def _run(lab: Lab, use: Use) -> None:
    """Call use(client, http) with Microsoft's client and a bare httpx client."""
    import asyncio

    async def whole() -> None:
        async with _client(lab) as (client, http):
            await use(client, http)

    asyncio.run(whole())


@asynccontextmanager
async def _client(lab: Lab) -> AsyncIterator[tuple[Any, Any]]:
    import httpx
    from azure.identity.aio import ClientSecretCredential
    from kiota_authentication_azure.azure_identity_authentication_provider import (
        AzureIdentityAuthenticationProvider,
    )
    from msgraph import GraphRequestAdapter, GraphServiceClient
    from msgraph_core import GraphClientFactory

    trust = ssl.create_default_context(cafile=str(lab.ca_file))
    credential = ClientSecretCredential(
        TENANT,
        APP,
        SECRET,
        authority=lab.urls.login,
        disable_instance_discovery=True,
        connection_verify=str(lab.ca_file),
    )
    host = urlsplit(lab.urls.graph)
    provider = AzureIdentityAuthenticationProvider(
        credential,
        scopes=["https://graph.microsoft.com/.default"],
        allowed_hosts=[str(host.hostname), host.netloc],
    )
    async with (
        httpx.AsyncClient(verify=trust, trust_env=False) as http,
        httpx.AsyncClient(verify=trust, trust_env=False) as bare,
    ):
        adapter = GraphRequestAdapter(
            provider, GraphClientFactory.create_with_default_middleware(client=http)
        )
        adapter.base_url = f"{lab.urls.graph}/v1.0"
        client = GraphServiceClient(request_adapter=adapter)
        try:
            yield client, bare
        finally:
            await credential.close()


async def _mailbox(client: Any) -> Any:
    settings = await client.users.by_user_id(ALICE).settings.exchange.get()
    assert settings.primary_mailbox_id
    return client.admin.exchange.mailboxes.by_mailbox_id(settings.primary_mailbox_id)


async def _import(client: Any, http: Any, streams: list[bytes]) -> list[str]:
    mailbox = await _mailbox(client)
    session = await mailbox.create_import_session.post()
    assert session.expiration_date_time.tzinfo is not None
    inbox = await mailbox.folders.by_mailbox_folder_id("inbox").get()
    found = []
    for stream in streams:
        answer = await http.post(
            session.import_url,
            json={"FolderId": inbox.id, "Mode": "create", "Data": base64.b64encode(stream).decode()},
        )
        assert answer.status_code == 200, answer.text
        found.append(answer.json()["itemId"])
    return found


def test_folders_are_listed_page_by_page(lab: Lab) -> None:
    async def use(client: Any, http: Any) -> None:
        from msgraph_core import PageIterator

        mailbox = await _mailbox(client)
        first = await mailbox.folders.get()
        assert len(first.value) == 10 and first.odata_next_link
        names: list[str] = []

        def keep(folder: Any) -> bool:
            names.append(folder.display_name)
            return True

        await PageIterator(first, client.request_adapter).iterate(keep)
        assert {"Inbox", "Calendar", "Tasks"} <= set(names) and len(names) == len(set(names))
        inbox = await mailbox.folders.by_mailbox_folder_id("inbox").get()
        assert inbox.type == "IPF.Note" and inbox.total_item_count == 0

    _run(lab, use)


def test_items_are_imported_listed_and_exported(lab: Lab) -> None:
    async def use(client: Any, http: Any) -> None:
        from kiota_abstractions.base_request_configuration import RequestConfiguration
        from msgraph.generated.admin.exchange.mailboxes.item.export_items.export_items_post_request_body import (
            ExportItemsPostRequestBody,
        )
        from msgraph.generated.admin.exchange.mailboxes.item.folders.item.items.items_request_builder import (
            ItemsRequestBuilder,
        )

        streams = [mail(number) for number in range(12)]
        ids = await _import(client, http, streams)
        mailbox = await _mailbox(client)
        items = mailbox.folders.by_mailbox_folder_id("inbox").items
        query = ItemsRequestBuilder.ItemsRequestBuilderGetQueryParameters(
            top=5,
            select=["id", "type", "size", "changeKey"],
            expand=[
                "singleValueExtendedProperties($filter=id eq 'String 0x1035' or id eq 'SystemTime 0x0E06')"
            ],
        )
        page = await items.get(request_configuration=RequestConfiguration(query_parameters=query))
        rows = list(page.value)
        while page.odata_next_link:
            page = await items.with_url(page.odata_next_link).get()
            rows += page.value
        assert sorted(row.id for row in rows) == sorted(ids)
        values = {one.id: one.value for one in rows[0].single_value_extended_properties}
        assert values["String 0x1035"] == "<11@source.example>" and "SystemTime 0xE06" in values
        one = await items.by_mailbox_item_id(ids[3]).get()
        assert one.size == len(streams[3]) and one.last_modified_date_time.tzinfo is not None
        answer = await mailbox.export_items.post(ExportItemsPostRequestBody(item_ids=[*ids, "wrong"]))
        exported = {row.item_id: row for row in answer.value}
        assert exported["wrong"].error.code == "ErrorInvalidIdMalformed"
        for item_id, stream in zip(ids, streams, strict=True):
            # Versions of the SDK differ in whether they take the base64 away.
            assert exported[item_id].data in (stream, base64.b64encode(stream))

    _run(lab, use)


def test_changes_are_followed(lab: Lab) -> None:
    async def use(client: Any, http: Any) -> None:
        await _import(client, http, [mail(1), mail(2)])
        mailbox = await _mailbox(client)
        items = mailbox.folders.by_mailbox_folder_id("inbox").items
        first = await items.delta.get()
        assert len(first.value) == 2 and first.odata_delta_link
        (new,) = await _import(client, http, [mail(3)])
        changes = await items.delta.with_url(first.odata_delta_link).get()
        assert [row.id for row in changes.value] == [new]
        folders = await mailbox.folders.delta.get()
        assert folders.value

    _run(lab, use)


def test_folders_and_messages_are_made(lab: Lab) -> None:
    async def use(client: Any, http: Any) -> None:
        from msgraph.generated.models.body_type import BodyType
        from msgraph.generated.models.email_address import EmailAddress
        from msgraph.generated.models.file_attachment import FileAttachment
        from msgraph.generated.models.item_body import ItemBody
        from msgraph.generated.models.mail_folder import MailFolder
        from msgraph.generated.models.message import Message
        from msgraph.generated.models.o_data_errors.o_data_error import ODataError
        from msgraph.generated.models.recipient import Recipient
        from msgraph.generated.models.single_value_legacy_extended_property import (
            SingleValueLegacyExtendedProperty,
        )

        user = client.users.by_user_id(ALICE)
        made = await user.mail_folders.post(MailFolder(display_name="Projects"))
        with pytest.raises(ODataError) as told:
            await user.mail_folders.post(MailFolder(display_name="projects"))
        assert told.value.response_status_code == 409 and told.value.error.code == "ErrorFolderExists"
        message = Message(
            subject="Über",
            body=ItemBody(content_type=BodyType.Html, content="<p>x</p>"),
            to_recipients=[Recipient(email_address=EmailAddress(address="a@b.example", name="A"))],
            single_value_extended_properties=[
                SingleValueLegacyExtendedProperty(id="Integer 0x0E07", value="1"),
                SingleValueLegacyExtendedProperty(id="SystemTime 0x0E06", value="2019-03-01T09:00:05Z"),
            ],
            attachments=[
                FileAttachment(
                    odata_type="#microsoft.graph.fileAttachment", name="a.txt", content_bytes=b"text"
                )
            ],
        )
        stored = await user.mail_folders.by_mail_folder_id(made.id).messages.post(message)
        assert stored.is_draft is False and stored.received_date_time.year == 2019
        listed = await user.mail_folders.by_mail_folder_id(made.id).messages.get()
        assert [one.subject for one in listed.value] == ["Über"]
        attachments = await user.messages.by_message_id(stored.id).attachments.get()
        assert [one.name for one in attachments.value] == ["a.txt"]

    _run(lab, use)


def test_waiting_is_told_in_a_way_that_the_sdk_obeys(lab: Lab) -> None:
    """One 429 with Retry-After: the SDK's own retry handler rides it out."""

    async def use(client: Any, http: Any) -> None:
        lab.do(
            lambda world: world.faults.add("throttled_429", operation="getMailFolder", nth=1, retry_after="1")
        )
        inbox = await client.users.by_user_id(ALICE).mail_folders.by_mail_folder_id("inbox").get()
        assert inbox.display_name == "Inbox"

    _run(lab, use)
    statuses = lab.do(lambda world: [e.status for e in world.journal.select(operation="getMailFolder")])
    assert statuses == [429, 200]


def test_wrong_secret_is_explained_to_azure_identity(lab: Lab) -> None:
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import ClientSecretCredential

    credential = ClientSecretCredential(
        TENANT,
        APP,
        "wrong",
        authority=lab.urls.login,
        disable_instance_discovery=True,
        connection_verify=str(lab.ca_file),
    )
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        credential.get_token("https://graph.microsoft.com/.default")
    credential.close()
