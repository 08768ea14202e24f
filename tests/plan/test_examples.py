"""The examples load as they are, and say what their comments say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from migrator.model import Folder, Role
from migrator.plan.filters import decide_folder
from migrator.plan.manifest import read_manifest
from migrator.plan.planner import choose, make_plan
from migrator.plan.project import load_project

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_hosted_exchange() -> None:
    project = load_project(EXAMPLES / "hosted-exchange")
    made = make_plan(project, read_manifest(project.manifest))
    assert [(job.source.address, job.target.address, job.batch) for job in made.jobs] == [
        ("ann.abel@acme-old.example", "ann.abel@acme.example", "pilot"),
        ("bob.baker@acme-old.example", "robert.baker@acme.example", "pilot"),
        ("cy.clark@acme-old.example", "cy.clark@acme.example", "wave 1"),
        ("dee.dunn@acme-old.example", "dee.dunn@acme.example", "rest"),
    ]
    assert {(job.source.endpoint, job.target.endpoint) for job in made.jobs} == {("hoster", "m365")}
    assert len(choose(made.jobs, batches=["pilot"])) == 2
    assert project.settings("prestage").mailboxes == 24
    assert project.settings("prestage").until is not None
    assert project.settings("cutover").retry_failed
    left_out = Folder(id="1", path=("RSS Feeds",))
    assert decide_folder(left_out, project.settings())
    assert decide_folder(Folder(id="2", path=("Papierkorb",), role=Role.DELETED), project.settings())
    assert decide_folder(Folder(id="3", path=("Inbox",), role=Role.INBOX), project.settings()) is None


def test_mixed() -> None:
    project = load_project(EXAMPLES / "hosted-exchange")
    read = read_manifest(EXAMPLES / "mixed.csv")
    made = make_plan(project, read)
    assert (read.dialect.name, read.delimiter) == ("own", "semicolon")
    assert [
        (
            job.line,
            job.source.endpoint,
            job.source.login,
            job.source.secret,
            job.target.address,
            job.extra["Cost Centre"],
        )
        for job in made.jobs
    ] == [
        (3, "hoster", "", "", "ann.abel@acme.example", "4711"),
        (5, "branch", "BRANCH\\eve", "file:secrets/eve.txt", "eve.evans@acme.example", "0815"),
        (6, "branch", "fay.frost@branch.example", "env:FAY_PASSWORD", "fay.frost@acme.example", "0815"),
        (8, "hoster", "", "keyring:migrator/gil", "gil.gray@acme.example", "4,711"),
    ]


@pytest.mark.parametrize("path", [path for path in EXAMPLES.rglob("*") if path.is_file()])
def test_no_secret_stands_in_an_example(path: Path) -> None:
    for line in path.read_text("utf-8").splitlines():
        found = re.match(r"\s*(secret|certificate|\w+_secret)\s*=\s*\"(.*)\"", line)
        assert not found or found[2].startswith(("env:", "keyring:", "file:"))
