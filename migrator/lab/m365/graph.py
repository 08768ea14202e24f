"""The Graph host: finds the operation of a request, checks the right to it, throttles, keeps the journal, words errors.

An operation is a function `(context) -> answer`, registered with its method, path and permissions in a `Routes` table of
its module. It returns a Response, or a JSON value that becomes one, or raises GraphError, StoreError or ODataError.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

from migrator.lab.faults import Action
from migrator.lab.http import Request, Response
from migrator.lab.m365 import errors, odata
from migrator.lab.m365.room import Room
from migrator.lab.store import LabMailbox, StoreError
from migrator.lab.world import Call, Token

BODY_LIMIT = 4 * 2**20  # learn.microsoft.com/graph: requests with more than 4 MB are answered 413
JSON_TYPE = (
    "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
)
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(slots=True)
class Context:
    """One operation's request. `box` is there when the path names a mailbox."""

    room: Room
    request: Request
    call: Call
    token: Token
    args: dict[str, str]  # by the names in the route
    root: str  # https://host/v1.0
    box: LabMailbox = field(default=None)  # type: ignore[assignment]

    @property
    def options(self) -> odata.Options:
        return odata.parse(self.request.query)

    @property
    def url(self) -> str:
        """Of this request, as it came, without its query."""
        return self.request.base_url + self.request.raw_path

    def json(self) -> dict[str, Any]:
        """The body as an object, {} when there is none. Raises GraphError 400."""
        if not self.request.body:
            return {}
        try:
            value = pydantic_core.from_json(self.request.body)
        except ValueError as error:
            raise errors.bad_request(f"Unable to read JSON request payload. {error}", "BadRequest") from error
        if not isinstance(value, dict):
            raise errors.bad_request("A JSON object was expected in the request body.", "BadRequest")
        return value

    def prefers(self, name: str) -> str:
        """The value of a preference in the Prefer header, e.g. odata.maxpagesize."""
        for part in self.request.headers.get("prefer", "").split(","):
            key, _, value = part.strip().partition("=")
            if key.strip().lower() == name:
                return value.strip().strip('"')
        return ""


Operation = Callable[[Context], Any]


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    pattern: tuple[str, ...]  # lower-case literals; {name} takes any segment
    operation: str
    work: Operation
    permissions: frozenset[str]
    directory: bool = False  # about the user object, not the mailbox's content
    write: bool = False


class Routes:
    """A module's operations."""

    def __init__(self) -> None:
        self.all: list[Route] = []

    def on(
        self,
        method: str,
        path: str,
        operation: str,
        *permissions: str,
        directory: bool = False,
        write: bool | None = None,
    ) -> Callable[[Operation], Operation]:
        """Register. write: whether the journal counts it as one (None: by the method)."""

        def register(work: Operation) -> Operation:
            pattern = tuple(
                part if part.startswith("{") else part.lower() for part in path.split("/") if part
            )
            self.all.append(
                Route(
                    method,
                    pattern,
                    operation,
                    work,
                    frozenset(permissions),
                    directory,
                    method in _WRITES if write is None else write,
                )
            )
            return work

        return register


