"""Projects and manifests for the tests, made here."""

from __future__ import annotations

from pathlib import Path

from migrator.plan.manifest import Manifest, parse_manifest
from migrator.plan.planner import Plan, make_plan
from migrator.plan.project import Project, parse_project

PROJECT = """
[endpoints.old]
kind = "ews"
url = "https://mail.old.example/EWS/Exchange.asmx"

[endpoints.new]
kind = "graph"
tenant = "11111111-2222-3333-4444-555555555555"

[endpoints.files]
kind = "pst"

[defaults]
source = "old"
target = "new"
"""


def project(text: str = PROJECT, **changes: str) -> Project:
    for old, new in changes.items():
        text = text.replace(old, new)
    return parse_project(text, Path("/srv/acme/migration.toml"))


def manifest(text: str | bytes, **options: object) -> Manifest:
    data = text.encode() if isinstance(text, str) else text
    return parse_manifest(data, name="mailboxes.csv", **options)  # type: ignore[arg-type]


def plan(
    text: str | bytes, *, of: Project | None = None, allow: tuple[str, ...] = (), **options: object
) -> Plan:
    return make_plan(of or project(), manifest(text, **options), allow=allow)


def pairs(made: Plan) -> list[tuple[str, str]]:
    return [(job.source.address, job.target.address) for job in made.jobs]
