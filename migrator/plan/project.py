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
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from migrator.errors import UserError
from migrator.plan.filters import parse_date, pattern_problem
from migrator.plan.folders import FolderRules, parse_path
from migrator.plan.hours import (
    checked,
    parse_duration_s,
    parse_moment,
    parse_quiet,
    parse_rate,
    zone_of,
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
    Topic,
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
    clock = now or datetime.now(UTC)
    try:
        model = _File.model_validate(raw, context={"now": clock})
    except ValidationError as error:
        problems = [_words(one, raw) for one in error.errors(include_url=False, include_input=False)]
        raise _refused(file, problems) from None
    problems = list(_faults(model))
    if problems:
        raise _refused(file, problems)
    folder = file.parent
    run = {key: value for key, value in model.run.given().items() if key != "passname"}
    return Project(
        folder=folder,
        file=file,
        manifest=folder / model.manifest,
        ledger=folder / model.ledger,
        endpoints={name: one.endpoint(name, folder) for name, one in model.endpoints.items()},
        defaults=Defaults(
            **{
                key: resolved_reference(value, folder) if key.endswith("_secret") else value
                for key, value in model.defaults.model_dump().items()
            }
        ),
        run=RunSettings(passname=model.run.passname or "delta", **run),
        passes={name: one.given() for name, one in model.passes.items()},
        folders=FolderRules(
            under=parse_path(model.folders.under),
            rename={parse_path(old): parse_path(new) for old, new in model.folders.rename.items()},
        ),
        dialect=model.dialect,
        allow=frozenset(model.allow),
        customer=model.customer.settings(str(run.get("time_zone", ""))),
        notify=model.notify.settings(folder),
    )


def did_you_mean(word: str, known: Any) -> str:
    """ ", did you mean X?" when something known is near, else ""."""
    import difflib

    near = difflib.get_close_matches(word.casefold(), [str(one) for one in known], n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}?" if near else ""


def is_reference(text: str) -> bool:
    scheme = next((one for one in SECRET_SCHEMES if text.startswith(one)), "")
    return bool(scheme) and len(text) > len(scheme)


# --- the file as pydantic sees it


def _octets(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMG])(i?)B)?\s*", value, re.IGNORECASE)
    if not found:
        raise ValueError('write a number of bytes, or "16 MiB"')
    step = 1024 if found[3] else 1000
    power = " KMG".index(found[2].upper()) if found[2] else 0
    return int(float(found[1]) * step**power)


def _date(value: Any, info: Any) -> Any:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, str):
        return parse_date(value, now=info.context["now"])
    raise ValueError('write a date: 2024-01-31, or "90d" for 90 days ago')


def _pattern(value: Any) -> Any:
    problem = pattern_problem(value) if isinstance(value, str) else ""
    if problem:
        raise ValueError(problem)
    return value


def _secret(value: Any) -> Any:
    # The value itself must not come out in a message: it may be the password.
    if isinstance(value, str) and value and not is_reference(value):
        raise ValueError(
            "a secret is never written here: put a reference, env:NAME, keyring:SERVICE/USER or file:PATH"
        )
    return value


def _moment(value: Any, info: Any) -> Any:
    if isinstance(value, datetime):
        value = value.isoformat()
    if isinstance(value, str):
        parse_moment(value, None, info.context["now"])
        return value
    raise ValueError('write a moment: "Mon 06:00" or "2026-11-23 06:00"')


def _by(read: Any) -> BeforeValidator:
    return BeforeValidator(lambda value: read(value) if isinstance(value, str) else value)


def _one_line(value: Any) -> Any:
    if isinstance(value, str) and any(ord(char) < 32 or ord(char) == 127 for char in value):
        raise ValueError("holds a control character")
    return value


