"""The manifest: a CSV file, one mailbox a row, in any of the layouts of `dialects`.

Reading never raises on what a cell holds: every fault of every row is collected, with its line, and `make_plan` raises
them together with its own. Facts and decisions:

- encodings: UTF-8 with or without BOM; UTF-16 with BOM, as Excel's "Unicode Text" saves it, or without, when every second
  byte is zero; anything else is a fault, because a guessed code page gives wrong addresses
- delimiters: comma, semicolon, tab, whichever makes the header known; Excel's first line `sep=;` is honoured
- lines that begin with `#` are comments; blank lines do not count
- a cell with a control character is a fault: it could move a terminal's cursor, or hide what it is
- a password is kept in memory only, under a "csv:" reference; see `rowsecrets`
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path

from migrator.errors import UserError
from migrator.plan.dialects import (
    BY_NAME,
    DIALECTS,
    OWN,
    Dialect,
    Draft,
    by_header,
    by_shape,
    is_password_column,
    normal,
)
from migrator.plan.project import did_you_mean, is_reference
from migrator.record import record

SIZE_MOST = 64 << 20  # octets; 50,000 rows of the widest layout are 20 MB
CELL_MOST = 4096  # characters
DELIMITERS = (",", ";", "\t")
_DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab"}
_HIDING = frozenset(
    "\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)


@record
class Problem:
    """A fault of the manifest. line: 1-based, 0 for the file as a whole. text: for a person, without any secret."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}" if self.line else self.text


@record
class Row:
    """A row as it stands, blanks not yet filled."""

    line: int
    source: str = ""
    target: str = ""
    source_endpoint: str = ""
    target_endpoint: str = ""
    source_login: str = ""
    target_login: str = ""
    source_secret: str = field(default="", repr=False)  # a reference
    target_secret: str = field(default="", repr=False)
    source_host: str = ""
    target_host: str = ""
    batch: str = ""
    target_archive: bool = False
    left_out: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


@record
class Manifest:
    """A manifest, read. Only without `problems` may anything be done with it."""

    name: str  # of the file, for messages
    dialect: Dialect
    encoding: str
    delimiter: str  # "comma", "semicolon", "tab"
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


def read_manifest(path: Path, *, dialect: str = "auto", passwords: bool = False) -> Manifest:
    """The manifest in a file.

    dialect: a name of `dialects.BY_NAME`, or "auto". passwords: cells may hold passwords (`--passwords-in-csv`).
    Raises UserError when there is no such file or it cannot be a manifest at all.
    """
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_MOST + 1)
    except FileNotFoundError:
        raise UserError(
            f"there is no manifest {path}",
            code="manifest_missing",
            remedy="write it, or name another in migration.toml",
        ) from None
    except OSError as error:
        raise UserError(
            f"cannot read the manifest {path}: {error.strerror}", code="manifest_unreadable"
        ) from None
    return parse_manifest(data, name=path.name, dialect=dialect, passwords=passwords)


def parse_manifest(
    data: bytes, *, name: str = "manifest", dialect: str = "auto", passwords: bool = False
) -> Manifest:
    """As `read_manifest`, from bytes."""
    if len(data) > SIZE_MOST:
        raise _unusable(name, f"is larger than {SIZE_MOST >> 20} MiB", "is this a list of mailboxes?")
    text, encoding = _decode(data, name)
    text, delimiter = _separator(text)
    lines = list(_lines(text))
    if not lines:
        raise _unusable(name, "has no rows", "the first line names the columns, for example: source,target")
    layout, delimiter = _layout(lines, dialect, delimiter, name)
    return _Reader(name, layout, delimiter, encoding, passwords).read(text)


# --- bytes → text


