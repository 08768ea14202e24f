"""The column layouts that people bring: each one's header, and what its columns mean here.

Header names are compared without regard to letter case, blanks, `_` and `-`. A row becomes a `Draft`; blank fields of a
draft are filled from the project file by the planner. Sources of the layouts:

- own                 docs/manifest.md of this project
- migrationwiz        help.bittitan.com, article 115008101167
- microsoft-imap, microsoft-staged, microsoft-move
                      learn.microsoft.com/exchange/mailbox-migration/csv-files-for-migration
- microsoft-pst       learn.microsoft.com/purview/use-network-upload-to-import-pst-files
- cloudm              support.cloudm.io, article 9116361144476
- imapsync            imapsync.lamiral.info, its example file.txt
- google              support.google.com/a/answer/6244351; google-gwmme: …/6326205
- transporter         Microsoft Transporter Suite 2008, its help file
- kerio               Kerio IMAP Migration Tool, manual 6.7
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import field

from migrator.record import record

_ADDRESS = re.compile(r"[^@\s,;]+@[^@\s,;]+")


@record(frozen=False)
class Draft:
    """What a row says, before the project file fills the gaps. Passwords are values still: see `manifest`."""

    source: str = ""
    target: str = ""
    source_endpoint: str = ""
    target_endpoint: str = ""
    source_login: str = ""
    target_login: str = ""
    source_secret: str = field(default="", repr=False)  # a reference
    target_secret: str = field(default="", repr=False)
    source_password: str = field(default="", repr=False)  # a value, from a column of passwords
    target_password: str = field(default="", repr=False)
    source_host: str = ""  # a server that the row names; matched against the endpoints
    target_host: str = ""
    batch: str = ""
    target_archive: bool = False
    left_out: str = ""  # why the row itself asks not to be migrated
    problems: list[str] = field(default_factory=list)


Cells = Mapping[str, str]
"""Normalised header name (or "1", "2", … without a header) → cell, blanks at both ends taken off."""


@record
class Dialect:
    """One layout. columns: normalised names that it knows; required: those without which it is not this layout.

    positional: how many cells a row has, for layouts without a header; empty for those with one. quoting: whether `"`
    has a meaning (in shell-made files it does not). passwords: columns whose cells are never kept.
    """

    name: str
    title: str
    read: Callable[[Cells], Draft]
    required: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()
    positional: tuple[int, ...] = ()
    quoting: bool = True
    passwords: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def headed(self) -> bool:
        return not self.positional


def normal(name: str) -> str:
    """A header name as it is compared."""
    return re.sub(r"[\s_\-]+", "", name).casefold()


def is_password_column(name: str) -> bool:
    """Unknown columns that look like they hold passwords are dropped, never kept for reports."""
    return bool(re.search(r"passw|passphrase|kennwort|motdepasse|\bpwd|pwd$|secret|token", normal(name)))


# --- our own


_OWN_ALIASES = {
    "source": ("source", "sourceaddress", "sourcemailbox", "from"),
    "target": ("target", "targetaddress", "targetmailbox", "destination", "to"),
    "source_endpoint": ("sourceendpoint",),
    "target_endpoint": ("targetendpoint",),
    "source_login": ("sourcelogin",),
    "target_login": ("targetlogin",),
    "source_secret": ("sourcesecret",),
    "target_secret": ("targetsecret",),
    "batch": ("batch", "wave"),
}


def _own(cells: Cells) -> Draft:
    draft = Draft()
    for name, aliases in _OWN_ALIASES.items():
        setattr(draft, name, next((cells[alias] for alias in aliases if cells.get(alias)), ""))
    return draft


# --- others with a header


def _migrationwiz(cells: Cells) -> Draft:
    return Draft(
        source=cells.get("sourceemail", ""),
        source_login=cells.get("sourceloginname", ""),
        source_password=cells.get("sourcepassword", ""),
        target=cells.get("destinationemail", ""),
        target_login=cells.get("destinationloginname", ""),
        target_password=cells.get("destinationpassword", ""),
    )


def _microsoft_imap(cells: Cells) -> Draft:
    # EmailAddress is the target; UserName signs in at the source as "user", "DOMAIN\user" or an address.
    login = cells.get("username", "")
    return Draft(
        source=login if _ADDRESS.fullmatch(login) else cells.get("emailaddress", ""),
        source_login=login,
        source_password=cells.get("password", ""),
        target=cells.get("emailaddress", ""),
    )


def _microsoft_staged(cells: Cells) -> Draft:
    # Its Password is the one that the new account shall get, not one to read the old mailbox with: not used.
    return Draft(source=cells.get("emailaddress", ""), target=cells.get("emailaddress", ""))


def _microsoft_move(cells: Cells) -> Draft:
    draft = Draft(source=cells.get("emailaddress", ""), target=cells.get("emailaddress", ""))
    kind = cells.get("mailboxtype", "").casefold()
    if kind == "archiveonly":
        draft.target_archive = True
    elif kind not in ("", "primaryonly", "primaryandarchive"):
        draft.problems.append("MailboxType is not PrimaryOnly, ArchiveOnly or PrimaryAndArchive")
    return draft


def _microsoft_pst(cells: Cells) -> Draft:
    folder, name = cells.get("filepath", ""), cells.get("name", "")
    draft = Draft(
        source=f"{folder.rstrip('/')}/{name}" if folder and name else name, target=cells.get("mailbox", "")
    )
    if not name:
        draft.problems.append("Name, the PST file, is empty")
    workload = cells.get("workload", "")
    if workload.casefold() not in ("", "exchange"):
        draft.problems.append("Workload is not Exchange")
    draft.target_archive = _truth(cells.get("isarchive", ""), "IsArchive", draft, blank=False)
    return draft


def _cloudm(cells: Cells) -> Draft:
    draft = Draft(source=cells.get("exportname", ""), target=cells.get("importname", ""))
    if not _truth(cells.get("migrate", ""), "Migrate", draft, blank=True):
        draft.left_out = "Migrate is False"
    elif not _truth(cells.get("migratemail", ""), "MigrateMail", draft, blank=True):
        draft.left_out = "MigrateMail is False"
    for column in ("exportobjecttype", "importobjecttype"):
        if cells.get(column, "").casefold() not in ("", "user", "mailbox", "resource", "sharedmailbox"):
            draft.left_out = f"{column} is not a mailbox"
    return draft


def _transporter(cells: Cells) -> Draft:
    source = cells.get("sourceidentity", "")
    return Draft(
        source=source,
        source_host=cells.get("sourceserver", ""),
        source_login=cells.get("sourceloginid", ""),
        source_password=cells.get("sourcepassword", ""),
        target=cells.get("targetidentity", "") or source,
    )


def _truth(cell: str, name: str, draft: Draft, *, blank: bool) -> bool:
    word = cell.casefold()
    if word in ("true", "yes", "y", "1", "wahr", "vrai"):
        return True
    if word in ("false", "no", "n", "0", "falsch", "faux"):
        return False
    if word:
        draft.problems.append(f"{name} is neither TRUE nor FALSE")
    return blank


# --- without a header


def _imapsync(cells: Cells) -> Draft:
    user1, user2 = cells.get("2", ""), cells.get("5", "")
    return Draft(
        source_host=cells.get("1", ""),
        source=user1,
        source_login=user1,
        source_password=cells.get("3", ""),
        target_host=cells.get("4", ""),
        target=user2,
        target_login=user2,
        target_password=cells.get("6", ""),
    )


def _google(cells: Cells) -> Draft:
    # The target comes first in this one.
    return Draft(target=cells.get("1", ""), source=cells.get("2", ""), source_password=cells.get("3", ""))


def _google_gwmme(cells: Cells) -> Draft:
    return Draft(source=cells.get("1", ""), target=cells.get("2", ""))


def _kerio(cells: Cells) -> Draft:
    user = cells.get("1", "")
    return Draft(source=user, source_login=user, source_password=cells.get("2", ""), target=user)


def _addresses(cells: Cells) -> Draft:
    return Draft(source=cells.get("1", ""), target=cells.get("1", ""))


def _names(text: str) -> frozenset[str]:
    return frozenset(normal(name) for name in text.split(","))


OWN = Dialect(
    "own",
    "migrator",
    _own,
    columns=frozenset(alias for aliases in _OWN_ALIASES.values() for alias in aliases),
    passwords=_names("source_secret,target_secret"),
)

DIALECTS: tuple[Dialect, ...] = (
    OWN,
    Dialect(
        "migrationwiz",
        "BitTitan MigrationWiz",
        _migrationwiz,
        required=_names("Source Email,Destination Email"),
        columns=_names(
            "Source Email,Source Login Name,Source Password,Destination Email,Destination Login Name,"
            "Destination Password,Flags"
        ),
        passwords=_names("Source Password,Destination Password"),
    ),
    Dialect(
        "microsoft-imap",
        "Microsoft IMAP migration batch",
        _microsoft_imap,
        required=_names("EmailAddress,UserName"),
        columns=_names("EmailAddress,UserName,Password,UserRoot"),
        passwords=_names("Password"),
    ),
    Dialect(
        "microsoft-move",
        "Microsoft remote move",
        _microsoft_move,
        required=_names("EmailAddress"),
        columns=_names(
            "EmailAddress,MailboxType,TargetDatabase,TargetArchiveDatabase,BadItemLimit,LargeItemLimit"
        ),
    ),
    Dialect(
        "microsoft-staged",
        "Microsoft staged Exchange migration",
        _microsoft_staged,
        required=_names("EmailAddress"),
        columns=_names("EmailAddress,Password,ForceChangePassword"),
        passwords=_names("Password"),
        notes=("Password and ForceChangePassword are for the new accounts and are not used here",),
    ),
    Dialect(
        "microsoft-pst",
        "Microsoft PST import mapping",
        _microsoft_pst,
        required=_names("Workload,Name,Mailbox"),
        columns=_names(
            "Workload,FilePath,Name,Mailbox,IsArchive,TargetRootFolder,ContentCodePage,SPFileContainer,"
            "SPManifestContainer,SPSiteUrl"
        ),
    ),
    Dialect(
        "cloudm",
        "CloudM Migrate",
        _cloudm,
        required=_names("Migrate,ExportName,ImportName"),
        columns=_names(
            "Migrate,ExportObjectType,ImportObjectType,ExportName,ImportName,GivenName,FamilyName,Password,ArchivePath,"
            "DocumentsPath,MigrateMail,MigrateContacts,MigrateCalendar,MigrateDrive,MigrateSites,MigrateTasks,"
            "ExportObjectRef,ImportObjectRef"
        ),
        passwords=_names("Password"),
        notes=("Password is for the new accounts and is not used here",),
    ),
    Dialect(
        "transporter",
        "Microsoft Transporter Suite",
        _transporter,
        required=_names("SourceIdentity"),
        columns=_names("SourceIdentity,SourceServer,SourceLoginID,SourcePassword,TargetIdentity"),
        passwords=_names("SourcePassword"),
    ),
    Dialect(
        "imapsync",
        "imapsync",
        _imapsync,
        positional=(6, 7, 8),
        quoting=False,
        passwords=frozenset({"3", "6"}),
    ),
    Dialect("google", "Google data migration", _google, positional=(3,), passwords=frozenset({"3"})),
    Dialect("google-gwmme", "two columns, source and target", _google_gwmme, positional=(2,)),
    Dialect("kerio", "Kerio IMAP Migration Tool", _kerio, positional=(3,), passwords=frozenset({"2"})),
    Dialect("addresses", "one address a line", _addresses, positional=(1,)),
)

BY_NAME: Mapping[str, Dialect] = {dialect.name: dialect for dialect in DIALECTS}


def by_header(names: list[str]) -> Dialect | None:
    """The layout with a header that fits these normalised names best, or None when they are no header at all."""
    given = set(names)
    best: tuple[int, int] = (0, 0)
    found: Dialect | None = None
    for dialect in DIALECTS:
        if not dialect.headed:
            continue
        if dialect is OWN:
            if not given & set(_OWN_ALIASES["source"]):
                continue
        elif not dialect.required <= given:
            continue
        # All its required names are there; more known names win, then more required ones, then the earlier layout.
        score = (len(given & dialect.columns), len(dialect.required))
        if score > best:
            best, found = score, dialect
    return found


def by_shape(rows: list[list[str]], delimiter: str) -> Dialect | None:
    """The layout without a header that these first rows have. rows: cells as they stand, split without regard to quotes."""
    if not rows:
        return None
    widths = {len(row) for row in rows}
    first = [cell.strip().strip('"').strip() for cell in rows[0]]
    addresses = [bool(_ADDRESS.fullmatch(cell)) for cell in first]
    if delimiter == ";" and widths <= {6, 7, 8} and all(first[at] for at in (0, 1, 3, 4)):
        return BY_NAME["imapsync"]
    if widths == {3} and delimiter == ";" and addresses[0]:
        return BY_NAME["kerio"]
    if widths == {3} and addresses[0] and addresses[1]:
        return BY_NAME["google"]
    if widths == {2} and all(addresses):
        return BY_NAME["google-gwmme"]
    if widths == {1} and all(addresses):
        return BY_NAME["addresses"]
    return None
