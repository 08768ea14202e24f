"""Every statement of the ledger in SQLAlchemy Core, and how `statements.sql` is made of them.

    python -m migrator.ledger.statements        writes statements.sql anew; a test compares it with what stands here

The program runs the texts in that file (`prepared.py`): importing SQLAlchemy and building a statement for every call cost
more than all that a run with nothing to do has to ask (0.2 s of 0.7 s, measured), and 20 µs for each row of a batch. Only
changes of the schema (`migrations/`) load SQLAlchemy itself. Another database means another dialect here, and a file of its own.

In a text `:name` is a parameter and `(:[name])` a list, which is spread when the statement runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    and_,
    bindparam,
    case,
    column,
    create_mock_engine,
    delete,
    func,
    insert,
    literal_column,
    select,
    table,
    text,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert as upsert

from migrator.ledger import schema as s
from migrator.ledger.standing import INDEXED, NOT_SENT
from migrator.model import SkipReason, State

FILE = Path(__file__).with_name("statements.sql")
_EMPTY: Any = literal_column("''")
_ZERO: Any = literal_column("0")
_ONE: Any = literal_column("1")
_IN_INDEX = text("entry.state IN ('sending', 'failed', 'skipped')")
"""The condition of the index `entry_open`, word for word: without it SQLite does not see that the index will do."""
_LIST = re.compile(r"__\[POSTCOMPILE_(\w+)\]")


def texts() -> str:
    """What `statements.sql` holds."""
    dialect: Any = sqlite.dialect(paramstyle="named")
    made: list[str] = []
    # Tables, indexes and what follows their making, in the order in which SQLAlchemy would run it.
    engine = create_mock_engine(
        "sqlite://", lambda sql, *_, **__: made.append(str(sql.compile(dialect=dialect)))
    )
    s.metadata.create_all(engine, checkfirst=False)
    # A table keeps its indexes in a set: by name, they come in the same order every time.
    indexes = sorted(sql for sql in made if "CREATE INDEX" in sql)
    made = [sql if "CREATE INDEX" not in sql else indexes.pop(0) for sql in made]
    parts = [("revision", s.HEAD), *((f"create {n}", sql) for n, sql in enumerate(made, 1))]
    for name, statement in _statements():
        sql = str(statement.compile(dialect=dialect))
        if isinstance(statement, _Places):
            sql = "WITH place AS (VALUES :[places]) " + sql.replace("JOIN", "CROSS JOIN")
        parts.append((name, _LIST.sub(r":[\1]", sql)))
    whole = "\n\n".join(f"-- {name}\n{sql.strip()}" for name, sql in parts)
    return "\n".join(line.rstrip() for line in whole.splitlines()) + "\n"


_place = table("place", column("column1"), column("column2"))


@dataclass(frozen=True)
class _Places:
    """A SELECT about places, pairs of values, which stand in it as the table `place`.

    place is joined from the left: `(a, b) IN (VALUES …)` reads well and makes SQLite go through all of the table.
    """

    statement: Any

    def compile(self, dialect: Any) -> Any:
        return self.statement.compile(dialect=dialect)


def _is(state: State) -> Any:
    same = s.entry.c.state == _word(state)
    return and_(_IN_INDEX, same) if state in INDEXED else same


def _word(state: State) -> Any:
    return literal_column(f"'{state.value}'")


def _p(name: str) -> Any:
    return bindparam(name)


def _several(name: str) -> Any:
    return bindparam(name, expanding=True)


def _given(table: Any, keys: Sequence[str]) -> dict[str, Any]:
    return {name: _p(name) for name in (keys or table.c.keys())}


def _statements() -> Iterator[tuple[str, Any]]:
    yield from _run_and_job()
    yield from _folder()
    yield from _hot()
    yield from _entries()
    yield from _notes()
    yield from _reports()


def _run_and_job() -> Iterator[tuple[str, Any]]:
    run, job = s.run.c, s.job.c
    started = ("started", "passname", "host", "pid", "version", "settings")
    yield "start_run", insert(s.run).values(_given(s.run, started)).returning(run.no)
    yield (
        "finish_run",
        update(s.run).where(run.no == _p("run")).values(finished=_p("at"), exit_code=_p("code")),
    )
    told = ("line", "batch", "source", "target", "source_endpoint", "target_endpoint", "extra")
    statement = upsert(s.job).values(_given(s.job, ("id", *told)))
    yield (
        "register",
        statement.on_conflict_do_update(
            index_elements=["id"], set_={name: statement.excluded[name] for name in told}
        ),
    )
    cleared = dict.fromkeys(("code", "error", "remedy", "waiting_reason", "waiting_words"), _EMPTY) | {
        "waiting_until": _ZERO
    }
    yield (
        "claim",
        update(s.job)
        .where(job.id == _p("job_id"), (job.owner == _EMPTY) | (job.lease_until < _p("now")))
        .values(
            cleared
            | {
                "owner": _p("me"),
                "fence": job.fence + _ONE,
                "lease_until": _p("until"),
                "state": literal_column("'running'"),
                "started": func.coalesce(job.started, _p("now")),
                "finished": literal_column("NULL"),
            }
        )
        .returning(job.no, job.fence),
    )
    this = job.no == _p("job_no")
    yield "heartbeat", update(s.job).where(this).values(lease_until=_p("until"))
    yield (
        "release",
        update(s.job)
        .where(this)
        .values(
            {name: _p(f"new_{name}") for name in ("state", "code", "error", "remedy", "finished")}
            | dict.fromkeys(("owner", "waiting_reason", "waiting_words"), _EMPTY)
            | {"lease_until": _ZERO, "waiting_until": _ZERO}
        ),
    )
    yield "identities", select(job.source_identity, job.target_identity).where(this)
    yield "bind", update(s.job).where(this).values(source_identity=_p("old"), target_identity=_p("new"))
    yield (
        "waiting",
        update(s.job)
        .where(job.id == _p("job_id"))
        .values(waiting_reason=_p("reason"), waiting_words=_p("words"), waiting_until=_p("until")),
    )
    note = upsert(s.meta).values(_given(s.meta, ()))
    yield (
        "put_note",
        note.on_conflict_do_update(index_elements=["name"], set_={"value": note.excluded["value"]}),
    )
    yield "note", select(s.meta.c.value).where(s.meta.c.name == _p("name"))
    yield "job_number", select(job.no).where(job.id == _p("job_id"))
    yield "jobs", select(s.job).order_by(job.line, job.no)
    yield "runs", select(s.run).order_by(run.no)
    # How many of these leases are still ours. One value: every row that is fetched costs as much as a statement.
    place = _place.c
    held = _place.join(s.job, (job.no == place.column1) & (job.fence == place.column2))
    yield "held", _Places(select(func.count()).select_from(held))


def _folder() -> Iterator[tuple[str, Any]]:
    folder = s.folder.c
    told = ("path", "kind", "folder_class", "role", "total", "size", "skipped")
    statement = upsert(s.folder).values(
        _given(s.folder, ("job", "source_id", *told, "target_id", "target_path"))
    )
    yield (
        "put_folder",
        statement.on_conflict_do_update(
            index_elements=["job", "source_id"],
            set_={name: statement.excluded[name] for name in told}
            | _kept(statement, s.folder, ("target_id",))
            | _kept(statement, s.folder, ("target_path",), literal_column("'[]'")),
        ),
    )
    nothing: Any = literal_column("NULL")
    this = update(s.folder).where(folder.no == _p("folder_no"))
    yield "set_target", this.values(target_id=_p("new_id"), target_path=_p("new_path"))
    yield (
        "forget_target",
        this.values(
            target_id=_EMPTY, target_path=literal_column("'[]'"), mark_scheme=nothing, mark_token=nothing
        ),
    )
    yield "set_mark", this.values(mark_scheme=_p("scheme"), mark_token=_p("token"))
    yield "forget_checkpoint", this.values(checkpoint_scheme=nothing, checkpoint_token=nothing)
    yield (
        "advance",
        this.values(
            checkpoint_scheme=_p("scheme"),
            checkpoint_token=_p("token"),
            listed=case((_p("last_page") == _ONE, _ONE), else_=folder.listed),
        ),
    )
    yield (
        "folder_number",
        select(folder.no).where(folder.job == _p("job_no"), folder.source_id == _p("folder_id")),
    )
    yield "folders", select(s.folder).where(folder.job == _p("job_no")).order_by(folder.no)


_REF = (
    "key", "source_id", "version", "kind", "item_class", "size", "received", "message_id", "seen", "fingerprint", "page",
)  # fmt: skip
_SUMS = ("items", "octets")


def _hot() -> Iterator[tuple[str, Any]]:
    """What runs for every item."""
    entry = s.entry.c
    statement = upsert(s.entry).values(
        _given(s.entry, ("job", "folder", "state", "updated", *_REF))
        | dict.fromkeys(("why", "error", "target_id", "target_version", "path_taken", "notes"), _EMPTY)
        | {"attempts": _ONE, "octets": _ZERO}
    )
    # Where all of them are new nothing else is to be seen to; else this stores fewer than it was given.
    yield "begin_new", statement.on_conflict_do_nothing(index_elements=["job", "key"])
    # target_id stays: of an update in doubt the ledger still knows which target item it was about.
    renewed = ["folder", "state", "updated", *(name for name in _REF if name not in ("key", "source_id"))]
    yield (
        "begin",
        statement.on_conflict_do_update(
            index_elements=["job", "key"],
            set_={name: statement.excluded[name] for name in renewed}
            | {"why": _EMPTY, "error": _EMPTY, "attempts": entry.attempts + _ONE},
        ),
    )
    outcome = ("state", "why", "error", "target_id", "target_version", "octets", "path_taken", "notes")
    statement = upsert(s.entry).values(
        _given(s.entry, ("job", "folder", "updated", *outcome, *_REF)) | {"attempts": _ZERO}
    )
    # A failed update leaves the older copy where it is, so its target id is not forgotten.
    kept = _kept(statement, s.entry, ("target_id", "target_version"))
    renewed = [name for name in outcome if name not in kept]
    renewed += ["updated", "version", "seen", "fingerprint", "size", "item_class", "received"]
    renewing = {name: statement.excluded[name] for name in renewed} | kept
    # Where all of them were begun in this folder, or are new: what the tally counts was not said of any before. Else this
    # changes fewer than it was given.
    yield (
        "settle_begun",
        statement.on_conflict_do_update(
            index_elements=["job", "key"],
            set_=renewing,
            where=(entry.state == _word(State.SENDING)) & (entry.folder == statement.excluded.folder),
        ),
    )
    yield (
        "settle",
        statement.on_conflict_do_update(
            index_elements=["job", "key"], set_={"folder": statement.excluded.folder} | renewing
        ),
    )
    # Entries that are counted in the tally: all that have an outcome.
    yield (
        "known",
        _Places(
            select(entry.job, entry.key, entry.folder, entry.state, entry.why, entry.size)
            .select_from(
                _place.join(s.entry, (entry.job == _place.c.column1) & (entry.key == _place.c.column2))
            )
            .where(entry.state != _word(State.SENDING))
        ),
    )
    # Items of a folder, up to a page, that were begun and have no outcome.
    yield (
        "unsettled",
        select(func.count())
        .select_from(s.entry)
        .where(
            entry.job == _p("job_no"),
            entry.folder == _p("folder_no"),
            _is(State.SENDING),
            entry.page <= _p("page_no"),
        ),
    )
    for sums, keys in ((s.tally, ("folder", "state", "why")), (s.sample, ("run", "at"))):
        adding = upsert(sums).values(_given(sums, ()))
        yield (
            f"add_{sums.name}",
            adding.on_conflict_do_update(
                index_elements=list(keys),
                set_={name: sums.c[name] + adding.excluded[name] for name in _SUMS},
            ),
        )


def _kept(statement: Any, table: Any, names: Sequence[str], nothing: Any = _EMPTY) -> dict[str, Any]:
    """In an upsert: columns that keep what they hold where the new row has nothing."""
    return {
        name: case((statement.excluded[name] == nothing, table.c[name]), else_=statement.excluded[name])
        for name in names
    }


def _entries() -> Iterator[tuple[str, Any]]:
    entry, folder, tally = s.entry.c, s.folder.c, s.tally.c
    whole = (
        select(s.entry, folder.source_id.label("folder_id"), s.job.c.id.label("job_id"))
        .join(s.folder, folder.no == entry.folder)
        .join(s.job, s.job.c.no == entry.job)
    )
    of_job = whole.where(entry.job == _p("job_no"))
    this_folder = and_(folder.job == _p("job_no"), folder.source_id == _p("folder_id"))
    in_folder = of_job.where(this_folder)
    for name, query in (("entries", of_job), ("entries_in_folder", in_folder)):
        yield name, query
        for state in State:
            yield f"{name}_{state.value}", query.where(_is(state))
        yield (
            f"{name}_skipped_because",
            query.where(_is(State.SKIPPED), entry.why.in_(_several("reasons"))),
        )
    yield "entries_by_key", of_job.where(entry.key.in_(_several("keys")))
    yield "entries_by_message_id", whole.where(entry.message_id.in_(_several("forms")))
    for state in sorted(INDEXED):
        yield f"entries_of_all_{state.value}", whole.where(_is(state)).order_by(entry.job, entry.folder)
    plain = (
        "folder",
        "received",
        "size",
        "kind",
        "item_class",
        "message_id",
        "state",
        "why",
        "error",
        "attempts",
        "path_taken",
    )
    of_all = (
        select(s.job.c.id, *(entry[name] for name in plain))
        .join(s.job, s.job.c.no == entry.job)
        .order_by(entry.job)
    )
    yield "item_rows", of_all
    for state in (State.FAILED, State.SKIPPED):
        yield (
            f"item_rows_{state.value}",
            of_all.where(_is(state), entry.why.not_in(_several("reasons"))),
        )
    yield "folder_paths", select(folder.no, folder.path).where(folder.job == _p("job_no"))
    yield (
        "claimed_targets",
        select(entry.target_id)
        .join(s.folder, folder.no == entry.folder)
        .where(entry.job == _p("job_no"), this_folder, entry.target_id != _EMPTY),
    )
    # ---- what was begun, and surely did not arrive
    keyed = (entry.job == _p("job_no"), entry.key.in_(_several("keys")))
    yield "sizes_of_sending", select(entry.key, entry.size).where(*keyed, _is(State.SENDING))
    yield (
        "revive",
        update(s.entry)
        .where(*keyed)
        .values(state=_word(State.FAILED), why=_p("new_why"), error=_p("new_error"), updated=_p("at")),
    )
    # ---- what left its place at the source
    yield (
        "departed_folders",
        select(tally.folder)
        .where(tally.job == _p("job_no"), tally.why.in_(_several("reasons")), tally["items"] > _ZERO)
        .distinct(),
    )
    there = _there()
    yield (
        "departed",
        of_job.where(entry.folder == _p("folder_no"), there, entry.why.in_(_several("reasons"))),
    )
    columns = (entry.key, entry.source_id, entry.folder, entry.state, entry.why, entry.error, entry.size)
    yield "places", select(*columns).where(*keyed)
    yield (
        "mark",
        update(s.entry)
        .where(entry.job == _p("job_no"), entry.key == _p("this_key"))
        .values(why=_p("new_why"), error=_p("new_error")),
    )
    yield "drop", delete(s.entry).where(*keyed)


def _there() -> Any:
    return s.entry.c.state.in_([_word(State.COPIED), _word(State.PRESENT)])


def _notes() -> Iterator[tuple[str, Any]]:
    verdict, fidelity = s.verdict.c, s.fidelity.c
    statement = upsert(s.verdict).values(_given(s.verdict, ()))
    yield (
        "put_verdict",
        statement.on_conflict_do_update(
            index_elements=["endpoint", "tenant", "origin", "kind"],
            set_={name: statement.excluded[name] for name in ("accepted", "detail", "at")},
        ),
    )
    yield "drop_verdicts", delete(s.verdict).where(verdict.endpoint == _p("endpoint"))
    yield "verdicts", select(s.verdict)
    yield "drop_fidelity", delete(s.fidelity).where(fidelity.job == _p("job_no"))
    yield "put_fidelity", insert(s.fidelity).values(_given(s.fidelity, ()))
    yield (
        "fidelity",
        select(s.fidelity, s.job.c.id.label("job_id"))
        .join(s.job, s.job.c.no == fidelity.job)
        .order_by(s.job.c.line, s.job.c.no, fidelity.kind, fidelity.path),
    )
    noted = ("run", "job", "at", "until", "kind", "words")
    yield "add_incident", insert(s.incident).values(_given(s.incident, noted))
    yield (
        "incidents",
        select(s.incident, s.job.c.id.label("job_id"))
        .join(s.job, s.job.c.no == s.incident.c.job, isouter=True)
        .order_by(s.incident.c.no),
    )


def _reports() -> Iterator[tuple[str, Any]]:
    entry, tally, job, folder = s.entry.c, s.tally.c, s.job.c, s.folder.c
    yield "tally", select(tally.folder, tally.state, tally.why, tally["items"], tally.octets)
    yield "sending_by_folder", _sending_by_folder()
    yield (
        "folders_of_all",
        select(
            job.id.label("job_id"),
            *(folder[name] for name in ("no", "source_id", "path", "target_path", "kind", "skipped")),
            folder.total,
            folder.listed,
        )
        .join(s.job, job.no == folder.job)
        .order_by(job.line, job.no, folder.no),
    )
    yield "balance_by_job", _balance_by_job()
    items = func.sum(tally["items"])
    yield (
        "by_why",
        select(job.id, tally.why, items.label("items"))
        .join(s.folder, folder.no == tally.folder)
        .join(s.job, job.no == folder.job)
        .where(tally.state == _p("of_state"))
        .group_by(job.id, job.line, tally.why)
        .having(items > _ZERO)
        .order_by(job.line, tally.why),
    )
    yield "throughput", select(s.sample).order_by(s.sample.c.run, s.sample.c.at)
    route = s.route.c
    yield (
        "paths_taken",
        select(job.id, route.kind, route.path, route.notes, route["items"])
        .join(s.job, job.no == route.job)
        .where(route["items"] > _ZERO)
        .order_by(job.line, job.no, route.kind, route.path, route.notes),
    )
    of_job = entry.job == _p("job_no")
    yield (
        "fates_of_folders",
        select(entry.folder, entry.state, entry.why, func.count().label("items"))
        .where(of_job)
        .group_by(entry.folder, entry.state, entry.why),
    )
    wanted = (
        "key", "folder", "kind", "item_class", "size", "received", "message_id", "fingerprint", "state", "why", "target_id",
        "path_taken", "updated",
    )  # fmt: skip
    yield "fates", select(*(entry[name] for name in wanted)).where(of_job).order_by(entry.key)


def _sending_by_folder() -> Any:
    """Items that are on their way or in doubt: the only ones that the tally does not count."""
    entry, folder = s.entry.c, s.folder.c
    octets = func.coalesce(func.sum(entry.size), _ZERO)
    # Folder by folder: the index holds all that was skipped as well, and that may be most of a ledger.
    return (
        select(folder.no.label("folder"), func.count().label("items"), octets.label("octets"))
        .join(s.entry, and_(entry.job == folder.job, entry.folder == folder.no))
        .where(_is(State.SENDING))
        .group_by(folder.no)
    )


def _balance_by_job() -> Any:
    """The balance of whole jobs, and of each kind of folder that is skipped as a whole, added up by the database."""
    t, f = s.tally.c, s.folder.c
    not_sent = t.why == literal_column(f"'{NOT_SENT}'")

    def items_where(condition: Any) -> Any:
        return func.sum(case((condition, t["items"]), else_=_ZERO))

    tallied = (
        select(
            t.folder,
            func.sum(t["items"]).label("seen"),
            items_where(t.state == _word(State.COPIED)).label("copied"),
            items_where(t.state == _word(State.PRESENT)).label("present"),
            items_where(t.state == _word(State.SKIPPED)).label("skipped"),
            items_where(and_(t.state == _word(State.FAILED), ~not_sent)).label("failed"),
            items_where(not_sent).label("due"),
            func.sum(t.octets).label("octets"),
            func.sum(case((t.state == _word(State.COPIED), t.octets), else_=_ZERO)).label("octets_copied"),
        )
        .group_by(t.folder)
        .subquery("tallied")
    )
    opened = _sending_by_folder().subquery("opened")

    def of(column: Any) -> Any:
        return func.coalesce(column, _ZERO)

    seen = of(tallied.c.seen) + of(opened.c["items"])
    # A search folder is a view: its items count where they lie.
    view = f.skipped == literal_column(f"'{SkipReason.SEARCH_FOLDER.value}'")
    source = case((view, seen), (f.total > seen, f.total), else_=seen)
    return (
        select(
            s.job.c.id,
            f.skipped.label("folder_skipped"),
            func.sum(source).label("source"),
            func.sum(source - seen).label("unseen"),
            *(
                func.sum(of(tallied.c[name])).label(name)
                for name in ("copied", "present", "skipped", "failed", "octets_copied")
            ),
            func.sum(of(tallied.c.due) + of(opened.c["items"])).label("sending"),
            func.sum(of(tallied.c.octets) + of(opened.c.octets)).label("octets"),
        )
        .select_from(s.folder)
        .join(s.job, s.job.c.no == f.job)
        .join(tallied, tallied.c.folder == f.no, isouter=True)
        .join(opened, opened.c.folder == f.no, isouter=True)
        .group_by(s.job.c.no, s.job.c.id, s.job.c.line, f.skipped)
        .order_by(s.job.c.line, s.job.c.no)
    )


if __name__ == "__main__":
    FILE.write_text(texts(), encoding="utf-8")
