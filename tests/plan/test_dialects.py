"""Every layout that people bring loads unchanged, in every encoding and with every delimiter."""

from __future__ import annotations

import pytest

from migrator.errors import UserError
from migrator.plan.dialects import DIALECTS
from tests.plan.samples import manifest, pairs, plan, project

A, B = "ann@old.example", "ann@new.example"

# (file, dialect, (source, target)): headers as their makers print them, people made up here
FILES = {
    "own": (f"source,target\n{A},{B}\n", "own", (A, B)),
    "own-aliases": (f"Source Address;Target_Mailbox\n{A};{B}\n", "own", (A, B)),
    "migrationwiz": (
        "Source Email,Source Login Name,Source Password,Destination Email,Destination Login Name,Destination Password,Flags\n"
        f"{A},OLD\\ann,pw1,{B},,,0\n",
        "migrationwiz",
        (A, B),
    ),
    "migrationwiz-short": (f"Source Email,Destination Email\n{A},{B}\n", "migrationwiz", (A, B)),
    "microsoft-imap": (f"EmailAddress,UserName,Password\n{B},{A},pw1\n", "microsoft-imap", (A, B)),
    "microsoft-imap-root": (
        f"EmailAddress,UserName,Password,UserRoot\n{B},OLD\\ann,pw1,/users/ann\n",
        "microsoft-imap",
        (B, B),
    ),
    "microsoft-staged": (
        f"EmailAddress,Password,ForceChangePassword\n{A},pw1,True\n",
        "microsoft-staged",
        (A, A),
    ),
    "microsoft-staged-short": (f"EmailAddress,Password\n{A},pw1\n", "microsoft-staged", (A, A)),
    "microsoft-move": (f"EmailAddress,MailboxType\n{A},PrimaryOnly\n", "microsoft-move", (A, A)),
    "microsoft-move-short": (f"EmailAddress\n{A}\n", "microsoft-move", (A, A)),
    "microsoft-hybrid": (
        f"EmailAddress,TargetDatabase,TargetArchiveDatabase,BadItemLimit\n{A},DB1,,50\n",
        "microsoft-move",
        (A, A),
    ),
    "cloudm": (
        "Migrate,ExportObjectType,ImportObjectType,ExportName,ImportName,GivenName,FamilyName,Password,ArchivePath,"
        "DocumentsPath,MigrateMail,MigrateContacts,MigrateCalendar,MigrateDrive,MigrateSites,MigrateTasks,ExportObjectRef,"
        f"ImportObjectRef\nTrue,User,User,{A},{B},Ann,Example,pw1,,,True,True,True,False,False,True,,\n",
        "cloudm",
        (A, B),
    ),
    "cloudm-short": (f"Migrate,ExportName,ImportName\nTrue,{A},{B}\n", "cloudm", (A, B)),
    "imapsync": (
        f'# a comment\n\nmail.old.example;{A};pw;"1;imap.new.example;{B};pw2;\n'.replace('"', "'"),
        "",
        (A, B),
    ),
    "google": (f"{B},{A},pw1\n", "google", (A, B)),
    "google-gwmme": (f"{A},{B}\n", "google-gwmme", (A, B)),
    "transporter": (
        f"SourceIdentity,SourceServer,SourceLoginID,SourcePassword,TargetIdentity\n{A},mail.old.example,ann,pw1,{B}\n",
        "transporter",
        (A, B),
    ),
    "transporter-same-name": (
        f"SourceIdentity,SourceServer,SourceLoginID,SourcePassword\n{A},mail.old.example,ann,pw1\n",
        "transporter",
        (A, A),
    ),
    "kerio": (f"{A};pw1;Ann Example\n", "kerio", (A, A)),
    "addresses": (f"{A}\nbob@old.example\n", "addresses", (A, A)),
}
FILES["imapsync"] = (
    f"# a comment\n\nmail.old.example;{A};p\"w'1;imap.new.example;{B};pw2;\n",
    "imapsync",
    (A, B),
)

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]


@pytest.mark.parametrize("name", FILES)
def test_loads_unchanged(name: str) -> None:
    text, dialect, pair = FILES[name]
    read = manifest(text, passwords=True)
    assert (read.dialect.name, read.problems) == (dialect, ())
    assert pairs(plan(text, passwords=True))[0] == pair


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", FILES)
def test_encodings_and_line_ends(name: str, encoding: str) -> None:
    text, dialect, pair = FILES[name]
    data = text.replace("\n", "\r\n").encode(encoding)
    if encoding == "utf-16":
        assert data[:2] == b"\xff\xfe"
    read = manifest(data, passwords=True)
    assert read.dialect.name == dialect
    assert pairs(plan(data, passwords=True))[0] == pair


@pytest.mark.parametrize("delimiter", [";", "\t", ","])
@pytest.mark.parametrize("name", [name for name in FILES if manifest(FILES[name][0]).dialect.headed])
def test_delimiters_by_known_header_names(name: str, delimiter: str) -> None:
    text, dialect, pair = FILES[name]
    other = text.replace(";", ",").replace(",", delimiter)
    read = manifest(other, passwords=True)
    assert (read.dialect.name, read.problems) == (dialect, ())
    assert pairs(plan(other, passwords=True))[0] == pair


