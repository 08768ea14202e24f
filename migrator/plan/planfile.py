"""`plan.json`: what a run would do, written down so that it can be read, approved, forecast from and executed.

The shape is the dataclasses below; docs/plan.schema.json is made from them (`schema`). Sizes are octets, times are aware
and UTC, folder paths are lists of names from the root down. Secrets are references only (`env:…`), in both directions:
a file that holds anything else is neither written nor read.

What is not known is null and says why beside it; zero is a count.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrator.errors import RunError, UserError
from migrator.model import FolderPath, Job, Kind, Mailbox, Role, SkipReason
from migrator.record import record
from migrator.settings import Limits, RunSettings

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FILE_NAME = "plan.json"
FORMAT = "migrator-plan"
VERSION = 1
"""A higher number means that a field changed its meaning; fields may be added without a new number."""

SIZE_BOUNDS = tuple(n << 10 for n in (4, 16, 64, 256, 1024, 4096, 16384, 36864, 65536, 153600))
"""4 KiB … 150 MiB. 36 MiB is what a mailbox receives by default, 150 MiB the most that it can be set to."""
AGE_BOUNDS = (7, 30, 90, 180, 365, 730, 1825)
"""Days before the plan was made."""
CLASSES_MOST = 100
"""Message classes counted one by one; the rest is `OTHER_CLASSES`. A class is a word that any program may invent."""
OTHER_CLASSES = "(others)"


@record
class Bins:
    """Items and octets by size or by age. Bin n holds what is below bounds[n] and not below bounds[n-1]; the last one,
    for which there is no bound, the rest."""

    bounds: tuple[int, ...]
    items: tuple[int, ...]
    octets: tuple[int, ...]

    @classmethod
    def empty(cls, bounds: tuple[int, ...]) -> Bins:
        return cls(bounds, (0,) * (len(bounds) + 1), (0,) * (len(bounds) + 1))

    def __add__(self, other: Bins) -> Bins:
        if self.bounds != other.bounds:
            raise ValueError("bins of different bounds")
        return Bins(
            self.bounds,
            tuple(a + b for a, b in zip(self.items, other.items, strict=True)),
            tuple(a + b for a, b in zip(self.octets, other.octets, strict=True)),
        )


class BinCount:
    """Bins that are still being filled."""

    def __init__(self, bounds: tuple[int, ...]) -> None:
        self._bounds = bounds
        self._items = [0] * (len(bounds) + 1)
        self._octets = [0] * (len(bounds) + 1)

    def add(self, at: float, octets: int) -> None:
        number = bisect_right(self._bounds, at)
        self._items[number] += 1
        self._octets[number] += octets

    def bins(self) -> Bins:
        return Bins(self._bounds, tuple(self._items), tuple(self._octets))


@record
class PlannedFolder:
    """One folder of a source. listed_items, listed_octets: what the folder list alone told (null: it does not tell).

    left_out: why the whole folder is; items and octets are then the listed ones. state: changes when an item comes, goes or
    changes; "" where the folder was not looked through. target_items: in the folder that it goes to, before the run; null
    when there is no such folder yet or it was not asked.
    """

    path: FolderPath
    target_path: FolderPath  # below the target's own folder of target_role, or below its root
    kind: Kind
    role: Role | None = None
    target_role: Role | None = None
    left_out: SkipReason | None = None
    items: int = 0
    octets: int = 0
    largest: int = 0
    unsized: int = 0  # items whose size the source does not tell
    kinds: Mapping[Kind, int] = field(default_factory=dict)
    oldest: datetime | None = None
    newest: datetime | None = None
    to_copy: int = 0
    octets_to_copy: int = 0
    to_update: int = 0
    known: int = 0  # copied or found present by earlier runs
    skipped: Mapping[SkipReason, int] = field(default_factory=dict)
    oversize: int = 0  # to copy, and above the target's limit
    target_items: int | None = None
    listed_items: int | None = None
    listed_octets: int | None = None
    state: str = ""
    notes: tuple[str, ...] = ()


@record
class Collision:
    """Two folders of a source that would fall together in the target, and what is done about it."""

    path: FolderPath
    other: FolderPath | None  # the source's other folder; null when it is the target's own
    target_path: FolderPath  # the name that `path` gets instead
    why: str


@record
class Oversize:
    """Items to copy that are above what the target receives.

    limit: octets, null when nobody says. told_by: "endpoint" (its option max_item_octets), "settings" (max_item_octets of
    the run), "service" (the target itself), "default" (what the service gives where nothing was set) or "" (not known).
    """

    limit: int | None = None
    told_by: str = ""
    items: int = 0
    octets: int = 0
    words: str = ""


@record
class Quota:
    """Room in the target. most and used: octets, null when they are not known; why says so. as_of: the day of the figures."""

    most: int | None = None
    used: int | None = None
    as_of: str = ""
    enough: bool | None = None
    why: str = ""
    remedy: str = ""


@record
class Licence:
    """state: "licensed", "none", "not needed" or "" (not known, with why)."""

    state: str = ""
    why: str = ""
    remedy: str = ""


@record
class PlannedPath:
    """By which path a kind goes into the target; path null: it is left out. See docs/fidelity.md."""

    kind: Kind
    path: str | None
    loses: str = ""
    why: str = ""


@record
class PlannedFinding:
    """level: "ok", "note", "warning" or "blocker"; the latter two have a remedy."""

    level: str
    text: str
    remedy: str = ""
    code: str = ""


@record
class PlannedMailbox:
    """One row. items, octets, sizes, kinds and classes: of the folders that take part. error: why it could not be looked
    through, or only in part; `folders` then holds what was seen before.

    row_state: changes when the row does (addresses, endpoints, logins, references, batch). source_state: changes when
    anything in a folder that takes part does.
    """

    id: str  # stable for the pair (source, target)
    line: int
    source: Mailbox
    target: Mailbox
    batch: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)
    source_product: str = ""
    target_product: str = ""
    source_identity: str = ""
    target_identity: str = ""
    items: int = 0
    octets: int = 0
    largest: int = 0
    unsized: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    kinds: Mapping[Kind, int] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)
    sizes: Bins = field(default_factory=lambda: Bins.empty(SIZE_BOUNDS))
    to_copy: int = 0
    octets_to_copy: int = 0
    to_update: int = 0
    known: int = 0
    sizes_to_copy: Bins = field(default_factory=lambda: Bins.empty(SIZE_BOUNDS))
    ages_to_copy: Bins = field(default_factory=lambda: Bins.empty(AGE_BOUNDS))
    skipped: Mapping[SkipReason, int] = field(default_factory=dict)
    unsupported: Mapping[Kind, int] = field(default_factory=dict)
    target_items: int | None = None  # in the whole target, before the run
    oversize: Oversize = field(default_factory=Oversize)
    quota: Quota = field(default_factory=Quota)
    licence: Licence = field(default_factory=Licence)
    collisions: tuple[Collision, ...] = ()
    paths: tuple[PlannedPath, ...] = ()
    findings: tuple[PlannedFinding, ...] = ()
    error: str = ""
    code: str = ""
    remedy: str = ""
    row_state: str = ""
    source_state: str = ""
    folders: tuple[PlannedFolder, ...] = ()

    def job(self) -> Job:
        return Job(self.id, self.line, self.source, self.target, self.batch, dict(self.extra))


@record
class PlannedEndpoint:
    """An endpoint as far as a plan and a forecast need it; credentials stay in the project file."""

    name: str
    kind: str
    limits: Limits = field(default_factory=Limits)


@record
class PlannedManifest:
    """rows: of the whole manifest, also those that this plan leaves out. digest: SHA-256 of the file."""

    file: str = ""
    dialect: str = ""
    encoding: str = ""
    delimiter: str = ""
    rows: int = 0
    digest: str = ""
    notes: tuple[str, ...] = ()


@record
class PlanFile:
    """A plan. whole: false when looking through was interrupted, and mailboxes are missing."""

    made: datetime
    program: str = ""  # version of migrator
    format: str = FORMAT
    version: int = VERSION
    whole: bool = True
    manifest: PlannedManifest = field(default_factory=PlannedManifest)
    settings: RunSettings = field(default_factory=RunSettings)
    under: FolderPath = ()  # [folders] of the project file
    rename: tuple[tuple[FolderPath, FolderPath], ...] = ()
    endpoints: tuple[PlannedEndpoint, ...] = ()
    mailboxes: tuple[PlannedMailbox, ...] = ()

    @property
    def items(self) -> int:
        return sum(mailbox.items for mailbox in self.mailboxes)

    @property
    def octets(self) -> int:
        return sum(mailbox.octets for mailbox in self.mailboxes)

    @property
    def to_copy(self) -> int:
        return sum(mailbox.to_copy for mailbox in self.mailboxes)

    @property
    def octets_to_copy(self) -> int:
        return sum(mailbox.octets_to_copy for mailbox in self.mailboxes)


def added(bins: Iterable[Bins], bounds: tuple[int, ...]) -> Bins:
    """The sum of bins, empty ones of these bounds for none."""
    whole = Bins.empty(bounds)
    for one in bins:
        whole = whole + one
    return whole


def write_plan(plan: PlanFile, to: Path) -> None:
    """Write the file, whole or not at all. Raises UserError for a plan that holds a secret, RunError for a disk that refuses."""
    text = dumps(plan)
    part = to.with_name(f".{to.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, to)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RunError(
            f"{to} cannot be written: {error.strerror or error}",
            code="plan_unwritable",
            remedy="check the folder and the room on its disk, or name another file with --out",
        ) from None


def read_plan(path: Path) -> PlanFile:
    """The plan in a file. Raises UserError naming what is wrong with it."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise UserError(
            f"there is no plan {path}", code="plan_missing", remedy="`migrator plan` writes it"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UserError(
            f"cannot read the plan {path}: {why}",
            code="plan_unreadable",
            remedy="a plan is a file that `migrator plan` wrote; a project folder is named with --project",
        ) from None
    return loads(text, str(path))


