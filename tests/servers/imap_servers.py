"""Real IMAP servers on loopback: Dovecot and Cyrus from the system's packages, pymap from PyPI.

Each runs as an unprivileged user, with its own configuration in a temporary folder, and is ended with the test run. A server
that is not installed skips the tests that want it, with the reason; where the environment says CI it fails them instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import imapclient
import pytest

from migrator.adapters.imap.client import ImapClient
from migrator.interfaces import Context
from migrator.model import FolderPath, Mailbox
from migrator.settings import Endpoint, Limits
from tests.contracts.samples import MOMENT, Sample
from tests.contracts.source import Seeded

pwd: Any = pytest.importorskip(
    "pwd", reason="the servers are started as another user, which is a POSIX thing"
)

PASSWORD = "open_sesame"
MASTER = "mover"


def missing(what: str) -> None:
    """Skip, or fail where every server is promised to be there."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed, and CI promises it")
    pytest.skip(f"{what} is not installed")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Callable[[], str]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}: {log()}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.settimeout(5)
            if sock.recv(64).startswith(b"* "):
                return
        time.sleep(0.02)
    raise RuntimeError(f"the server does not answer: {log()}")


def plain_user() -> Any:
    """Who runs the servers: this user, or nobody when this is root."""
    return pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())


def as_plain_user() -> Callable[[], None]:
    """What a server does before it begins: it becomes another user, and it will not outlive this process, however that ends."""
    user = plain_user()
    is_root = os.getuid() == 0
    library = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def prepare() -> None:
        if is_root:
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
        if library is not None:  # after the change of users, which would undo it (prctl(2), PR_SET_PDEATHSIG)
            library.prctl(1, signal.SIGKILL)

    return prepare


@dataclass
class Server:
    """A running server. separator: of its names; any: whether every name and password pair opens a mailbox of its own."""

    name: str
    port: int
    separator: str
    process: subprocess.Popen[bytes]
    folder: Path
    user: str = ""  # the only one, when there is only one
    prefix: str = ""
    restart: Callable[[], None] = field(default=lambda: None)
    keep: object = None
    _numbers: Any = field(default_factory=itertools.count)

    def new_user(self) -> str:
        return self.user or f"user{os.getpid()}x{next(self._numbers)}"

    def raw(self, user: str) -> imapclient.IMAPClient:
        """A client of its own, to put things in and look at them."""
        client = imapclient.IMAPClient("127.0.0.1", self.port, ssl=False, timeout=60)
        client._imap.debug = 0
        client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.login(user, PASSWORD)
        client.normalise_times = False
        return client

    def name_of(self, path: FolderPath) -> str:
        if len(path) == 1 and path[0] == "Inbox":
            return "INBOX"
        parts = ["INBOX" if n == 0 and part == "Inbox" else part for n, part in enumerate(path)]
        return self.separator.join(parts)

    def stop(self) -> None:
        """End it with all its processes, and remove its folder. Safe to repeat.

        A master that is asked to end waits for sessions that hang, so it is given a moment only; whoever is left of its
        process group is killed then.
        """
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if isinstance(self.keep, YesMan):
            self.keep.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


# ------------------------------------------------------------------- Dovecot

DOVECOT = """
base_dir = {folder}/base
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_master_user_separator = *
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
mail_uid = {uid}
mail_gid = {gid}
mail_location = {store}:{folder}/mail/%u:LAYOUT=index
mail_fsync = {fsync}
imap_capability = {capability}
passdb {{
  driver = static
  master = yes
  args = user={master} password={password}
  result_success = continue
}}
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
  separator = "{separator}"
  mailbox Outgoing {{
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
  service_count = 0
  process_min_avail = 1
  client_limit = 2000
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service imap {{
  process_limit = 400
  service_count = {reuse}
}}
protocol imap {{
  mail_max_userip_connections = 200
  imap_max_line_length = 1M
}}
"""


