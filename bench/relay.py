"""The floor: what moving these octets costs in Python when nothing else is done.

For every mailbox one reader asks for ExportItems in batches and cuts the base64 out of the answer; four uploaders post
it to the import URL. Standard library only (`http.client`, keep-alive connections), listings and folders made before,
no ledger, no retry, no accounting. The product is measured as a share of this.
"""

from __future__ import annotations

import base64
import http.client
import queue
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

_OPEN, _CLOSE = b"<m:Data>", b"</m:Data>"
_ENVELOPE = (
    '<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types" '
    'xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages"><s:Header>'
    '<t:RequestServerVersion Version="Exchange2010_SP2"/><t:ExchangeImpersonation><t:ConnectingSID>'
    "<t:PrimarySmtpAddress>{mailbox}</t:PrimarySmtpAddress></t:ConnectingSID></t:ExchangeImpersonation></s:Header>"
    "<s:Body><m:ExportItems><m:ItemIds>{ids}</m:ItemIds></m:ExportItems></s:Body></s:Envelope>"
)


@dataclass(frozen=True)
class Load:
    """One mailbox to relay: what to read, and where to put it."""

    mailbox: str
    item_ids: Sequence[str]
    folder_id: str
    import_url: str


@dataclass(frozen=True)
class Relayed:
    items: int
    octets: int  # of base64
    seconds: float


def relay(
    ews_url: str,
    login: str,
    password: str,
    loads: Sequence[Load],
    *,
    batch: int,
    ca_file: str,
    uploaders: int = 4,
) -> Relayed:
    """Move everything once. Raises RuntimeError at the first answer that is no success."""
    authorization = "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()
    counts: list[tuple[int, int]] = []
    errors: list[BaseException] = []
    threads = []
    context = ssl.create_default_context(cafile=ca_file)
    begun = time.perf_counter()
    for load in loads:
        waiting: queue.Queue[memoryview | None] = queue.Queue(maxsize=2 * batch)
        threads.append(_start(_read, errors, ews_url, authorization, load, waiting, batch, uploaders))
        threads += [_start(_upload, errors, load, waiting, counts, context) for _ in range(uploaders)]
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begun
    if errors:
        raise RuntimeError(f"the relay failed: {errors[0]}") from errors[0]
    return Relayed(sum(items for items, _ in counts), sum(octets for _, octets in counts), seconds)


def _start(work: object, errors: list[BaseException], *arguments: object) -> threading.Thread:
    def run() -> None:
        try:
            work(*arguments)  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001 - told by `relay`
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def _read(
    ews_url: str,
    authorization: str,
    load: Load,
    waiting: queue.Queue[memoryview | None],
    batch: int,
    uploaders: int,
) -> None:
    parts = urlsplit(ews_url)
    connection = http.client.HTTPConnection(parts.netloc)
    headers = {
        "Authorization": authorization,
        "Content-Type": "text/xml; charset=utf-8",
        "X-AnchorMailbox": load.mailbox,
    }
    try:
        for start in range(0, len(load.item_ids), batch):
            ids = "".join(f'<t:ItemId Id="{item}"/>' for item in load.item_ids[start : start + batch])
            body = _ENVELOPE.format(mailbox=load.mailbox, ids=ids).encode()
            connection.request("POST", parts.path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"ExportItems: {answer.status} {text[:200]!r}")
            view = memoryview(text)
            at = text.find(_OPEN)
            while at >= 0:
                end = text.find(_CLOSE, at)
                waiting.put(view[at + len(_OPEN) : end])
                at = text.find(_OPEN, end)
    finally:
        for _ in range(uploaders):
            waiting.put(None)
        connection.close()


def _upload(
    load: Load,
    waiting: queue.Queue[memoryview | None],
    counts: list[tuple[int, int]],
    context: ssl.SSLContext,
) -> None:
    parts = urlsplit(load.import_url)
    path = f"{parts.path}?{parts.query}"
    connection = http.client.HTTPSConnection(parts.netloc, context=context)
    head = b'{"FolderId":"' + load.folder_id.encode() + b'","Mode":"create","Data":"'
    items = octets = 0
    while (data := waiting.get()) is not None:
        connection.request("POST", path, b"".join((head, data, b'"}')), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"import: {answer.status} {text[:200]!r}")
        items += 1
        octets += len(data)
    counts.append((items, octets))
    connection.close()
