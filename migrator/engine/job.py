"""One mailbox pair: open both sides, see that they are the ones meant, walk the folders."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import takewhile

from migrator.engine import pool
from migrator.engine.belt import Halt
from migrator.engine.circuit import endpoint_down
from migrator.engine.copy import MailboxCopy
from migrator.engine.decide import Rules
from migrator.engine.departed import Ahead, Departed, follow
from migrator.engine.parcels import Work
from migrator.engine.places import Places
from migrator.engine.routes import NOT_THERE, Route, Routes, convertible
from migrator.engine.tools import Tools, error_of
from migrator.errors import ItemError, JobError, MigratorError, RunError, Transient, UserError
from migrator.events import FoldersListed, Notice
from migrator.interfaces import Probe, Source, Target
from migrator.ledger import FolderRow, Lease, Ledger
from migrator.model import Folder, Format, Job, Kind, Path, SkipReason
from migrator.plan.filters import decide_folder, roles_of
from migrator.plan.folders import path_text
from migrator.plan.paths import loses, title
from migrator.record import record

log = logging.getLogger(__name__)


@record
class Ended:
    """How a job ended: done, partial, stopped or error."""

    state: str
    code: str = ""
    error: str = ""
    remedy: str = ""
    user: bool = False  # a credential or setting is wrong: the operator's move, nothing was sent
    down: str = ""  # the endpoint that does not answer, when that is why


def migrate(job: Job, lease: Lease, tools: Tools, watch: Callable[[MailboxCopy], None]) -> Ended:
    """Copy one mailbox as far as it goes. watch gets the data path as soon as there is one.

    Raises RunError only: everything else is this mailbox's own end.
    """
    error: MigratorError | None = None
    copy: MailboxCopy | None = None
    complete = False
    refused: list[Folder] = []
    opened: list[Source | Target] = []
    try:
        source = tools.open_source(job)
        opened.append(source)
        target = tools.open_target(job)
        opened.append(target)
        rules, routes = check_pair(job, lease, source, target, tools)
        fmt = common_format(source, target)
        copy = MailboxCopy(job, lease, source, target, tools, rules, fmt, routes)
        watch(copy)
        refused = _walk(job, lease, source, target, tools, copy)
        complete = True
    except Halt:
        complete = False
    except Transient as raised:
        # A wait for the server that was cut short by a stop is the stop, not a failure of the server's.
        if not tools.stop.requested:
            error = raised
    except (JobError, RunError, UserError) as raised:
        error = raised
    except Exception as raised:
        log.exception("job %s stopped", job.id)
        error = raised if isinstance(raised, MigratorError) else error_of(raised)
    if copy is not None:
        if isinstance(error, RunError):
            copy.fail(error)
        try:
            copy.finish()
        except (JobError, RunError) as raised:
            error = error or raised
        error = error or copy.error
        complete = complete and not copy.incomplete
        if complete and error is None and not tools.stop.requested:
            error = _follow(job, lease, copy.target, tools)
    for box in opened:
        _close(box)
    if isinstance(error, RunError):
        raise error
    if error is not None:
        return Ended(
            "error",
            error.code,
            words_of(error),
            error.remedy,
            isinstance(error, UserError),
            endpoint_down(error, job),
        )
    if not complete:
        return Ended(
            "stopped", "interrupted", "interrupted", "run the same command again: it goes on from here"
        )
    failed = sum(items for job_id, _, items in tools.ledger.failed_by_code() if job_id == job.id)
    if failed:
        return Ended("partial", "items_failed", f"{failed} items failed")
    if refused:
        return Ended("partial", "folder_refused", f"the target will not have {len(refused)} folders")
    return Ended("done")


def _follow(job: Job, lease: Lease, target: Target, tools: Tools) -> MigratorError | None:
    """What left its place at the source leaves it in the target too. Returns what stopped that."""
    try:
        follow(job, lease, target, tools)
    except MigratorError as error:
        return None if isinstance(error, Transient) and tools.stop.requested else error
    return None


def check_pair(job: Job, lease: Lease, source: Source, target: Target, tools: Tools) -> tuple[Rules, Routes]:
    """See that both mailboxes open and are the ones of the last run, and which paths the target takes items by."""
    # Both at once: signing in far away takes several round trips.
    answers: list[Probe] = []
    other = pool.start("probe", lambda: answers.append(target.probe()))
    try:
        ours = source.probe()
    finally:
        while not other.join(0.5):
            if tools.stop.now:
                raise Halt
    if other.error is not None:
        raise other.error
    (theirs,) = answers
    for side, probe in (("source", ours), ("target", theirs)):
        refuse_blockers(side, probe)
    force = tools.settings.force
    tools.ledger.bind(
        lease,
        source_identity=ours.identity,
        target_identity=theirs.identity,
        force="identity_changed" in force,
    )
    routes = find_routes(job, source, target, tools.ledger, force)
    _tell_routes(job, source, routes, tools)
    return Rules(tools.settings, routes.kinds(), target.traits.can_update), routes


def refuse_blockers(side: str, probe: Probe) -> None:
    for finding in probe.findings:
        if finding.level == "blocker":
            raise JobError(f"{side}: {finding.text}", code=finding.code or "blocked", remedy=finding.remedy)


def find_routes(job: Job, source: Source, target: Target, ledger: Ledger, force: Collection[str]) -> Routes:
    """The paths from this source into this target. An endpoint that was never asked stops the job: no pretending."""
    if not target.traits.canary or "no_canary" in force:
        return Routes(source.traits, target.traits)
    verdicts = ledger.verdicts(job.target.endpoint)
    if not verdicts:
        raise JobError(
            f"it is not known whether {job.target.endpoint} accepts imported items",
            code="no_canary",
            remedy="Run `migrator check` first: it imports small items, reads them back and removes them.",
        )
    routes = Routes(source.traits, target.traits, verdicts)
    if Kind.MAIL in target.traits.kinds and Kind.MAIL not in routes.kinds():
        raise JobError(
            f"{job.target.endpoint} accepts no mail: {routes.of(Kind.MAIL).why}",
            code="import_refused",
            remedy="See the findings of `migrator check` for this endpoint, then run it again.",
        )
    return routes


def _tell_routes(job: Job, source: Source, routes: Routes, tools: Tools) -> None:
    """Every path but the best one, once a run for each pair of endpoints."""
    for route in routes.all().values():
        if route.path is Path.STREAM or (route.path is not None and not route.why) or route.why == NOT_THERE:
            continue
        key = (job.source.endpoint, job.target.endpoint, source.traits.origin, route.kind, route.path)
        if tools.first_time(key):
            tools.emit(
                Notice("warning", route_words(route, f"{job.source.endpoint} → {job.target.endpoint}"))
            )


def route_words(route: Route, pair: str = "") -> str:
    """ "event: created anew by classic Graph; does not carry …; because …"."""
    head = f"{pair}: " if pair else ""
    if route.path is None:
        return f"{head}{route.kind.value}: left out, no path is open ({route.why})"
    lost = loses(route.path, route.kind)
    words = f"{head}{route.kind.value}: {title(route.path)}"
    return words + (f"; not carried: {lost}" if lost else "") + (f" ({route.why})" if route.why else "")


def common_format(source: Source, target: Target) -> Format:
    """The best one, or the source's own where it can be made into what the target takes."""
    for fmt in target.traits.accepts:
        if fmt in source.traits.formats:
            return fmt
    for fmt in source.traits.formats:
        if any(convertible(fmt, accepted) for accepted in target.traits.accepts):
            return fmt
    raise JobError(
        "source and target have no item format in common",
        code="no_common_format",
        remedy="Check which kinds of endpoint this row pairs.",
    )


