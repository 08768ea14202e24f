"""The patches of exchangelib: each still needed, each doing its work. One that fails here on an upgrade can go."""

from __future__ import annotations

import inspect
import io
import tempfile
from pathlib import Path

import pytest
import requests
from urllib3.response import HTTPResponse

from migrator.adapters.ews import patches


def response_of(kind: type[requests.Response], body: bytes, *, consumed: bool) -> requests.Response:
    made = kind()
    made.raw = HTTPResponse(body=io.BytesIO(body), preload_content=False)
    made.status_code = 200
    if consumed:
        assert made.content == body
    return made


def test_upstream_still_reads_octet_by_octet() -> None:
    from exchangelib.services import common

    assert "response.iter_content()" in inspect.getsource(common.EWSService._get_soap_parts)
    plain = response_of(requests.Response, b"x" * 1000, consumed=True)
    assert max(len(piece) for piece in plain.iter_content()) == 1


def test_a_body_in_memory_comes_in_slices_and_a_live_one_as_asked() -> None:
    body = bytes(range(256)) * 500
    whole = list(response_of(patches.ChunkedResponse, body, consumed=True).iter_content())
    assert b"".join(whole) == body
    assert max(map(len, whole)) == patches.SLICE
    live = list(response_of(patches.ChunkedResponse, b"abc", consumed=False).iter_content())
    assert live == [b"a", b"b", b"c"]


def test_upstream_still_keeps_pickles_in_the_shared_temporary_folder() -> None:
    from exchangelib.autodiscover import cache

    assert cache.AUTODISCOVER_PERSISTENT_STORAGE.parent == Path(tempfile.gettempdir())
    assert "shelve_open_with_failover(self._storage_file)" in inspect.getsource(
        cache.AutodiscoverCache.__setitem__
    )


def test_the_patches_take(monkeypatch: pytest.MonkeyPatch) -> None:
    from exchangelib.autodiscover import cache
    from exchangelib.protocol import BaseProtocol

    monkeypatch.setattr(BaseProtocol, "HTTP_ADAPTER_CLS", requests.adapters.HTTPAdapter)
    monkeypatch.setattr(cache, "shelve_open_with_failover", None)
    patches.apply("certifi")
    adapter = BaseProtocol.get_adapter()
    assert isinstance(adapter, patches.ChunkedAdapter)
    with cache.shelve_open_with_failover("ignored") as db:
        assert isinstance(db, dict)
