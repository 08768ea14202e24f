"""Knobs, throttle models, fault scripts and the journal that judges."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from migrator.lab.clock import LabClock
from migrator.lab.control import judgement
from migrator.lab.faults import CATALOGUE, STAGES, Action, Context, Faults
from migrator.lab.http import Request, Response
from migrator.lab.journal import Entry, Journal, Stored
from migrator.lab.knobs import EwsLimits, GraphLimits, Knobs
from migrator.lab.throttle import EwsThrottle, GraphThrottle
from migrator.lab.world import Account, Call, World


class TestKnobs:
    def test_text_becomes_the_type_of_the_knob(self) -> None:
        knobs = Knobs().swap(
            {
                "latency_s": "0.25",
                "well_known_name": "no",
                "create_session_status": "201",
                "import_accepts_ews": "15.1, 15.2",
                "graph_limits": {"concurrent": 2},
            }
        )
        assert (knobs.latency_s, knobs.well_known_name, knobs.create_session_status) == (0.25, False, 201)
        assert knobs.import_accepts_ews == ("15.1", "15.2")
        assert knobs.graph_limits == dataclasses.replace(GraphLimits(), concurrent=2)

    def test_every_fault_is_named_at_once(self) -> None:
        with pytest.raises(ValueError) as caught:
            Knobs().swap(
                {
                    "latencys": 1,
                    "latency_s": "quick",
                    "graph_throttling": "sometimes",
                    "ews_limits": {"cutof": 1, "back_off_as": "song"},
                    "ews_gzip": 3,
                }
            )
        text = str(caught.value)
        for part in (
            "latencys",
            "latency_s",
            "graph_throttling",
            "ews_limits.cutof",
            "back_off_as",
            "ews_gzip",
        ):
            assert part in text

    def test_from_files(self, tmp_path: Path) -> None:
        toml = tmp_path / "lab.toml"
        toml.write_text("[knobs]\nlatency_s = 0.04\n[knobs.ews_limits]\nconcurrency = 3\n", "utf-8")
        json = tmp_path / "lab.json"
        json.write_text('{"latency_s": 0.04, "ews_limits": {"concurrency": 3}}', "utf-8")
        assert Knobs.load(toml) == Knobs.load(json) != Knobs()

    def test_figures_in_force(self) -> None:
        own = Knobs().swap({"graph_throttling": "own", "graph_limits": {"requests": 5}})
        assert Knobs().limits_for_graph() is None
        assert Knobs(graph_throttling="published").limits_for_graph() == GraphLimits()
        limits = own.limits_for_graph()
        assert limits is not None
        assert limits.requests == 5


class TestGraphThrottle:
    def admit(
        self, throttle: GraphThrottle, limits: GraphLimits, now: float, octets: int = 0, mailbox: str = "a@x"
    ) -> str:
        """ "" when admitted, else the message."""
        refusal = throttle.admit(limits, "app", mailbox, octets, now, write=octets > 0)
        return refusal.message if refusal else ""

    def test_four_at_once_per_mailbox(self) -> None:
        throttle, limits = GraphThrottle(), GraphLimits()
        assert [self.admit(throttle, limits, 0.0) for _ in range(4)] == [""] * 4
        assert "MailboxConcurrency" in self.admit(throttle, limits, 0.0)
        assert self.admit(throttle, limits, 0.0, mailbox="b@x") == ""
        throttle.release(limits, "app", "A@x")
        assert self.admit(throttle, limits, 0.0) == ""

    def test_request_window_slides_and_counts_refusals(self) -> None:
        throttle, limits = GraphThrottle(), GraphLimits(requests=3, concurrent=0)
        assert [self.admit(throttle, limits, t) for t in (0.0, 100.0, 200.0)] == ["", "", ""]
        assert "MailboxRequests" in self.admit(throttle, limits, 300.0)
        assert "MailboxRequests" in self.admit(throttle, limits, 600.0)  # 100, 200 and the refused 300 count
        assert self.admit(throttle, limits, 901.0) == ""

    def test_upload_window(self) -> None:
        throttle, limits = GraphThrottle(), GraphLimits(upload_octets=100, concurrent=0)
        assert self.admit(throttle, limits, 0.0, 60) == ""
        assert self.admit(throttle, limits, 10.0, 40) == ""
        refusal = throttle.admit(limits, "app", "a@x", 30, 20.0, write=True)
        assert refusal is not None
        assert "IncomingBytes" in refusal.message
        assert refusal.retry_after == "280"
        assert self.admit(throttle, limits, 20.0) == ""  # reads are not uploads
        assert self.admit(throttle, limits, 300.0, 30) == ""

    def test_one_request_larger_than_the_window_goes_alone(self) -> None:
        throttle, limits = GraphThrottle(), GraphLimits(upload_octets=100)
        assert self.admit(throttle, limits, 0.0, 500) == ""
        assert "IncomingBytes" in self.admit(throttle, limits, 1.0, 1)

    @pytest.mark.parametrize(
        ("mode", "told"),
        [("seconds", "3"), ("fraction", "2.500"), ("absent", "")],
    )
    def test_retry_after_modes(self, mode: str, told: str) -> None:
        limits = GraphLimits(concurrent=1, retry_after_s=2.5, retry_after=mode)
        throttle = GraphThrottle()
        throttle.admit(limits, "app", "a@x", 0, 0.0, write=False)
        refusal = throttle.admit(limits, "app", "a@x", 0, 0.0, write=False)
        assert refusal is not None
        assert (refusal.status, refusal.retry_after) == (429, told)

    def test_retry_after_as_a_date(self) -> None:
        limits = GraphLimits(concurrent=1, retry_after_s=3, retry_after="date")
        throttle = GraphThrottle()
        throttle.admit(limits, "app", "a@x", 0, 1000.0, write=False)
        refusal = throttle.admit(limits, "app", "a@x", 0, 1000.0, write=False)
        assert refusal is not None
        assert parsedate_to_datetime(refusal.retry_after).timestamp() == 1003


class TestEwsThrottle:
    def test_connections(self) -> None:
        throttle, limits = EwsThrottle(), EwsLimits(concurrency=2)
        assert throttle.admit(limits, "a@x", 0.0) == (None, 0.0)
        assert throttle.admit(limits, "A@x", 0.0) == (None, 0.0)
        busy, _ = throttle.admit(limits, "a@x", 0.0)
        assert busy is not None
        assert (busy.code, busy.back_off_ms) == ("ErrorExceededConnectionCount", None)
        throttle.release(limits, "a@x", 0.0, 0.1, 0)
        assert throttle.admit(limits, "a@x", 0.0)[0] is None

    def test_budget_is_spent_slowed_refused_and_regained(self) -> None:
        limits = EwsLimits(
            max_burst_ms=1000, cutoff_ms=500, recharge_ms_per_hour=3_600_000, cost_ms=0, cost_ms_per_mib=0
        )
        throttle = EwsThrottle()
        assert throttle.admit(limits, "a@x", 0.0) == (None, 0.0)
        throttle.release(limits, "a@x", 0.0, took_s=1.2, octets=0)
        busy, delay = throttle.admit(limits, "a@x", 0.0)  # 200 ms in debt: slower
        assert busy is None
        assert delay > 0
        throttle.release(limits, "a@x", 0.0, took_s=0.6, octets=0)
        busy, _ = throttle.admit(limits, "a@x", 0.0)  # 800 ms in debt: refused until 300 ms are regained
        assert busy is not None
        assert (busy.code, busy.back_off_ms) == ("ErrorServerBusy", 300)
        assert throttle.admit(limits, "a@x", 0.301)[0] is None
        assert throttle.balance_ms("a@x") == pytest.approx(-499)

    def test_owners_do_not_share(self) -> None:
        limits = EwsLimits(max_burst_ms=10, cutoff_ms=10, cost_ms=100)
        throttle = EwsThrottle()
        throttle.admit(limits, "a@x", 0.0)
        throttle.release(limits, "a@x", 0.0, 0.0, 0)
        assert throttle.admit(limits, "a@x", 0.0)[0] is not None
        assert throttle.admit(limits, "b@x", 0.0)[0] is None


def strikes(faults: Faults, contexts: list[Context]) -> list[int]:
    """1-based numbers of the contexts that were struck before any effect."""
    return [n for n, context in enumerate(contexts, 1) if faults.before(context) is not None]


class TestFaults:
    def test_the_catalogue_is_whole(self) -> None:
        for name, fault in CATALOGUE.items():
            assert (fault.name, fault.action.fault) == (name, name)
            assert fault.action.stage in STAGES
            assert fault.about and fault.basis
            idle = Action(fault=name, stage=fault.action.stage)
            assert fault.action != idle

    def test_the_manual_lists_every_fault_at_its_stage(self) -> None:
        text = (Path(__file__).parents[2] / "docs" / "lab.md").read_text("utf-8")
        listed: dict[str, str] = {}
        for names, stage in re.findall(r"^\| (`.+?) \| (connect|before|after|item) \|", text, re.MULTILINE):
            listed |= dict.fromkeys(re.findall(r"`(\w+)`", names), stage)
        assert listed == {name: fault.action.stage for name, fault in CATALOGUE.items()}

    def test_the_manual_names_knobs_that_exist(self) -> None:
        text = (Path(__file__).parents[2] / "docs" / "lab.md").read_text("utf-8")
        table = text.partition("## Knobs")[2].partition("```")[0]
        first = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
        named = {name for cell in first for name in re.findall(r"`(\w+)`", cell)}
        assert named
        assert named <= {f.name for f in dataclasses.fields(Knobs)}

    @pytest.mark.parametrize(
        ("when", "expected"),
        [
            ({"nth": 3}, [3]),
            ({"every": 2}, [2, 4, 6]),
            ({"first": 2}, [1, 2]),
            ({"every": 2, "times": 2}, [2, 4]),
            ({}, [1, 2, 3, 4, 5, 6]),
        ],
    )
    def test_when(self, when: dict[str, int], expected: list[int]) -> None:
        faults = Faults([{"fault": "empty_503", **when}])
        assert strikes(faults, [Context("graph")] * 6) == expected

    def test_chance_is_seeded(self) -> None:
        script = [{"fault": "empty_503", "chance": 0.3, "seed": 5}]
        first, second = (strikes(Faults(script), [Context("graph")] * 100) for _ in range(2))
        assert first == second
        assert 10 < len(first) < 60

    def test_matching(self) -> None:
        faults = Faults(
            [{"fault": "empty_503", "service": "graph", "operation": "importItem", "mailbox": "A@x.example"}]
        )
        contexts = [
            Context("graph", "importItem", "a@x.example"),
            Context("graph", "list", "a@x.example"),
            Context("ews", "importItem", "a@x.example"),
            Context("graph", "ImportItem", "b@x.example"),
        ]
        assert strikes(faults, contexts) == [1]

    def test_items_by_class_subject_and_size(self) -> None:
        faults = Faults(
            [{"fault": "item_error", "item_class": "IPM.Task", "subject": "seal", "larger_than": 10}]
        )
        assert faults.item(Context("ews", item_class="IPM.Task", subject="Order Seals", size=11)) is not None
        assert faults.item(Context("ews", item_class="IPM.Task", subject="Order Seals", size=10)) is None
        assert faults.item(Context("ews", item_class="IPM.Note", subject="seal", size=99)) is None

    def test_rules_do_not_shift_each_others_counts(self) -> None:
        faults = Faults([{"fault": "empty_503", "nth": 2}, {"fault": "reset_before", "nth": 3}])
        found = [faults.before(Context("graph")) for _ in range(3)]
        assert [a.fault if a else "" for a in found] == ["", "empty_503", "reset_before"]

    def test_a_rule_may_change_the_action(self) -> None:
        rule = Faults().add("server_busy", back_off_ms=77, shape="message", headers={"X-A": "b"}, body="oops")
        assert (rule.action.back_off_ms, rule.action.shape) == (77, "message")
        assert (rule.action.headers, rule.action.body) == ((("X-A", "b"),), b"oops")

    @pytest.mark.parametrize(
        "line", [{"fault": "quake"}, {"fault": "reset", "when": 3}, {"fault": "reset", "stage": "later"}]
    )
    def test_a_wrong_script_is_refused(self, line: dict[str, object]) -> None:
        with pytest.raises(ValueError):
            Faults([line])


def entry(started: float, finished: float, octets: int = 0, **more: object) -> Entry:
    fields = {"service": "import", "operation": "importItem", "mailbox": "a@x", "app_id": "app", **more}
    return Entry(started=started, finished=finished, octets_in=octets, **fields)  # type: ignore[arg-type]


class TestJournal:
    def test_high_water(self) -> None:
        journal = Journal()
        for one in (entry(0, 10), entry(1, 4), entry(2, 3), entry(4, 6), entry(0, 9, mailbox="b@x")):
            journal.record(one)
        assert journal.high_water() == {("app", "a@x"): 3, ("app", "b@x"): 1}

    def test_busy_share(self) -> None:
        journal = Journal()
        for one in (entry(0, 10), entry(0, 5), entry(5, 8)):
            journal.record(one)
        assert journal.busy_share(2) == pytest.approx(0.8)
        assert journal.busy_share(3) == 0

    def test_windows(self) -> None:
        journal = Journal()
        for at, octets in ((0, 5), (4, 7), (9, 1), (13, 2)):
            journal.record(entry(at, at, octets))
        assert journal.most_in_window(10) == {("app", "a@x"): 3}
        assert journal.most_in_window(10, "octets_in") == {("app", "a@x"): 13}
        assert journal.most_in_window(1) == {("app", "a@x"): 1}

    def test_doubles_are_equal_content_created_twice_in_one_folder(self) -> None:
        journal = Journal()
        stored = [
            Stored(1, 7, "aa", 5),
            Stored(2, 7, "aa", 5),
            Stored(3, 8, "aa", 5),
            Stored(1, 7, "aa", 5, update=True),
            Stored(4, 7, "bb", 5),
        ]
        for one in stored:
            journal.record(entry(0, 1, stored=[one]))
        assert journal.doubles() == [("a@x", 7, "aa", 2)]
        assert [one["times"] for one in judgement(journal)["doubles"]] == [2]

    def test_select_and_counts(self) -> None:
        journal = Journal()
        journal.record(entry(0, 1, write=True))
        journal.record(entry(5, 6, status=429, throttled=True))
        journal.record(entry(7, 8, operation="list", invitations=2))
        assert journal.counts("operation", "status") == {
            ("importItem", 200): 1,
            ("importItem", 429): 1,
            ("list", 200): 1,
        }
        assert (journal.writes(), journal.reads(mailbox="A@X"), journal.invitations()) == (1, 2, 2)
        assert [e.started for e in journal.select(since=5, until=7)] == [5]
        assert judgement(journal)["throttled"] == 1


def perform(world: World, **more: object) -> tuple[Response, Entry]:
    """One operation whose work answers 200 and deletes one thing; its answer and its entry."""

    def work(call: Call) -> Response:
        call.deleted += 1
        return Response(200, [], b"done")

    request = Request("POST", "/x", "/x", service="graph", octets=11, received=world.clock.now())
    response = asyncio.run(
        world.perform(request, "op", work=work, mailbox="a@x", app_id="app", **more)  # type: ignore[arg-type]
    )
    assert request.recorded
    return response, world.journal.entries[-1]


class TestPerform:
    def test_an_undisturbed_call_is_recorded(self) -> None:
        world = World(clock=LabClock(100.0), knobs=Knobs(latency_s=0.5))
        response, found = perform(world)
        assert response.status == 200
        assert (found.operation, found.status, found.octets_in, found.octets_out) == ("op", 200, 11, 4)
        assert (found.started, found.finished, found.deleted) == (100.0, 100.5, 1)

    def test_before_means_no_effect(self) -> None:
        response, found = perform(World(faults=Faults([{"fault": "retry_503"}])))
        assert (response.status, response.header("retry-after")) == (503, "5")
        assert (found.status, found.deleted, found.fault) == (503, 0, "retry_503")

    def test_lost_answer_has_its_effect(self) -> None:
        response, found = perform(World(faults=Faults([{"fault": "lost_answer"}])))
        assert response.abort == "reset"
        assert (found.status, found.deleted, found.fault) == (0, 1, "lost_answer")

    def test_late_504_has_its_effect(self) -> None:
        response, found = perform(World(faults=Faults([{"fault": "late_504"}])))
        assert b"UnknownError" in b"".join(response.buffers())
        assert (found.status, found.deleted) == (504, 1)

    def test_a_code_is_worded_by_the_room(self) -> None:
        world = World(faults=Faults([{"fault": "server_busy", "back_off_ms": 9}]))
        response, found = perform(
            world, word=lambda action: Response(500, [], str(action.back_off_ms).encode())
        )
        assert (response.body, found.code, found.deleted) == (b"9", "ErrorServerBusy", 0)

    def test_truncated_body(self) -> None:
        response, _ = perform(World(faults=Faults([{"fault": "truncated_body"}])))
        assert b"".join(response.buffers()) == b"do"
        assert response.octets == 2

    def test_effects(self) -> None:
        world = World(clock=LabClock(0.0))
        token = world.tokens.issue("access", 100)
        session = world.tokens.issue("import", 100)
        box = world.m365.create_mailbox("a@x")
        world.faults = Faults(
            [
                {"fault": "expire_tokens", "nth": 1},
                {"fault": "expire_sessions", "nth": 2},
                {"fault": "quota_full", "nth": 3},
                {"fault": "advance_clock", "nth": 4, "amount": 60},
                {"fault": "invalidate_delta", "nth": 5},
            ]
        )
        perform(world)
        assert world.tokens.check(token.value, "access") is None
        assert world.tokens.look(token.value, "access") is token
        assert world.tokens.check(session.value, "import") is session
        perform(world)
        assert world.tokens.check(session.value, "import") is None
        perform(world)
        assert box.quota_octets == 0
        perform(world)
        assert world.clock.now() == 60
        response, _ = perform(world)
        assert world.sync_epoch == 1
        assert response.status == 200


class TestSignIn:
    def test_accounts(self) -> None:
        world = World()
        account = Account(
            "svc@x.example",
            "pw",
            netbios="X\\svc",
            impersonates=True,
            impersonation_scope=frozenset({"a@x.example"}),
        )
        world.add_account(account)
        assert world.account("SVC@x.example", "pw") is account
        assert world.account("x\\svc", "pw") is account
        assert world.account("svc@x.example", "PW") is None
        assert account.may_impersonate("A@x.example")
        assert not account.may_impersonate("b@x.example")
        account.enabled = False
        assert world.account("svc@x.example", "pw") is None

    def test_secrets_do_not_show(self) -> None:
        world = World()
        token = world.tokens.issue("access", 1, value="s3cret-token")
        assert "s3cret" not in repr(token)
        assert "pw-value" not in repr(Account("a", "pw-value"))
