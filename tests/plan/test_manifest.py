"""Faults of a manifest: all at once, with lines, without secrets; never a traceback."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.errors import UserError
from migrator.plan.dialects import BY_NAME
from migrator.plan.manifest import parse_manifest
from migrator.plan.planner import choose, make_plan
from migrator.plan.rowsecrets import RowSecrets
from tests.plan.samples import manifest, pairs, plan, project


def faults(text: str | bytes, **options: object) -> list[str]:
    with pytest.raises(UserError) as caught:
        plan(text, **options)  # type: ignore[arg-type]
    return list(caught.value.problems)


def test_all_faults_of_all_rows_at_once() -> None:
    found = faults(
        "source,target,source_endpoint,source_secret\n"
        "ann@old.example,ann@new.example,,\n"
        "bob@old.example,,,\n"
        "cy,cy@new.example,,\n"
        "dee@old.example,dee@new.example,odl,\n"
        "ann@old.example,ann@new.example,,\n"
        "eve@old.example,ann@new.example,,\n"
        "ann@old.example,fay@new.example,,\n"
        "gil@old.example,gil@new.example,,hunter2\n"
        "a,b,c,d,e\n"
        'hal@old.example,"hal\x1b[2J@new.example",,\n'
    )
    assert found == [
        "line 3: no target",
        "line 4: the source 'cy' is not an e-mail address",
        "line 5: unknown source endpoint 'odl', did you mean 'old'?",
        "line 6: the same pair stands in line 2 already",
        "line 7: the target 'ann@new.example' stands in line 2 already (--allow duplicate-target)",
        "line 8: the source 'ann@old.example' stands in line 2 already (--allow duplicate-source)",
        "line 9: a password stands in the CSV; give env:, keyring: or file: references, or allow it with --passwords-in-csv",
        "line 10: 5 cells under a header of 4: is a delimiter not quoted?",
        "line 11: column target holds the invisible character U+001B",
    ]
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("duplicate-target", "source,target\na@o.example,t@n.example\nb@o.example,t@n.example\n"),
        ("duplicate-source", "source,target\na@o.example,t@n.example\nA@o.example,u@n.example\n"),
        ("same-mailbox", "source,target,target_endpoint\na@o.example,A@O.example,old\n"),
    ],
)
def test_twice_only_when_allowed_by_name(name: str, text: str) -> None:
    assert f"--allow {name}" in faults(text)[0]
    assert plan(text, allow=(name,)).jobs
    assert plan(text, of=project('allow = ["' + name + '"]\n' + PROJECT)).jobs
    with pytest.raises(UserError, match="did you mean"):
        plan(text, allow=(name[:-1],))


PROJECT = """
[endpoints.old]
kind = "ews"
[endpoints.new]
kind = "graph"
[defaults]
source = "old"
target = "new"
"""


def test_the_same_pair_is_never_allowed() -> None:
    text = "source,target\na@o.example,t@n.example\nA@o.example,T@n.example\n"
    assert faults(text, allow=("duplicate-target", "duplicate-source")) == [
        "line 3: the same pair stands in line 2 already"
    ]


def test_same_address_on_both_sides_is_the_usual_case() -> None:
    assert pairs(plan("source,target\nann@acme.example,ann@acme.example\n")) == [("ann@acme.example",) * 2]


def test_one_server_under_two_names_is_one_server() -> None:
    of = project(
        '[endpoints.a]\nkind="ews"\nurl="https://m.example/ews"\n[endpoints.b]\nkind="ews"\nurl="https://M.example/ews/"\n'
        '[defaults]\nsource="a"\ntarget="b"\n'
    )
    assert "are the same mailbox" in faults("source,target\nann@a.example,ann@a.example\n", of=of)[0]


def test_passwords_live_in_memory_only() -> None:
    text = "source,target,source_secret,Old Password\nann@o.example,ann@n.example,hunter2,hunter3\n"
    read = manifest(text, passwords=True)
    made = make_plan(project(), read)
    job = made.jobs[0]
    assert job.source.secret == "csv:2/source"
    assert job.extra == {}
    assert "dropped, because it may hold passwords: Old Password" in read.notes
    for shown in (repr(read), repr(made), repr(job)):
        assert "hunter" not in shown

    class Inner:
        def reveal(self, reference: str, *, what: str) -> str:
            return f"inner {reference}"

    secrets = RowSecrets(Inner(), read.secrets)
    assert secrets.reveal("csv:2/source", what="row") == "hunter2"
    assert secrets.reveal("env:X", what="row") == "inner env:X"
    assert "hunter" not in repr(secrets)
    with pytest.raises(UserError, match="not known in this process"):
        secrets.reveal("csv:9/source", what="row")


def test_rows_with_one_account_and_one_password_sign_in_as_one() -> None:
    """A wrong password is tried once by reference: two references to one password would lock the account out twice as fast."""
    text = (
        "source,target,source_user,source_secret\nann@o.example,ann@n.example,svc,hunter2\n"
        "bob@o.example,bob@n.example,svc,hunter2\ncleo@o.example,cleo@n.example,svc,hunter3\n"
    )
    read = manifest(text, passwords=True)
    refs = [job.source.secret for job in make_plan(project(), read).jobs]
    assert refs == ["csv:2/source", "csv:2/source", "csv:4/source"]


def test_a_csv_reference_cannot_be_written_by_hand() -> None:
    assert (
        "password stands in the CSV"
        in faults("source,target,source_secret\na@o.example,a@n.example,csv:2/source\n")[0]
    )


def test_references_pass_and_defaults_fill_in() -> None:
    of = project(
        PROJECT
        + 'source_secret = "env:ALL"\nbatch = "one"\ntarget_domain = "n.example"\nsource_domain = "o.example"\n'
    )
    made = plan("source,target,source secret,batch\nann,,file:ann.txt,\nbob@x.example,bobby,,two\n", of=of)
    assert pairs(made) == [("ann@o.example", "ann@n.example"), ("bob@x.example", "bobby@n.example")]
    assert [job.source.secret for job in made.jobs] == ["file:ann.txt", "env:ALL"]
    assert [job.batch for job in made.jobs] == ["one", "two"]


def test_unknown_columns_are_kept_for_reports() -> None:
    made = plan("source,target,Department,=Cost\na@o.example,a@n.example, Sales ,=1+1\n")
    assert made.jobs[0].extra == {"Department": "Sales", "=Cost": "=1+1"}
    assert made.notes == ("kept for reports: Department, =Cost",)


def test_ids_are_the_pairs_own() -> None:
    one = plan("source,target\na@o.example,a@n.example\nb@o.example,b@n.example\n")
    two = plan("target;source\nB@n.example;b@O.example\na@n.example;a@o.example\n")
    assert {job.id for job in one.jobs} == {job.id for job in two.jobs}
    twins = plan(
        "source,target,source_endpoint\na@o.example,a@n.example,old\na@o.example,a@n.example,older\n",
        of=project(PROJECT + '[endpoints.older]\nkind="ews"\nurl="https://older.example/"\n'),
        allow=("duplicate-target",),
    )
    assert (
        twins.jobs[0].id
        == next(j.id for j in one.jobs if j.source.address == "a@o.example")
        != twins.jobs[1].id
    )


def test_line_numbers_count_comments_blank_lines_and_quoted_breaks() -> None:
    read = manifest(
        'source,target\n# note\n\n"a@o.example",a@n.example\n"x\ny",b@n.example\nc@o.example,c@n.example\n'
    )
    assert [row.line for row in read.rows] == [4, 7]
    assert [str(p) for p in read.problems] == ["line 5: column source holds a line break"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "has no rows"),
        (b"\r\n\r\n", "has no rows"),
        (b"# only a comment\n", "has no rows"),
        ("source,target\nb\u00e4r@o.example,x@n.example\n".encode("cp1252"), "line 2 has the byte 0xE4"),
        (b"\xff\xfea", "begins like UTF-16"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "is not UTF-8"),
        (b"PK\x03\x04\x14\x00\x06\x00\x08\x00", "has no layout that is known"),
    ],
)
def test_files_that_are_no_manifest(data: bytes, words: str) -> None:
    with pytest.raises(UserError, match=words):
        manifest(data)


def test_header_without_rows() -> None:
    assert faults("source,target\n") == ["mailboxes.csv has a header and no rows"]


def test_broken_quotes_have_a_line() -> None:
    assert faults('source,target\n"a@o.example,a@n.example\nb@o.example,b@n.example\n') == [
        "line 2: a quote is opened and never closed"
    ]
    assert "text follows a closing quote" in faults('source,target\n"a"@o.example,a@n.example\n')[0]


@pytest.mark.parametrize("bad", ["\u202e", "\u200b", "\x00", "\t", "\x85", "\ufeff"])
def test_hiding_characters_in_addresses_are_refused(bad: str) -> None:
    found = faults(f'source,target\n"a{bad}@o.example",a@n.example\n')
    assert found[0].startswith("line 2: column source holds")
    assert bad not in found[0]


@pytest.mark.parametrize(
    "bad",
    [
        "a b@x.example",
        "@x.example",
        "a@",
        "a@b@c",
        "(a)@x.example",
        "a,b@x.example",
        "=HYPERLINK(1)",
        "<a@x.example>",
    ],
)
def test_addresses(bad: str) -> None:
    assert "is not an e-mail address" in faults(f"source;target\n{bad};t@n.example\n")[0]


def test_choosing_rows() -> None:
    jobs = plan(
        "source,target,batch\nann@o.example,ann@n.example,one\nbob@o.example,bob@n.example,two\n"
        "cy@sales.example,cy@n.example,two\n"
    ).jobs

    def lines(**how: object) -> list[int]:
        return [job.line for job in choose(jobs, **how)]  # type: ignore[arg-type]

    assert lines() == [2, 3, 4]
    assert lines(only=["ANN@o.example"]) == lines(only=["2"]) == lines(only=["line:2"]) == [2]
    assert lines(only=[jobs[1].id]) == lines(only=["bob@*"]) == [3]
    assert lines(only=["*@sales.example", "2-3"]) == [2, 3, 4]
    assert lines(batches=["TWO"]) == [3, 4]
    assert lines(batches=["two"], only=["cy@*"]) == [4]
    for how in (
        {"only": ["an@o.example"]},
        {"only": ["9"]},
        {"batches": ["three"]},
        {"batches": ["one"], "only": ["cy@*"]},
    ):
        with pytest.raises(UserError) as caught:
            lines(**how)
        assert caught.value.problems


WORDS = [
    "source",
    "target",
    "a@o.example",
    "b@n.example",
    "EmailAddress",
    "UserName",
    "Password",
    "Migrate",
    "host1",
    "sep=",
]
SIGNS = [",", ";", "\t", "\n", "\r\n", '"', " ", "#", "=", "-", "é", "\x00", "\x1b", "\u202e", "\U0001f600"]
MANY = st.sampled_from([*WORDS, *SIGNS])


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(MANY, max_size=40).map(lambda parts: "".join(parts).encode("utf-8")),
        st.lists(MANY, max_size=40).map(lambda parts: "".join(parts).encode("utf-16")),
        st.lists(MANY, max_size=40).map(lambda parts: b"source,target\n" + "".join(parts).encode()),
    ),
    st.sampled_from(["auto", *BY_NAME]),
    st.booleans(),
)
def test_any_bytes_give_a_plan_or_words(data: bytes, dialect: str, passwords: bool) -> None:
    try:
        read = parse_manifest(data, dialect=dialect, passwords=passwords)
        made = make_plan(project(), read)
    except UserError as error:
        text = "".join([str(error), error.remedy, *error.problems])
        assert not any(ord(char) < 32 and char != "\n" for char in text), text
    else:
        assert made.jobs
        for job in made.jobs:
            assert job.source.address
            assert job.target.address


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=30), st.sampled_from([",", ";"]))
def test_no_cell_of_passwords_ever_shows(secret: str, delimiter: str) -> None:
    secret = "S3CR3T" + secret
    quoted = '"' + secret.replace('"', '""') + '"'
    header = delimiter.join(["Source Email", "Source Password", "Destination Email"])
    text = f"{header}\na@o.example{delimiter}{quoted}{delimiter}a@n.example\n"
    for passwords in (False, True):
        try:
            read = manifest(text, passwords=passwords)
            shown = repr(read) + repr(make_plan(project(), read))
        except UserError as error:
            shown = "".join([str(error), error.remedy, *error.problems])
        assert "S3CR3T" not in shown
