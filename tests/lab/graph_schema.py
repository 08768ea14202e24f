"""Referee of Graph traffic: every request and every answer against the OpenAPI description made from Microsoft's metadata.

    schema = graph_schema.load()                   # skips the test, with a reason, where the file is absent
    problems = schema.check(method, url, request_headers, request_body, status, answer_headers, answer_body)
    with graph_schema.judged(lab.world): ...       # all traffic of a test; a no-op where the file is absent

Requests are judged strictly (a property that the service does not know is a fault), answers too: the lab is our own work
and a misspelt property in it would teach a client nonsense. What the description lacks and the documentation has (creating
mailbox folders, deleting items, the import URL …) stands in ADDITIONS with the page it comes from.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import jsonschema
import pytest
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

FILE = (
    Path(__file__).parents[2]
    / ".."
    / "shared"
    / "data"
    / "schema"
    / "graph"
    / "graph-v1.0-mailbox.openapi.json"
)
_URI = "urn:graph"
_ERROR = {"4XX": {"$ref": "#/components/responses/error"}, "5XX": {"$ref": "#/components/responses/error"}}
_OPEN = {"microsoft.graph.extension", "microsoft.graph.openTypeExtension"}
_QUERY = {"$select", "$expand", "$filter", "$top", "$skip", "$orderby", "$count", "$skiptoken", "$deltatoken"}


def _json(schema: str) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _post(body: str | None, answer: str | None) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "responses": {"2XX": _json(answer) if answer else {"description": "no content"}, **_ERROR}
    }
    if body:
        operation["requestBody"] = {"required": True, **_json(body)}
    return operation


_MAILBOX = "/admin/exchange/mailboxes/{mailbox-id}"
_FOLDER = "microsoft.graph.mailboxFolder"
# path → method → (operation, page it is documented on)
ADDITIONS: dict[str, dict[str, tuple[dict[str, Any], str]]] = {
    f"{_MAILBOX}/folders": {"post": (_post(_FOLDER, _FOLDER), "api/mailbox-post-folders")},
    f"{_MAILBOX}/folders/{{id}}/childFolders": {
        "post": (_post(_FOLDER, _FOLDER), "api/mailboxfolder-post-childfolders")
    },
    f"{_MAILBOX}/folders/{{id}}": {
        "patch": (_post(_FOLDER, _FOLDER), "api/mailboxfolder-update"),
        "delete": (_post(None, None), "api/mailbox-delete-folders"),
    },
    f"{_MAILBOX}/folders/{{id}}/childFolders/{{id1}}": {
        "get": (_post(None, _FOLDER), "api/mailboxfolder-get"),
        "patch": (_post(_FOLDER, _FOLDER), "api/mailboxfolder-update"),
        "delete": (_post(None, None), "api/mailboxfolder-delete-childfolders"),
    },
    f"{_MAILBOX}/folders/{{id}}/items/{{id1}}": {
        "delete": (
            {**_post(None, None), "parameters": [{"name": "disposalType"}]},
            "api/mailboxfolder-delete-items",
        )
    },
    "/users/{user-id}/mailFolders/{id}/childFolders/{id1}/messages": {
        "post": (_post("microsoft.graph.message", "microsoft.graph.message"), "api/mailfolder-post-messages")
    },
    "/reports/getMailboxUsageDetail(period='{period}')": {
        "get": (
            {"responses": {"302": {"description": "to a CSV file"}, **_ERROR}},
            "api/reportroot-getmailboxusagedetail",
        )
    },
}
# Properties in the documentation that the metadata of the description's date does not have yet.
_LATER: dict[str, dict[str, Any]] = {
    _FOLDER: {
        "wellKnownName": {"type": ["string", "null"]},
        "parentMailboxUrl": {"type": ["string", "null"]},
    },
    "microsoft.graph.exchangeSettings": {"inPlaceArchiveMailboxId": {"type": ["string", "null"]}},  # beta
    "microsoft.graph.mailFolder": {
        "wellKnownName": {"type": ["string", "null"]},
        "sizeInBytes": {"type": ["integer", "null"]},
    },
}
# Used by public clients on mailbox folders too; mandatory for calendarView, but not in the description.
_LATER_QUERY = {"includeHiddenFolders", "startDateTime", "endDateTime"}
_BROKEN: Any = object()  # JSON that is none
_REMOVED = {
    "type": "object",
    "required": ["reason"],
    "properties": {"reason": {"enum": ["deleted", "changed"]}},
}


class GraphSchema:
    """The description with strict schemas, and the judge."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.paths: dict[str, dict[str, Any]] = copy.deepcopy(document["paths"])
        strict = copy.deepcopy(document)
        for name, schema in strict["components"]["schemas"].items():
            if name in _LATER:
                schema["properties"].update(_LATER[name])
            if name not in _OPEN:
                for part in _objects(schema):
                    part["additionalProperties"] = False
                    part["patternProperties"] = {"@": {}}
        registry = Registry().with_resource(
            _URI, Resource.from_contents(strict, default_specification=DRAFT202012)
        )
        self._registry = registry
        self._validators: dict[str, jsonschema.protocols.Validator] = {}
        for path, methods in ADDITIONS.items():
            known = self.paths.setdefault(self._same(path), {})
            for method, (operation, _page) in methods.items():
                known.setdefault(method, operation)
        self._patterns = [(_pattern(path), path) for path in self.paths]

    def _same(self, path: str) -> str:
        """The spelling under which the description has this path, whatever its parameters are called."""
        wanted = re.sub(r"\{[^}]*\}", "{}", path)
        return next((known for known in self.paths if re.sub(r"\{[^}]*\}", "{}", known) == wanted), path)

    # --- judging

    def operation(self, method: str, path: str) -> dict[str, Any] | None:
        """The operation for a path below /v1.0, with its path parameters' names forgotten."""
        path = re.sub(r"/delta(\(\))?$", "/delta()", path)
        best: tuple[int, str] | None = None
        for pattern, name in self._patterns:
            if pattern.fullmatch(path) and method.lower() in self.paths[name]:
                rank = (name.count("{"), name)  # a literal segment beats a parameter
                best = min(best, rank) if best else rank
        return self.paths[best[1]][method.lower()] if best else None

    def check(
        self,
        method: str,
        url: str,
        request_headers: Mapping[str, str],
        request_body: bytes,
        status: int,
        answer_headers: Mapping[str, str],
        answer_body: bytes,
    ) -> list[str]:
        """Every fault found in one exchange with the Graph host; [] when there is none."""
        split = urlsplit(url)
        path = unquote_path(split.path)
        for version in ("/v1.0", "/beta"):
            path = path.removeprefix(version) if path.startswith(version + "/") else path
        if path == "/$batch":
            return [*self._batch(request_body, status, answer_body)]
        operation = self.operation(method, path)
        where = f"{method} {path}"
        if operation is None:
            return [] if status in (404, 405, 400, 401) else [f"{where}: no such operation"]
        found = [f"{where}: {fault}" for fault in self._query(operation, split.query)]
        body = _parse(request_headers, request_body)
        found += [
            f"{where} request: {fault}" for fault in self._request(operation, request_headers, body, status)
        ]
        answer = _parse(answer_headers, answer_body)
        found += [f"{where} {status} answer: {fault}" for fault in self._answer(operation, status, answer)]
        return found

    def check_import(self, request_body: bytes, status: int, answer_body: bytes) -> list[str]:
        """Every fault in one exchange with the host of the import URL."""
        found: list[str] = []
        if status < 300:
            body = json.loads(request_body)
            found += [f"import request: {e}" for e in self._errors("importItemRequest", body)]
            found += [
                f"import answer: {e}" for e in self._errors("importItemResponse", json.loads(answer_body))
            ]
        elif answer_body and b'"Message"' not in answer_body[:20]:
            found += [f"import {status}: {e}" for e in self._errors("ODataError", json.loads(answer_body))]
        return found

    def _query(self, operation: Mapping[str, Any], query: str) -> Iterator[str]:
        known = {p.get("name") for p in operation.get("parameters", ())} | _QUERY | _LATER_QUERY
        for name, _value in parse_qsl(query, keep_blank_values=True):
            if name not in known:
                yield f"unknown query parameter {name!r}"

    def _request(
        self, operation: Mapping[str, Any], headers: Mapping[str, str], body: Any, status: int
    ) -> Iterator[str]:
        described = operation.get("requestBody")
        if described is None:
            if body not in (None, b"", {}):
                yield "a body where none is described"
            return
        if status == 413:
            return
        if body is None or body is _BROKEN:
            if status < 300:
                yield "no body" if body is None else "a body that is no JSON"
            return
        kind = _media_type(headers)
        content = described["content"]
        if kind not in content:
            if status < 300:
                yield f"content type {kind!r} is not among {sorted(content)}"
        elif kind == "application/json" and status < 300:
            yield from self._judge(content[kind]["schema"], body)

    def _answer(self, operation: Mapping[str, Any], status: int, body: Any) -> Iterator[str]:
        if body is None:
            if 400 <= status < 500:
                yield "an error without a body"
            return
        response = operation["responses"].get(f"{status // 100}XX", {})
        if "$ref" in response:
            response = _json("ODataError")
        schema = response.get("content", {}).get("application/json", {}).get("schema")
        if schema is None:
            if isinstance(body, dict):
                yield "a JSON body where none is described"
            return
        yield from self._judge(schema, _without_removed(body))
        for entry in body.get("value", ()) if isinstance(body, dict) else ():
            if isinstance(entry, dict) and "@removed" in entry:
                for error in jsonschema.Draft202012Validator(_REMOVED).iter_errors(entry["@removed"]):
                    yield error.message

    def _batch(self, request_body: bytes, status: int, answer_body: bytes) -> Iterator[str]:
        request = json.loads(request_body)
        if status >= 300:
            yield from self._errors("ODataError", json.loads(answer_body))
            return
        yield from (f"$batch: {e}" for e in self._errors("batchRequest", request))
        answer = json.loads(answer_body)
        yield from (f"$batch answer: {e}" for e in self._errors("batchResponse", answer))
        answers = {member["id"]: member for member in answer["responses"]}
        for member in request["requests"]:
            reply = answers.get(member["id"])
            if reply is None:
                yield f"$batch: no answer to {member['id']!r}"
                continue
            yield from self.check(
                member["method"],
                member["url"] if member["url"].startswith("/") else "/" + member["url"],
                member.get("headers", {}),
                _dump(member.get("body")),
                reply["status"],
                reply.get("headers", {}),
                _dump(reply.get("body")),
            )

    def _errors(self, schema: str, value: Any) -> Iterator[str]:
        return self._judge({"$ref": f"#/components/schemas/{schema}"}, value)

    def _judge(self, schema: Mapping[str, Any], value: Any) -> Iterator[str]:
        key = json.dumps(schema, sort_keys=True)
        validator = self._validators.get(key)
        if validator is None:
            local = json.loads(key.replace('"#/', f'"{_URI}#/'))
            for part in _objects(local):
                part["additionalProperties"] = False
                part["patternProperties"] = {"@": {}}
            validator = jsonschema.Draft202012Validator(local, registry=self._registry)
            self._validators[key] = validator
        for error in validator.iter_errors(value):
            yield _explain(error)


