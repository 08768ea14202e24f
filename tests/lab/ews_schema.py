"""Judges EWS traffic by Microsoft's own schema: every request that the lab receives and every answer that it gives.

    judge = Judge()
    lab = Lab(world, handlers={"exchange": judge.watch(ews.app(world))})
    …
    judge.verdict()                  # raises AssertionError with everything that was wrong

A request that the schema refuses must have been refused by the lab (ErrorSchemaValidation), one that it accepts must
not; what the lab answers must be valid. Without the schema beside the repository nothing is judged, `judge.seen` tells.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from lxml import etree

from migrator.lab.http import Handler, Request, Response

SCHEMA = Path(__file__).parents[2] / ".." / "shared" / "data" / "schema" / "ews" / "ews.xsd"
S = "{http://schemas.xmlsoap.org/soap/envelope/}"
MESSAGES = "http://schemas.microsoft.com/exchange/services/2006/messages"


@cache
def schema() -> etree.XMLSchema | None:
    return etree.XMLSchema(etree.parse(str(SCHEMA))) if SCHEMA.exists() else None


def schema_or_skip() -> etree.XMLSchema:
    found = schema()
    if found is None:
        pytest.skip("no EWS schema here: schema/ews/ews.xsd")
    return found


def problems(envelope: bytes) -> tuple[list[str], str]:
    """(what is wrong with the header elements and the body of an envelope, name of the body's element)."""
    found = schema()
    root = etree.fromstring(
        envelope, etree.XMLParser(huge_tree=True, resolve_entities=False, remove_comments=True)
    )
    wrong: list[str] = []
    name = ""
    for part in ("Header", "Body"):
        holder = root.find(S + part)
        for child in holder if holder is not None else ():
            qname = etree.QName(child)
            if part == "Body":
                name = qname.localname
            if qname.namespace == S.strip("{}") or found is None:
                continue
            alone = etree.fromstring(etree.tostring(child), etree.XMLParser(huge_tree=True))
            if not found.validate(alone):
                wrong += [f"{qname.localname}: {error.message}" for error in found.error_log][:3]
    return wrong, name


@dataclass
class Judge:
    seen: int = 0  # exchanges that were judged
    found: list[str] = field(default_factory=list)

    def watch(self, handler: Handler) -> Handler:
        async def watched(request: Request) -> Response:
            response = await handler(request)
            if schema() is not None and request.path.lower().startswith("/ews/exchange.asmx"):
                self._weigh(request, response)
            return response

        return watched

    def _weigh(self, request: Request, response: Response) -> None:
        body = b"".join(map(bytes, response.buffers()))
        if response.header("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if (
            not body
            or response.keep_octets is not None
            or not response.header("Content-Type").startswith("text/xml")
        ):
            return
        self.seen += 1
        wrong, name = problems(body)
        self.found += [f"answer {name}: {one}" for one in wrong]
        refused = b"a:ErrorSchemaValidation<" in body
        try:
            asked, operation = problems(bytes(request.body))
        except etree.XMLSyntaxError:
            assert refused
            return
        if refused and operation and not asked:
            self.found.append(f"request {operation} is valid, yet the lab refused it: {body[:900]!r}")
        if asked and not refused and response.status == 200:
            self.found += [f"request {operation} was served although: {one}" for one in asked]

    def verdict(self) -> None:
        assert not self.found, "\n".join(self.found)