def dovecot(
    folder: Path,
    *,
    separator: str = "|",
    store: str = "sdbox",
    capability: str = "",
    fsync: str = "never",
    more: str = "",
) -> Server:
    """Start Dovecot in a folder that the unprivileged user may enter. Every user name is a mailbox of its own.

    more: further lines of its configuration.
    """
    if shutil.which("dovecot") is None:
        missing("Dovecot (dovecot-imapd)")
    user = plain_user()
    port = free_port()
    config = folder / "dovecot.conf"
    config.write_text(
        DOVECOT.format(
            folder=folder,
            user=user.pw_name,
            group=_group(user.pw_gid),
            uid=user.pw_uid,
            gid=user.pw_gid,
            store=store,
            fsync=fsync,
            capability=capability,
            master=MASTER,
            password=PASSWORD,
            separator=separator,
            port=port,
            reuse=100,
        ).replace("imap_capability = \n", "")
        + more,
        encoding="utf-8",
    )
    _give(folder, user)

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["dovecot", "-F", "-c", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=as_plain_user(),
            start_new_session=True,
        )

    def log() -> str:
        file = folder / "log"
        return file.read_text("utf-8", "replace")[-2000:] if file.exists() else ""

    process = start()
    _wait_for(port, process, log)
    server = Server("dovecot", port, separator, process, folder)

    def restart() -> None:
        """Kill it with all its processes, as a power cut would, and start it again."""
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
        shutil.rmtree(folder / "base", ignore_errors=True)
        server.process = start()
        _wait_for(port, server.process, log)

    server.restart = restart
    return server


def _group(gid: int) -> str:
    import grp

    return grp.getgrgid(gid).gr_name


def _give(folder: Path, user: Any) -> None:
    if os.getuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, user.pw_uid, user.pw_gid)


