"""The lab's own port: what happened, and levers to change what happens next. Not part of any simulated service.

Every request carries `Authorization: Bearer <control token>` or `X-Lab-Token`. Bodies and answers are JSON.

    GET  /_lab/state                      clock, counts, knobs, rules in force
    GET  /_lab/info                       what `migrator lab --json` printed
    GET  /_lab/journal?service=&operation=&mailbox=&status=&app_id=&write=&since=&limit=
    GET  /_lab/counts?by=service,operation,status&…the same filters
    GET  /_lab/judgement                  doubles, invitations, writes, high water, window peaks, crashes
    GET  /_lab/mailboxes/{exchange|m365}  every mailbox with its folders: items, octets, unread
    GET  /_lab/mailboxes/{half}/{address}?path=a/b   items of a folder (JSON list of names in `folder` is exact)
    GET  /_lab/faults                     the catalogue
    POST /_lab/knobs {"latency_s": 0.04}  change knobs
    POST /_lab/faults [{"fault": …}]      add rules; DELETE /_lab/faults takes all away
    POST /_lab/clock {"advance_s": 3600}
    POST /_lab/tokens {"expire": "access"}
    POST /_lab/journal {"clear": true}
    POST /_lab/urls {"imports": "https://127.0.0.1:1"}  what clients are told from now on: something stands in front
    POST /_lab/mailboxes/{half}/{address} {"quota_octets": 0, "licensed": false, …}
    POST /_lab/items {"half","mailbox","folder":[names],"do":"delete|move|read|unread|touch","subject" or "item","to":[names]}
    POST /_lab/stop                       end the lab
"""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Callable
from typing import Any

from migrator.lab.faults import CATALOGUE
from migrator.lab.http import Request, Response
from migrator.lab.journal import Entry, Journal
from migrator.lab.store import LabFolder, LabItem, LabMailbox, Store, StoreError, digest
from migrator.lab.world import World


class Control:
    """stop: called when the lab is asked to end. info: what the lab told at its start."""

    def __init__(
        self, world: World, token: str, info: Callable[[], dict[str, Any]], stop: Callable[[], None]
    ) -> None:
        self.world = world
        self.token = token
        self.info = info
        self.stop = stop

    async def __call__(self, request: Request) -> Response:
        given = request.headers.get("x-lab-token") or request.headers.get("authorization", "").removeprefix(
            "Bearer "
        )
        if not secrets.compare_digest(given.encode(), self.token.encode()):
            return _json({"error": "the control token is missing or wrong"}, 401)
        parts = request.segments()
        if len(parts) < 2 or parts[0] != "_lab":
            return _json({"error": "unknown path"}, 404)
        try:
            body = json.loads(request.body) if request.body else None
            return _json(self._route(request.method, parts[1:], request.params, body))
        except KeyError as error:
            return _json({"error": f"missing or unknown: {error}"}, 404)
        except (ValueError, TypeError, StoreError) as error:
            return _json({"error": str(error)}, 400)

    def _route(self, method: str, parts: list[str], params: dict[str, str], body: Any) -> Any:
        world = self.world
        match (method, *parts):
            case ("GET", "state"):
                return {
                    "now": world.clock.now(),
                    "requests": len(world.journal),
                    "knobs": dataclasses.asdict(world.knobs),
                    "rules": [
                        {"fault": rule.action.fault, "matched": rule.matched, "struck": rule.struck}
                        for rule in world.faults.rules
                    ],
                }
            case ("GET", "info"):
                return self.info()
            case ("GET", "journal"):
                limit = int(params.pop("limit", "1000"))
                chosen = list(world.journal.select(**_filters(params)))
                return {"total": len(chosen), "entries": world.journal.to_json(chosen[-limit:])}
            case ("GET", "counts"):
                by = params.pop("by", "service,operation,status").split(",")
                counts = world.journal.counts(*by, **_filters(params))
                return [{**dict(zip(by, key, strict=True)), "count": n} for key, n in sorted(counts.items())]
            case ("GET", "judgement"):
                return judgement(world.journal)
            case ("GET", "mailboxes", half):
                return [_mailbox(box) for box in _store(world, half).mailboxes.values()]
            case ("GET", "mailboxes", half, address):
                folder = _folder(_store(world, half).mailbox(address), params)
                return [_item(item) for item in folder.items.values()]
            case ("POST", "mailboxes", half, address):
                return self._change_mailbox(_store(world, half).mailbox(address), body)
            case ("GET", "faults"):
                return [
                    {"name": f.name, "stage": f.action.stage, "about": f.about, "basis": f.basis}
                    for f in CATALOGUE.values()
                ]
            case ("POST", "faults"):
                lines = body if isinstance(body, list) else [body]
                for line in lines:
                    world.faults.add(**line)
                return {"rules": len(world.faults.rules)}
            case ("DELETE", "faults"):
                world.faults.clear()
                return {"rules": 0}
            case ("POST", "knobs"):
                world.knobs = world.knobs.swap(body)
                return dataclasses.asdict(world.knobs)
            case ("POST", "clock"):
                world.clock.advance(float(body["advance_s"]))
                return {"now": world.clock.now()}
            case ("POST", "tokens"):
                return {"expired": world.tokens.expire(body["expire"], body.get("mailbox", ""))}
            case ("POST", "journal"):
                if body.get("clear"):
                    world.journal.clear()
                return {"requests": len(world.journal)}
            case ("POST", "urls"):
                known = {field.name for field in dataclasses.fields(world.urls)}
                if unknown := body.keys() - known:
                    raise ValueError(f"no such address: {', '.join(sorted(unknown))}")
                for name, url in body.items():
                    setattr(world.urls, name, str(url))
                return dataclasses.asdict(world.urls)
            case ("POST", "items"):
                return self._change_item(body)
            case ("POST", "stop"):
                self.stop()
                return {"stopping": True}
        raise KeyError("/".join(parts))

    @staticmethod
    def _change_mailbox(box: LabMailbox, changes: dict[str, Any]) -> dict[str, Any]:
        allowed = {
            "quota_octets",
            "max_receive_octets",
            "licensed",
            "enabled",
            "provisioned",
            "on_hold",
        }
        unknown = changes.keys() - allowed
        if unknown:
            raise ValueError(f"cannot change {', '.join(sorted(unknown))}")
        for name, value in changes.items():
            setattr(box, name, value)
        return _mailbox(box)

    def _change_item(self, body: dict[str, Any]) -> dict[str, Any]:
        """What an owner does to the mailbox while it is being copied."""
        store = _store(self.world, body["half"])
        box = store.mailbox(body["mailbox"])
        folder = box.by_path(*body["folder"])
        item = _pick(folder, body)
        match body["do"]:
            case "delete":
                store.delete_item(item, how=body.get("how", "hard"))
                return {"item": item.id}
            case "move":
                return _item(store.move_item(item, box.by_path(*body["to"])))
            case "read" | "unread" as word:
                store.mark_read(item, word == "read")
            case "touch":
                store.update_item(item, item.content, facts=item.facts)
            case other:
                raise ValueError(f"cannot {other!r} an item")
        return _item(item)


