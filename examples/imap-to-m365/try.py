"""From an IMAP server to Microsoft 365 without an account on either side: a Dovecot of your own, and the lab.

    python examples/imap-to-m365/try.py FOLDER        needs Debian's dovecot-imapd (or your system's Dovecot 2.3) and migrator

Starts both on loopback, puts mail into two IMAP mailboxes, writes a project into FOLDER, and runs the commands of a real
migration: check, plan, run, run again, verify. What is typed is printed. Everything is ended and nothing kept but FOLDER.
"""

from __future__ import annotations

import contextlib
import grp
import imaplib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PASSWORD = "open_sesame"
DOVECOT = """
base_dir = {folder}/base
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
mail_location = sdbox:{folder}/mail/%u
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/home/%u
}}
namespace inbox {{
  inbox = yes
  mailbox Sent {{
    special_use = \\Sent
    auto = subscribe
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""


@contextlib.contextmanager
def dovecot() -> Iterator[int]:
    """Its port. Every name is a mailbox, all with one password."""
    user = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="dv", dir="/tmp"))
    os.chown(folder, user.pw_uid, user.pw_gid)
    group = grp.getgrgid(user.pw_gid).gr_name
    given = {"folder": folder, "user": user.pw_name, "group": group, "uid": user.pw_uid, "gid": user.pw_gid}
    config = folder / "dovecot.conf"
    config.write_text(DOVECOT.format(**given, port=port, password=PASSWORD), encoding="utf-8")
    config.chmod(0o644)
    other = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
    server = subprocess.Popen(["dovecot", "-F", "-c", str(config)], start_new_session=True, **other)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as sock:
                if sock.recv(64).startswith(b"* OK"):
                    break
            time.sleep(0.05)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def lab(folder: Path) -> Iterator[dict]:
    """Microsoft 365 with two empty mailboxes; what the lab says of itself."""
    words = ["lab", "--only", "m365", "--tls", "--json", "--mailboxes", "2", "--items", "0", "--dir"]
    with subprocess.Popen([*MIGRATOR, *words, str(folder)], stdout=subprocess.PIPE, text=True) as server:
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.send_signal(signal.SIGINT)


def fill(port: int, name: str, count: int) -> None:
    box = imaplib.IMAP4("127.0.0.1", port)
    box.login(name, PASSWORD)
    box.create("Projects/2024")
    for n in range(count):
        text = (
            f"From: Ada <ada@elsewhere.example>\r\nTo: {name}@old.example\r\nSubject: number {n}\r\n"
            f"Message-ID: <{name}-{n}@elsewhere.example>\r\nDate: Mon, 01 Jan 2024 10:00:{n:02} +0000\r\n\r\nGood day.\r\n"
        )
        flags = ("", r"\Seen", r"\Seen \Answered", r"\Flagged", r"\Seen $project")[n % 5]
        when = f'"01-Jan-2024 10:00:{n:02} +0000"'
        box.append(("INBOX", "Sent", "Projects/2024")[n % 3], f"({flags})", when, text.encode())
    box.logout()


def write_project(folder: Path, port: int, info: dict) -> None:
    cloud, urls = info["m365"], info["urls"]
    (folder / "migration.toml").write_text(
        f"""[endpoints.old]
kind = "imap"
url = "imap://127.0.0.1:{port}"
username = "any"
secret = "env:IMAP_PASSWORD"

[endpoints.new]
kind = "graph"
url = "{urls["graph"]}/v1.0"
authority = "{urls["login"]}"
tenant = "{cloud["tenant_id"]}"
client_id = "{cloud["client_id"]}"
auth = "secret"
secret = "env:M365_CLIENT_SECRET"
import_hosts = ["{urls["import"].partition("://")[2]}"]
ca_file = "{info["ca_file"]}"

[defaults]
source = "old"
target = "new"
""",
        encoding="utf-8",
    )
    rows = zip(("ada", "bob"), cloud["mailboxes"], strict=True)
    lines = [f"{name}@old.example,{name},{box['address']}" for name, box in rows]
    (folder / "mailboxes.csv").write_text(
        "source,source_login,target\n" + "\n".join(lines) + "\n", encoding="utf-8"
    )


MIGRATOR = [sys.executable, "-m", "migrator"]


def main() -> int:
    if len(sys.argv) != 2 or not shutil.which("dovecot"):
        print(
            __doc__ if len(sys.argv) != 2 else "Dovecot is not installed (Debian: apt install dovecot-imapd)"
        )
        return 2
    folder = Path(sys.argv[1]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with dovecot() as port, lab(folder / "lab") as info:
        for name in ("ada", "bob"):
            fill(port, name, 30)
        write_project(folder, port, info)
        env = {**os.environ, "IMAP_PASSWORD": PASSWORD, "M365_CLIENT_SECRET": info["m365"]["client_secret"]}
        for words in (["check"], ["plan"], ["run"], ["run", "--quiet"], ["verify"]):
            print(f"\n$ migrator {' '.join(words)}", flush=True)
            done = subprocess.run([*MIGRATOR, *words, "-p", str(folder)], env=env, check=False)
            if done.returncode:
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