@contextlib.contextmanager
def short_folder(prefix: str, where: str = "/tmp") -> Any:
    """A folder with a short name (sockets have names of 107 octets at most) that any user may pass through."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=where if os.path.isdir(where) else None))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --------------------------------------------------------------------- pymap


def pymap(folder: Path) -> Server:
    try:
        import pymap as module
    except ImportError:
        missing("pymap")
    del module
    port = free_port()
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            # Half a million rounds of hashing for every sign-in is not what these tests are about.
            "from pysasl.hashing import BuiltinHash; BuiltinHash.__init__.__kwdefaults__['rounds'] = 1;"
            "from pymap.main import main; main()",
            *("--host", "127.0.0.1", "--port", str(port), "--no-tls"),
            *("--no-service", "admin", "dict", "--demo-data", "--demo-user", "ada"),
            *("--demo-password", PASSWORD),
        ],
        stdout=subprocess.DEVNULL,
        stderr=(folder / "log").open("wb"),
        cwd=folder,
        start_new_session=True,
    )
    _wait_for(port, process, lambda: (folder / "log").read_text("utf-8", "replace")[-2000:])
    return Server("pymap", port, "/", process, folder, user="ada")


# ------------------------------------------------------------------ mailboxes


class Purse:
    def reveal(self, reference: str, *, what: str) -> str:
        return {"env:PASSWORD": PASSWORD, "env:WRONG": "no such word"}[reference]


class SystemClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        raise AssertionError("an adapter never sleeps")


def endpoint(server: Server, **more: Any) -> Endpoint:
    given: dict[str, Any] = {
        "name": "mail",
        "kind": "imap",
        "url": f"imap://127.0.0.1:{server.port}",
        "username": "any",
        "secret": "env:PASSWORD",
        "limits": Limits(timeout_s=30),
    }
    options = {"options": {**more.pop("options", {})}}
    return Endpoint(**{**given, **options, **more})


def client_of(server: Server, **more: Any) -> ImapClient:
    return ImapClient(endpoint(server, **more), Context(SystemClock(), Purse()))


def box(user: str) -> Mailbox:
    return Mailbox("mail", user, login=user, secret="env:PASSWORD")


def empty(server: Server, user: str) -> None:
    """As new: no message, no folder but INBOX. Needed where there is one user only."""
    raw = server.raw(user)
    names = sorted((name for _, _, name in raw.list_folders() if name.upper() != "INBOX"), key=len)
    for name in reversed(names):
        with contextlib.suppress(imapclient.exceptions.IMAPClientError):
            raw.delete_folder(name)
    raw.select_folder("INBOX")
    uids = raw.search()
    if uids:
        raw.delete_messages(uids)
        raw.expunge()
    raw.logout()


def put(raw: imapclient.IMAPClient, server: Server, sample: Sample) -> None:
    name = server.name_of(sample.path)
    make(raw, server, sample.path)
    flags = [word for word, on in ((b"\\Seen", sample.seen), (b"\\Draft", sample.draft)) if on]
    raw.append(name, sample.mime(), flags, sample.received)


def make(raw: imapclient.IMAPClient, server: Server, path: FolderPath) -> None:
    for depth in range(1, len(path) + 1):
        name = server.name_of(path[:depth])
        with contextlib.suppress(imapclient.exceptions.IMAPClientError):
            if not raw.folder_exists(name):
                raw.create_folder(name)


def seeded(
    server: Server,
    samples: Sequence[Sample],
    folders: Sequence[FolderPath],
    page_items: int | None,
    closing: contextlib.ExitStack,
    **options: str,
) -> Seeded:
    """The contract's mailbox on a real server."""
    user = server.new_user()
    if server.user:
        empty(server, user)
    raw = server.raw(user)
    closing.callback(raw.shutdown)
    for path in folders:
        make(raw, server, path)
    for sample in samples:
        put(raw, server, sample)
    if page_items:
        options["page_items"] = str(page_items)
    client = client_of(server, options=options)
    closing.callback(client.close)

    def find(sample: Sample) -> list[int]:
        raw.select_folder(server.name_of(sample.path))
        found = raw.fetch(raw.search(), ["BODY.PEEK[HEADER.FIELDS (SUBJECT)]"])
        want = f"Subject: {sample.subject}".encode()
        return [
            uid for uid, data in found.items() if want in data[b"BODY[HEADER.FIELDS (SUBJECT)]"].splitlines()
        ]

    def change(sample: Sample) -> None:
        uids = find(sample)
        (raw.add_flags if sample.seen else raw.remove_flags)(uids, [b"\\Seen"])
        raw.unselect_folder() if raw.has_capability("UNSELECT") else raw.close_folder()

    def delete(sample: Sample) -> None:
        uids = find(sample)[:1]
        raw.delete_messages(uids)
        raw.expunge()
        raw.unselect_folder() if raw.has_capability("UNSELECT") else raw.close_folder()

    return Seeded(
        client.source(box(user)),
        lambda: client.source(box(user)),
        lambda sample: put(raw, server, sample),
        change,
        delete,
    )


# ------------------------------------------------------------ whole mailboxes


def picture(server: Server, user: str) -> dict[tuple[FolderPath, bytes, str, tuple[bytes, ...]], int]:
    """Everything that a mailbox holds: (path, hash of the bytes, INTERNALDATE, flags) → how often. Changes nothing."""
    raw = server.raw(user)
    found: dict[tuple[FolderPath, bytes, str, tuple[bytes, ...]], int] = {}
    for flags, separator, name in raw.list_folders():
        if b"\\Noselect" in flags:
            continue
        raw.select_folder(name, readonly=True)
        path = tuple(name.split(separator.decode() if isinstance(separator, bytes) else separator))
        uids = raw.search()
        for start in range(0, len(uids), 500):
            for data in raw.fetch(
                uids[start : start + 500], ["BODY.PEEK[]", "FLAGS", "INTERNALDATE"]
            ).values():
                key = (
                    path,
                    hashlib.sha256(data[b"BODY[]"]).digest()[:12],
                    data[b"INTERNALDATE"].astimezone(UTC).isoformat(),
                    tuple(sorted(flag for flag in data[b"FLAGS"] if flag != b"\\Recent")),
                )
                found[key] = found.get(key, 0) + 1
    raw.logout()
    return found


