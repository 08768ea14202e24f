"""The project folder: `migration.toml`, read, checked and turned into settings.

    manifest = "mailboxes.csv"          # paths are relative to the file
    ledger = "ledger.sqlite"
    dialect = "auto"                    # or a name of `plan.dialects`
    allow = []                          # "duplicate-target", "duplicate-source", "same-mailbox", "archive-to-primary"

    [endpoints.old]                     # one table an endpoint: the fields of settings.Endpoint
    [endpoints.old.limits]              # the fields of settings.Limits
    [defaults]                          # what blank cells of the manifest mean: see `Defaults`
    [run]                               # the fields of settings.RunSettings, for every pass; also max_rate = "200Mbit",
                                        # wait_for_source = "4h", and when to work, see `plan.hours`
    [passes.prestage]                   # the same, for one pass; wins over [run]
    [folders]                           # under = "…", rename = { "A/B" = "C" }
    [customer]                          # the page for the people whose mail it is: see `plan.telling`
    [notify]                            # who is told what: see `plan.telling`

Unknown keys are errors. A secret is a reference (`env:`, `keyring:`, `file:`) or the file is refused.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import field, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, get_args

from migrator.errors import UserError
from migrator.plan.filters import parse_date, pattern_problem
from migrator.plan.folders import FolderRules, parse_path
from migrator.plan.hours import (
    parse_duration_s,
    parse_moment,
    parse_quiet,
    parse_rate,
    zone_of,
)
from migrator.plan.tables import (
    NEEDED,
    ListOf,
    Named,
    Reading,
    Table,
    Values,
    anything,
    checked,
    did_you_mean,
    flag,
    number,
    one_of,
    some_text,
    text,
    whole,
    word,
)
from migrator.plan.telling import (
    PORTS,
    TOPICS,
    CustomerSettings,
    NotifySettings,
    Receiver,
    ReceiverKind,
    Security,
    Show,
)
from migrator.record import record
from migrator.settings import Endpoint, Limits, RunSettings

FILE_NAME = "migration.toml"
PASSES = ("prestage", "delta", "cutover")
ALLOWANCES = ("duplicate-target", "duplicate-source", "same-mailbox", "archive-to-primary")
FORCES = ("empty_source", "identity_changed", "no_canary", "mass_delete")
SECRET_SCHEMES = ("env:", "keyring:", "file:")


@record
class Defaults:
    """What a blank cell of the manifest means. source and target are names of endpoints.

    target_domain: the target address of a row that names only its source is the same name in this domain.
    """

    source: str = ""
    target: str = ""
    source_login: str = ""
    target_login: str = ""
    source_secret: str = field(default="", repr=False)
    target_secret: str = field(default="", repr=False)
    source_domain: str = ""
    target_domain: str = ""
    batch: str = ""


@record
class Project:
    """A project folder, checked. Endpoints hold absolute paths; secrets are references still."""

    folder: Path
    file: Path
    manifest: Path
    ledger: Path
    endpoints: Mapping[str, Endpoint]
    defaults: Defaults = field(default_factory=Defaults)
    run: RunSettings = field(default_factory=RunSettings)
    passes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    folders: FolderRules = field(default_factory=FolderRules)
    dialect: str = "auto"
    allow: frozenset[str] = frozenset()
    row_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Passwords that stood in the manifest, by their "csv:" reference: in memory only, see `plan.rowsecrets`."""
    customer: CustomerSettings = field(default_factory=CustomerSettings)
    notify: NotifySettings = field(default_factory=NotifySettings)

    def settings(self, passname: str | None = None, **given: Any) -> RunSettings:
        """The run's settings: [run], then [passes.NAME], then what the command line gave (None: not given)."""
        name = passname or self.run.passname
        merged = {f.name: getattr(self.run, f.name) for f in fields(self.run)}
        merged.update(self.passes.get(name, {}))
        merged.update({key: value for key, value in given.items() if value is not None})
        merged["passname"] = name
        return RunSettings(**merged)


def load_project(where: Path, *, now: datetime | None = None) -> Project:
    """The project in a folder (or of a named .toml file).

    now: for relative dates such as "90d". Raises UserError with every fault, each with its key path.
    """
    file = where / FILE_NAME if where.is_dir() or where.suffix != ".toml" else where
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            f"no project here: {file} does not exist",
            code="no_project",
            remedy="make one with `migrator init FOLDER`, or name its folder with --project",
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file} is not UTF-8 (byte {error.start + 1})",
            code="project_unreadable",
            remedy="save it as UTF-8",
        ) from None
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}", code="project_unreadable") from None
    return parse_project(text, file, now=now)