def _decode(data: bytes, name: str) -> tuple[str, str]:
    if data.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        encoding = "utf-32"
    elif data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif data.startswith(b"\xef\xbb\xbf"):
        encoding = "utf-8-sig"
    elif _sparse(data, 1):
        encoding = "utf-16-le"
    elif _sparse(data, 0):
        encoding = "utf-16-be"
    else:
        encoding = "utf-8"
    try:
        return data.decode(encoding), encoding
    except UnicodeDecodeError as error:
        if encoding.startswith("utf-8"):
            line = data.count(b"\n", 0, error.start) + 1
            raise _unusable(
                name,
                f"is not UTF-8: line {line} has the byte 0x{data[error.start]:02X}",
                'save it as "CSV UTF-8 (comma delimited)" in Excel, or convert it to UTF-8',
            ) from None
        raise _unusable(name, f"begins like {encoding.upper()} and is not", "save it as UTF-8") from None


def _sparse(data: bytes, first: int) -> bool:
    """UTF-16 without a BOM: of the first octets every second one is zero."""
    head = data[:200]
    return (
        len(head) >= 4
        and head[first::2].count(0) * 10 >= len(head[first::2]) * 9
        and 0 not in head[1 - first :: 2]
    )


def _separator(text: str) -> tuple[str, str]:
    """Excel's `sep=;` line, blanked so that line numbers hold."""
    first, end, rest = text.partition("\n")
    word = first.strip().strip('"').casefold()
    if word.startswith("sep=") and len(word) == 5 and word[4] in DELIMITERS:
        return end + rest, word[4]
    if first.rstrip("\r").casefold() == "sep=\t":
        return end + rest, "\t"
    return text, ""


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.strip(" \t,;\0") and not line.lstrip().startswith("#"):
            yield line


# --- which layout


def _layout(lines: list[str], dialect: str, delimiter: str, name: str) -> tuple[Dialect, str]:
    """The dialect and the delimiter, from the header or the shape of the first rows."""
    if dialect != "auto" and dialect not in BY_NAME:
        raise UserError(
            f"no manifest layout is called {dialect!r}{did_you_mean(dialect, BY_NAME)}",
            code="unknown_dialect",
            remedy="there are " + ", ".join(BY_NAME),
        )
    tried = (delimiter,) if delimiter else DELIMITERS
    wanted = BY_NAME[dialect] if dialect != "auto" else None
    found: list[tuple[int, Dialect, str]] = []
    for char in tried:
        names = _header(lines[0], char)
        seen = by_header(names)
        if wanted is not None and wanted.headed:
            found.append((len(set(names) & wanted.columns), wanted, char))
        elif seen is not None and wanted is None:
            found.append((len(set(names) & seen.columns), seen, char))
    if found:
        # More known names win; among equals the first delimiter.
        best = max(found, key=lambda one: one[0])
        return best[1], best[2]
    for char in (delimiter,) if delimiter else (";", ",", "\t"):
        rows = [line.split(char) for line in lines[:50] if _header(line, char)[0] != "host1"]
        shape = by_shape(rows, char)
        if shape is not None and wanted is None:
            return shape, char
        if wanted is not None and rows and len(rows[0]) in wanted.positional:
            return wanted, char
    if wanted is not None:
        return wanted, delimiter or ","
    names = [one.strip().strip('"') for one in lines[0].split(_likeliest(lines[0]))]
    # A first line with an @ is data, and data may be a password: it is not repeated.
    shown = "" if any("@" in one for one in names) else ": " + ", ".join(repr(one[:40]) for one in names[:12])
    known = sorted({column for one in DIALECTS for column in one.columns})
    near = next((hint for one in names if (hint := did_you_mean(normal(one), known))), "") if shown else ""
    raise _unusable(
        name,
        f"has no layout that is known here{shown}{near}",
        "name the columns in the first line, at least: source,target; "
        "or say which layout it has with dialect = … in migration.toml: " + ", ".join(BY_NAME),
    )


def _header(line: str, delimiter: str) -> list[str]:
    try:
        return [normal(cell) for cell in next(csv.reader([line], delimiter=delimiter))]
    except (csv.Error, StopIteration):
        return [""]


def _likeliest(line: str) -> str:
    return max(DELIMITERS, key=line.count)


def _unusable(name: str, what: str, remedy: str) -> UserError:
    return UserError(f"the manifest {name} {what}", code="manifest_unreadable", remedy=remedy)


# --- text → rows