def fill(
    raw: imapclient.IMAPClient,
    server: Server,
    path: FolderPath,
    messages: Sequence[tuple[bytes, Sequence[bytes], datetime]],
) -> None:
    make(raw, server, path)
    for start in range(0, len(messages), 500):
        part = messages[start : start + 500]
        if raw.has_capability("MULTIAPPEND"):
            raw.multiappend(server.name_of(path), [{"msg": m, "flags": f, "date": d} for m, f, d in part])
        else:
            for message, flags, date in part:
                raw.append(server.name_of(path), message, flags, date)


FLAG_SETS: tuple[tuple[bytes, ...], ...] = (
    (),
    (b"\\Seen",),
    (b"\\Seen", b"\\Answered", b"$label1"),
    (b"\\Flagged",),
    (b"\\Draft", b"\\Seen"),
    (b"\\Deleted", b"\\Seen"),
    (b"$Forwarded", b"NonJunk", b"\\Seen"),
)


def hard_mailbox(server: Server, user: str, items: int = 40) -> None:
    """Folders with odd names, every flag, keywords, duplicates, no Message-ID, odd bytes, a large message."""
    raw = server.raw(user)
    paths: list[FolderPath] = [
        ("Inbox",),
        ("Inbox", "Ärger & Co"),
        ("Projekte", "2024"),
        ("日本語",),
        (" blank first",),
        ('quo"te',),
        ("Empty",),
    ]
    for number, path in enumerate(paths[:-1]):
        messages = []
        for n in range(items):
            sample = Sample(
                subject=f"mail {number}-{n}" if n % 4 else "the same",
                path=path,
                body=f"body {n}\r\n" * (1 + n % 9),
                message_id=f"<{number}-{n}@old.example>" if n % 3 else "",
            )
            flags = FLAG_SETS[n % len(FLAG_SETS)]
            messages.append((sample.mime(), flags, MOMENT + timedelta(hours=n)))
        messages += messages[1:3]  # byte for byte the same, twice
        messages.append((b"no header at all", (), MOMENT))
        messages.append((b"Subject: 8-bit \xe4\xf6\r\n\r\nbare\nlf \xff\r\n", (), MOMENT))
        fill(raw, server, path, messages)
    fill(
        raw,
        server,
        ("Projekte", "2024"),
        [(b"Subject: large\r\n\r\n" + b"x" * 70 * 1000 + b"\r\n", (), MOMENT)],
    )
    make(raw, server, paths[-1])
    raw.logout()