def parse_project(text: str, file: Path, *, now: datetime | None = None) -> Project:
    """As `load_project`, from text that is already read. `file` is where relative paths start."""
    file = file.absolute()
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(
            f"{file.name} is not valid TOML: {error}",
            code="project_invalid",
            remedy="mind quotes and brackets near that place",
        ) from None
    reading = Reading(now or datetime.now(UTC))
    said = _FILE.read(raw, "", reading)
    problems = reading.faults if said is None else _faults(said)
    if said is None or problems:
        raise _refused(file, problems)
    folder = file.parent
    run = _given(said.run)
    return Project(
        folder=folder,
        file=file,
        manifest=folder / said.manifest,
        ledger=folder / said.ledger,
        endpoints={name: _endpoint(name, one, folder) for name, one in said.endpoints.items()},
        defaults=Defaults(
            **{
                key: resolved_reference(value, folder) if key.endswith("_secret") else value
                for key, value in vars(said.defaults).items()
                if key != "given"
            }
        ),
        run=RunSettings(passname=getattr(said.run, "pass") or "delta", **run),
        passes={name: _given(one) for name, one in said.passes.items()},
        folders=FolderRules(
            under=parse_path(said.folders.under),
            rename={parse_path(old): parse_path(new) for old, new in said.folders.rename.items()},
        ),
        dialect=said.dialect,
        allow=frozenset(said.allow),
        customer=_customer(said.customer, str(run.get("time_zone", ""))),
        notify=_notify(said.notify, folder),
    )


def is_reference(text: str) -> bool:
    scheme = next((one for one in SECRET_SCHEMES if text.startswith(one)), "")
    return bool(scheme) and len(text) > len(scheme)


# --- the file as it is read


def _octets(text: str) -> int:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMG])(i?)B)?\s*", text, re.IGNORECASE)
    if not found:
        raise ValueError('write a number of bytes, or "16 MiB"')
    step = 1024 if found[3] else 1000
    power = " KMG".index(found[2].upper()) if found[2] else 0
    return int(float(found[1]) * step**power)


def _date(value: Any, reading: Reading) -> datetime:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, str):
        return parse_date(value, now=reading.now)
    raise ValueError('write a date: 2024-01-31, or "90d" for 90 days ago')


def _pattern(value: Any, reading: Reading) -> str:
    pattern = anything(value, reading)
    if problem := pattern_problem(pattern):
        raise ValueError(problem)
    return pattern


def _secret(value: Any, reading: Reading) -> str:
    # The value itself must not come out in a message: it may be the password.
    reference = anything(value, reading)
    if reference and not is_reference(reference):
        raise ValueError(
            "a secret is never written here: put a reference, env:NAME, keyring:SERVICE/USER or file:PATH"
        )
    return reference


def _moment(value: Any, reading: Reading) -> str:
    if isinstance(value, datetime):
        value = value.isoformat()
    if isinstance(value, str):
        parse_moment(value, None, reading.now)
        return value
    raise ValueError('write a moment: "Mon 06:00" or "2026-11-23 06:00"')


_OCTETS = whole(least=1, said=_octets)
_SECONDS = number(above=0, most=86_400)
_ZONE = checked(zone_of)

_LIMITS = Table(
    {
        "concurrent": (whole(least=1, most=64), 4),
        "requests": (whole(least=0), 10_000),
        "requests_window_s": (_SECONDS, 600.0),
        "upload_octets": (whole(least=0, said=_octets), 150 << 20),
        "upload_window_s": (_SECONDS, 300.0),
        "endpoint_concurrent": (whole(least=0), 0),
        "tries": (whole(least=1, most=100), 6),
        "give_up_s": (_SECONDS, 900.0),
        "timeout_s": (_SECONDS, 120.0),
    }
)
# The defaults are Microsoft's numbers; an IMAP server has none that are known, it says when it has enough.
_LIMITS_OF: dict[str, dict[str, Any]] = {"imap": {"concurrent": 8, "requests": 0, "upload_octets": 0}}

_ENDPOINT = Table(
    {
        "kind": (word(r"[a-z][a-z0-9_-]*"), NEEDED),
        "url": (text, ""),
        "auth": (text, ""),
        "access": (one_of(("impersonation", "delegate", "owner")), "impersonation"),
        "username": (text, ""),
        "secret": (_secret, ""),
        "tenant": (text, ""),
        "client_id": (text, ""),
        "certificate": (_secret, ""),
        "authority": (text, ""),
        "ca_file": (text, ""),
        "version": (text, "Exchange2010_SP2"),
        "import_hosts": (ListOf(text), ()),
    },
    below={"limits": _LIMITS, "options": Named(text)},
)