def _explain(error: jsonschema.ValidationError) -> str:
    deepest = error
    while deepest.context:  # of alternatives, the one that came closest says most
        branches: dict[Any, list[jsonschema.ValidationError]] = {}
        for inner in deepest.context:
            branches.setdefault(inner.relative_schema_path[0], []).append(inner)
        closest = min(branches.values(), key=lambda errors: (len(errors), -len(errors[0].absolute_path)))
        deepest = closest[0]
    return f"{'/'.join(map(str, deepest.absolute_path)) or '.'}: {deepest.message[:300]}"


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema below this one that lists properties."""
    if isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict):
            yield schema
            for value in properties.values():
                yield from _objects(value)
        for key, value in schema.items():
            if key != "properties":
                yield from _objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _objects(value)


def _without_removed(body: Any) -> Any:
    if isinstance(body, dict) and isinstance(body.get("value"), list):
        return {**body, "value": [v for v in body["value"] if not (isinstance(v, dict) and "@removed" in v)]}
    return body


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\{[^}]*\})", path)
    return re.compile("".join("[^/]+" if part.startswith("{") else re.escape(part) for part in parts))


def unquote_path(raw: str) -> str:
    """Decode a path segment by segment; a "/" inside an id must not become a separator."""
    return "/".join(unquote(part).replace("/", "%2F") for part in raw.split("/"))


def _media_type(headers: Mapping[str, str]) -> str:
    for name, value in headers.items():
        if name.lower() == "content-type":
            return value.split(";")[0].strip().lower()
    return "application/json"


def _parse(headers: Mapping[str, str], body: bytes) -> Any:
    """None for no body, the parsed JSON, or the bytes of something else."""
    if not body:
        return None
    if not _media_type(headers).endswith("json"):
        return body
    try:
        return json.loads(body)
    except ValueError:
        return _BROKEN


def _dump(value: Any) -> bytes:
    return b"" if value is None else json.dumps(value).encode()


@cache
def _load() -> GraphSchema:
    return GraphSchema(json.loads(FILE.read_text(encoding="utf-8")))


def load() -> GraphSchema:
    """The judge; skips the test where the description is not at hand."""
    if not FILE.exists():
        pytest.skip(f"{FILE.name} is not here: the answers cannot be compared with Microsoft's description")
    return _load()


def watch(world: Any, *, at_once: bool = True) -> list[str]:
    """Judge every exchange of this world with Graph and the import host from now on. Returns the list that faults
    go to, which is also `world.notes["schema_faults"]`.

    at_once: raise in the lab's handler as well, for tests that call handlers directly.
    """
    judge = _load()
    faults: list[str] = world.notes.setdefault("schema_faults", [])

    def witness(request: Any, response: Any) -> None:
        if response.abort or response.keep_octets is not None or response.tail:
            return
        body = b"".join(bytes(part) for part in response.buffers())
        if response.status >= 400 and (not body or "json" not in response.header("content-type")):
            return  # what proxies and front ends say in Graph's place: scripted faults are made to be off the description
        found: list[str] = []
        if request.service == "import" and request.path.lower().endswith("/importitem"):
            found = judge.check_import(bytes(request.body), response.status, body)
        elif request.service == "graph" and not request.path.startswith("/reportdownload/"):
            url = request.raw_path + (f"?{request.query}" if request.query else "")
            found = judge.check(
                request.method,
                url,
                request.headers,
                bytes(request.body),
                response.status,
                dict(response.headers),
                body,
            )
        faults.extend(found)
        assert not (found and at_once), "\n".join(found)

    world.notes.setdefault("m365_witnesses", []).append(witness)
    return faults


@contextmanager
def judged(world: Any) -> Iterator[None]:
    """Fails at its end when a request or answer was not as described; judges nothing where the description is absent.

    with judged(lab.world): … drive the lab …
    """
    faults = watch(world, at_once=False) if FILE.exists() else []
    yield
    assert not faults, "\n".join(faults[:20])