def _walk(
    job: Job, lease: Lease, source: Source, target: Target, tools: Tools, copy: MailboxCopy
) -> list[Folder]:
    """Returns the folders that the target will not have."""
    ledger, settings = tools.ledger, tools.settings
    rows = {row.source_id: row for row in ledger.folders(job.id)}
    folders = source.folders()
    refuse_emptiness(job, folders, tools)
    copy.prepare(rows)
    roles = roles_of(folders)
    skips = {folder.id: decide_folder(folder, settings, roles) for folder in folders}
    taken = [folder for folder in folders if skips[folder.id] is None]
    tools.emit(FoldersListed(job.id, len(taken), *_sums(taken)))
    # All of them before the first is read: what is cut off then still knows how much there was.
    for folder in folders:
        if _changed(folder, rows.get(folder.id), skips[folder.id]):
            ledger.put_folder(lease, folder, None, skipped=skips[folder.id])
    _forget_totals(lease, rows, folders, tools)
    ahead = _read_ahead(job, lease, source, taken, folders, rows, tools, copy)
    places = Places(folders, [one for one in taken if not _has_target(rows.get(one.id))], target, tools)
    refused: list[Folder] = []
    shown: dict[str, bool] = {}
    told = 0
    for number, folder in enumerate(taken):
        if number >= told and _is_fresh(rows.get(folder.id)):
            run = list(takewhile(lambda one: _is_fresh(rows.get(one.id)), taken[number:]))
            source.expect(places.expected(run))
            told = number + len(run)
        work = _work(folder, rows.get(folder.id), lease, tools, places)
        if work.target is not None and folder.subscribed is not None:
            shown[work.target.id] = folder.subscribed
        if (before := ahead.pop(folder.id, None)) is not None:
            work.ahead.extend(before.pages)
            if before.anew:
                work.checkpoint = None
        # A target without calendars refuses no calendar: their items are told one by one as kinds that it does not take.
        if work.refusal is not None and folder.kind in target.traits.kinds:
            refused.append(folder)
            _tell_refusal(job, folder, work.refusal, tools)
        if not copy.copy_folder(work):
            _see_that_it_went(job, lease, folder, rows.get(folder.id), source, tools)
    for folder_id in copy.abandoned([folder.id for folder in folders]):
        row = rows[folder_id]
        gone = Folder(row.source_id, row.path, row.kind, row.folder_class)
        work = Work(gone, _known_target(row), row, mark=row.mark, marked=row.mark is not None)
        copy.resend(work)
    if target.traits.subscriptions:
        _subscribe(job, lease, target, shown, ledger)
    return refused