def _endpoint(name: str, said: Values, folder: Path) -> Endpoint:
    limits = {key: getattr(said.limits, key) for key in said.limits.given}
    return Endpoint(
        name=name,
        kind=said.kind,
        url=said.url,
        auth=said.auth,
        access=said.access,
        username=said.username,
        secret=resolved_reference(said.secret, folder),
        tenant=said.tenant,
        client_id=said.client_id,
        certificate=resolved_reference(said.certificate, folder),
        authority=said.authority,
        ca_file=str(folder / said.ca_file) if said.ca_file else "",
        version=said.version,
        import_hosts=tuple(said.import_hosts),
        limits=Limits(**{**_LIMITS_OF.get(said.kind, {}), **limits}),
        options=dict(said.options),
    )


_DEFAULTS = Table(
    {one.name: (_secret if one.name.endswith("_secret") else text, "") for one in fields(Defaults)}
)

_RUN_FIELDS = {
    key: (kind, None)
    for key, kind in {
        "mailboxes": whole(least=1, most=512),
        "uploaders": whole(least=1, most=32),
        "inflight_octets": _OCTETS,
        "batch_items": whole(least=1, most=1000),
        "batch_octets": _OCTETS,
        "since": _date,
        "until": _date,
        "folders": ListOf(_pattern),
        "exclude_folders": ListOf(_pattern),
        "retry_failed": flag,
        "propagate_deletes": flag,
        "dedupe": flag,
        "force": ListOf(one_of(FORCES)),
        "find_present": flag,
        "max_item_octets": _OCTETS,
        "newest_first": flag,
        "wait_for_source": number(said=parse_duration_s),
        "max_rate": number(above=0, said=parse_rate),
        "not_before": _moment,
        "stop_at": _moment,
        "quiet_hours": ListOf(checked(parse_quiet)),
        "time_zone": _ZONE,
        "deadline": _moment,
    }.items()
}
_RUN = Table({"pass": (one_of(PASSES), None), **_RUN_FIELDS})
_PASS = Table(_RUN_FIELDS)
_OTHER_NAMES = {
    "folders": "include_folders",
    "exclude_folders": "exclude_folders",
    "wait_for_source": "wait_for_source_s",
    "max_rate": "max_rate_octets_s",
}


def _given(said: Values) -> dict[str, Any]:
    """What [run] or a pass says, under the names of RunSettings."""
    found: dict[str, Any] = {}
    for key in said.given - {"pass"}:
        value = getattr(said, key)
        if key == "force":
            value = frozenset(value)
        found[_OTHER_NAMES.get(key, key)] = tuple(value) if isinstance(value, list) else value
    return found


_FOLDERS = Table({"under": (text, "")}, below={"rename": Named(text)})

