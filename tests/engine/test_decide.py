"""Decisions, read as data."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from migrator.engine.decide import Rules, decide
from migrator.ledger import Entry
from migrator.model import Fingerprint, ItemRef, Kind, SkipReason, State
from migrator.settings import RunSettings

OLD, NEW = datetime(2020, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)
SINCE = RunSettings(since=datetime(2022, 1, 1, tzinfo=UTC))


def ref(text: str) -> ItemRef:
    """ "a", "a@2" (version), "a-" (gone), "a*" (old), "a#task", "a+900" (octets)."""
    name, kind, version, size = text, Kind.MAIL, "1", 100
    gone, old = name.endswith("-"), name.endswith("*")
    name = name.rstrip("-*")
    if "+" in name:
        name, octets = name.split("+")
        size = int(octets)
    if "#" in name:
        name, word = name.split("#")
        kind = Kind(word)
    if "@" in name:
        name, version = name.split("@")
    return ItemRef(name, ("Inbox",), kind, version, size, received=OLD if old else NEW, gone=gone)


def entry(text: str) -> Entry:
    """ "a copied", "a@2 failed bad 3" (code, attempts), "a skipped too_large"."""
    name, state, *rest = text.split()
    one = ref(name)
    return Entry(
        job_id="j",
        folder_id="f",
        source_id=one.id,
        version=one.version,
        kind=one.kind,
        item_class="IPM.Note",
        size=one.size,
        received=one.received,
        message_id="",
        seen=None,
        state=State(state),
        reason=SkipReason(rest[0]) if state == "skipped" else None,
        code=rest[0] if state == "failed" else "",
        error="",
        target_id=f"t-{one.id}" if state in ("copied", "present") or "update" in rest else "",
        target_version="7",
        fingerprint=Fingerprint(b""),
        attempts=int(rest[1]) if state == "failed" else 1,
        octets=0,
        path_taken="fts",
        notes=(),
        updated=0.0,
    )


def decided(listed: str, known: list[str], rules: Rules) -> list[str]:
    entries = {one.source_id: one for one in map(entry, known)}
    chosen = decide([ref(text) for text in listed.split()], entries, rules)
    words = [
        f"update {send.ref.id} over {send.replaces[0]}" if send.replaces else f"copy {send.ref.id}"
        for send in chosen.send
    ]
    words += [f"skip {one.ref.id} {one.reason}" for one in chosen.skipped]
    words += [f"gone {one.source_id}" for one in chosen.gone]
    return words + ["stale"] * chosen.stale


UPDATES = Rules(can_update=True)


@pytest.mark.parametrize(
    ("listed", "known", "rules", "words"),
    [
        ("a b", [], Rules(), ["copy a", "copy b"]),
        ("a a@2", [], Rules(), ["copy a"]),
        ("a b", ["a copied"], Rules(), ["copy b"]),
        ("a b", ["a copied", "b present"], Rules(), []),
        ("a@2", ["a copied"], UPDATES, ["update a over t-a"]),
        ("a@2", ["a present"], UPDATES, ["update a over t-a"]),
        ("a@2", ["a copied"], Rules(), ["stale"]),
        ("a- b-", ["a copied"], Rules(), ["gone a"]),
        ("a-", ["a failed bad 1"], Rules(), ["skip a vanished"]),
        ("a", ["a sending"], Rules(), []),
        # failed
        ("a", ["a failed bad 1"], Rules(), ["copy a"]),
        ("a", ["a failed bad 3"], Rules(), []),
        ("a@2", ["a failed bad 3"], Rules(), ["copy a"]),
        ("a", ["a failed not_sent 9"], Rules(), ["copy a"]),
        ("a", ["a failed bad 3"], Rules(RunSettings(retry_failed=True)), ["copy a"]),
        ("a", ["a failed bad 1 update"], UPDATES, ["update a over t-a"]),
        # skipped
        ("a* b", [], Rules(SINCE), ["copy b", "skip a filtered_date"]),
        ("a*", ["a* skipped filtered_date"], Rules(SINCE), []),
        ("a*", ["a* skipped filtered_date"], Rules(), ["copy a"]),
        ("a", ["a skipped too_large"], Rules(), []),
        ("a@2", ["a skipped too_large"], Rules(), ["copy a"]),
        ("a", ["a skipped too_large"], Rules(RunSettings(retry_failed=True)), ["copy a"]),
        ("a+900 b", [], Rules(RunSettings(max_item_octets=500)), ["copy b", "skip a too_large"]),
        (
            "a+900",
            ["a+900 skipped too_large"],
            Rules(RunSettings(max_item_octets=500, retry_failed=True)),
            [],
        ),
        ("a#task b", [], Rules(kinds=frozenset({Kind.MAIL})), ["copy b", "skip a unsupported_kind"]),
        ("a#task", ["a#task skipped unsupported_kind"], Rules(), ["copy a"]),
        ("a#contact*", [], Rules(SINCE), ["copy a"]),  # an old contact is a current contact
    ],
)
def test_decisions(listed: str, known: list[str], rules: Rules, words: list[str]) -> None:
    assert decided(listed, known, rules) == words
