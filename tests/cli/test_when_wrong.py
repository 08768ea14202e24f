"""When things are wrong: the row and the next step are named, the exit code is right, and nothing is lost."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from migrator.cli.loading import load
from migrator.engine import run as engine_run
from migrator.engine.stop import SystemClock
from migrator.lab.server import Lab
from migrator.lab.world import World
from migrator.ledger import Ledger, database
from migrator.model import Job
from tests.cli.rehearsal import ALMA, BERTRAND, Rehearsal

TARGET = ALMA.replace("old", "new")


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rehearsal]:
    monkeypatch.chdir(tmp_path)
    rehearsal = Rehearsal(tmp_path / "acme", items=6)
    yield rehearsal
    rehearsal.close()
    assert not list(tmp_path.glob("migrator-crash*"))


def leases_run_out(play: Rehearsal) -> None:
    """Without waiting for it on the wall clock."""
    with closing(sqlite3.connect(play.folder / "ledger.sqlite")) as connection:
        connection.execute("update job set lease_until = 0")
        connection.commit()


def jobs_of(play: Rehearsal) -> tuple[Job, ...]:
    return load(play.folder).jobs


def apps(world: World) -> list:  # type: ignore[type-arg]
    return [app for tenant in world.tenants.values() for app in tenant.apps.values()]


def wrong_password(play: Rehearsal) -> None:
    (play.folder / "lab" / "old-password.txt").write_text("not this one\n")


def no_right(play: Rehearsal) -> None:
    play.do(lambda world: [setattr(one, "impersonates", False) for one in world.accounts.values()])


def ews_shut(play: Rehearsal) -> None:
    play.do(lambda world: [setattr(one, "ews_allowed", False) for one in world.accounts.values()])


def expired_secret(play: Rehearsal) -> None:
    play.do(
        lambda world: [
            setattr(s, "expires", world.clock.now() - 9) for app in apps(world) for s in app.secrets
        ]
    )


def no_consent(play: Rehearsal) -> None:
    play.do(lambda world: [app.roles.clear() for app in apps(world)])


def down(play: Rehearsal) -> None:
    play.lab.stop()


@pytest.mark.parametrize(
    ("wrong", "check_code", "run_code", "words", "remedy"),
    [
        (wrong_password, 2, 2, "wrong name or password", "Check name and secret"),
        (no_right, 2, 4, "no right to impersonate", "ApplicationImpersonation"),
        (ews_shut, 2, 4, "EWS shut", "Set-CASMailbox"),
        (expired_secret, 2, None, "secret has expired", "Create a new client secret"),
        (no_consent, 2, None, "User.Read.All is missing", "admin consent"),
        (down, 4, 4, "refused", "whether the server is up"),
    ],
)
def test_nothing_can_begin(
    play: Rehearsal,
    wrong: Callable[[Rehearsal], None],
    check_code: int,
    run_code: int | None,
    words: str,
    remedy: str,
) -> None:
    wrong(play)
    checked, ran = play("check"), play("run")
    assert checked.exit_code == check_code, checked.output
    assert ran.exit_code == run_code if run_code is not None else ran.exit_code in (2, 4, 5), ran.output
    rows = json.loads(play("check", "--json").stdout)["rows"]
    for row in rows:
        bad = next(side for side in (row["source"], row["target"]) if not side["ok"])
        assert words in bad["error"]
        assert remedy in bad["remedy"]
    assert words in ran.output
    assert remedy in ran.output
    assert "Traceback" not in checked.output + ran.output
    assert "line 2: " + ALMA in ran.output
    assert "line 3: " + BERTRAND in ran.output


def test_wrong_password_is_tried_once(play: Rehearsal) -> None:
    """An account must not be locked by a bulk migration."""
    wrong_password(play)
    assert play("run").exit_code == 2
    refused = play.do(lambda world: sum(entry.status == 401 for entry in world.journal.entries))
    assert refused <= 2


@pytest.mark.parametrize(
    ("side", "words"),
    [("old", "the server knows no such mailbox"), ("new", "no such user or mailbox in the tenant")],
)
def test_an_unknown_mailbox_stops_alone(play: Rehearsal, side: str, words: str) -> None:
    play.change(f"alma.whitcombe@{side}.example", f"nobody@{side}.example", "mailboxes.csv")
    checked = play("check")
    assert checked.exit_code == 2
    assert words in " ".join(checked.output.split())
    ran = play("run")
    assert ran.exit_code == 4
    assert "line 2: " in ran.output
    assert words in ran.output
    assert f"{BERTRAND}: done" in ran.output
    assert "→ Check the address in the manifest" in ran.output


def settled(play: Rehearsal) -> None:
    """After a cure the same command finishes, everything is there once, and a further run does nothing."""
    again = play("run")
    assert again.exit_code == 0, again.output
    totals = play.totals()
    assert totals["source"] == totals["copied"] > 0
    assert play.doubles() == 0
    assert play("verify").exit_code == 0


def test_no_licence(play: Rehearsal) -> None:
    play.do(lambda world: setattr(world.m365.mailbox(TARGET), "licensed", False))
    ran = play("run")
    assert ran.exit_code == 4
    assert "mailbox_not_ready" in ran.output
    assert "Assign a licence" in ran.output
    play.do(lambda world: setattr(world.m365.mailbox(TARGET), "licensed", True))
    settled(play)


def test_quota_full(play: Rehearsal) -> None:
    play.do(lambda world: setattr(world.m365.mailbox(TARGET), "quota_octets", 30_000))
    ran = play("run")
    assert ran.exit_code == 4
    assert "line 2: " + ALMA in ran.output
    assert "quota_full" in ran.output
    assert "Raise the mailbox's quota" in play("errors").output.replace("\n", " ")
    play.do(lambda world: setattr(world.m365.mailbox(TARGET), "quota_octets", 1 << 40))
    settled(play)


def test_too_large_is_skipped_with_its_reason(play: Rehearsal) -> None:
    play.do(lambda world: setattr(world.m365.mailbox(TARGET), "max_receive_octets", 3000))
    ran = play("run")
    assert ran.exit_code == 0
    totals = play.totals()
    assert totals["skipped"] > 0
    assert totals["closes"]
    assert "larger than the target takes" in play("report", "--as", "text").output


def test_an_item_that_cannot_be_read(play: Rehearsal) -> None:
    play.fault("item_error", code="ErrorCorruptData", nth=3)
    ran = play("run")
    assert ran.exit_code in (0, 3)
    totals = play.totals()
    assert totals["failed"] + totals["skipped"] + totals["copied"] == totals["source"]
    assert totals["closes"]
    if ran.exit_code == 3:
        assert "migrator errors" in ran.output
        listed = play("errors").output
        assert "1 × " in listed
        assert "→" in listed
        assert play("run", "--retry-failed").exit_code == 0


def test_a_folder_that_is_refused(play: Rehearsal) -> None:
    play.fault("unknown_504", operation="createFolder", status=400)
    ran = play("run")
    assert play.do(lambda world: len(world.faults.struck)) > 0
    assert ran.exit_code in (3, 4), ran.output
    assert play.totals()["copied"] > 0
    play.do(lambda world: world.faults.clear())
    assert play("run", "--retry-failed").exit_code == 0
    assert play.totals()["closes"]


def test_the_servers_go_away_half_way(play: Rehearsal) -> None:
    play.do(lambda world: setattr(world, "knobs", world.knobs.swap({"latency_s": 0.02})))
    world = play.lab.world

    def pull_the_plug() -> None:
        while play.do(lambda world: sum(len(entry.stored) for entry in world.journal.entries)) < 8:
            if finished.wait(0.01):
                return
        play.lab.stop()

    finished = threading.Event()
    plug = threading.Thread(target=pull_the_plug)
    plug.start()
    ran = play("run")
    finished.set()
    plug.join()
    assert ran.exit_code == 4, ran.output
    assert "the same command again" in ran.output
    ports = {
        name: int(getattr(world.urls, name).rpartition(":")[2])
        for name in ("exchange", "graph", "login", "imports")
    }
    play.lab = Lab(world, tls=True, ports=ports, folder=play.folder / "lab").start()
    settled(play)


def test_a_ledger_of_a_newer_version(play: Rehearsal) -> None:
    assert play("run").exit_code == 0
    with closing(sqlite3.connect(play.folder / "ledger.sqlite")) as connection:
        connection.execute("update alembic_version set version_num = '9999_of_next_year'")
        connection.commit()
    for command in ("run", "status", "verify"):
        done = play(command)
        assert done.exit_code == 2, done.output
        assert "newer" in done.output


def test_a_mailbox_that_another_process_works_on(play: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_run, "PATIENCE_S", 0.3)
    monkeypatch.setattr(engine_run, "CLAIM_AGAIN_S", 0.1)
    assert play("run", "--only", "3").exit_code == 0  # both rows are known to the ledger now
    ledger_file = play.folder / "ledger.sqlite"
    assert play("run", "--dry-run").exit_code == 0
    with Ledger.open(ledger_file, clock=SystemClock()) as other:
        other.register(jobs_of(play))
        (job,) = [one for one in other.jobs() if one.source == ALMA]
        assert other.claim(job.id, 99)
        done = play("run")
        assert done.exit_code == 4, done.output
        assert ALMA in done.output
        assert "another process" in done.output
    leases_run_out(play)
    settled(play)


def test_a_full_disk(play: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite answers as on a full disk once its file may not grow; what was acknowledged before stays."""
    with closing(sqlite3.connect(play.folder / "ledger.sqlite")) as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()

    def small(
        path: Path, connect: Callable[[Path], sqlite3.Connection] = database.connect
    ) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute(f"PRAGMA max_page_count={pages + 2}")
        return connection

    monkeypatch.setattr(database, "connect", small)
    done = play("run")
    monkeypatch.undo()
    assert done.exit_code == 5, done.output
    assert "is full" in done.output
    assert "same command again" in done.output
    leases_run_out(play)  # they could not be given back, the disk being full
    settled(play)