@pytest.mark.parametrize(
    "change", [str.upper, str.lower, lambda n: n.replace("e", "_e"), lambda n: f" {n} - "]
)
def test_header_names_without_case_blanks_and_dashes(change) -> None:  # type: ignore[no-untyped-def]
    for text, dialect, _ in FILES.values():
        header, _, rest = text.partition("\n")
        if not next(d for d in DIALECTS if d.name == dialect).headed:
            continue
        delimiter = ";" if ";" in header else ","
        changed = delimiter.join(change(name) for name in header.split(delimiter))
        assert manifest(f"{changed}\n{rest}", passwords=True).dialect.name == dialect


def test_microsoft_pst() -> None:
    header = (
        "Workload,FilePath,Name,Mailbox,IsArchive,TargetRootFolder,ContentCodePage,SPFileContainer,SPManifestContainer,"
        "SPSiteUrl\n"
    )
    of = project(PROJECT_PST)
    made = plan(
        header
        + f"Exchange,share/ann,ann.pst,{B},FALSE,/ImportedPst,,,,\nExchange,,Bob.pst,bob@new.example,,/,,,,\n",
        of=of,
    )
    assert pairs(made) == [("share/ann/ann.pst", B), ("Bob.pst", "bob@new.example")]
    assert made.jobs[0].source.endpoint == "files"
    assert made.jobs[0].extra["TargetRootFolder"] == "/ImportedPst"
    older = header.replace("ContentCodePage,", "") + f"Exchange,,ann.pst,{B},FALSE,,,,\n"
    assert manifest(older).dialect.name == "microsoft-pst"
    with pytest.raises(UserError) as caught:
        plan(header + f"SharePoint,,,{B},maybe,,,,,\nExchange,,b.pst,c@new.example,TRUE,,,,,\n", of=of)
    assert [p.partition(":")[0] for p in caught.value.problems] == ["line 2", "line 2", "line 2", "line 3"]
    allowed = plan(header + f"Exchange,,b.pst,{B},TRUE,,,,,\n", of=of, allow=("archive-to-primary",))
    assert pairs(allowed) == [("b.pst", B)]


PROJECT_PST = """
[endpoints.files]
kind = "pst"
[endpoints.new]
kind = "graph"
[defaults]
source = "files"
target = "new"
"""


def test_imapsync_passwords_may_hold_quotes_and_blanks() -> None:
    read = manifest(f'mail.old.example;{A}; p"w ;imap.new.example;{B};x;\n', passwords=True)
    assert read.secrets["csv:1/source"] == ' p"w '
    headed = manifest(f"host1;user1;password1;host2;user2;password2\nh;{A};p;h2;{B};q\n", passwords=True)
    assert [row.source for row in headed.rows] == [A]


def test_a_server_named_by_a_row_finds_its_endpoint() -> None:
    of = project()
    known = plan(f"mail.old.example;{A};p;new;{B};q;\n", of=of, passwords=True)
    assert (known.jobs[0].source.endpoint, known.jobs[0].target.endpoint, known.notes) == ("old", "new", ())
    other = plan(f"elsewhere.example;{A};p;new;{B};q;\n", of=of, passwords=True)
    assert other.jobs[0].source.endpoint == "old"
    assert "1 row names the source server 'elsewhere.example'" in other.notes[0]


def test_rows_that_ask_not_to_be_migrated() -> None:
    made = plan(f"Migrate,ExportName,ImportName\nFalse,bob@old.example,bob@new.example\nTrue,{A},{B}\n")
    assert pairs(made) == [(A, B)]
    assert made.left_out == ((2, "Migrate is False"),)


def test_a_staged_files_passwords_are_never_taken() -> None:
    read = manifest(f"EmailAddress,Password,ForceChangePassword\n{A},hunter2,True\n")
    assert read.secrets == {}
    assert read.problems == ()
    assert "hunter2" not in repr(read)


def test_logins_of_other_layouts_are_ignored_where_an_administrator_signs_in() -> None:
    text = f"Source Email,Source Login Name,Source Password,Destination Email\n{A},OLD\\ann,pw1,{B}\n"
    own = plan(text, passwords=True)
    assert (own.jobs[0].source.login, own.jobs[0].source.secret) == ("OLD\\ann", "csv:2/source")
    admin = project().endpoints["old"]
    of = project(**{'kind = "ews"': 'kind = "ews"\nusername = "svc"\nsecret = "env:SVC"'})
    assert admin.secret == ""
    made = plan(text, of=of, passwords=True)
    assert (made.jobs[0].source.login, made.jobs[0].source.secret) == ("", "")
    assert "has credentials of its own" in made.notes[0]


def test_excel_sep_line() -> None:
    read = manifest(f"sep=;\nsource;target\n{A};{B}\n")
    assert (read.delimiter, read.rows[0].line) == ("semicolon", 3)


def test_a_named_dialect_wins_over_guessing() -> None:
    assert manifest(f"{A},{B},pw\n", passwords=True).rows[0].source == B
    assert manifest(f"{A},pw\n", dialect="google-gwmme").rows[0].source == A
    with pytest.raises(UserError) as caught:
        manifest("a", dialect="migrationwhiz")
    assert "did you mean 'migrationwiz'" in str(caught.value)


def test_unknown_layout_names_the_columns_but_never_data() -> None:
    with pytest.raises(UserError) as caught:
        manifest("Sorce,Target\na@b.example,c@d.example\n")
    assert "'Sorce'" in str(caught.value)
    assert "source,target" in caught.value.remedy
    with pytest.raises(UserError) as caught:
        manifest("ann@old.example,hunter2,x,y,z\n")
    assert "hunter2" not in str(caught.value) + caught.value.remedy
