"""What a run loads, the first one and one that finds nothing to do: it starts as quickly as it loads little."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.adapters.imap_kit import dovecot  # noqa: F401 - fixture
from tests.servers import imap_servers as servers

NOT_LOADED = {
    "alembic",
    "cryptography",
    "exchangelib",
    "jinja2",
    "keyring",
    "lxml",
    "msal",
    "requests",
    "rich",
    "sqlalchemy",
    "tenacity",
    "truststore",
    "urllib3",
    "xlsxwriter",
    "migrator.adapters.ews",
    "migrator.adapters.graph",
    "migrator.assembly.checking",
    "migrator.assembly.surveying",
    "migrator.assembly.verifying",
    "migrator.cli.live",
    "migrator.engine.verify",
    "migrator.forecast",
    "migrator.formats.mime",
    "migrator.mapi",
    "migrator.notify",
    "migrator.plan.planfile",
    "migrator.report.html",
    "migrator.report.proof",
    "migrator.report.xlsx",
}
OURS_MOST = 114
"""Modules of this package. Who needs another on the way of every run asks first what it costs to load."""
PROGRAM = """
import sys
from migrator.cli.app import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    print("exit", end.code)
print("loaded", *sorted(sys.modules))
"""


def test_a_run_loads_little(dovecot: servers.Server, tmp_path: Path) -> None:  # noqa: F811
    old, new = dovecot.new_user(), dovecot.new_user()
    servers.hard_mailbox(dovecot, old)
    table = servers.table(dovecot)
    folder = servers.project(tmp_path / "project", table, table, [(old, new)])
    hidden = {"FORCE_COLOR", "TTY_COMPATIBLE", "PYTHONSTARTUP"}
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    for first in (True, False):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, "run", "-p", str(folder)],
            env={**env, "IMAP_PASSWORD": servers.PASSWORD, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=True,
        )
        lines = done.stdout.splitlines()
        assert lines[-2] == "exit 0", done.stdout + done.stderr
        loaded = set(lines[-1].split()[1:])
        assert (" 0 copied" in done.stdout) is not first
        assert not loaded & NOT_LOADED
        ours = {name for name in loaded if name.split(".")[0] == "migrator"}
        assert "migrator.engine.run" in ours
        assert len(ours) <= OURS_MOST, sorted(ours)