_CUSTOMER = Table(
    {
        "title": (text, ""),
        "language": (word(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}"), "en"),
        "show": (one_of(get_args(Show)), "masked"),
        "name_column": (text, "DisplayName"),
        "contact": (text, ""),
        "switch": (text, ""),
        "time_zone": (_ZONE, ""),
        "every": (number(least=5, most=86_400, said=parse_duration_s), 60.0),
    }
)


def _customer(said: Values, time_zone: str) -> CustomerSettings:
    return CustomerSettings(
        said.title, said.language, said.show, said.name_column, said.contact, said.switch,
        said.time_zone or time_zone, said.every,
    )  # fmt: skip


_TOPICS = ListOf(one_of(TOPICS))
_MAIL_ONLY = {"server", "port", "security", "username", "secret", "sender", "to"}
_RECEIVER = Table(
    {
        "kind": (one_of(get_args(ReceiverKind)), NEEDED),
        "on": (_TOPICS, None),
        "url": (_secret, ""),
        "token": (_secret, ""),
        "ca_file": (text, ""),
        "server": (text, ""),
        "port": (whole(least=0, most=65_535), 0),
        "security": (one_of(get_args(Security)), "starttls"),
        "username": (text, ""),
        "secret": (_secret, ""),
        "sender": (text, ""),
        "to": (ListOf(text), ()),
    }
)
_NOTIFY = Table(
    {
        "on": (_TOPICS, TOPICS),
        "bundle": (number(most=86_400, said=parse_duration_s), 600.0),
        "show": (one_of(get_args(Show)), "address"),
        "name_column": (text, "DisplayName"),
    },
    below={"to": Named(_RECEIVER)},
)


def _receiver_faults(said: Values) -> list[str]:
    if said.kind != "email":
        wanted = [] if said.url else ["url: is missing (a reference: the address of a webhook is a secret)"]
        return wanted + [f"{name}: belongs to kind = 'email'" for name in _MAIL_ONLY & said.given]
    found = [f"{name}: is missing" for name in ("server", "sender", "to") if not getattr(said, name)]
    found += [
        f"{name}: {one!r} is no address"
        for name, addresses in (("sender", [said.sender]), ("to", said.to))
        for one in addresses
        if one and not re.fullmatch(r"[!#-'*+\-/-9=?A-Z^-~.]+@[A-Za-z0-9.-]+", one)
    ]
    if said.security == "none" and (said.username or said.secret):
        found.append("security: no password is sent without TLS; use starttls or tls")
    if bool(said.username) != bool(said.secret):
        found.append("username and secret go together")
    return found + [f"{name}: belongs to webhooks" for name in {"url", "token"} & said.given]


def _notify(said: Values, folder: Path) -> NotifySettings:
    return NotifySettings(
        receivers=tuple(
            Receiver(
                name=name,
                kind=one.kind,
                on=frozenset(said.on if one.on is None else one.on),
                url=resolved_reference(one.url, folder),
                token=resolved_reference(one.token, folder),
                ca_file=str(folder / one.ca_file) if one.ca_file else "",
                server=one.server,
                port=one.port or PORTS[one.security],
                security=one.security,
                username=one.username,
                secret=resolved_reference(one.secret, folder),
                sender=one.sender,
                to=tuple(one.to),
            )
            for name, one in said.to.items()
        ),
        bundle_s=said.bundle,
        show=said.show,
        name_column=said.name_column,
    )


_FILE = Table(
    {
        "manifest": (some_text, "mailboxes.csv"),
        "ledger": (some_text, "ledger.sqlite"),
        "dialect": (text, "auto"),
        "allow": (ListOf(one_of(ALLOWANCES)), ()),
    },
    below={
        "endpoints": Named(_ENDPOINT, least="at least one [endpoints.NAME] table is needed"),
        "defaults": _DEFAULTS,
        "run": _RUN,
        "passes": Named(_PASS, PASSES),
        "folders": _FOLDERS,
        "customer": _CUSTOMER,
        "notify": _NOTIFY,
    },
)


def _faults(model: Values) -> list[str]:
    """Faults that lie between fields."""
    found = []
    for side in ("source", "target"):
        name = getattr(model.defaults, side)
        if name and name not in model.endpoints:
            found.append(
                f"defaults.{side}: no endpoint is called {name!r}{did_you_mean(name, model.endpoints)}"
                f" (there are {', '.join(sorted(model.endpoints))})"
            )
    found += [
        f"endpoints.{name}: a name of letters, digits, - and _ is wanted"
        for name in model.endpoints
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name)
    ]
    for name, endpoint in model.endpoints.items():
        for key in ("url", "authority"):
            if re.match(r"[^/]*//[^/]*@", getattr(endpoint, key)):
                found.append(
                    f"endpoints.{name}.{key}: holds a user name or password; put them into username and secret"
                )
    for name, receiver in model.notify.to.items():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
            found.append(f"notify.to.{name}: a name of letters, digits, - and _ is wanted")
        found += [f"notify.to.{name}.{fault}" for fault in _receiver_faults(receiver)]
    for where, table in [("run", model.run), *((f"passes.{key}", one) for key, one in model.passes.items())]:
        if table.since and table.until and table.since >= table.until:
            found.append(f"{where}: since is not before until, so nothing would be copied")
    for old, new in model.folders.rename.items():
        if not all(parse_path(old)) or not all(parse_path(new)) or not old or not new:
            found.append(f"folders.rename: {old!r} = {new!r}: both sides are folder paths such as A/B")
    return found


def _refused(file: Path, problems: list[str]) -> UserError:
    many = "a fault" if len(problems) == 1 else f"{len(problems)} faults"
    return UserError(
        f"{file.name} has {many}",
        problems=problems,
        code="project_invalid",
        remedy=f"mend {file} and run the command again; nothing was sent",
    )


def resolved_reference(value: str, folder: Path) -> str:
    """A `file:` reference with its path made absolute, so that the current folder does not matter; others as they are."""
    if value.startswith("file:"):
        return "file:" + str(folder / Path(value.removeprefix("file:")).expanduser())
    return value
