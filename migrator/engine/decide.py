"""What to do with listed items: a pure choice from what listing told, what the ledger knows and what the run wants.

| Ledger knows        | Listed                       | Choice                                                                  |
| ------------------- | ---------------------------- | ----------------------------------------------------------------------- |
| nothing             | item                         | skip where a filter or the target says so, else copy                    |
| copied, present     | same version                 | nothing                                                                 |
| copied, present     | other version                | update where the target can, else nothing (counted as `stale`)          |
| skipped by settings | item                         | as if nothing were known: settings may have changed                     |
| skipped otherwise   | same version                 | nothing, or copy with `retry_failed`                                    |
| failed              | item                         | copy when due: changed, not sent, fewer than 3 attempts, `retry_failed` |
| sending             | item                         | nothing: on its way in this process                                     |
| copied, present     | gone                         | nothing now, told as `gone`                                             |
| failed              | gone                         | skip: vanished                                                          |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace

from migrator.ledger.records import Entry
from migrator.model import ItemRef, Kind, Outcome, SkipReason, State
from migrator.plan.filters import decide_date
from migrator.record import record
from migrator.settings import RunSettings

ATTEMPTS = 3
"""Runs that try a failed item by themselves; after that only `retry_failed` does."""

WAS_THERE = "was_there"
"""Note of an entry whose target item was there before us and was only updated by us: never ours to remove."""

BY_SETTINGS = frozenset({SkipReason.FILTERED_DATE, SkipReason.UNSUPPORTED_KIND, SkipReason.DUPLICATE})
"""Skips that another run may see otherwise; the checkpoint has passed them, so the ledger brings them back."""


@record
class Rules:
    """What decisions rest on beside the item itself."""

    settings: RunSettings = field(default_factory=RunSettings)
    kinds: frozenset[Kind] = frozenset(Kind)  # that the target takes
    can_update: bool = False


@record(frozen=False)
class Send:
    """An item to be written: new, or over a target item of that id and version."""

    ref: ItemRef
    replaces: tuple[str, str] | None = None
    was_there: bool = False  # what is replaced was in the target before us


@record(frozen=False)
class Chosen:
    send: list[Send] = field(default_factory=list)
    skipped: list[Outcome] = field(default_factory=list)
    gone: list[Entry] = field(default_factory=list)
    stale: int = 0  # changed at the source, and the target cannot take the change


def decide(refs: Sequence[ItemRef], entries: Mapping[str, Entry], rules: Rules) -> Chosen:
    """Of a page that names an item twice, the later record counts."""
    chosen = Chosen()
    latest = {ref.id: ref for ref in refs}
    for ref in latest.values():
        entry = entries.get(ref.id)
        if ref.gone:
            _gone(ref, entry, chosen)
        elif entry is None:
            _fresh(ref, None, rules, chosen)
        elif entry.state is State.COPIED or entry.state is State.PRESENT:
            if ref.version == entry.version:
                continue
            if rules.can_update and entry.target_id:
                chosen.send.append(Send(ref, (entry.target_id, entry.target_version), was_there(entry)))
            else:
                chosen.stale += 1
        elif entry.state is State.SKIPPED:
            if ref.version != entry.version or rules.settings.retry_failed or entry.reason in BY_SETTINGS:
                _fresh(ref, entry, rules, chosen)
        elif entry.state is State.FAILED and is_due(entry, rules.settings, ref.version):
            _fresh(ref, entry, rules, chosen)
    return chosen


def completed(refs: Sequence[ItemRef], entries: Mapping[str, Entry]) -> tuple[ItemRef, ...]:
    """Change records that tell of the read state alone (`traits["change"] == "read_flag"`) get the rest from the ledger.

    Of an item that is not known the ref stays as it was told: it is new, and little is known of it.
    """
    return tuple(
        replace(
            entries[ref.id].ref(ref.folder),
            version=ref.version or entries[ref.id].version,
            seen=ref.seen,
            traits=ref.traits,
        )
        if ref.traits.get("change") == "read_flag" and ref.id in entries
        else ref
        for ref in refs
    )


def is_due(entry: Entry, settings: RunSettings, version: str = "") -> bool:
    """Whether a failed item is tried again. version: as listed now; a changed item is another chance."""
    if entry.code == "conflict" and not settings.retry_failed:
        return bool(version and version != entry.version)  # it would be one again
    return (
        settings.retry_failed
        or entry.code == "not_sent"
        or entry.attempts < ATTEMPTS
        or bool(version and version != entry.version)
    )


Likeness = tuple[Kind, bytes, float, int, str]
"""What true duplicates of one folder have in common: kind, fingerprint, date received, size and class."""


def likeness(one: ItemRef | Entry) -> Likeness | None:
    """None where listing tells too little: such items are never taken for duplicates."""
    if not one.fingerprint or one.received is None or one.size is None:
        return None
    moment = float(int(one.received.timestamp()))
    return (one.kind, one.fingerprint, moment, one.size, one.item_class.casefold())


def without_duplicates(sends: Sequence[Send], seen: set[Likeness]) -> tuple[list[Send], list[Outcome]]:
    """Of new items that are alike the first one goes on; seen: what was copied from this folder, and is added to."""
    rest: list[Send] = []
    skipped: list[Outcome] = []
    for send in sends:
        alike = likeness(send.ref) if send.replaces is None else None
        if alike is not None and alike in seen:
            skipped.append(Outcome(send.ref, State.SKIPPED, reason=SkipReason.DUPLICATE))
            continue
        if alike is not None:
            seen.add(alike)
        rest.append(send)
    return rest, skipped


def was_there(entry: Entry) -> bool:
    """Whether the entry's target item was in the target before this project wrote anything."""
    return entry.state is State.PRESENT or WAS_THERE in entry.notes


def skip_reason(ref: ItemRef, rules: Rules) -> SkipReason | None:
    """Why an item is left out by its description alone, or None."""
    if ref.kind not in rules.kinds:
        return SkipReason.UNSUPPORTED_KIND
    most = rules.settings.max_item_octets
    if most is not None and ref.size is not None and ref.size > most:
        return SkipReason.TOO_LARGE
    return decide_date(ref, rules.settings)


def _fresh(ref: ItemRef, entry: Entry | None, rules: Rules, chosen: Chosen) -> None:
    reason = skip_reason(ref, rules)
    if reason is not None:
        if entry is None or entry.reason is not reason or entry.version != ref.version:
            chosen.skipped.append(Outcome(ref, State.SKIPPED, reason=reason))
        return
    replaces = None
    if entry is not None and entry.target_id and rules.can_update:
        replaces = (entry.target_id, entry.target_version)
    chosen.send.append(Send(ref, replaces, replaces is not None and entry is not None and was_there(entry)))


def _gone(ref: ItemRef, entry: Entry | None, chosen: Chosen) -> None:
    if entry is None:
        return
    if entry.state is State.COPIED or entry.state is State.PRESENT:
        chosen.gone.append(entry)
    elif entry.state is State.FAILED:
        # Described as the ledger knew it: a change record tells only the id.
        vanished = entry.ref(ref.folder)
        chosen.skipped.append(Outcome(vanished, State.SKIPPED, reason=SkipReason.VANISHED))
