"""What exchangelib needs before it is used here. Each has a test in tests/adapters/test_ews_patches.py that fails when upstream mends it.

1. It reads answers with `iter_content()`, whose default is one octet at a time: 3 MB/s. The adapter hands out 32 KiB slices of a body
   that is in memory anyway; a live stream keeps what the caller asked for (its streaming services compare single octets).
2. Its autodiscover cache is a pickle at a guessable name in the shared temporary directory, which another user of the machine can
   prepare. A dict of this process takes its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from migrator.adapters.transport import make_context

SLICE = 32_768


class ChunkedResponse(requests.Response):
    def iter_content(self, chunk_size: int | None = 1, decode_unicode: Any = False) -> Iterator[Any]:
        size = SLICE if self._content_consumed else chunk_size
        slices: Iterator[Any] = super().iter_content(size, decode_unicode)
        return slices

    _content_consumed: bool


class ChunkedAdapter(HTTPAdapter):
    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        response = super().build_response(req, resp)
        response.__class__ = ChunkedResponse
        return response


def adapter(trust: str, ca_file: str) -> type[ChunkedAdapter]:
    """A ChunkedAdapter that trusts what the product trusts."""

    class Trusting(ChunkedAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, ssl_context=make_context(trust, ca_file), **kwargs)

    return Trusting


_remembered: dict[str, Any] = {}


@contextmanager
def _in_memory(file: object) -> Iterator[dict[str, Any]]:
    yield _remembered


def apply(trust: str = "os", ca_file: str = "") -> None:
    """Safe to repeat; the last call's trust counts."""
    from exchangelib.autodiscover import cache
    from exchangelib.protocol import BaseProtocol

    BaseProtocol.HTTP_ADAPTER_CLS = adapter(trust, ca_file)
    cache.shelve_open_with_failover = _in_memory
