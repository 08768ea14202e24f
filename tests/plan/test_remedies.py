"""Whatever can stand in the way, an administrator is told what to do: walked through the sources of the product itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator import errors
from migrator.errors import MigratorError
from migrator.model import SkipReason
from migrator.plan.remedies import CODES, SKIPS, Remedy, remedy_of, skip_of

PACKAGE = Path(__file__).parents[2] / "migrator"
UNKNOWN = remedy_of("ErrorBrandNew")
ERRORS = {
    name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, MigratorError)
}
# A command, a setting, a place to click, a thing to look at; or that nothing is to be done.
HELP = re.compile(
    r"`migrator |--\w|\b(Set|Get|New|Add)-[A-Z]|\b(admin centre|Outlook|manifest|project file|endpoint|licence|disk|certificate|"
    r"ledger|server|account|rights?|message|mailbox|network|proxy|browser|plan|secret|variable|report|Report|Nothing|"
    r"[Rr]un again|same command|template|file|next run|item|folder|source|row|host|programme?|password|url|user|owner)\b"
)


def sources() -> Iterator[tuple[str, ast.AST]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE)
        if room.parts[0] != "lab":
            yield room.as_posix(), ast.parse(path.read_text("utf-8"))


def calls(*names: str) -> Iterator[tuple[str, ast.Call]]:
    for file, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                )
                if name in names:
                    yield f"{file}:{node.lineno}", node


def words(node: ast.AST | None) -> list[str]:
    """The string constants that an expression may come to."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.IfExp):
        return words(node.body) + words(node.orelse)
    if isinstance(node, ast.BoolOp):
        return [word for value in node.values for word in words(value)]
    return []


def given(call: ast.Call, name: str, at: int) -> ast.AST | None:
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    return call.args[at] if len(call.args) > at else None


def known(code: str) -> bool:
    return remedy_of(code) != UNKNOWN


def test_every_error_that_the_product_raises_says_what_to_do() -> None:
    silent = []
    for where, call in calls(*ERRORS):
        if given(call, "remedy", 99) is not None or given(call, "problems", 99) is not None:
            continue
        code = given(call, "code", 99)
        if code is None:
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            codes = [getattr(errors, name).default_code]
        else:
            codes = words(
                code
            )  # a code of the service's own is known in the table, or answered for all of them
        silent += [f"{where}: {one}" for one in codes if not known(one)]
    assert not silent, "\n".join(silent)


def test_every_default_code_has_words() -> None:
    assert [name for name in ERRORS if not known(getattr(errors, name).default_code)] == []


def test_every_finding_that_warns_or_blocks_has_a_remedy() -> None:
    silent = []
    seen = 0
    for where, call in calls("Finding", "PlannedFinding"):
        level = words(given(call, "level", 0))
        if not {"warning", "blocker"} & set(level):
            continue
        seen += 1
        remedy, codes = given(call, "remedy", 2), words(given(call, "code", 3))
        empty = remedy is None or (isinstance(remedy, ast.Constant) and not remedy.value)
        if empty and not (codes and all(known(code) for code in codes)):
            silent.append(where)
    assert seen >= 4
    assert not silent, "\n".join(silent)


@pytest.mark.parametrize("reason", list(SkipReason))
def test_every_skip_reason_is_explained(reason: SkipReason) -> None:
    found = skip_of(reason)
    assert found is SKIPS[reason]
    assert len(found.title.split()) >= 3
    assert found.todo.endswith(".")
    assert HELP.search(found.todo), found.todo
    assert reason.value not in found.title  # words for a person, not our own word again


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        *CODES.items(),
        *((f"http_{n}", remedy_of(f"http_{n}")) for n in (400, 401, 403, 404, 413, 429, 500, 503)),
    ],
)
def test_every_remedy_is_something_that_can_be_done(code: str, remedy: Remedy) -> None:
    assert remedy.title
    assert not remedy.title.endswith(".")
    assert remedy.todo
    assert remedy.todo[0].isupper() or remedy.todo[0] in "`-"
    assert remedy.todo.rstrip("`").endswith((".", "?"))
    assert HELP.search(remedy.todo), f"{code}: {remedy.todo}"


@pytest.mark.parametrize(
    ("code", "place"),
    [
        ("quota_short", "Set-Mailbox"),
        ("oversize", "Set-Mailbox -MaxReceiveSize"),
        ("too_large", "Set-Mailbox -MaxReceiveSize"),
        ("no_licence", "admin centre"),
        ("mailbox_not_ready", "licence"),
        ("consent_missing", "admin consent"),
        ("ews_shut", "Set-CASMailbox"),
        ("ews_disabled", "Set-CASMailbox"),
        ("no_impersonation", "ApplicationImpersonation"),
        ("no_canary", "migrator check"),
        ("plan_changed", "migrator plan"),
        ("ledger_missing", "migrator run"),
        ("folder_refused", "[folders] rename"),
        ("secret_reference", "env:NAME"),
    ],
)
def test_what_stops_a_migration_names_the_command_or_the_place(code: str, place: str) -> None:
    assert place in CODES[code].todo


def test_what_nobody_has_foreseen_is_answered_too() -> None:
    assert remedy_of("ErrorBrandNew").todo
    assert skip_of("brand_new").todo
    assert remedy_of("http_599").again