Text = Annotated[str, BeforeValidator(_one_line)]
Octets = Annotated[int, BeforeValidator(_octets), Field(gt=0)]
When = Annotated[datetime, BeforeValidator(_date)]
Pattern = Annotated[str, BeforeValidator(_pattern)]
Secret = Annotated[str, BeforeValidator(_secret), Field(repr=False)]
Moment = Annotated[str, BeforeValidator(_moment)]
QuietHours = Annotated[str, _by(checked(parse_quiet))]
Zone = Annotated[str, _by(checked(zone_of))]
Duration = Annotated[float, _by(parse_duration_s), Field(ge=0)]
OctetRate = Annotated[float, _by(parse_rate), Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Force = Literal["empty_source", "identity_changed", "no_canary", "mass_delete"]
Allowance = Literal["duplicate-target", "duplicate-source", "same-mailbox", "archive-to-primary"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


def _below() -> Any:
    """A table that may be missing: it is read as an empty one, so that only the whole file's validator needs to be built."""
    return Field(default={}, validate_default=True)


class _Limits(_Table):
    concurrent: int = Field(default=4, ge=1, le=64)
    requests: int = Field(default=10_000, ge=0)
    requests_window_s: Seconds = 600.0
    upload_octets: Annotated[int, BeforeValidator(_octets), Field(ge=0)] = 150 << 20
    upload_window_s: Seconds = 300.0
    endpoint_concurrent: int = Field(default=0, ge=0)
    tries: int = Field(default=6, ge=1, le=100)
    give_up_s: Seconds = 900.0
    timeout_s: Seconds = 120.0


# The defaults are Microsoft's numbers; an IMAP server has none that are known, it says when it has enough.
_LIMITS_OF: dict[str, dict[str, Any]] = {"imap": {"concurrent": 8, "requests": 0, "upload_octets": 0}}


class _Endpoint(_Table):
    kind: Annotated[Text, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
    url: Text = ""
    auth: Text = ""
    access: Literal["impersonation", "delegate", "owner"] = "impersonation"
    username: Text = ""
    secret: Secret = ""
    tenant: Text = ""
    client_id: Text = ""
    certificate: Secret = ""
    authority: Text = ""
    ca_file: Text = ""
    version: Text = "Exchange2010_SP2"
    import_hosts: list[Text] = []
    limits: _Limits = _below()
    options: dict[str, Text] = {}

    def _limits_given(self) -> dict[str, Any]:
        return {name: getattr(self.limits, name) for name in self.limits.model_fields_set}

    def endpoint(self, name: str, folder: Path) -> Endpoint:
        return Endpoint(
            name=name,
            kind=self.kind,
            url=self.url,
            auth=self.auth,
            access=self.access,
            username=self.username,
            secret=resolved_reference(self.secret, folder),
            tenant=self.tenant,
            client_id=self.client_id,
            certificate=resolved_reference(self.certificate, folder),
            authority=self.authority,
            ca_file=str(folder / self.ca_file) if self.ca_file else "",
            version=self.version,
            import_hosts=tuple(self.import_hosts),
            limits=Limits(**{**_LIMITS_OF.get(self.kind, {}), **self._limits_given()}),
            options=dict(self.options),
        )


class _Defaults(_Table):
    source: Text = ""
    target: Text = ""
    source_login: Text = ""
    target_login: Text = ""
    source_secret: Secret = ""
    target_secret: Secret = ""
    source_domain: Text = ""
    target_domain: Text = ""
    batch: Text = ""


_OTHER_NAMES = {"wait_for_source": "wait_for_source_s", "max_rate": "max_rate_octets_s"}


class _Run(_Table):
    mailboxes: int | None = Field(default=None, ge=1, le=512)
    uploaders: int | None = Field(default=None, ge=1, le=32)
    inflight_octets: Octets | None = None
    batch_items: int | None = Field(default=None, ge=1, le=1000)
    batch_octets: Octets | None = None
    since: When | None = None
    until: When | None = None
    folders: list[Pattern] | None = None
    exclude_folders: list[Pattern] | None = None
    retry_failed: bool | None = None
    propagate_deletes: bool | None = None
    dedupe: bool | None = None
    force: list[Force] | None = None
    find_present: bool | None = None
    max_item_octets: Octets | None = None
    newest_first: bool | None = None
    wait_for_source: Duration | None = None
    max_rate: OctetRate | None = None
    not_before: Moment | None = None
    stop_at: Moment | None = None
    quiet_hours: list[QuietHours] | None = None
    time_zone: Zone | None = None
    deadline: Moment | None = None

    def given(self) -> dict[str, Any]:
        """What the file says, under the names of RunSettings."""
        found: dict[str, Any] = {}
        for key in self.model_fields_set:
            value = getattr(self, key)
            if value is None:
                continue
            if key == "folders":
                found["include_folders"] = tuple(value)
            elif key == "exclude_folders":
                found["exclude_folders"] = tuple(value)
            elif key == "force":
                found["force"] = frozenset(value)
            elif key in _OTHER_NAMES:
                found[_OTHER_NAMES[key]] = value
            elif key == "quiet_hours":
                found[key] = tuple(value)
            elif key != "passname":
                found[key] = value
        return found


class _RunTable(_Run):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, populate_by_name=False, defer_build=True
    )

    passname: Literal["prestage", "delta", "cutover"] | None = Field(default=None, alias="pass")


class _Folders(_Table):
    under: Text = ""
    rename: dict[str, Text] = {}


class _Customer(_Table):
    title: Text = ""
    language: Annotated[Text, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")] = "en"
    show: Show = "masked"
    name_column: Text = "DisplayName"
    contact: Text = ""
    switch: Text = ""
    time_zone: Zone = ""
    every: Annotated[float, _by(parse_duration_s), Field(ge=5, le=86_400)] = 60.0

    def settings(self, time_zone: str) -> CustomerSettings:
        return CustomerSettings(
            self.title, self.language, self.show, self.name_column, self.contact, self.switch,
            self.time_zone or time_zone, self.every,
        )  # fmt: skip


class _Receiver(_Table):
    kind: ReceiverKind
    on: list[Topic] | None = None
    url: Secret = ""
    token: Secret = ""
    ca_file: Text = ""
    server: Text = ""
    port: int = Field(default=0, ge=0, le=65_535)
    security: Security = "starttls"
    username: Text = ""
    secret: Secret = ""
    sender: Text = ""
    to: list[Text] = []

    def faults(self) -> list[str]:
        if self.kind != "email":
            wanted = (
                [] if self.url else ["url: is missing (a reference: the address of a webhook is a secret)"]
            )
            return wanted + [
                f"{name}: belongs to kind = 'email'" for name in _MAIL_ONLY & self.model_fields_set
            ]
        found = [f"{name}: is missing" for name in ("server", "sender", "to") if not getattr(self, name)]
        found += [
            f"{name}: {one!r} is no address"
            for name, addresses in (("sender", [self.sender]), ("to", self.to))
            for one in addresses
            if one and not re.fullmatch(r"[!#-'*+\-/-9=?A-Z^-~.]+@[A-Za-z0-9.-]+", one)
        ]
        if self.security == "none" and (self.username or self.secret):
            found.append("security: no password is sent without TLS; use starttls or tls")
        if bool(self.username) != bool(self.secret):
            found.append("username and secret go together")
        return found + [f"{name}: belongs to webhooks" for name in {"url", "token"} & self.model_fields_set]


_MAIL_ONLY = {"server", "port", "security", "username", "secret", "sender", "to"}


class _Notify(_Table):
    on: list[Topic] = list(TOPICS)
    bundle: Annotated[float, _by(parse_duration_s), Field(ge=0, le=86_400)] = 600.0
    show: Show = "address"
    name_column: Text = "DisplayName"
    to: dict[str, _Receiver] = {}

    def settings(self, folder: Path) -> NotifySettings:
        return NotifySettings(
            receivers=tuple(
                Receiver(
                    name=name,
                    kind=one.kind,
                    on=frozenset(self.on if one.on is None else one.on),
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
                for name, one in self.to.items()
            ),
            bundle_s=self.bundle,
            show=self.show,
            name_column=self.name_column,
        )


class _File(_Table):
    manifest: Annotated[Text, Field(min_length=1)] = "mailboxes.csv"
    ledger: Annotated[Text, Field(min_length=1)] = "ledger.sqlite"
    dialect: Text = "auto"
    allow: list[Allowance] = []
    endpoints: dict[str, _Endpoint] = Field(min_length=1)
    defaults: _Defaults = _below()
    run: _RunTable = _below()
    passes: dict[Literal["prestage", "delta", "cutover"], _Run] = {}
    folders: _Folders = _below()
    customer: _Customer = _below()
    notify: _Notify = _below()


def _faults(model: _File) -> list[str]:
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
        found += [f"notify.to.{name}.{fault}" for fault in receiver.faults()]
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


def _words(fault: Any, raw: Mapping[str, Any]) -> str:
    """One line a fault: key path, what is wrong, what is near. Never the value: it may be a secret."""
    where = ".".join(str(part) for part in fault["loc"] if part != "[key]")
    kind = fault["type"]
    if kind == "extra_forbidden":
        known = _keys_at(tuple(fault["loc"][:-1]))
        return f"{where}: there is no such key{did_you_mean(str(fault['loc'][-1]), known)}" + (
            f" ({', '.join(known)})" if known else ""
        )
    if kind in ("missing", "too_short") and fault["loc"] == ("endpoints",):
        return "endpoints: at least one [endpoints.NAME] table is needed"
    if kind == "value_error":
        return f"{where}: {fault['ctx']['error']}"
    if kind == "literal_error":
        word = _at(raw, fault["loc"])
        options = fault["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        near = did_you_mean(word, options) if isinstance(word, str) else ""
        return f"{where}: one of {', '.join(options)} is wanted{near}"
    plain = {
        "missing": "is missing",
        "too_short": "is empty",
        "string_type": "text in quotes is wanted",
        "int_type": "a whole number is wanted",
        "float_type": "a number is wanted",
        "bool_type": "true or false is wanted",
        "list_type": 'a list such as ["a", "b"] is wanted',
        "dict_type": "a table is wanted",
        "model_type": "a table is wanted",
        "string_pattern_mismatch": "a word of small letters, digits, - and _ is wanted",
    }
    message = str(fault["msg"])
    return f"{where}: {plain.get(kind, message[:1].lower() + message[1:])}"


def _at(raw: Any, loc: tuple[Any, ...]) -> Any:
    for part in loc:
        try:
            raw = raw[part]
        except (KeyError, IndexError, TypeError):
            return part if part != "[key]" else None
    return raw


def _keys_at(loc: tuple[Any, ...]) -> list[str]:
    """The keys that the table at this place may hold."""
    model: Any = _File
    for part in loc:
        if isinstance(model, type) and issubclass(model, BaseModel):
            model = next(
                (f.annotation for key, f in model.model_fields.items() if (f.alias or key) == part), None
            )
        else:  # dict[str, Table]
            arguments = get_args(model)
            model = arguments[1] if len(arguments) == 2 else None
    if isinstance(model, type) and issubclass(model, BaseModel):
        return sorted(f.alias or key for key, f in model.model_fields.items())
    return []


def resolved_reference(value: str, folder: Path) -> str:
    """A `file:` reference with its path made absolute, so that the current folder does not matter; others as they are."""
    if value.startswith("file:"):
        return "file:" + str(folder / Path(value.removeprefix("file:")).expanduser())
    return value
