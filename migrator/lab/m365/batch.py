"""JSON batches (learn.microsoft.com/graph/json-batching, throttling-limits).

At most 20 members with unique ids; the envelope is 200 whatever its members say; members of one mailbox run four at a time;
`dependsOn` chains run one after the other, and what depends on a failure is answered 424. Each member is throttled alone.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pydantic_core

from migrator.lab.http import Request, Response
from migrator.lab.journal import Entry
from migrator.lab.m365 import errors

if TYPE_CHECKING:
    from migrator.lab.m365.graph import Graph

MAX_MEMBERS = 20
AT_ONCE = 4


async def batch(graph: Graph, request: Request) -> Response:
    """The whole batch. The envelope has a journal entry of its own, service graph, operation batch."""
    world = graph.room.world
    entry = Entry(
        "graph",
        "batch",
        octets_in=request.octets,
        started=request.received or world.clock.now(),
        peer=request.peer,
    )
    if world.knobs.latency_s:
        await world.clock.wait(world.knobs.latency_s)
    try:
        token = graph.room.token(request.headers.get("authorization", ""))
        entry.app_id = token.app_id
        members = _members(request)
        response = await _run(graph, request, members)
    except errors.GraphError as error:
        entry.code = error.code
        response = graph.fail(request, error)
    entry.finished = world.clock.now()
    entry.status = response.status
    entry.octets_out = response.octets
    world.journal.record(entry)
    request.recorded = True
    return response


def _members(request: Request) -> list[dict[str, Any]]:
    """Raises GraphError 400 for an envelope that is none."""
    from migrator.lab.m365.graph import BODY_LIMIT

    if request.method != "POST":
        raise errors.GraphError(405, "BadRequest", "$batch takes POST only.")
    if request.octets > BODY_LIMIT:
        raise errors.GraphError(413, "RequestEntityTooLarge", "The request is larger than 4 MB.")
    try:
        body = pydantic_core.from_json(request.body)
    except ValueError as error:
        raise errors.bad_request("Invalid batch payload format.", "BadRequest") from error
    members = body.get("requests") if isinstance(body, dict) else None
    if not isinstance(members, list) or not members:
        raise errors.bad_request("Invalid batch payload format.", "BadRequest")
    if len(members) > MAX_MEMBERS:
        raise errors.bad_request(
            f"Number of batch request steps exceeds the maximum value of {MAX_MEMBERS}.", "BadRequest"
        )
    seen: set[str] = set()
    for member in members:
        good = isinstance(member, dict) and all(
            isinstance(member.get(name), str) and member[name] for name in ("id", "method", "url")
        )
        if not good:
            raise errors.bad_request("A batch request step needs id, method and url.", "BadRequest")
        if member["id"] in seen:
            raise errors.bad_request("Request Id has to be unique in a batch.", "BadRequest")
        seen.add(member["id"])
        if member.get("body") is not None and not _content_type(member):
            raise errors.bad_request("Content-Type header is required for a step with a body.", "BadRequest")
    for member in members:
        if not set(member.get("dependsOn") or ()) <= seen:
            raise errors.bad_request("A step depends on one that is not in the batch.", "BadRequest")
    return members


def _content_type(member: dict[str, Any]) -> str:
    for name, value in (member.get("headers") or {}).items():
        if name.lower() == "content-type":
            return str(value)
    return ""


async def _run(graph: Graph, request: Request, members: list[dict[str, Any]]) -> Response:
    world = graph.room.world
    answers: dict[str, asyncio.Future[Response]] = {
        member["id"]: asyncio.get_running_loop().create_future() for member in members
    }
    gates: dict[str, asyncio.Semaphore] = {}

    async def one(member: dict[str, Any]) -> None:
        future = answers[member["id"]]
        try:
            for before in member.get("dependsOn") or ():
                if (await asyncio.shield(answers[before])).status >= 400:
                    future.set_result(
                        graph.fail(
                            request,
                            errors.GraphError(424, "FailedDependency", "A step it depends on failed."),
                        )
                    )
                    return
            inner = _inner(request, member)
            gate = gates.setdefault(_mailbox_key(inner), asyncio.Semaphore(AT_ONCE))
            async with gate:
                # A member waited for its place: that is its start, as far as the gauges are concerned.
                inner.received = world.clock.now()
                future.set_result(await graph.serve(inner, member=True))
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for this member
            if not future.done():
                future.set_exception(error)

    await asyncio.gather(*(one(member) for member in members))
    rows = [_row(member["id"], answers[member["id"]].result()) for member in members]
    world.random.shuffle(rows)  # "the responses may be in a different order"
    return Response(
        200,
        [("Content-Type", "application/json")],
        b'{"responses":[' + b",".join(rows) + b"]}",
    )


def _inner(request: Request, member: dict[str, Any]) -> Request:
    url = member["url"]
    version = request.segments()[0]
    raw_path, _, query = (url if url.startswith("/") else "/" + url).partition("?")
    headers = {name.lower(): str(value) for name, value in (member.get("headers") or {}).items()}
    headers.setdefault("authorization", request.headers.get("authorization", ""))
    body = b""
    given = member.get("body")
    if given is not None:
        kind = _content_type(member).partition(";")[0].strip().lower()
        body = given.encode() if isinstance(given, str) and kind != "application/json" else _dump(given)
    full = f"/{version}{raw_path}"
    return Request(
        member["method"].upper(),
        full,
        full,
        query,
        headers,
        body,
        request.service,
        request.host,
        request.scheme,
        request.peer,
        request.received,
        len(body),
    )


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _mailbox_key(request: Request) -> str:
    parts = request.segments()[1:]
    if [part.lower() for part in parts[:3]] == ["admin", "exchange", "mailboxes"] and len(parts) > 3:
        return parts[3].lower()
    return parts[1].lower() if len(parts) > 1 else ""


def _row(member_id: str, response: Response) -> bytes:
    head: dict[str, Any] = {"id": member_id, "status": response.status}
    headers = {name: value for name, value in response.headers if name.lower() != "request-id"}
    if headers:
        head["headers"] = headers
    body = b"".join(response.buffers())
    start = _dump(head)
    if not body:
        return start
    kind = response.header("content-type")
    if "json" not in kind:
        body = _dump(body.decode("utf-8", "replace"))
    return start[:-1] + b',"body":' + body + b"}"