class Graph:
    def __init__(self, room: Room) -> None:
        from migrator.lab.m365 import (
            attachments,
            contacts,
            events,
            folders,
            imports,
            items,
            mail,
            reports,
            users,
        )

        self.room = room
        self._by_length: dict[tuple[str, int], list[Route]] = {}
        for module in (folders, items, imports, users, mail, attachments, events, contacts, reports):
            for route in module.routes.all:
                self._by_length.setdefault((route.method, len(route.pattern)), []).append(route)

    async def handle(self, request: Request) -> Response:
        parts = request.segments()
        if len(parts) == 2 and parts[0] == "reportdownload" and request.method == "GET":
            from migrator.lab.m365.reports import download

            return await self.room.world.perform(
                request, "downloadReport", work=lambda call: download(self.room, request)
            )
        if parts and parts[0].lower() not in ("v1.0", "beta"):
            return await self._refuse(
                request, "unknown", errors.bad_request("Invalid version.", "BadRequest")
            )
        if len(parts) == 2 and parts[1].lower() == "$batch":
            from migrator.lab.m365.batch import batch

            return await batch(self, request)
        return await self.serve(request)

    async def serve(self, request: Request, *, member: bool = False) -> Response:
        """One operation, alone or as a member of a batch."""
        parts = request.segments()[1:]
        found = self.route(request.method, parts)
        if found is None:
            return await self._refuse(request, "unknown", self._unknown(request.method, parts), member=member)
        route, args = found
        world = self.room.world
        token, box = self._look(request, args)
        app_id = token.app_id if token else ""
        limits = world.knobs.limits_for_graph()
        upload = request.method in ("POST", "PUT", "PATCH")
        refused = None
        address = box.address if box else ""
        if token and box and not route.directory:
            refused = world.graph_throttle.admit(
                limits, app_id, address, request.octets, request.received or world.clock.now(), write=upload
            )

        def work(call: Call) -> Response:
            if refused is not None:
                headers = {"Retry-After": refused.retry_after} if refused.retry_after else {}
                return self.fail(
                    request,
                    errors.GraphError(refused.status, refused.code, refused.message, headers),
                    call,
                )
            return self._work(route, args, request, call)

        try:
            return await world.perform(
                request,
                route.operation,
                work=work,
                word=lambda action: self.word(request, action),
                mailbox=address,
                app_id=app_id,
                service="batch" if member else "",
                write=route.write,
            )
        finally:
            if token and box and not route.directory and refused is None:
                world.graph_throttle.release(limits, app_id, address)

    def _look(self, request: Request, args: Mapping[str, str]) -> tuple[Token | None, LabMailbox | None]:
        """Who calls and which mailbox is meant, as far as that can be told before rights are checked."""
        token: Token | None = None
        box: LabMailbox | None = None
        try:
            token = self.room.token(request.headers.get("authorization", ""))
        except errors.GraphError:
            token = None
        try:
            box = self._box(args, token)
        except errors.GraphError:
            box = None
        return token, box

    def _box(self, args: Mapping[str, str], token: Token | None) -> LabMailbox | None:
        if "mailbox" in args:
            return self.room.mailbox(args["mailbox"])
        if "user" in args:
            return self.room.by_user(args["user"])
        if "me" in args:
            if token is None or not token.user:
                raise errors.bad_request(
                    "/me request is only valid with delegated authentication flow.", "BadRequest"
                )
            return self.room.by_user(token.user)
        return None

    def route(self, method: str, parts: list[str]) -> tuple[Route, dict[str, str]] | None:
        """The operation of a path below the version, with its arguments; `me` is as good as users/{user}."""
        if parts and parts[0].lower() == "me":
            parts = ["users", "me", *parts[1:]]
            me = True
        else:
            me = False
        if parts and parts[-1].lower() == "delta()":
            parts = [*parts[:-1], "delta"]
        best: tuple[int, Route] | None = None
        for route in self._by_length.get((method, len(parts)), ()):
            wild = 0
            for want, have in zip(route.pattern, parts, strict=True):
                if want[0] == "{":
                    wild += 1
                elif want != have.lower():
                    break
            else:
                if best is None or wild < best[0]:
                    best = (wild, route)
        if best is None:
            return None
        route = best[1]
        args = {want[1:-1]: have for want, have in zip(route.pattern, parts, strict=True) if want[0] == "{"}
        if me:
            args = {"me": "", **{name: value for name, value in args.items() if name != "user"}}
        return route, args

    def _unknown(self, method: str, parts: list[str]) -> errors.GraphError:
        other = any(self.route(verb, parts) for verb in ("GET", "POST", "PATCH", "PUT", "DELETE"))
        if other:
            return errors.GraphError(
                405,
                "Request_BadRequest",
                f"Specified HTTP method is not allowed for the request target. ({method})",
            )
        return errors.no_segment(parts[-1] if parts else "")

    async def _refuse(
        self, request: Request, operation: str, error: errors.GraphError, *, member: bool = False
    ) -> Response:
        return await self.room.world.perform(
            request,
            operation,
            work=lambda call: self.fail(request, error, call),
            service="batch" if member else "",
            detail={"method": request.method, "path": request.path},
        )

    def _work(self, route: Route, args: dict[str, str], request: Request, call: Call) -> Response:
        room = self.room
        try:
            token = room.token(request.headers.get("authorization", ""))
            box: LabMailbox | None = None
            missing: errors.GraphError | None = None
            try:
                box = self._box(args, token)
            except errors.GraphError as error:
                missing = error
            room.allow(token, route.permissions, box, directory=route.directory)
            if missing is not None and not route.directory:
                raise missing
            if request.octets > BODY_LIMIT:
                raise errors.GraphError(413, "RequestEntityTooLarge", "The request is larger than 4 MB.")
            version = request.segments()[0]
            context = Context(room, request, call, token, args, f"{request.base_url}/{version}")
            if box is not None:
                context.box = box
            made = route.work(context)
        except errors.GraphError as error:
            return self.fail(request, error, call)
        except StoreError as error:
            return self.fail(request, room.refusal(error), call)
        except odata.ODataError as error:
            return self.fail(request, errors.GraphError(400, error.code, error.message), call)
        return made if isinstance(made, Response) else answer(made)

    def fail(self, request: Request, error: errors.GraphError, call: Call | None = None) -> Response:
        if call is not None:
            call.code = error.code
        request_id = str(uuid.uuid4())
        body = error.body(
            request_id, request.headers.get("client-request-id", ""), self.room.world.clock.now()
        )
        return Response(
            error.status,
            [("Content-Type", "application/json"), ("request-id", request_id), *error.headers.items()],
            json.dumps(body).encode(),
        )

    def word(self, request: Request, action: Action) -> Response:
        """A scripted fault that has a code, in Graph's words."""
        headers = {"Retry-After": action.retry_after} if action.retry_after else {}
        status = action.status or STATUS_OF.get(action.code, 503)
        return self.fail(
            request, errors.GraphError(status, action.code, action.message or action.code, headers)
        )


