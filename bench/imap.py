"""Dovecot → Dovecot: the product against a bare relay (the limit) and against mbsync, interimap and imapsync.

    python -m bench.imap [--rounds 5] [--scale 1.0] [--cases mixed,small,far,large] [--json FILE]

Both mailbox stores are on one Dovecot of this machine, in memory, without TLS; every contender copies the same mailboxes to new
ones. Rounds are interleaved, the median counts. Peers that are not installed are left out. The limit: one connection on each side
per mailbox, the bodies of all its folders fetched in one pipeline, appended by MULTIAPPEND with LITERAL+ in another, no answer waited
for before the end, no ledger, no look at anything.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.contracts.samples import MOMENT
from tests.servers import imap_servers as servers
from tests.servers.cut_proxy import CutProxy

ROOT = Path(__file__).parents[1]
FOLDERS = (
    ("Inbox",),
    ("Sent",),
    ("Drafts",),
    ("Trash",),
    ("Junk",),
    ("Work",),
    ("Work", "Plans"),
    ("Work", "Old"),
    ("Archive",),
    ("Archive", "2021"),
)


@dataclass
class Case:
    name: str
    mailboxes: int
    items: int
    sizes: Callable[[random.Random], int]
    at_once: int
    delay_s: float = 0.0


def mixed(chance: random.Random) -> int:
    """Lognormal, median 12 KB, mean about 100 KB, at most 5 MB."""
    return min(5_000_000, int(chance.lognormvariate(9.4, 2.0)))


def large(chance: random.Random) -> int:
    """As `mixed`, and now and then 50 MB."""
    return 50_000_000 if chance.random() < 0.04 else mixed(chance)


def small(chance: random.Random) -> int:
    return chance.randrange(400, 1600)


def cases(scale: float) -> list[Case]:
    def n(number: int) -> int:
        return max(1, int(number * scale))

    return [
        Case("mixed", 20, n(500), mixed, 4),
        Case("small", 1, n(10_000), small, 1),
        Case("far", 4, n(200), mixed, 4, 0.02),
        Case("large", 20, n(12), large, 20),
    ]


def fill(server: servers.Server, user: str, case: Case, seed: int) -> int:
    chance = random.Random(seed)
    raw = server.raw(user)
    octets = 0
    for at, path in enumerate(FOLDERS):
        batch = []
        for n in range(case.items * at // len(FOLDERS), case.items * (at + 1) // len(FOLDERS)):
            body = chance.randbytes(case.sizes(chance) // 2).hex()
            lines = "\r\n".join(body[i : i + 76] for i in range(0, len(body), 76))
            text = (
                f"Message-ID: <{seed}.{n}@bench.example>\r\nFrom: a@old.example\r\nSubject: mail {n}\r\n\r\n{lines}\r\n"
            ).encode()
            octets += len(text)
            batch.append((text, servers.FLAG_SETS[n % len(servers.FLAG_SETS)], MOMENT + timedelta(minutes=n)))
        servers.fill(raw, server, path, batch)
    raw.logout()
    return octets


# ----------------------------------------------------------------- the limit

RELAY = """
import sys, socket, re
sys.path.insert(0, {root!r})
from concurrent.futures import ThreadPoolExecutor
from migrator.adapters.imap.wire import Wire
FAST = re.compile(rb'\\* \\d+ FETCH \\(UID \\d+ FLAGS \\(([^)]*)\\) INTERNALDATE (".*?") BODY')
def login(port, user):
    sock = socket.create_connection(("127.0.0.1", port)); sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wire = Wire(sock, spool=1 << 40); wire.next(); wire.ask(b"LOGIN " + user.encode() + b" {password}"); return wire
def relay(pair):
    old, new = pair
    a, b = login({far}, old), login({near}, new)
    _, listed = a.ask(b'LIST "" "*"')
    names = [pieces[0].strip().split(b' "|" ')[1] for pieces in listed]
    asked = [[a.begin(b"EXAMINE " + name), a.begin(b"UID FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])")][1] for name in names]
    made = [b.begin(b"CREATE " + name) for name in names if name.upper() != b"INBOX"]
    a.flush(); b.flush()
    tags = []
    for name, ended in zip(names, asked):
        tags.append(b.begin(b"SELECT " + name))
        parts, fill = [], 0
        def pour():
            nonlocal parts, fill
            if parts: tags.append(b.begin(b"APPEND " + name, *parts))
            b.flush()
            parts, fill = [], 0
        while ended not in a.done:
            got = a.next()
            if isinstance(got, bytes) or len(got) != 3: continue
            flags, date = FAST.match(got[0]).groups()
            flags = b" ".join(f for f in flags.split() if f != b"\\Recent")
            parts += [b" (" + flags + b") " + date + b" {{%d+}}\\r\\n" % len(got[1]), got[1]]
            fill += len(got[1])
            if fill > 4 << 20: pour()
        pour()
    b.finish(*made, *tags)
