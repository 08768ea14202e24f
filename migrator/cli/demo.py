"""`migrator demo`: a whole migration on this machine, against the lab, with the very commands of a real one.

The lab runs in a child process. Every step is a process of its own, so that what is interrupted is truly interrupted.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from migrator.cli.exits import Exit
from migrator.cli.options import Option
from migrator.errors import RunError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.lab.options import LabOptions

FOLDER = Path("migrator-demo")
MARKER = ".migrator-demo"
OURS = (
    "migration.toml",
    "mailboxes.csv",
    ".gitignore",
    "ledger.sqlite",
    "plan.json",
    "migrator.log",
    "lab",
    "report",
    MARKER,
)
INTERRUPT_AT = 0.3  # of all items
STEP_MOST_S = 120.0
LATENCY_S = 0.02
BURST_AT, BURST_OF = 0.6, 12  # so many imports are answered "too many requests": in the second run
LOST_AT = (0.1, 0.2)  # imports that are stored and whose answer is lost


def command(
    folder: Annotated[
        Path, Option("--dir", metavar="DIR", help="Where to write (default: migrator-demo).")
    ] = FOLDER,
    mailboxes: Annotated[int, Option("--mailboxes", metavar="N", help="Mailboxes (default 8).")] = 8,
    items: Annotated[int, Option("--items", metavar="N", help="Items per mailbox (default 60).")] = 60,
) -> int:
    """Try everything in a minute, without any server: simulated servers
    on this machine, check, plan, an interrupted run, resume, verify, report.

    Example: migrator demo
    """
    from migrator.lab.server import LabProcess

    began = time.monotonic()
    clear(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / MARKER).write_text(
        "made by `migrator demo`, which may overwrite this folder\n", encoding="utf-8"
    )
    say(
        f"A lab starts on this machine: an Exchange server with {mailboxes} mailboxes, and an empty Microsoft 365."
    )
    say("All people and mails are invented.")
    with ExitStack() as stack:
        lab = stack.enter_context(
            LabProcess(lab_options(folder / "lab", mailboxes, items), log=folder / "lab" / "lab.log")
        )
        write_demo_project(folder, lab.info)
        expected = sum(box["items"] for box in lab.info["exchange"]["mailboxes"])
        show = stack.enter_context(Steps(folder))
        show.heading("1. Does everything fit? Accounts, rights, and what the target takes.")
        show.step("check", expect={Exit.DONE})
        show.heading("2. What would be done? Nothing is written.")
        show.step("plan", expect={Exit.DONE})
        show.heading("3. The run, which is interrupted half-way, as with Ctrl-C.")
        show.interrupted_run(expected)
        show.heading(
            "4. The same command again. It goes on where it stopped, looks after what was in doubt, and waits when the "
            "server asks for it."
        )
        show.step("run", expect={Exit.DONE})
        show.heading("5. Source and target compared.")
        show.step("verify", expect={Exit.DONE})
        show.heading("6. The report.")
        show.step("report", expect={Exit.DONE})
        tell_end(folder, lab.control("GET", "judgement"), time.monotonic() - began)
    return 0


def clear(folder: Path) -> None:
    """Take away what an earlier demo wrote. Raises UserError for a folder that is not the demo's own."""
    import shutil

    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARKER).is_file()):
        raise UserError(
            f"{folder} is there and was not made by the demo",
            code="exists",
            remedy="name another with --dir; nothing was changed",
        )
    for path in folder.iterdir():
        if path.name in OURS or path.name.startswith("ledger.sqlite"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def lab_options(where: Path, mailboxes: int, items: int) -> LabOptions:
    from migrator.lab.options import LabOptions, Seeding

    where.mkdir(parents=True, exist_ok=True, mode=0o700)
    whole = mailboxes * items
    burst = range(int(whole * BURST_AT), int(whole * BURST_AT) + BURST_OF)
    faults: list[dict[str, Any]] = [
        {"fault": "throttled_429", "service": "import", "nth": number, "retry_after": "2"} for number in burst
    ]
    faults += [{"fault": "lost_answer", "service": "import", "nth": int(whole * share)} for share in LOST_AT]
    return LabOptions(
        tls=True,
        folder=str(where),
        seeding=Seeding(mailboxes=mailboxes, items=items, size_most=2 << 20),
        knobs={"latency_s": LATENCY_S},
        faults=faults,
    )


def write_demo_project(folder: Path, info: dict[str, Any]) -> None:
    """A project as `init` writes it, filled in. Secrets lie in files beside the lab, as references want it."""
    import csv
    import io

    from migrator.cli.guard import write_private

    account, cloud = info["exchange"]["service_account"], info["m365"]
    write_private(folder / "lab" / "old-password.txt", account["password"] + "\n")
    write_private(folder / "lab" / "client-secret.txt", cloud["client_secret"] + "\n")
    values = {
        "EWS": info["urls"]["ews"],
        "LOGIN": account["login"],
        "TENANT": cloud["tenant_id"],
        "CLIENT": cloud["client_id"],
        "GRAPH": info["urls"]["graph"] + "/v1.0",
        "AUTHORITY": info["urls"]["login"],
        "IMPORT": info["urls"]["import"].partition("://")[2],
        "CA": os.path.relpath(info["ca_file"], folder).replace(os.sep, "/") if info["ca_file"] else "",
    }
    text = PROJECT
    for name, value in values.items():
        text = text.replace(f"@{name}@", value.replace("\\", "\\\\"))
    write_private(folder / "migration.toml", text)
    rows = io.StringIO(newline="")
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(["source", "target", "batch", "name"])
    targets = [box["address"] for box in cloud["mailboxes"]]
    for number, (box, target) in enumerate(zip(info["exchange"]["mailboxes"], targets, strict=True)):
        writer.writerow([box["address"], target, "pilot" if number < 2 else "wave 1", box.get("name", "")])
    write_private(folder / "mailboxes.csv", rows.getvalue())


PROJECT = """\
# Written by `migrator demo`: a project as `migrator init` makes it, for servers of the lab.

manifest = "mailboxes.csv"
ledger = "ledger.sqlite"

[endpoints.old]
kind = "ews"
url = "@EWS@"
auth = "basic"
access = "impersonation"
username = "@LOGIN@"
secret = "file:lab/old-password.txt"
ca_file = "@CA@"

[endpoints.new]
kind = "graph"
url = "@GRAPH@"
authority = "@AUTHORITY@"
tenant = "@TENANT@"
client_id = "@CLIENT@"
auth = "secret"
secret = "file:lab/client-secret.txt"
import_hosts = ["@IMPORT@"]
ca_file = "@CA@"

[defaults]
source = "old"
target = "new"

[run]
mailboxes = 8
"""


class Steps:
    """Runs commands as a user would and holds them to what they should end with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing running. A child that had the same Ctrl-C as we settles what it has in flight."""
        child = self._child
        if child is None or child.poll() is not None:
            return
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def heading(self, text: str) -> None:
        say("")
        say(text, bold=True)

    def step(self, *words: str, expect: set[Exit]) -> int:
        child = self._start(*words)
        return self._ended(child, words[0], expect)

    def interrupted_run(self, expected: int) -> None:
        child = self._start("run")
        for done in self._progress(child):
            if done >= expected * INTERRUPT_AT:
                break
        if child.poll() is None:
            interrupt(child)
        self._ended(child, "run", {Exit.INTERRUPTED})

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        say(f"$ migrator {' '.join(words)} -p {self.folder}", dim=True)
        flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) if words[0] == "run" else 0
        self._child = subprocess.Popen(
            [sys.executable, "-m", "migrator", *words, "-p", str(self.folder)], creationflags=flags
        )
        return self._child

    def _progress(self, child: subprocess.Popen[bytes]) -> Iterator[int]:
        """Items copied so far, again and again until the child has ended."""
        from migrator.cli.loading import open_ledger
        from migrator.errors import MigratorError
        from migrator.plan.project import load_project

        project = load_project(self.folder)
        ledger = None
        until = time.monotonic() + STEP_MOST_S
        try:
            while child.poll() is None and time.monotonic() < until:
                try:
                    ledger = ledger or open_ledger(project)
                    yield sum(row.copied for row in ledger.balance())
                except MigratorError:
                    yield 0  # not made yet
                time.sleep(0.05)
        finally:
            if ledger is not None:
                ledger.close()

    def _ended(self, child: subprocess.Popen[bytes], name: str, expect: set[Exit]) -> int:
        try:
            code = child.wait(STEP_MOST_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise RunError(f"`migrator {name}` did not end", code="demo", remedy="report it") from None
        if code not in expect:
            wanted = ", ".join(str(int(one)) for one in sorted(expect))
            raise RunError(
                f"`migrator {name}` ended with {code}, not {wanted}",
                code="demo",
                remedy=f"what it wrote is in {self.folder}; report it",
            )
        return code


def interrupt(child: subprocess.Popen[bytes]) -> None:
    """What Ctrl-C does."""
    if sys.platform == "win32":
        child.send_signal(signal.CTRL_BREAK_EVENT)
    else:
        child.send_signal(signal.SIGINT)


def tell_end(folder: Path, judgement: dict[str, Any], took_s: float) -> None:
    from migrator.cli.loading import open_ledger
    from migrator.cli.run_command import print_balance
    from migrator.plan.project import load_project
    from migrator.report.summary import summarise

    project = load_project(folder)
    with open_ledger(project) as ledger:
        summary = summarise(ledger, now=time.time(), title="demo")
    say("")
    say(f"Done in {took_s:.0f} s.", bold=True)
    print_balance(summary)
    if not summary.closes:
        raise RunError("the balance does not close", code="demo", remedy="report it")
    doubles = judgement.get("doubles")
    if doubles is not None:
        count = doubles if isinstance(doubles, int) else len(doubles)
        say(f"The servers' own journal counts {count} doubled items.")
    say("")
    say("Written:")
    for name in ("migration.toml", "mailboxes.csv", "ledger.sqlite", "report/report.html"):
        say(f"  {folder / name}")
    say("")
    say("The lab is gone; ledger and report stay. Look at them, or begin with your own servers:")
    say(f"  migrator status --all -p {folder}")
    say("  migrator init my-migration")


def say(text: str, *, bold: bool = False, dim: bool = False) -> None:
    from migrator.cli.tables import cell, console

    console().print(cell(text, "bold" if bold else "dim" if dim else ""))
    sys.stdout.flush()
