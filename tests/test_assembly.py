"""The assembly room on memory endpoints: what the command line calls, from project to exit code."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path

import pybase64
import pytest

from migrator import assembly
from migrator.adapters.memory import MemoryMailbox, store_named
from migrator.assembly import Room, stream_compare
from migrator.engine.stop import Stop
from migrator.errors import ItemError, JobError, Throttled, Transient, UserError
from migrator.events import Event, FoldersListed, JobFinished, RunFinished, RunStarted, Waiting
from migrator.ledger import Ledger
from migrator.mapi import fasttransfer
from migrator.mapi import properties as p
from migrator.mapi.item import INT32, STRING, TIME, Message
from migrator.model import Flag, Job, Kind, Mailbox, State
from migrator.plan.folders import FolderRules
from migrator.settings import Endpoint, Limits, RunSettings
from tests.contracts.samples import Sample, mails
from tests.engine.harness import FakeClock, contents


@dataclass
class Project:
    """As much of a project as the room reads."""

    folder: Path
    ledger: Path
    endpoints: dict[str, Endpoint]
    folders: FolderRules = field(default_factory=FolderRules)
    row_secrets: dict[str, str] = field(default_factory=dict)


@dataclass
class Case:
    project: Project
    jobs: list[Job]
    events: list[Event] = field(default_factory=list)
    clock: FakeClock = field(default_factory=FakeClock)

    def source(self, number: int = 0) -> MemoryMailbox:
        job = self.jobs[number]
        return store_named(self.project.endpoints["old"].url).mailbox(job.source.address)

    def target(self, number: int = 0) -> MemoryMailbox:
        job = self.jobs[number]
        return store_named(self.project.endpoints["new"].url).mailbox(job.target.address)

    def run(self, **settings: object) -> int:
        self.events.clear()
        chosen = replace(RunSettings(), **settings)  # type: ignore[arg-type]
        return assembly.run(self.project, self.jobs, chosen, self.events.append, Stop(), clock=self.clock)


def stream(sample: Sample) -> bytes:
    message = Message()
    message.properties.set(p.PidTagMessageClass, STRING, "IPM.Note")
    message.properties.set(p.PidTagSubject, STRING, sample.subject)
    message.properties.set(p.PidTagInternetMessageId, STRING, sample.message_id)
    message.properties.set(p.PidTagMessageDeliveryTime, TIME, sample.received)
    message.properties.set(p.PidTagMessageFlags, INT32, 1 if sample.seen else 0)
    message.properties.set(p.PidTagBody, STRING, sample.body)
    return bytes(pybase64.b64encode(fasttransfer.write(message)))


def fill(box: MemoryMailbox, samples: list[Sample]) -> None:
    for sample in samples:
        flags = frozenset({Flag.SEEN} if sample.seen else set())
        box.put(sample.path, sample.ref(), stream(sample), flags=flags)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    mark = uuid.uuid4().hex
    endpoints = {name: Endpoint(name, "memory", url=f"{name}-{mark}") for name in ("old", "new")}
    jobs = [
        Job(f"job-{name}", line, Mailbox("old", f"{name}@old.example"), Mailbox("new", f"{name}@new.example"))
        for line, name in enumerate(("ada", "bob"), 2)
    ]
    case = Case(Project(tmp_path, tmp_path / "ledger.sqlite", endpoints), jobs)
    for number in range(2):
        fill(case.source(number), mails(12, start=100 * number))
        case.target(number)
    return case


# --- run


def test_a_project_runs_and_verifies(case: Case) -> None:
    assert case.run() == 0
    assert all(contents(case.source(n)) == contents(case.target(n)) for n in range(2))
    assert isinstance(case.events[0], RunStarted)
    assert isinstance(case.events[-1], RunFinished)
    verdicts = assembly.verify(case.project, case.jobs, RunSettings(), case.events.append)
    assert [verdict.ok for verdict in verdicts] == [True, True]
    assert [verdict.sampled for verdict in verdicts] == [12, 12]


def test_folders_follow_the_projects_rules(case: Case) -> None:
    case.project.folders = FolderRules(under=("Taken over",))
    assert case.run() == 0
    assert len(case.target().items(("Taken over", "Inbox"))) == 12


def test_throttling_and_passing_trouble_are_ridden_out_and_told(case: Case) -> None:
    trouble: list[Exception] = [
        Throttled("Application is over its MailboxConcurrency limit.", retry_after_s=17),
        Transient("503", code="http_503"),
    ]

    def before(verb: str, detail: object) -> None:
        if verb == "store" and trouble:
            raise trouble.pop(0)

    case.target().before = before
    assert case.run() == 0
    waits = [event for event in case.events if isinstance(event, Waiting)]
    assert {event.reason for event in waits} >= {"throttled"}
    assert waits[0].words == "Application is over its MailboxConcurrency limit."
    assert waits[0].job == "job-ada"
    with Ledger.open(case.project.ledger, clock=case.clock, read_only=True) as ledger:
        assert ("job-ada", "throttled") in {(one.job_id, one.kind) for one in ledger.incidents()}
        assert {job.waiting_reason for job in ledger.jobs()} == {""}


def test_limits_of_the_endpoint_are_kept(case: Case) -> None:
    limits = Limits(concurrent=2, requests=10, requests_window_s=60)
    case.project.endpoints["new"] = replace(case.project.endpoints["new"], limits=limits)
    assert case.run() == 0
    assert [e for e in case.events if isinstance(e, Waiting) and e.reason == "paced"]
    assert sum(case.clock.slept) >= 60


def test_an_endpoint_that_cannot_work_is_told_before_anything_starts(case: Case) -> None:
    case.project.endpoints["new"] = replace(case.project.endpoints["new"], kind="carrier-pigeon")
    with pytest.raises(UserError) as caught:
        case.run()
    assert caught.value.code == "unknown_kind"
    assert not case.project.ledger.exists()
    assert case.events == []


def test_all_endpoints_that_cannot_work_are_told_at_once(case: Case) -> None:
    for name in ("old", "new"):
        case.project.endpoints[name] = replace(case.project.endpoints[name], kind="pigeon")
    with pytest.raises(UserError) as caught:
        case.run()
    assert [one.split(":")[0] for one in caught.value.problems] == ["endpoint old", "endpoint new"]


def test_a_row_whose_mailbox_is_not_there_fails_alone(case: Case) -> None:
    case.jobs[1] = replace(case.jobs[1], source=Mailbox("old", "nobody@old.example"))
    assert case.run() == 4
    ended = {e.job: (e.state, e.code) for e in case.events if isinstance(e, JobFinished)}
    assert ended == {"job-ada": ("done", ""), "job-bob": ("error", "mailbox_not_found")}


# --- dry run, survey


def no_writes(case: Case) -> None:
    def blow_up(verb: str, detail: object) -> None:
        if verb in ("store", "ensure_folder", "remove", "remove_folder", "mark"):
            raise AssertionError(f"{verb} in a dry run")

    for number in range(2):
        case.target(number).before = blow_up


def test_a_dry_run_writes_nothing_anywhere(case: Case) -> None:
    no_writes(case)
    assert case.run(dry_run=True) == 0
    assert not case.project.ledger.exists()
    assert not case.target().items()
    assert sum(e.items or 0 for e in case.events if isinstance(e, FoldersListed)) == 24
    assert isinstance(case.events[0], RunStarted)
    assert case.events[0].dry


def test_a_dry_run_after_a_run_leaves_the_ledger_as_it_is(case: Case) -> None:
    assert case.run() == 0
    before = case.project.ledger.read_bytes()
    assert case.run(dry_run=True) == 0
    assert case.project.ledger.read_bytes() == before


def test_a_dry_run_tells_by_its_exit_code_what_could_not_be_looked_at(case: Case) -> None:
    case.jobs[1] = replace(case.jobs[1], target=Mailbox("new", "nobody@new.example"))
    assert case.run(dry_run=True) == 4


def test_survey_tells_every_mailbox_in_the_order_of_the_manifest(case: Case) -> None:
    no_writes(case)
    surveys = assembly.survey(case.project, case.jobs, RunSettings(), case.events.append)
    assert [(one.job.id, one.items, one.to_copy) for one in surveys] == [
        ("job-ada", 12, 12),
        ("job-bob", 12, 12),
    ]


# --- check


def test_check_opens_both_sides_of_every_row(case: Case) -> None:
    case.jobs.append(replace(case.jobs[0], id="job-x", source=Mailbox("old", "x@old.example")))
    result = assembly.check(case.project, case.jobs, RunSettings(), case.events.append)
    assert [(one.source.ok, one.target.ok) for one in result.jobs] == [
        (True, True),
        (True, True),
        (False, True),
    ]
    assert result.jobs[2].source.code == "mailbox_not_found"
    assert result.jobs[2].source.remedy
    assert not result.ok
    assert result.canaries == ()
    assert not case.project.ledger.exists()


def test_check_asks_one_mailbox_of_a_target_that_must_be_asked(case: Case) -> None:
    for number in range(2):
        box = case.target(number)
        box.traits = replace(box.traits, canary=True)
    result = assembly.check(case.project, case.jobs, RunSettings(), case.events.append)
    (canary,) = result.canaries
    assert (canary.endpoint, canary.address) == ("new", "ada@new.example")
    assert {sung.kind: sung.accepted for sung in canary.verdicts}[Kind.MAIL]
    assert result.ok
    with Ledger.open(case.project.ledger, clock=case.clock, read_only=True) as ledger:
        assert len(ledger.verdicts("new")) == len(canary.verdicts) >= 5
    assert not case.target().items()
    assert case.target(1).calls["store"] == 0
    assert case.run() == 0


def test_check_can_leave_the_canary_out(case: Case) -> None:
    for number in range(2):
        box = case.target(number)
        box.traits = replace(box.traits, canary=True)
    no_writes(case)
    result = assembly.check(case.project, case.jobs, RunSettings(), case.events.append, canary=False)
    assert result.ok
    assert result.canaries == ()
    assert result.notes
    assert case.run() == 4
    assert {e.code for e in case.events if isinstance(e, JobFinished)} == {"no_canary"}
    for number in range(2):
        case.target(number).before = None
    assert case.run(force=frozenset({"no_canary"})) == 0


def test_a_target_that_takes_no_mail_fails_the_check(case: Case) -> None:
    for number in range(2):
        box = case.target(number)
        box.traits = replace(box.traits, canary=True)
        box.refuse = lambda item: ItemError("no", code="ErrorInvalidData")
    result = assembly.check(case.project, case.jobs, RunSettings(), case.events.append)
    assert not result.ok
    assert not any(sung.accepted for sung in result.canaries[0].verdicts)
    assert case.run() == 4
    assert {e.code for e in case.events if isinstance(e, JobFinished)} == {"import_refused"}


# --- verify


def test_verify_names_the_property_that_differs(case: Case) -> None:
    assert case.run() == 0
    victim = case.target().items(("Inbox",))[5]
    subject = victim.ref.subject
    sample = Sample(subject, body="tampered", message_id=victim.ref.message_id, seen=bool(victim.ref.seen))
    victim.data = stream(replace(sample, received=victim.ref.received or sample.received))
    verdicts = assembly.verify(case.project, case.jobs, RunSettings(), case.events.append, sample=None)
    assert [verdict.ok for verdict in verdicts] == [False, True]
    assert {(d.message_id, d.property) for d in verdicts[0].differences} == {
        (victim.ref.message_id, "PidTagBody")
    }


def test_verify_before_any_run_says_so(case: Case) -> None:
    with pytest.raises(UserError) as caught:
        assembly.verify(case.project, case.jobs, RunSettings(), case.events.append)
    assert caught.value.code == "ledger_missing"


def test_streams_that_are_none_are_an_error_of_the_item() -> None:
    compare = stream_compare()
    good = stream(mails(1)[0])
    assert compare(good, good) == []
    assert [d.name for d in compare(good, stream(replace(mails(1)[0], subject="other")))] == ["PidTagSubject"]
    for bad in (b"%%%", b"AAAA", b""):
        with pytest.raises(ItemError):
            compare(good, bad)


# --- the room


def test_all_handles_of_a_mailbox_share_governor_and_patience(case: Case) -> None:
    with Room(case.project, case.events.append, Stop(), clock=case.clock) as room:
        one, two = room.open_target(case.jobs[0]), room.open_target(case.jobs[0])
        assert one._patience is two._patience  # type: ignore[attr-defined]
        other = room.open_target(case.jobs[1])
        assert one._inner._governor is other._inner._governor  # type: ignore[attr-defined]
        one.folders()
        two.folders()
        assert room.traces["new"].calls == {"folders": 2}


def test_an_unknown_endpoint_is_the_operators_matter(case: Case) -> None:
    job = replace(case.jobs[0], target=Mailbox("nowhere", "ada@new.example"))
    with pytest.raises(UserError) as caught:
        assembly.run(case.project, [job], RunSettings(), case.events.append)
    assert caught.value.code == "unknown_endpoint"


def test_job_errors_keep_their_remedy(case: Case) -> None:
    def before(verb: str, detail: object) -> None:
        if verb == "probe":
            raise JobError("no right", code="denied", remedy="grant it")

    case.source().before = before
    assert case.run() == 4
    ended = next(e for e in case.events if isinstance(e, JobFinished) and e.job == "job-ada")
    assert (ended.code, ended.error, ended.remedy) == ("denied", "no right", "grant it")
    with Ledger.open(case.project.ledger, clock=case.clock, read_only=True) as ledger:
        assert [(job.state, job.code) for job in ledger.jobs()] == [("error", "denied"), ("done", "")]
        assert {entry.state for entry in ledger.iter_entries("job-bob")} == {State.COPIED}