with ThreadPoolExecutor({at_once}) as pool:
    list(pool.map(relay, {pairs!r}))
"""


@dataclass
class Place:
    """Where a round happens."""

    folder: Path
    far: int  # ports
    near: int
    pairs: list[tuple[str, str]]
    at_once: int


def limit(place: Place) -> None:
    code = RELAY.format(
        root=str(ROOT),
        password=servers.PASSWORD,
        far=place.far,
        near=place.near,
        at_once=place.at_once,
        pairs=place.pairs,
    )
    _run([sys.executable, "-c", code])


def migrator(place: Place) -> None:
    if not (place.folder / "migration.toml").exists():

        def table(port: int) -> str:
            return f'kind = "imap"\nurl = "imap://127.0.0.1:{port}"\nusername = "any"\nsecret = "env:IMAP_PASSWORD"'

        servers.project(
            place.folder,
            table(place.far),
            table(place.near),
            place.pairs,
            mailboxes=place.at_once,
        )
    _run([sys.executable, "-m", "migrator", "run", "-p", str(place.folder)])


def mbsync(place: Place) -> None:
    def one(pair: tuple[str, str]) -> None:
        home = place.folder / pair[0]
        home.mkdir(parents=True, exist_ok=True)
        stores = "".join(
            f"IMAPStore {name}\nHost 127.0.0.1\nPort {port}\nUser {user}\nPass {servers.PASSWORD}\nSSLType None\n"
            f"AuthMechs LOGIN\nPipelineDepth 50\n\n"
            for name, port, user in (("far", place.far, pair[0]), ("near", place.near, pair[1]))
        )
        (home / "rc").write_text(
            stores + f"Channel c\nFar :far:\nNear :near:\nPatterns *\nCreate Near\nSync Pull New Flags\n"
            f"CopyArrivalDate yes\nSyncState {home}/\n",
            encoding="utf-8",
        )
        _run(["mbsync", "-q", "-c", str(home / "rc"), "-a"])

    _each(one, place)


def interimap(place: Place) -> None:
    def one(pair: tuple[str, str]) -> None:
        home = place.folder / pair[0]
        home.mkdir(parents=True, exist_ok=True)
        sides = "".join(
            f"[{name}]\ntype = imap\nhost = 127.0.0.1\nport = {port}\nusername = {user}\npassword = {servers.PASSWORD}\n"
            "STARTTLS = NO\n\n"
            for name, port, user in (("local", place.near, pair[1]), ("remote", place.far, pair[0]))
        )
        (home / "rc").write_text(f"database = {home}/db\nlist-mailbox = *\n\n{sides}", encoding="utf-8")
        (home / "rc").chmod(0o600)
        _run(["interimap", "--quiet", "--config", str(home / "rc")])

    _each(one, place)


def imapsync(place: Place) -> None:
    def one(pair: tuple[str, str]) -> None:
        sides = [
            word
            for n, (port, user) in enumerate(((place.far, pair[0]), (place.near, pair[1])), 1)
            for word in (
                *(f"--host{n}", "127.0.0.1", f"--port{n}", str(port), f"--user{n}", user),
                *(f"--password{n}", servers.PASSWORD, f"--nossl{n}", f"--notls{n}"),
            )
        ]
        _run(["imapsync", *sides, "--nolog", "--noreleasecheck"])

    _each(one, place)


CONTENDERS: dict[str, tuple[str, Callable[[Place], None]]] = {
    "limit": (sys.executable, limit),
    "migrator": (sys.executable, migrator),
    "mbsync": ("mbsync", mbsync),
    "interimap": ("interimap", interimap),
    "imapsync": ("imapsync", imapsync),
}


def _each(one: Callable[[tuple[str, str]], None], place: Place) -> None:
    with ThreadPoolExecutor(place.at_once) as pool:
        list(pool.map(one, place.pairs))


def _run(command: list[str]) -> None:
    env = {**os.environ, "IMAP_PASSWORD": servers.PASSWORD, "PYTHONPATH": str(ROOT)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled once
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
    ) as process:
        MEMORY.watch(process.pid)
        said, _ = process.communicate()
        MEMORY.forget(process.pid)
    if process.returncode:
        raise RuntimeError(f"{command[0]}: {process.returncode}: {said[-1600:]}")


class Memory:
    """The most that the processes at work held together, looked at every 10 ms: resident octets, shared pages counted in each."""

    def __init__(self) -> None:
        self._pids: set[int] = set()
        self._lock = threading.Lock()
        self.most = 0
        threading.Thread(target=self._look, daemon=True).start()

    def watch(self, pid: int) -> None:
        with self._lock:
            self._pids.add(pid)

    def forget(self, pid: int) -> None:
        with self._lock:
            self._pids.discard(pid)

    def _look(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while True:
            with self._lock:
                pids = set(self._pids)
            held = 0
            for pid in pids:
                with contextlib.suppress(OSError, IndexError, ValueError):
                    held += int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * page
            self.most = max(self.most, held)
            time.sleep(0.01)


MEMORY = Memory()


# ------------------------------------------------------------------ measuring


@contextlib.contextmanager
def ports(server: servers.Server, delay_s: float) -> Iterator[tuple[int, int]]:
    if not delay_s:
        yield server.port, server.port
        return
    with CutProxy(server.port, delay_s=delay_s) as far, CutProxy(server.port, delay_s=delay_s) as near:
        yield far.port, near.port


def measure(server: servers.Server, case: Case, rounds: int, who: list[str], again: bool) -> dict[str, Any]:
    olds = [f"{case.name}{n}" for n in range(case.mailboxes)]
    octets = sum(fill(server, user, case, seed) for seed, user in enumerate(olds))
    times: dict[str, list[float]] = {name: [] for name in who}
    second: dict[str, list[float]] = {name: [] for name in who if name != "limit"}
    exact: dict[str, bool] = {}
    memory: dict[str, int] = {}
    want = servers.picture(server, olds[0])
    with ports(server, case.delay_s) as (far, near):
        for number in range(rounds):
            for name in who:
                news = [f"{user}-{name}{number}" for user in olds]
                place = Place(
                    server.folder / f"{case.name}-{name}{number}",
                    far,
                    near,
                    list(zip(olds, news, strict=True)),
                    case.at_once,
                )
                work = CONTENDERS[name][1]
                MEMORY.most = 0
                began = time.monotonic()
                work(place)
                times[name].append(time.monotonic() - began)
                memory[name] = max(memory.get(name, 0), MEMORY.most)
                if again and name in second:
                    began = time.monotonic()
                    work(place)
                    second[name].append(time.monotonic() - began)
                if not number:
                    exact[name] = servers.picture(server, news[0]) == want
                for user in news:
                    shutil.rmtree(server.folder / "mail" / user, ignore_errors=True)
    return {
        "case": case.name,
        "mailboxes": case.mailboxes,
        "items": case.items,
        "octets": octets,
        "seconds": {name: round(statistics.median(found), 2) for name, found in times.items()},
        "again": {name: round(statistics.median(found), 2) for name, found in second.items() if found},
        "exact": exact,
        "memory_mb": {name: round(most / 1e6) for name, most in memory.items()},
        "ratio_to_limit": {
            name: round(statistics.median(a / b for a, b in zip(found, times["limit"], strict=True)), 2)
            for name, found in times.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--cases", default="mixed,small,far")
    parser.add_argument("--who", default=",".join(CONTENDERS))
    parser.add_argument(
        "--no-again", action="store_true", help="leave out the second runs, which have nothing to do"
    )
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    who = [name for name in given.who.split(",") if shutil.which(CONTENDERS[name][0])]
    results = []
    with servers.short_folder("bi", "/dev/shm") as folder:
        server = servers.dovecot(folder)
        try:
            for case in cases(given.scale):
                if case.name in given.cases.split(","):
                    results.append(measure(server, case, given.rounds, who, not given.no_again))
                    print(json.dumps(results[-1]), flush=True)
        finally:
            server.stop()
    print(json.dumps({"rounds": given.rounds, "cores": os.cpu_count()}))
    if given.json:
        given.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