def judgement(journal: Journal) -> dict[str, Any]:
    """What a referee wants to know of a run."""

    def rows(found: dict[tuple[str, str], int]) -> list[dict[str, Any]]:
        return [{"app_id": app, "mailbox": box, "most": most} for (app, box), most in sorted(found.items())]

    def cloud(entry: Entry) -> bool:
        return entry.service in ("graph", "import")

    return {
        "requests": len(journal),
        "writes": journal.writes(),
        "stored": sum(1 for _ in journal.stored()),
        "doubles": [
            {"mailbox": box, "folder": folder, "digest": mark, "times": times}
            for box, folder, mark, times in journal.doubles()
        ],
        "invitations": journal.invitations(),
        "throttled": sum(1 for entry in journal.entries if entry.throttled),
        "crashes": [entry.detail for entry in journal.entries if entry.code == "LabError"],
        "octets": dict(zip(("in", "out"), journal.octets(), strict=True)),
        "high_water": rows(journal.high_water(match=cloud)),
        "requests_10_min": rows(journal.most_in_window(600, match=cloud)),
        "upload_5_min": rows(journal.most_in_window(300, "octets_in", match=cloud)),
    }


def _filters(params: dict[str, str]) -> dict[str, Any]:
    kinds: dict[str, Callable[[str], Any]] = {
        "service": str,
        "operation": str,
        "mailbox": str,
        "app_id": str,
        "status": int,
        "since": float,
        "until": float,
        "write": lambda text: text.lower() in ("1", "true", "yes"),
    }
    return {name: kinds[name](value) for name, value in params.items()}


def _store(world: World, half: str) -> Store:
    return {"exchange": world.exchange, "m365": world.m365}[half]


def _folder(box: LabMailbox, params: dict[str, str]) -> LabFolder:
    if "id" in params:
        return box.folder(int(params["id"]))
    if "folder" in params:
        return box.by_path(*json.loads(params["folder"]))
    return box.by_path(*[name for name in params.get("path", "").split("/") if name])


def _pick(folder: LabFolder, body: dict[str, Any]) -> LabItem:
    if "item" in body:
        return folder.mailbox.item(int(body["item"]))
    wanted = body["subject"]
    found = next((item for item in folder.items.values() if item.facts.subject == wanted), None)
    if found is None:
        raise KeyError(wanted)
    return found


def _mailbox(box: LabMailbox) -> dict[str, Any]:
    return {
        "address": box.address,
        "guid": box.guid,
        "upn": box.upn,
        "octets": box.octets,
        "quota_octets": box.quota_octets,
        "items": len(box.items),
        "folders": [
            {
                "id": folder.id,
                "path": list(folder.path),
                "class": folder.folder_class,
                "role": folder.role,
                "hidden": folder.hidden,
                "search": folder.search,
                "items": folder.total,
                "associated": folder.fai_total,
                "unread": folder.unread,
                "octets": folder.octets,
            }
            for folder in box.visible()
        ],
    }


def _item(item: LabItem) -> dict[str, Any]:
    facts = item.facts
    try:
        mark = digest(item.stream())
    except StoreError:  # the store was told to keep digests only
        mark = getattr(item.content, "digest", "")
    return {
        "item": item.id,
        "class": facts.item_class,
        "subject": facts.subject,
        "message_id": facts.message_id,
        "received": facts.received.isoformat() if facts.received else None,
        "read": facts.read,
        "size": item.size,
        "digest": mark,
        "associated": item.associated,
    }


def _json(value: Any, status: int = 200) -> Response:
    text = json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")
    return Response(status, [("Content-Type", "application/json")], text)
