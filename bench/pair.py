"""Two labs, each a process of its own, and the product as a third: what the measurements run on.

Everything is on loopback and over TLS on the Microsoft 365 side (sign-in needs it), plain on the Exchange side, for the
product and for what it is compared with alike.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.relay import Load
from migrator.lab.journal import Entry, Journal
from migrator.lab.options import LabOptions, Seeding
from migrator.lab.server import LabProcess


@dataclass
class Pair:
    exchange: LabProcess
    m365: LabProcess
    folder: Path
    _token: str = field(default="", repr=False)

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.m365.info["ca_file"])

    def graph(self, method: str, path: str, body: Any = None) -> Any:
        """One call of Graph, for preparations outside what is measured."""
        info = self.m365.info
        if not self._token:
            tenant = info["m365"]
            form = urllib.parse.urlencode(
                {
                    "grant_type": "client_credentials",
                    "client_id": tenant["client_id"],
                    "client_secret": tenant["client_secret"],
                    "scope": "https://graph.microsoft.com/.default",
                }
            ).encode()
            url = f"{info['urls']['login']}/{tenant['tenant_id']}/oauth2/v2.0/token"
            self._token = json.load(urllib.request.urlopen(url, form, context=self.context))["access_token"]
        request = urllib.request.Request(
            f"{info['urls']['graph']}/v1.0{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, context=self.context) as answer:
            return json.load(answer)

    def loads(self) -> list[Load]:
        """Listings, folders and import sessions made before the clock starts."""
        found = []
        for mailbox in self.exchange.info["exchange"]["mailboxes"]:
            address = mailbox["address"]
            mbx = self.graph("GET", f"/users/{address}/settings/exchange")["primaryMailboxId"]
            folder = self.graph(
                "POST",
                f"/admin/exchange/mailboxes/{mbx}/folders/MsgFolderRoot/childFolders",
                {"displayName": "Relayed", "type": "IPF.Note"},
            )
            session = self.graph("POST", f"/admin/exchange/mailboxes/{mbx}/createImportSession")
            found.append(Load(address, _item_ids(self, address), folder["id"], session["importUrl"]))
        return found

    def project(self, name: str, **run: Any) -> Path:
        """A project folder for all mailboxes of the pair."""
        folder = self.folder / name
        folder.mkdir()
        source, target = self.exchange.info, self.m365.info
        settings = "\n".join(f"{key} = {json.dumps(value)}" for key, value in run.items())
        (folder / "migration.toml").write_text(
            f"""manifest = "mailboxes.csv"
ledger = "ledger.sqlite"
[endpoints.old]
kind = "ews"
url = "{source["urls"]["ews"]}"
auth = "basic"
username = "{source["exchange"]["service_account"]["login"]}"
secret = "env:BENCH_SOURCE"
[endpoints.old.limits]
concurrent = 8
requests = 0
upload_octets = 0
[endpoints.new]
kind = "graph"
url = "{target["urls"]["graph"]}"
authority = "{target["urls"]["login"]}"
tenant = "{target["m365"]["tenant_id"]}"
client_id = "{target["m365"]["client_id"]}"
auth = "secret"
secret = "env:BENCH_TARGET"
ca_file = {json.dumps(target["ca_file"])}
[endpoints.new.limits]
requests = 0
upload_octets = 0
[defaults]
source = "old"
target = "new"
[run]
{settings}
""",
            "utf-8",
        )
        rows = "".join(f"{m['address']},{m['address']}\n" for m in source["exchange"]["mailboxes"])
        (folder / "mailboxes.csv").write_text("source,target\n" + rows, "utf-8")
        return folder

    def migrate(self, project: Path, *arguments: str) -> Measured:
        """Run the product in a process of its own; its highest resident memory is read while it works (Linux)."""
        environment = os.environ | {
            "BENCH_SOURCE": self.exchange.info["exchange"]["service_account"]["password"],
            "BENCH_TARGET": self.m365.info["m365"]["client_secret"],
        }
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            begun = time.perf_counter()
            child = subprocess.Popen(
                [sys.executable, "-m", "migrator", *arguments, "--project", str(project)],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            peak = 0
            while child.poll() is None:
                peak = max(peak, _peak_memory(child.pid))
                time.sleep(0.02)
            seconds = time.perf_counter() - begun
            output.seek(0)
            return Measured(child.returncode, seconds, peak, output.read())


@dataclass(frozen=True)
class Measured:
    exit_code: int
    seconds: float  # with the start of Python
    peak_octets: int
    output: str


@contextmanager
def pair(seeding: Seeding, *, keep_streams: bool = False, **knobs: Any) -> Iterator[Pair]:
    """Both labs, seeded alike. knobs are given to both. keep_streams: what arrived can be exported again."""
    with (
        tempfile.TemporaryDirectory(prefix="migrator-bench-") as folder,
        LabProcess(LabOptions(halves=("exchange",), seeding=seeding, knobs=knobs)) as exchange,
        LabProcess(
            LabOptions(halves=("m365",), seeding=seeding, tls=True, keep_streams=keep_streams, knobs=knobs)
        ) as m365,
    ):
        yield Pair(exchange, m365, Path(folder))


def journal(lab: LabProcess, **filters: Any) -> Journal:
    """What a lab has seen, as its own journal: counting is its business."""
    query = urllib.parse.urlencode({"limit": 10_000_000, **filters})
    found = Journal()
    found.entries += [
        Entry(**{name: value for name, value in entry.items() if name != "stored"})
        for entry in lab.control("GET", f"journal?{query}")["entries"]
    ]
    return found


def forget(lab: LabProcess) -> None:
    """Begin the journal anew."""
    lab.control("POST", "journal", {"clear": True})


def run_seconds(project: Path) -> float:
    """What the last run took by its ledger: from its first act to its last, without the start of Python."""
    import sqlite3

    with sqlite3.connect(project / "ledger.sqlite") as ledger:
        row = ledger.execute("SELECT started, finished FROM run ORDER BY no DESC LIMIT 1").fetchone()
    return float(row[1] - row[0])


def copied(project: Path) -> int:
    """How many items the ledger says were copied."""
    import sqlite3

    with sqlite3.connect(project / "ledger.sqlite") as ledger:
        return int(ledger.execute("SELECT count(*) FROM entry WHERE state = 'copied'").fetchone()[0])


def _peak_memory(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0


def _item_ids(pair: Pair, address: str) -> list[str]:
    from migrator.adapters.registry import connect_for
    from migrator.assembly import SystemClock
    from migrator.auth.secrets import SecretStore
    from migrator.interfaces import Context
    from migrator.model import Mailbox
    from migrator.settings import Endpoint

    info = pair.exchange.info
    os.environ["BENCH_SOURCE"] = info["exchange"]["service_account"]["password"]
    endpoint = Endpoint(
        "old",
        "ews",
        url=info["urls"]["ews"],
        auth="basic",
        username=info["exchange"]["service_account"]["login"],
        secret="env:BENCH_SOURCE",
    )
    client = connect_for("ews")(endpoint, Context(SystemClock(), SecretStore()))
    source = client.source(Mailbox("old", address))
    ids = []
    for folder in source.folders():
        if folder.search:
            continue
        after = None
        while True:
            page = source.page(folder, after)
            ids += [ref.id for ref in page.refs]
            after = page.checkpoint
            if page.last:
                break
    source.close()
    client.close()
    return ids