def dumps(plan: PlanFile) -> str:
    """As text: ASCII, indented down to the mailboxes, a folder a line; the same plan is the same text."""
    _refuse_secrets(plan.mailboxes, "the plan")
    whole: dict[str, Any] = _adapter().dump_python(plan)
    boxes: list[dict[str, Any]] = whole.pop("mailboxes")
    head = _text(whole, 1)[:-2]
    parts = []
    for box in boxes:
        folders = ",\n     ".join(_text(folder) for folder in box.pop("folders"))
        inner = ",\n   ".join(f"{_text(name)}: {_text(value)}" for name, value in box.items())
        parts.append(f'  {{{inner},\n   "folders": [{folders}]}}')
    return f'{head},\n "mailboxes": [\n' + ",\n".join(parts) + "\n ]\n}\n"


def loads(text: str, name: str = FILE_NAME) -> PlanFile:
    """As `read_plan`, from text."""
    from pydantic import ValidationError

    remedy = "`migrator plan` writes a new one"
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{name} is not a plan: it is not JSON ({str(error)[:80]})", code="plan_invalid", remedy=remedy
        ) from None
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise UserError(
            f'{name} is not a plan: it does not say "format": "{FORMAT}"', code="plan_invalid", remedy=remedy
        )
    if raw.get("version") != VERSION:
        raise UserError(
            f"{name} is a plan of version {str(raw.get('version'))[:10]}, and this program reads version {VERSION}",
            code="plan_version",
            remedy=remedy,
        )
    try:
        plan = _adapter().validate_python(raw)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        problems = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in found[:20]]
        raise UserError(
            f"{name} cannot be read as a plan", problems=problems, code="plan_invalid", remedy=remedy
        ) from None
    moments = [
        ("made", plan.made),
        ("settings.since", plan.settings.since),
        ("settings.until", plan.settings.until),
    ]
    for mailbox in plan.mailboxes:
        for at, one in ((mailbox.oldest, mailbox.newest), *((f.oldest, f.newest) for f in mailbox.folders)):
            moments += [("oldest", at), ("newest", one)]
    naive = sorted({word for word, value in moments if value is not None and value.tzinfo is None})
    if naive:
        raise UserError(f"{name}: {', '.join(naive)} has no time zone", code="plan_invalid", remedy=remedy)
    ids = [mailbox.id for mailbox in plan.mailboxes]
    if len(set(ids)) != len(ids):
        raise UserError(f"{name} has the same mailbox pair twice", code="plan_invalid", remedy=remedy)
    _refuse_secrets(plan.mailboxes, name)
    return plan


