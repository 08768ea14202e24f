"""Rows → jobs: blanks filled from the project file, addresses and pairs checked, rows chosen.

All faults of the manifest come out in one UserError, those of reading and those found here, in the order of lines.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from migrator.errors import UserError
from migrator.model import Job, Mailbox
from migrator.plan.dialects import OWN
from migrator.plan.manifest import Manifest, Problem, Row
from migrator.plan.project import ALLOWANCES, Project, did_you_mean
from migrator.record import record
from migrator.settings import Endpoint

ADDRESSED = frozenset({"ews", "graph"})
"""Endpoint kinds whose mailboxes are named by an e-mail address; elsewhere a name or a path will do."""

# Atoms of RFC 5322 (and non-ASCII ones, RFC 6531) before the @, a domain after it. Quoted local parts are not accepted.
_ADDRESS = re.compile(r"[^\s\"(),:;<>@\[\\\]]+@[^\s\"(),:;<>@\[\\\]]+")


@record
class Plan:
    """What will be done. left_out: (line, why) of rows that ask not to be migrated. notes: for a person to read."""

    jobs: tuple[Job, ...]
    left_out: tuple[tuple[int, str], ...] = ()
    notes: tuple[str, ...] = ()


def make_plan(project: Project, manifest: Manifest, *, allow: Collection[str] = ()) -> Plan:
    """Every row as a job.

    allow: names of `project.ALLOWANCES` beside those of the project file. Raises UserError with all faults of all rows.
    """
    unknown = [name for name in allow if name not in ALLOWANCES]
    if unknown:
        raise UserError(
            f"--allow {unknown[0]}: there is no such name{did_you_mean(unknown[0], ALLOWANCES)}",
            code="unknown_allowance",
            remedy="there are " + ", ".join(ALLOWANCES),
        )
    work = _Planner(project, manifest, frozenset(allow) | project.allow)
    return work.plan()


def job_id(source: str, target: str, *endpoints: str) -> str:
    """Stable for a pair: neither the row's place nor the letter case of its addresses matters.

    The endpoints' names are left out, so that an endpoint may be renamed during a migration; they come in only where
    one manifest has the same pair of addresses twice.
    """
    text = "\0".join((source.casefold(), target.casefold(), *endpoints))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def choose(jobs: Sequence[Job], *, only: Sequence[str] = (), batches: Sequence[str] = ()) -> list[Job]:
    """The jobs that `--only` and `--batch` name, in their order; all without either.

    only: an address (source or target), a glob such as "*@sales.example", a line "7" or lines "7-12", or a job's id.
    Raises UserError naming each word that fits nothing: a misspelt one must not pass for "nothing to do".
    """
    problems: list[str] = []
    chosen = list(jobs)
    if batches:
        names = {job.batch for job in jobs if job.batch}
        problems += [
            f"--batch {wanted}: no row has this batch{did_you_mean(wanted, names)}"
            for wanted in batches
            if not any(_like(name, wanted) for name in names)
        ]
        chosen = [job for job in chosen if any(_like(job.batch, wanted) for wanted in batches)]
    if only:
        for wanted in only:
            if not any(_is(job, wanted) for job in jobs):
                addresses = {address for job in jobs for address in (job.source.address, job.target.address)}
                problems.append(f"--only {wanted}: no row fits{did_you_mean(wanted, addresses)}")
        chosen = [job for job in chosen if any(_is(job, wanted) for wanted in only)]
    if not problems and jobs and not chosen:
        problems.append("--only and --batch together leave no row")
    if problems:
        raise UserError(
            "no such rows", problems=problems, code="no_such_row", remedy="`migrator plan` lists the rows"
        )
    return chosen


def _like(name: str, wanted: str) -> bool:
    return bool(name) and fnmatch.fnmatchcase(name.casefold(), wanted.casefold())


def _is(job: Job, wanted: str) -> bool:
    lines = re.fullmatch(r"(?:line:)?(\d{1,9})(?:-(\d{1,9}))?", wanted)
    if lines:
        return int(lines[1]) <= job.line <= int(lines[2] or lines[1])
    return job.id == wanted or _like(job.source.address, wanted) or _like(job.target.address, wanted)


class _Planner:
    def __init__(self, project: Project, manifest: Manifest, allow: frozenset[str]) -> None:
        self.project = project
        self.manifest = manifest
        self.allow = allow
        self.problems: list[Problem] = list(manifest.problems)
        self.faulty = {problem.line for problem in manifest.problems}
        self.jobs: list[Job] = []
        self.left_out: list[tuple[int, str]] = []
        self.unmatched_hosts: Counter[tuple[str, str, str]] = Counter()
        self.unused_logins: Counter[str] = Counter()
        self.hosts = {
            host: name
            for name, endpoint in project.endpoints.items()
            if (host := (urlsplit(endpoint.url).hostname or "").casefold())
        }

    def plan(self) -> Plan:
        for row in self.manifest.rows:
            if row.left_out:
                self.left_out.append((row.line, row.left_out))
            else:
                self._row(row)
        self._number_twins()
        self._pairs()
        if not self.manifest.problems and not self.problems and not self.jobs:
            self.problems.append(Problem(0, "no row is left to migrate"))
        if self.problems:
            raise self._refused()
        return Plan(tuple(self.jobs), tuple(self.left_out), tuple(self._notes()))

    def _refused(self) -> UserError:
        found = sorted(set(self.problems), key=lambda one: (one.line, one.text))
        many = "a fault" if len(found) == 1 else f"{len(found)} faults"
        return UserError(
            f"{self.manifest.name} has {many} (read as {self.manifest.dialect.title}, {self.manifest.encoding}, "
            f"{self.manifest.delimiter})",
            problems=[str(one) for one in found],
            code="manifest_invalid",
            remedy="mend these lines and run the command again; nothing was sent",
        )

    def _row(self, row: Row) -> None:
        defaults = self.project.defaults
        source_name = row.source
        target_name = row.target
        if not row.target and source_name and defaults.target_domain:
            target_name = f"{source_name.partition('@')[0]}@{defaults.target_domain}"
        before = len(self.problems)
        if not row.source and row.line not in self.faulty:
            self._fault(row.line, "no source")
        if not target_name:
            self._fault(row.line, "no target")
        source = self._endpoint(row, "source", row.source_endpoint, row.source_host, defaults.source)
        target = self._endpoint(row, "target", row.target_endpoint, row.target_host, defaults.target)
        if source is None or target is None:
            return
        source_name = _in_domain(source_name, defaults.source_domain, source)
        target_name = _in_domain(target_name, defaults.target_domain, target)
        if row.source:
            self._address(row.line, "source", source_name, source)
        if target_name:
            self._address(row.line, "target", target_name, target)
        if row.target_archive and "archive-to-primary" not in self.allow:
            self._fault(
                row.line,
                "asks for the archive mailbox, which is not written yet; --allow archive-to-primary puts the items into the "
                "mailbox itself",
            )
        if len(self.problems) > before:
            return
        source_login, source_secret = self._credentials(row, "source", source)
        target_login, target_secret = self._credentials(row, "target", target)
        self.jobs.append(
            Job(
                id=job_id(source_name, target_name),
                line=row.line,
                source=Mailbox(source.name, source_name, source_login, source_secret),
                target=Mailbox(target.name, target_name, target_login, target_secret),
                batch=row.batch or defaults.batch,
                extra=dict(row.extra),
            )
        )

    def _endpoint(self, row: Row, side: str, named: str, host: str, default: str) -> Endpoint | None:
        """The endpoint of one side: the one the row names, else the one of the server it names, else the default."""
        endpoints = self.project.endpoints
        if named:
            found = next(
                (one for name, one in endpoints.items() if name.casefold() == named.casefold()), None
            )
            if found is None:
                self._fault(
                    row.line, f"unknown {side} endpoint {named[:60]!r}{did_you_mean(named, endpoints)}"
                )
            return found
        if host:
            by_name = next((name for name in endpoints if name.casefold() == host.casefold()), "")
            known = by_name or self.hosts.get(host.casefold(), "")
            if known:
                return endpoints[known]
            if default:
                self.unmatched_hosts[side, host, default] += 1
        if default:
            return endpoints[default]
        if len(endpoints) == 2 and (other := self._other(side)):
            return other
        self._fault(
            row.line,
            f"no {side} endpoint: name one in the column {side}_endpoint, or {side} = … under [defaults] in "
            f"{self.project.file.name}",
        )
        return None

    def _other(self, side: str) -> Endpoint | None:
        """With two endpoints and a default for one side, the other side is the other one."""
        taken = self.project.defaults.target if side == "source" else self.project.defaults.source
        return next((one for name, one in self.project.endpoints.items() if taken and name != taken), None)

    def _address(self, line: int, side: str, name: str, endpoint: Endpoint) -> None:
        if endpoint.kind in ADDRESSED and not _ADDRESS.fullmatch(name):
            shown = f" {name[:60]!r}" if "@" in name or len(name) < 40 else ""
            self._fault(line, f"the {side}{shown} is not an e-mail address")

    def _credentials(self, row: Row, side: str, endpoint: Endpoint) -> tuple[str, str]:
        defaults = self.project.defaults
        login: str = getattr(row, f"{side}_login")
        secret: str = getattr(row, f"{side}_secret")
        own = bool(endpoint.secret or endpoint.certificate) and endpoint.access != "owner"
        if own and self.manifest.dialect is not OWN:
            # In the layouts of others the logins are ignored where an administrator signs in for all mailboxes.
            if secret:
                self.unused_logins[endpoint.name] += 1
            return "", ""
        return login or getattr(defaults, f"{side}_login"), secret or getattr(defaults, f"{side}_secret")

    def _number_twins(self) -> None:
        """The same two addresses at other endpoints are other jobs."""
        seen: dict[str, Job] = {}
        for at, job in enumerate(self.jobs):
            first = seen.setdefault(job.id, job)
            if first is not job and _ends(first) != _ends(job):
                self.jobs[at] = replace(
                    job,
                    id=job_id(
                        job.source.address, job.target.address, job.source.endpoint, job.target.endpoint
                    ),
                )

    def _pairs(self) -> None:
        by_source: dict[tuple[str, str], list[Job]] = defaultdict(list)
        by_target: dict[tuple[str, str], list[Job]] = defaultdict(list)
        ids: dict[str, Job] = {}
        for job in self.jobs:
            source, target = self._whose(job.source), self._whose(job.target)
            by_source[source].append(job)
            by_target[target].append(job)
            if source == target and "same-mailbox" not in self.allow:
                self._fault(
                    job.line,
                    f"source and target are the same mailbox {job.source.address!r} (--allow same-mailbox)",
                )
            twin = ids.setdefault(job.id, job)
            if twin is not job:
                # Never allowed: two jobs for one pair would each send every item.
                self._fault(job.line, f"the same pair stands in line {twin.line} already")
        for side, found in (("source", by_source), ("target", by_target)):
            if f"duplicate-{side}" in self.allow:
                continue
            for rows in found.values():
                first, *others = rows
                for job in others:
                    if ids[job.id] is not job:
                        continue  # the pair was named above
                    address = (job.source if side == "source" else job.target).address
                    self._fault(
                        job.line,
                        f"the {side} {address!r} stands in line {first.line} already (--allow duplicate-{side})",
                    )

    def _whose(self, mailbox: Mailbox) -> tuple[str, str]:
        """What two names of one mailbox share: the server, not what the project file calls it."""
        endpoint = self.project.endpoints[mailbox.endpoint]
        # Without a URL an address finds its server by itself (autodiscover), or the endpoint is its own server.
        url = endpoint.url.casefold().rstrip("/") or ("" if endpoint.kind in ADDRESSED else endpoint.name)
        server = "\0".join((endpoint.kind, url, endpoint.tenant.casefold()))
        return server, mailbox.address.casefold()

    def _notes(self) -> list[str]:
        notes = list(self.manifest.notes)
        for (side, host, name), count in self.unmatched_hosts.items():
            rows = "1 row names" if count == 1 else f"{count} rows name"
            notes.append(
                f"{rows} the {side} server {host[:80]!r}, which no endpoint has: {name!r} is used instead"
            )
        for name, count in self.unused_logins.items():
            notes.append(
                f"{count} passwords of the CSV are not used: endpoint {name!r} has credentials of its own"
            )
        if self.left_out:
            rows = "1 row asks" if len(self.left_out) == 1 else f"{len(self.left_out)} rows ask"
            notes.append(f"{rows} not to be migrated ({self.left_out[0][1]})")
        return notes

    def _fault(self, line: int, text: str) -> None:
        self.problems.append(Problem(line, text))


def _ends(job: Job) -> tuple[str, str]:
    return job.source.endpoint, job.target.endpoint


def _in_domain(name: str, domain: str, endpoint: Endpoint) -> str:
    """A bare name at a server that wants addresses gets the project's domain."""
    if name and domain and endpoint.kind in ADDRESSED and "@" not in name and "\\" not in name:
        return f"{name}@{domain}"
    return name