class _Reader:
    """One reading of one file: rows, problems and passwords as they are met."""

    def __init__(self, name: str, dialect: Dialect, delimiter: str, encoding: str, passwords: bool) -> None:
        self.name = name
        self.dialect = dialect
        self.delimiter = delimiter
        self.encoding = encoding
        self.passwords = passwords
        self.rows: list[Row] = []
        self.problems: list[Problem] = []
        self.notes: list[str] = list(dialect.notes)
        self.secrets: dict[str, str] = {}
        self._references: dict[tuple[str, str], str] = {}
        self.bare_passwords: list[int] = []  # lines that hold a password without leave
        self.titles: list[str] = []  # header names as written

    def read(self, text: str) -> Manifest:
        header: list[str] | None = None
        for line, cells in self._records(text):
            if self.dialect.headed and header is None:
                header = self._take_header(line, cells)
                continue
            if not self.dialect.headed and normal(cells[0]) == "host1":
                continue  # some keep a header line in imapsync's file, which imapsync itself would take for a row
            self._take_row(line, cells, header)
        if self.bare_passwords:
            self.problems.append(
                Problem(
                    self.bare_passwords[0],
                    f"a password stands in the CSV{_also(self.bare_passwords)}; give env:, keyring: or file: references, "
                    "or allow it with --passwords-in-csv",
                )
            )
        if not self.rows and not self.problems:
            self.problems.append(Problem(0, f"{self.name} has a header and no rows"))
        return Manifest(
            name=self.name,
            dialect=self.dialect,
            encoding=self.encoding,
            delimiter=_DELIMITER_NAMES[self.delimiter],
            rows=tuple(self.rows),
            problems=tuple(self.problems),
            notes=tuple(self.notes),
            secrets=self.secrets,
        )

    def _records(self, text: str) -> Iterator[tuple[int, list[str]]]:
        """(first line, cells) of each record; comments and blank lines left out."""
        # newline="" as the csv module asks; a record may span lines when a quoted cell holds one.
        lines = io.StringIO(text, newline="")
        reader = csv.reader(
            lines,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.dialect.quoting else csv.QUOTE_NONE,
            strict=self.dialect.quoting,
        )
        while True:
            start = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                words = str(error)
                if "end of data" in words:
                    words = "a quote is opened and never closed"
                elif "expected after" in words:
                    words = "text follows a closing quote: double the quotes inside a cell"
                self.problems.append(Problem(start, words))
                if reader.line_num < start:  # no progress: the module would say the same for ever
                    return
                continue
            if cells and cells[0].lstrip().startswith("#"):
                continue
            if any(cell.strip() for cell in cells):
                yield start, cells

    def _take_header(self, line: int, cells: list[str]) -> list[str]:
        while cells and not cells[-1].strip():
            cells = cells[:-1]
        self.titles = [cell.strip() for cell in cells]
        header = [normal(cell) for cell in cells]
        for at, column in enumerate(header):
            if column and column in header[:at]:
                self.problems.append(Problem(line, f"the column {self.titles[at]!r} is there twice"))
            if any(unicodedata.category(char) == "Cc" for char in self.titles[at]):
                self.problems.append(Problem(line, f"the name of column {at + 1} holds a control character"))
        missing = self.dialect.required - set(header)
        if self.dialect is OWN and not {"source", "sourceaddress", "sourcemailbox", "from"} & set(header):
            missing = frozenset({"source"})
        if missing:
            self.problems.append(
                Problem(line, f"the layout {self.dialect.name} needs the column {', '.join(sorted(missing))}")
            )
        unknown = [
            title
            for title, column in zip(self.titles, header, strict=True)
            if column not in self.dialect.columns
        ]
        dropped = [title for title in unknown if is_password_column(title)]
        if dropped:
            self.notes.append(f"dropped, because it may hold passwords: {', '.join(dropped)}")
        kept = [title for title in unknown if title and title not in dropped]
        if kept:
            self.notes.append(f"kept for reports: {', '.join(kept)}")
        return header

    def _take_row(self, line: int, cells: list[str], header: list[str] | None) -> None:
        before = len(self.problems)
        named: dict[str, str] = {}
        extra: dict[str, str] = {}
        if header is None:
            if len(cells) not in self.dialect.positional:
                self._fault(
                    line, f"{len(cells)} cells, and {self.dialect.title} has {self.dialect.positional[0]}"
                )
                return
            named = {str(at): cell for at, cell in enumerate(cells, 1)}
        else:
            if len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
                self._fault(
                    line, f"{len(cells)} cells under a header of {len(header)}: is a delimiter not quoted?"
                )
                return
            for at, column in enumerate(header):
                cell = cells[at] if at < len(cells) else ""
                if column in self.dialect.columns:
                    named[column] = cell
                elif column and not is_password_column(column):
                    extra[self.titles[at]] = cell
        for column, cell in [*named.items(), *extra.items()]:
            self._check_cell(line, column, cell, hiding=column in named)
        if len(self.problems) > before:
            return
        clean = {
            column: cell if column in self.dialect.passwords else cell.strip()
            for column, cell in named.items()
        }
        draft = self.dialect.read(clean)
        for text in draft.problems:
            self._fault(line, text)
        kept = {title: cell.strip() for title, cell in extra.items() if cell.strip()}
        # What a known column says beside the pair (Flags, MailboxType, TargetRootFolder …) is kept as well.
        if header is not None:
            for at, column in enumerate(header):
                if column in clean and column not in self.dialect.passwords and self.dialect is not OWN:
                    value = clean[column]
                    if value and value not in (draft.source, draft.target):
                        kept[self.titles[at]] = value
        self.rows.append(
            Row(
                line=line,
                source=draft.source,
                target=draft.target,
                source_endpoint=draft.source_endpoint,
                target_endpoint=draft.target_endpoint,
                source_login=draft.source_login,
                target_login=draft.target_login,
                source_secret=self._secret(line, "source", draft),
                target_secret=self._secret(line, "target", draft),
                source_host=draft.source_host,
                target_host=draft.target_host,
                batch=draft.batch,
                target_archive=draft.target_archive,
                left_out=draft.left_out,
                extra=kept,
            )
        )

    def _check_cell(self, line: int, column: str, cell: str, *, hiding: bool) -> None:
        where = (
            f"cell {column}"
            if column.isdigit()
            else f"column {column if column.isprintable() else repr(column)}"
        )
        # The cell's text is not shown: it may be a password, and it is what the terminal must be kept from.
        bad = next((char for char in cell if unicodedata.category(char) in ("Cc", "Cs")), "")
        if not bad and hiding and column not in self.dialect.passwords:
            bad = next((char for char in cell if char in _HIDING), "")
        if bad:
            shown = {"\n": "a line break", "\r": "a line break", "\t": "a tab"}.get(
                bad, f"the invisible character U+{ord(bad):04X}"
            )
            self._fault(line, f"{where} holds {shown}")
        elif len(cell) > CELL_MOST:
            self._fault(line, f"{where} holds {len(cell)} characters; at most {CELL_MOST} are read")

    def _secret(self, line: int, side: str, draft: Draft) -> str:
        """The reference for a row's secret. A password becomes a "csv:" reference, when it is allowed at all."""
        reference: str = getattr(draft, f"{side}_secret").strip()
        password: str = getattr(draft, f"{side}_password")
        if reference and is_reference(reference):
            return reference
        if is_reference(password.strip()):
            return password.strip()
        value = password or getattr(draft, f"{side}_secret")
        if not value.strip():
            return ""
        if not self.passwords:
            if line not in self.bare_passwords:
                self.bare_passwords.append(line)
            return ""
        # One password, one reference: rows that share an account share its sign-in, so that a wrong one is tried once.
        reference = self._references.setdefault((side, value), f"csv:{line}/{side}")
        self.secrets[reference] = value
        return reference

    def _fault(self, line: int, text: str) -> None:
        self.problems.append(Problem(line, text))


def _also(lines: list[int]) -> str:
    others = len(lines) - 1
    return "" if not others else f", and in {others} more row{'s' if others > 1 else ''}"
