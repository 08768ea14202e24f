"""Servers that tests start are gone afterwards, with their folders, whatever state they are in."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import imap_servers as servers

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes by /proc")


def below(group: int) -> list[int]:
    """Processes of a process group that live."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _parent, of = (entry / "stat").read_text("ascii").rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(of) == group and state != "Z":
                found.append(int(entry.name))
    return found


def gone(group: int) -> bool:
    deadline = time.monotonic() + 5
    while below(group) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not below(group)


@LINUX
@pytest.mark.parametrize("start", [servers.dovecot, servers.cyrus], ids=["dovecot", "cyrus"])
def test_a_server_ends_with_its_sessions(start: Callable[[Path], servers.Server]) -> None:
    with servers.short_folder("en") as folder:
        with start(folder) as server:
            held = [server.raw(server.new_user()) for _ in range(3)]
            held[0].select_folder("INBOX")
            silent = socket.create_connection(("127.0.0.1", server.port))
            group = server.process.pid
            # Neither the master nor a session can answer to a request to end.
            os.kill(max(below(group)), signal.SIGSTOP)
            os.kill(group, signal.SIGSTOP)
            assert len(below(group)) > 1
        assert gone(group)
        assert not folder.exists()
        silent.close()
        for client in held:
            client.shutdown()


@LINUX
def test_a_server_does_not_outlive_who_started_it(tmp_path: Path) -> None:
    if not servers.shutil.which("dovecot"):
        servers.missing("Dovecot (dovecot-imapd)")
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom tests.servers import imap_servers as servers\n"
        "with servers.short_folder('eo') as folder, servers.dovecot(folder) as server:\n"
        "    print(server.process.pid, folder, flush=True)\n    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    group, folder = done.stdout.split()
    servers.shutil.rmtree(folder, ignore_errors=True)
    assert gone(int(group))