def _subscribe(job: Job, lease: Lease, target: Target, shown: Mapping[str, bool], ledger: Ledger) -> None:
    """What is subscribed at the source is so in the target. Done anew only when the source's choice has changed: until then
    the owner may choose otherwise in his new mailbox."""
    name = f"subscribed {job.id}"
    state = blake2b(repr(sorted(shown.items())).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
    if shown and ledger.note(name) != state:
        target.subscribe(shown)
        ledger.put_note(lease, name, state)


def _read_ahead(
    job: Job,
    lease: Lease,
    source: Source,
    taken: Sequence[Folder],
    folders: Sequence[Folder],
    rows: Mapping[str, FolderRow],
    tools: Tools,
    copy: MailboxCopy,
) -> dict[str, Ahead]:
    """On a later pass, the changes of all folders: a move shows in two of them. Nothing on the first pass."""
    if not source.traits.has_delta or not any(map(_begun, rows.values())):
        return {}
    departed = copy.departed = Departed(job, lease, tools)
    listed = {folder.id for folder in folders}
    for known in rows.values():
        if known.source_id not in listed:
            departed.folder_went(known.source_id)
    ahead: dict[str, Ahead] = {}
    for folder in taken:
        row = rows.get(folder.id)
        if row is not None and _begun(row):
            if tools.stop.requested:
                raise Halt
            ahead[folder.id] = departed.read_ahead(source, folder, row)
    return ahead


def _begun(row: FolderRow) -> bool:
    """Whether something may have been copied from this folder: also by a first pass that was cut off."""
    return row.listed or row.checkpoint is not None or row.mark is not None


def _has_target(row: FolderRow | None) -> bool:
    return row is not None and bool(row.target_id)


def _is_fresh(row: FolderRow | None) -> bool:
    """Whether the folder will be read from its beginning and nothing of it is known."""
    return row is None or not (_begun(row) or row.target_id)


def _tell_refusal(job: Job, folder: Folder, refusal: ItemError, tools: Tools) -> None:
    """A folder that the target will not have is told, also when nothing is in it that could fail."""
    name = path_text(folder.path)
    tools.emit(Notice("warning", f"folder {name!r} was refused by the target: {refusal.message}", job.id))
    tools.ledger.add_incident(job.id, "folder_refused", f"{name}: {refusal.message}")


def _see_that_it_went(
    job: Job, lease: Lease, folder: Folder, row: FolderRow | None, source: Source, tools: Tools
) -> None:
    """A folder was not there any more when it was to be read. If it is still listed, that was no deletion."""
    folders = source.folders()
    refuse_emptiness(job, folders, tools)
    if any(one.id == folder.id for one in folders):
        raise JobError(
            f"the source lists the folder {path_text(folder.path)!r} and does not let it be read",
            code="folder_gone",
            remedy="Check the rights on this folder, then run the same command again.",
        )
    tools.ledger.put_folder(lease, replace(folder, total=None, size=None), None)
    name = path_text(folder.path)
    tools.emit(
        Notice("warning", f"folder {name!r} was deleted at the source while it was to be read", job.id)
    )
    tools.ledger.add_incident(job.id, "folder_gone", name)


def _forget_totals(
    lease: Lease, rows: Mapping[str, FolderRow], folders: Sequence[Folder], tools: Tools
) -> None:
    """A folder that is not listed any more holds nothing that is still to come."""
    listed = {folder.id for folder in folders}
    for row in rows.values():
        if row.source_id not in listed and row.total is not None:
            gone = Folder(row.source_id, row.path, row.kind, row.folder_class, row.role)
            tools.ledger.put_folder(lease, gone, None, skipped=row.skipped)


def _work(folder: Folder, row: FolderRow | None, lease: Lease, tools: Tools, places: Places) -> Work:
    ledger = tools.ledger
    if row is not None and row.target_id:
        return Work(
            folder,
            _known_target(row),
            row,
            mark=row.mark,
            marked=row.mark is not None,
            checkpoint=row.checkpoint,
            listed=row.listed,
        )
    target: Folder | None = None
    refusal: ItemError | None = None
    try:
        target = places.ensure(folder)
    except ItemError as error:
        refusal = error
    if target is not None:
        ledger.put_folder(lease, folder, target)
    return Work(
        folder,
        target,
        row,
        refusal,
        checkpoint=row.checkpoint if row else None,
        listed=row.listed if row else False,
    )


def _known_target(row: FolderRow) -> Folder | None:
    if not row.target_id:
        return None
    return Folder(row.target_id, row.target_path, row.kind, row.folder_class)


def _changed(folder: Folder, row: FolderRow | None, skip: SkipReason | None) -> bool:
    """Whether the ledger is to be told: a second run over a finished job writes nothing about folders."""
    return row is None or (
        (folder.path, folder.kind, folder.folder_class, folder.role, folder.total, folder.size, skip)
        != (row.path, row.kind, row.folder_class, row.role, row.total, row.size, row.skipped)
    )


def refuse_emptiness(job: Job, folders: Sequence[Folder], tools: Tools) -> None:
    """A mailbox that held items and now lists none is a fault until somebody says otherwise."""
    totals = [folder.total for folder in folders if not folder.search]
    if "empty_source" in tools.settings.force or any(total is None or total > 0 for total in totals):
        return
    seen = sum(row.seen for row in tools.ledger.balance() if row.job_id == job.id)
    if seen:
        raise JobError(
            f"the source lists {'no items' if folders else 'no folders'}, but {seen} were seen there before",
            code="empty_source",
            remedy="Check that this is still the right mailbox. If it was emptied on purpose: --force empty_source.",
        )


def _sums(folders: Sequence[Folder]) -> tuple[int | None, int | None]:
    def total(values: list[int | None]) -> int | None:
        known = [value for value in values if value is not None]
        return sum(known) if len(known) == len(values) else None

    return total([folder.total for folder in folders]), total([folder.size for folder in folders])


def words_of(error: BaseException) -> str:
    return error.message if isinstance(error, MigratorError) else type(error).__name__


def _close(box: Source | Target) -> None:
    try:
        box.close()
    except Exception:
        log.warning("a mailbox did not close cleanly", exc_info=True)