def project(
    folder: Path,
    old: str,
    new: str,
    rows: Sequence[tuple[str, str]],
    **run: Any,
) -> Path:
    """A project folder. old, new: the endpoints' tables as TOML."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = "".join(f"{key} = {value}\n" for key, value in run.items())
    (folder / "migration.toml").write_text(
        f'[endpoints.old]\n{old}\n[endpoints.new]\n{new}\n[run]\n{settings}\n[defaults]\nsource = "old"\ntarget = "new"\n',
        encoding="utf-8",
    )
    lines = [f"{one}@old.example,{other}@new.example,{one},{other}" for one, other in rows]
    (folder / "mailboxes.csv").write_text(
        "source,target,source_login,target_login\n" + "\n".join(lines) + "\n", encoding="utf-8"
    )
    return folder


def table(server: Server, **more: str) -> str:
    lines = [
        'kind = "imap"',
        f'url = "imap://127.0.0.1:{server.port}"',
        'username = "any"',
        'secret = "env:IMAP_PASSWORD"',
        *(f"{key} = {value}" for key, value in more.items()),
    ]
    return "\n".join(lines)


# --------------------------------------------------------------------- Cyrus

CYRUS_CONF = """
START {{
  recover cmd="{bin}/ctl_cyrusdb -C {folder}/imapd.conf -r"
}}
SERVICES {{
  imap cmd="{bin}/imapd -C {folder}/imapd.conf -U 100" listen="127.0.0.1:{port}" prefork=1
}}
EVENTS {{
}}
"""

CYRUS_IMAPD = """
configdirectory: {folder}/config
partition-default: {folder}/spool
defaultpartition: default
cyrus_user: {user}
admins: admin
allowplaintext: yes
autocreate_quota: 0
autocreate_post: yes
autocreate_inbox_folders: Outgoing
xlist-sent: Outgoing
sasl_pwcheck_method: saslauthd
sasl_saslauthd_path: {folder}/auth
sasl_mech_list: PLAIN LOGIN
saslauthd_path: {folder}/auth
unixhierarchysep: yes
altnamespace: yes
duplicate_db_path: {folder}/config/deliver.db
lmtpsocket: {folder}/config/lmtp
idlesocket: {folder}/config/idle
notifysocket: {folder}/config/notify
proc_path: {folder}/proc
mboxname_lockpath: {folder}/lock
tls_server_cert: disabled
munge8bit: no
maxword: 4194304
maxquoted: 4194304
skiplist_unsafe: yes
conversations: no
"""


class YesMan(threading.Thread):
    """Speaks saslauthd's protocol on a socket of its own: each of name, password, service, realm as length and octets."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        path.chmod(0o777)
        self._socket.listen(50)
        self.start()

    def run(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            with peer, contextlib.suppress(OSError, ValueError):
                with peer.makefile("rb") as file:
                    words = [file.read(int.from_bytes(file.read(2), "big")).decode() for _ in range(4)]
                answer = b"OK" if words[1] == PASSWORD else b"NO wrong password"
                peer.sendall(len(answer).to_bytes(2, "big") + answer)

    def close(self) -> None:
        self._socket.close()


def cyrus(folder: Path) -> Server:
    """Cyrus from the system, or unpacked below $CYRUS_ROOT: Debian's package cannot be installed beside Dovecot's."""
    root = Path(os.environ.get("CYRUS_ROOT", "/"))
    programs = root / "usr/lib/cyrus/bin"
    master = root / "usr/sbin/cyrmaster"
    if not (programs / "imapd").exists() or not master.exists():
        missing("Cyrus (cyrus-imapd, or CYRUS_ROOT)")
    user = plain_user()
    port = free_port()
    for name in ("config", "spool", "proc", "lock"):
        (folder / name).mkdir()
    given = {"folder": folder, "bin": programs, "user": user.pw_name, "port": port}
    (folder / "cyrus.conf").write_text(CYRUS_CONF.format(**given), encoding="utf-8")
    (folder / "imapd.conf").write_text(CYRUS_IMAPD.format(**given), encoding="utf-8")
    yes = YesMan(folder / "auth")
    _give(folder, user)
    libraries = ":".join(str(path.parent) for path in root.glob("usr/lib/*/libcyrus.so.0"))
    process = subprocess.Popen(
        [
            master,
            "-C",
            folder / "imapd.conf",
            "-M",
            folder / "cyrus.conf",
            "-p",
            folder / "pid",
            "-L",
            folder / "log",
        ],
        env={**os.environ, "LD_LIBRARY_PATH": libraries},
        preexec_fn=as_plain_user(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def log() -> str:
        file = folder / "log"
        return file.read_text("utf-8", "replace")[-2000:] if file.exists() else ""

    _wait_for(port, process, log)
    server = Server("cyrus", port, "/", process, folder)
    server.keep = yes
    return server
