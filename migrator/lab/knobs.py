"""Everything about the lab that can be turned: speed, throttling, and each point on which the documents are silent or
disagree. Frozen: the control port swaps the whole record, handlers read `world.knobs` anew for every request."""

from __future__ import annotations

import dataclasses
import json
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class GraphLimits:
    """Per app registration and mailbox (learn.microsoft.com/graph/throttling-limits, Outlook service). 0: no limit."""

    requests: int = 10_000
    requests_window_s: float = 600.0
    concurrent: int = 4
    upload_octets: int = 150 << 20  # raw request bodies of POST, PUT, PATCH
    upload_window_s: float = 300.0
    retry_after_s: float = (
        10.0  # told when the concurrency gauge refuses; windows tell when they have room again
    )
    retry_after: str = "seconds"  # seconds, fraction, date, absent
    code: str = "ApplicationThrottled"  # or TooManyRequests


@dataclass(frozen=True, slots=True)
class EwsLimits:
    """Budget per owner, as Exchange 2013 and later count it: milliseconds of server time. 0 concurrency: no limit."""

    concurrency: int = 27
    max_burst_ms: float = 300_000.0
    recharge_ms_per_hour: float = 900_000.0
    cutoff_ms: float = 3_000_000.0
    find_count: int = 1000  # most items of one FindItem page
    cost_ms: float = 20.0  # charged per request on top of the time it took
    cost_ms_per_mib: float = 25.0  # and for data that passes
    back_off_as: str = (
        "fault"  # fault, message (in the response message), inner (HTTP 200 + ErrorInternalServerError)
    )
    back_off_ms: int = 0  # told; 0 computes it from the debt
    micro_delay_ms: float = 100.0  # per request while the balance is below zero


@dataclass(frozen=True, slots=True)
class Knobs:
    # speed of the line, both halves
    latency_s: float = 0.0  # added to every request
    bandwidth_octets_s: float = 0.0  # per connection and direction; 0 is as fast as it goes

    # throttling: off, published, own (with the figures of graph_limits / ews_limits)
    graph_throttling: str = "off"
    ews_throttling: str = "off"
    graph_limits: GraphLimits = field(default_factory=GraphLimits)
    ews_limits: EwsLimits = field(default_factory=EwsLimits)

    # hosted Exchange
    ews_version: str = "15.1.2507.6"  # ServerVersionInfo; below 14.1 there is no ExportItems
    ews_export: bool = True  # ExportItems and UploadItems are there (some hosters filter them)
    ews_auth: tuple[str, ...] = ("basic",)  # basic, ntlm (announced only)
    ews_require_anchor: bool = False  # refuse requests without X-AnchorMailbox
    ews_impersonation: str = "allowed"  # allowed, required, forbidden
    ews_request_octets: int = 67_108_864  # larger requests are cut off with 404 before EWS sees them
    ews_strict: bool = True  # requests that the schema refuses are answered ErrorSchemaValidation
    ews_gzip: bool = True
    ews_sync_cap: int = 512
    ews_data_pages: int = 31_680  # octets per TransferBuffer record of exported streams

    # Microsoft 365: points on which Microsoft's pages are silent or disagree
    session_lifetime_s: float = 3600.0
    token_lifetime_s: float = 3600.0
    create_session_status: int = 200  # one page says 201
    well_known_name: bool = True  # mailboxFolder.wellKnownName is sent
    parent_mailbox_url: bool = True
    import_accepts_ews: tuple[str, ...] = ("*",)  # versions whose streams are taken: "15.1", "14", "*"
    import_accepts_synthetic: bool = True  # streams that no Exchange made
    import_refused_classes: tuple[str, ...] = ()  # message class prefixes that import refuses
    import_accepts_fai: bool = True
    preserve_search_key: bool = True
    preserve_creation_time: bool = True
    preserve_message_id: bool = True
    preserve_delivery_time: bool = True
    preserve_flags: bool = True
    import_normalises: bool = False  # the store adds and drops properties as the real one is thought to
    update_accepts_long_keys: bool = True  # 30-octet change keys in mode update
    hard_delete_on_hold: int = 403
    delete_disposal_required: bool = True
    export_shuffles: bool = True  # order of exportItems answers
    export_error_key: str = "error"  # one official sample writes "Error"
    export_response_octets: int = 0  # larger answers fail with 504; 0: none do
    delta_honoured: bool = True  # False: every delta token is answered 410
    mailbox_id_shape: str = "guid"  # guid: MBX:guid@tenant; opaque: another shape altogether
    folder_page: int = 10
    item_page: int = 10
    filter_extended: bool = True  # $filter on extended properties of mailbox items works
    import_body_octets: int = 0  # larger import requests are answered 413; 0: only the mailbox's limit counts
    import_quota_status: int = 403  # or 507
    import_stale_status: int = 409  # or 412
    provisioning_s: float = 0.0  # a new mailbox answers 404 for so long
    report_conceals_names: bool = False  # of people, in usage reports
    device_code_polls: int = 1  # polls until a device code is taken as confirmed

    def swap(self, changes: dict[str, Any]) -> Knobs:
        """A copy with values changed, from JSON or TOML. Raises ValueError naming every unknown or ill-typed knob."""
        problems: list[str] = []
        made: Knobs = _swap(self, changes, "", problems)
        if problems:
            raise ValueError("; ".join(problems))
        return made

    @classmethod
    def load(cls, path: Path) -> Knobs:
        """From a TOML (table [knobs], or the whole file) or JSON file. Raises ValueError, OSError."""
        text = path.read_text("utf-8")
        data: dict[str, Any] = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        return cls().swap(data.get("knobs", data))

    def limits_for_graph(self) -> GraphLimits | None:
        """The figures in force, None when throttling is off."""
        return {"published": GraphLimits(), "own": self.graph_limits}.get(self.graph_throttling)

    def limits_for_ews(self) -> EwsLimits | None:
        return {"published": EwsLimits(), "own": self.ews_limits}.get(self.ews_throttling)