STATUS_OF = {
    "ApplicationThrottled": 429,
    "TooManyRequests": 429,
    "ErrorItemNotFound": 404,
    "ErrorFolderNotFound": 404,
    "ErrorAccessDenied": 403,
    "ErrorQuotaExceeded": 403,
    "ErrorCorruptData": 400,
    "ErrorInvalidRequest": 400,
    "ErrorInternalServerError": 500,
    "ErrorIrresolvableConflict": 409,
}


def answer(value: Any, status: int = 200) -> Response:
    """A JSON answer; None is 204 without a body."""
    if value is None:
        return Response(204)
    return Response(status, [("Content-Type", JSON_TYPE)], dump(value))


def dump(value: Any) -> bytes:
    # Names and values of mail may hold lone surrogates, which only the escaped form can carry.
    try:
        return pydantic_core.to_json(value)
    except (ValueError, UnicodeError):
        return json.dumps(value, separators=(",", ":")).encode("ascii")


def collection(
    context: Context,
    kind: str,
    rows: list[Any],
    after: int | None,
    *,
    count: int | None = None,
) -> dict[str, Any]:
    """A page of a list, with the link to the next one. kind: what stands behind `$metadata#`."""
    found: dict[str, Any] = {"@odata.context": f"{context.root}/$metadata#{kind}"}
    if count is not None:
        found["@odata.count"] = count
    found["value"] = rows
    if after is not None:
        found["@odata.nextLink"] = odata.next_link(context.url, context.request.query, skip=after)
    return found


def pick(row: dict[str, Any], select: frozenset[str]) -> dict[str, Any]:
    """What `$select` leaves; the id and the annotations always stay."""
    if not select:
        return row
    wanted = {name.lower() for name in select}
    return {
        name: value
        for name, value in row.items()
        if name[0] == "@" or name == "id" or name.lower() in wanted or name == odata.EXTENDED
    }