def schema() -> dict[str, Any]:
    """JSON Schema of the file (draft 2020-12)."""
    made = _adapter().json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "plan.json of migrator",
        **made,
    }


def cleaned(text: str) -> str:
    """Without lone surrogates, which some servers hand out in names and no file can hold."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def cleaned_path(path: FolderPath) -> FolderPath:
    return tuple(cleaned(name) for name in path)


def with_jobs(plan: PlanFile, ids: Iterable[str]) -> PlanFile:
    """The plan for some of its mailboxes."""
    wanted = set(ids)
    return replace(plan, mailboxes=tuple(one for one in plan.mailboxes if one.id in wanted))


def _refuse_secrets(mailboxes: Sequence[PlannedMailbox], name: str) -> None:
    from migrator.plan.project import is_reference

    wrong = [
        f"line {one.line}: {side}.secret"
        for one in mailboxes
        for side, box in (("source", one.source), ("target", one.target))
        if box.secret and not is_reference(box.secret) and not box.secret.startswith("csv:")
    ]
    if wrong:
        raise UserError(
            f"{name} holds a secret that is not a reference",
            problems=wrong,
            code="plan_secret",
            remedy="a plan names secrets by env:NAME, keyring:SERVICE/USER or file:PATH only",
        )


@cache
def _adapter() -> TypeAdapter[PlanFile]:
    # Building it takes a moment, and pydantic is not loaded for --help.
    from pydantic import TypeAdapter

    return TypeAdapter(PlanFile)


def _text(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no place in a plan")