def test_an_unreadable_manifest(play: Rehearsal) -> None:
    (play.folder / "mailboxes.csv").write_bytes(
        "source,target\nb\u00e4r@old.example,x@new.example\n".encode("cp1252")
    )
    done = play("run")
    assert done.exit_code == 2
    assert "line 2 has the byte 0xE4" in done.output
    assert play.do(lambda world: len(world.journal.entries)) == 0


def test_a_dry_run_and_a_plan_write_nothing(play: Rehearsal) -> None:
    for command in (
        ("plan",),
        ("plan", "--as", "json"),
        ("plan", "--as", "csv"),
        ("run", "--dry-run"),
        ("run", "--dry-run", "--json"),
    ):
        done = play(*command)
        assert done.exit_code == 0, done.output
    assert play.do(lambda world: [entry.operation for entry in world.journal.entries if entry.write]) == []


def test_no_canary_writes_nothing(play: Rehearsal) -> None:
    assert play("check", "--no-canary").exit_code == 0
    assert play.do(lambda world: [entry.operation for entry in world.journal.entries if entry.write]) == []


def test_a_run_of_some_rows(play: Rehearsal) -> None:
    assert play("run", "--only", "3", "--quiet").output == ""
    status = play("status", "--all").output
    assert BERTRAND in status
    assert ALMA not in status
    settled(play)