CHOICES: dict[str, tuple[str, ...]] = {
    "graph_throttling": ("off", "published", "own"),
    "ews_throttling": ("off", "published", "own"),
    "ews_impersonation": ("allowed", "required", "forbidden"),
    "graph_limits.retry_after": ("seconds", "fraction", "date", "absent"),
    "graph_limits.code": ("ApplicationThrottled", "TooManyRequests"),
    "ews_limits.back_off_as": ("fault", "message", "inner"),
    "mailbox_id_shape": ("guid", "opaque"),
}


def _swap(record: Any, changes: dict[str, Any], prefix: str, problems: list[str]) -> Any:
    hints = typing.get_type_hints(type(record))
    values: dict[str, Any] = {}
    for name, value in changes.items():
        label = prefix + name
        hint = hints.get(name)
        if hint is None:
            problems.append(f"unknown knob {label!r}")
        elif dataclasses.is_dataclass(hint):
            if isinstance(value, dict):
                values[name] = _swap(getattr(record, name), value, label + ".", problems)
            else:
                problems.append(f"{label} is a table")
        else:
            try:
                values[name] = _typed(hint, value)
            except (TypeError, ValueError):
                problems.append(f"{label}: {value!r} is not a {_spell(hint)}")
                continue
            allowed = CHOICES.get(label)
            if allowed and values[name] not in allowed:
                problems.append(f"{label} is one of {', '.join(allowed)}")
    return dataclasses.replace(record, **values)


def _typed(hint: Any, value: Any) -> Any:
    if isinstance(hint, types.GenericAlias):  # tuple[str, ...]
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return tuple(map(str, value))
    if hint is bool:
        if isinstance(value, str) and value.lower() in ("true", "false", "yes", "no", "on", "off", "1", "0"):
            return value.lower() in ("true", "yes", "on", "1")
        if not isinstance(value, bool):
            raise TypeError
        return value
    if isinstance(value, bool):
        raise TypeError
    if hint in (int, float) and not isinstance(value, int | float | str):
        raise TypeError
    if hint is int and isinstance(value, float) and not value.is_integer():
        raise ValueError
    if hint is str and not isinstance(value, str):
        raise TypeError
    return hint(value)


def _spell(hint: Any) -> str:
    return "list of strings" if isinstance(hint, types.GenericAlias) else getattr(hint, "__name__", str(hint))
