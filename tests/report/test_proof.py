"""The signed report: whatever is changed in it is found, and said where; whatever is fed to the checker ends in words."""

from __future__ import annotations

import base64
import gzip
import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrator.errors import UserError
from migrator.ledger import Ledger
from migrator.model import Outcome, State
from migrator.report.proof import keys, tree
from migrator.report.proof.reading import Verdict, by_message_id, check_file
from migrator.report.proof.records import canonical, short
from migrator.report.proof.writing import Written, write_signed
from tests.report.samples import NOW, fill, folder, job, ref

PEM, WORD = keys.make()
PUBLIC = keys.public_octets(WORD)


def many(path: Path, items: int) -> Ledger:
    """One mailbox with so many copied items."""
    ledger = fill(path)
    ledger.register([job("dan", 5)])
    lease = ledger.claim("dan", 1)
    assert lease is not None
    inbox = folder("Inbox", items)
    ledger.put_folder(lease, inbox, folder("Inbox", 0))
    refs = [ref(number, ("Inbox",)) for number in range(1000, 1000 + items)]
    ledger.settle(
        lease, inbox.id, [Outcome(one, State.COPIED, target_id="t" + one.id) for one in refs]
    ).wait()
    ledger.release(lease, "done")
    return ledger


class Octets(bytes):
    """A file's content that is not told when a test fails."""

    def __repr__(self) -> str:
        return f"<{len(self)} octets>"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    where = tmp_path_factory.mktemp("small")
    with fill(where / "ledger.sqlite") as ledger:
        signed(ledger, where / "proof.jsonl")
    return Octets((where / "proof.jsonl").read_bytes())


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    where = tmp_path_factory.mktemp("large")
    with many(where / "ledger.sqlite", 2500) as ledger:
        signed(ledger, where / "proof.jsonl")
    return Octets((where / "proof.jsonl").read_bytes())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checked")


def signed(ledger: Ledger, path: Path) -> Written:
    return write_signed(ledger, path, keys.private_key(PEM), made=int(NOW), title="acme")


def check(place: Path, data: bytes, public: bytes = PUBLIC) -> Verdict:
    path = place / "proof"
    path.write_bytes(data)
    return check_file(path, public)


def holds(place: Path, data: bytes) -> bool:
    """Whether it is taken for what was signed; an error must be of the kinds that a user can understand."""
    path = place / "proof"
    path.write_bytes(data)
    try:
        return check_file(path, PUBLIC).ok
    except UserError as error:
        if error.code not in ("proof_unreadable", "proof_newer"):
            raise
        return False


def told(verdict: Verdict) -> list[str]:
    return [f"{one.what} {one.row}" for one in verdict.problems]


# ---------------------------------------------------------------------- the tree


def by_definition(rows: list[bytes]) -> bytes:
    """RFC 6962 2.1, word for word."""
    if not rows:
        return sha256(b"").digest()
    if len(rows) == 1:
        return sha256(b"\0" + rows[0]).digest()
    k = 1
    while k * 2 < len(rows):
        k *= 2
    return sha256(b"\1" + by_definition(rows[:k]) + by_definition(rows[k:])).digest()


@given(st.integers(0, 70), st.data())
def test_the_tree_is_that_of_rfc_6962(count: int, data: st.DataObject) -> None:
    rows = [bytes([n]) * 3 for n in range(count)]
    leaves = [tree.leaf(row) for row in rows]
    assert tree.root(leaves) == by_definition(rows)
    if count:
        index = data.draw(st.integers(0, count - 1))
        path = tree.audit_path(leaves, index)
        assert tree.root_by_path(leaves[index], index, count, path) == tree.root(leaves)
        other = data.draw(st.integers(0, count - 1).filter(lambda n: n != index)) if count > 1 else None
        if other is not None:
            assert tree.root_by_path(leaves[index], other, count, path) != tree.root(leaves)
        assert tree.root_by_path(leaves[index], index, count, [*path, bytes(32)]) is None
        if path:
            assert tree.root_by_path(leaves[index], index, count, path[:-1]) is None


def test_the_vectors_of_certificate_transparency() -> None:
    """The eight leaves that implementations of RFC 6962 are tested with."""
    leaves = [
        bytes.fromhex(text)
        for text in (
            "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"
        )
    ]  # fmt: skip
    assert tree.root([tree.leaf(one) for one in leaves]).hex() == (
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    )


# ------------------------------------------------------------------ signed, checked


def test_what_was_signed_is_found_whole(place: Path, small: bytes, large: bytes) -> None:
    verdict = check(place, small)
    assert verdict.ok and verdict.head is not None, verdict.problems
    assert verdict.head["totals"] == {
        "source": 19, "copied": 9, "present": 1, "skipped": 6, "failed": 1, "open": 2
    }  # fmt: skip
    assert not verdict.head["closes"]  # bob's is not over
    assert verdict.states == {"copied": 9, "present": 1, "skipped": 2, "failed": 1, "open": 1}
    verdict = check(place, large)
    assert verdict.ok and verdict.rows > 2 * tree.BLOCK and verdict.items == 2514


def test_packed_and_plain_are_the_same_file_and_private(tmp_path: Path) -> None:
    with fill(tmp_path / "ledger.sqlite") as ledger:
        signed(ledger, tmp_path / "a.jsonl")
        signed(ledger, tmp_path / "a.jsonl.gz")
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()) == (tmp_path / "a.jsonl").read_bytes()
    assert check_file(tmp_path / "a.jsonl.gz", PUBLIC).ok
    assert (tmp_path / "a.jsonl").stat().st_mode & 0o077 == 0 or not hasattr(__import__("os"), "geteuid")


def test_no_secret_and_no_subject_is_in_it(small: bytes) -> None:
    assert b"nobody's business" not in small and b"PRIVATE" not in small
    assert small.isascii() and b"\x1b" not in small


def test_another_key_did_not_sign_it(place: Path, small: bytes) -> None:
    verdict = check(place, small, keys.public_octets(keys.make()[1]))
    assert not verdict.ok and told(verdict) == ["signature None"]
    assert "not of this key" in verdict.problems[0].text


SLOW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SLOW
@given(data=st.data())
def test_any_flipped_bit_is_found(place: Path, small: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(small) - 1))
    changed = bytearray(small)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    assert not holds(place, bytes(changed))


@SLOW
@given(data=st.data())
def test_rows_that_swap_go_or_come_are_found_and_named(
    place: Path, large: bytes, data: st.DataObject
) -> None:
    lines = large.split(b"\n")[:-1]
    rows = [n for n, line in enumerate(lines) if line.startswith(b"[")]
    number = {}  # line → row
    for n, line in enumerate(lines):
        if not line.startswith((b'{"hashes"', b'{"blocks"', b'{"head"')):
            number[n] = len(number)
    one = data.draw(st.sampled_from(rows))
    match data.draw(st.sampled_from(["alter", "swap", "remove", "double", "insert", "cut"])):
        case "alter":
            lines[one] = (
                lines[one].replace(b'"copied"', b'"failed"')
                if b'"copied"' in lines[one]
                else lines[one] + b" "
            )
            wanted = {f"altered {number[one]}"}
        case "swap":
            other = data.draw(st.sampled_from([n for n in rows if n // 1026 == one // 1026 and n != one]))
            lines[one], lines[other] = lines[other], lines[one]
            wanted = (
                {f"moved {number[one]}", f"moved {number[other]}"}
                if same_block(number, one, other)
                else set()
            )
        case "remove":
            del lines[one]
            wanted = {f"missing {number[one]}"}
        case "double":
            lines.insert(one, lines[one])
            wanted = set()
        case "insert":
            lines.insert(one, lines[one].replace(b"<", b"<x"))
            wanted = {f"added {number[one]}"}
        case _:
            lines = lines[:one]
            wanted = {"end None"}
    verdict = check(place, b"\n".join(lines) + b"\n")
    assert not verdict.ok
    assert wanted <= set(told(verdict)), told(verdict)[:10]


def same_block(number: dict[int, int], one: int, other: int) -> bool:
    return number[one] // tree.BLOCK == number[other] // tree.BLOCK


def rewritten(large: bytes, at: int, *, blocks: bool = False) -> bytes:
    """A row altered by somebody who makes new lists of leaves, and of blocks, to hide it."""
    lines = large.split(b"\n")[:-1]
    assert lines[at].startswith(b"[")
    lines[at] = lines[at].replace(b'"copied"', b'"failed"')
    leaves: list[bytes] = []
    roots: list[bytes] = []
    for n, line in enumerate(lines):
        if line.startswith(b'{"hashes"'):
            lines[n] = canonical({"hashes": short(b"".join(leaves))})
            roots.append(tree.root(leaves))
            leaves = []
        elif line.startswith(b'{"blocks"') and blocks:
            lines[n] = canonical({"blocks": short(b"".join(roots))})
        elif not line.startswith((b'{"blocks"', b'{"head"')):
            leaves.append(tree.leaf(line))
    return b"\n".join(lines) + b"\n"


def test_a_missing_list_of_hashes_leaves_the_rows_provable(place: Path, large: bytes) -> None:
    lines = large.split(b"\n")[:-1]
    for at in [n for n, line in enumerate(lines) if line.startswith(b'{"hashes"')]:
        verdict = check(place, b"\n".join(lines[:at] + lines[at + 1 :]) + b"\n")
        assert [one.what for one in verdict.problems] == ["hashes"], told(verdict)[:5]


def test_hidden_by_new_lists_the_block_is_named(place: Path, large: bytes) -> None:
    verdict = check(place, rewritten(large, 1500))
    assert not verdict.ok
    assert [one.text for one in verdict.problems] == [
        "among rows 1024 to 2047 some were altered, and the hashes that would tell which ones, too"
    ]
    verdict = check(place, rewritten(large, 1500, blocks=True))
    assert not verdict.ok and any(one.what == "altered" for one in verdict.problems)


def test_altered_lists_alone_are_told_apart_from_altered_rows(place: Path, large: bytes) -> None:
    lines = large.split(b"\n")[:-1]
    at = next(n for n, line in enumerate(lines) if line.startswith(b'{"hashes"'))
    lines[at] = canonical({"hashes": short(bytes(32 * tree.BLOCK))})
    verdict = check(place, b"\n".join(lines) + b"\n")
    assert [one.what for one in verdict.problems] == ["hashes"]
    assert "the rows are as signed" in verdict.problems[0].text


def test_a_signer_who_cannot_add_is_found(place: Path, tmp_path: Path) -> None:
    """Signed with the right key, but the balance that is stated does not follow from the items."""
    with fill(tmp_path / "ledger.sqlite") as ledger:
        signed(ledger, tmp_path / "p")
    lines = (tmp_path / "p").read_bytes().split(b"\n")[:-1]
    rows = [line for line in lines if not line.startswith((b'{"hashes"', b'{"blocks"', b'{"head"'))]
    at = next(n for n, line in enumerate(rows) if b'"row":"folder"' in line and b'"copied":6' in line)
    rows[at] = rows[at].replace(b'"copied":6', b'"copied":7')
    verdict = check(place, resigned(rows, lines[-1]))
    assert told(verdict) == [f"balance {at}", "balance None"]


def resigned(rows: list[bytes], last: bytes) -> bytes:
    leaves = [tree.leaf(row) for row in rows]
    head = json.loads(last)["head"] | {"root": short(tree.root(leaves)), "rows": len(rows)}
    signature = keys.private_key(PEM).sign(b"migrator-proof/1\0" + canonical(head))
    tail = [
        canonical({"hashes": short(b"".join(leaves))}),
        canonical({"blocks": short(tree.root(leaves))}),
        canonical({"head": head, "signature": short(signature)}),
    ]
    return b"\n".join([*rows, *tail]) + b"\n"


def test_one_item_with_its_proof(place: Path, tmp_path: Path, large: bytes) -> None:
    (tmp_path / "proof").write_bytes(large)
    verdict = check_file(tmp_path / "proof", PUBLIC, by_message_id("2345@old.example"))
    assert [(hit.source, hit.target, hit.target_path, hit.item.state) for hit in verdict.hits] == [
        ("dan@old.example", "dan@new.example", ("Inbox",), "copied")
    ]
    data = canonical(verdict.proof) + b"\n"
    assert len(data) < 8_000
    part = check(place, data)
    assert part.ok and part.part and part.hits == verdict.hits
    for old, new in ((b"copied", b"failed"), (b'"no":', b'"no":1'), (b"Inbox", b"inbox")):
        assert old in data
        assert not check(place, data.replace(old, new, 1)).ok
    for at in range(0, len(data) - 1, 37):
        changed = bytearray(data)
        changed[at] ^= 1
        assert not holds(place, bytes(changed)), at


# -------------------------------------------------------------------- hostile files

JUNK = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b"9" * 100_000,
            b'["item",' + b"9" * 30 + b"]",
            b'{"head":{},"signature":""}',
            b'{"head":1e999,"signature":"A"}',
            b'{"blocks":"AA"}',
            b'{"blocks":[]}',
            b'{"hashes":7}',
            b'{"hashes":"' + b"A" * 43 + b'"}',
            b'["item"]',
            b'["item",null,{},[],0,0,0,0,0,0,0,0,0,0,0]',
            b'{"row":["folder"]}',
            b'{"row":"folder"}',
            b'{"row":"about","format":"migrator-proof/99"}',
            b"NaN",
            b"[1.5]",
            b'"\\ud800"',
            b'{"format":"migrator-inclusion/1","head":[],"rows":{},"signature":1}',
        ]
    ),
)


@SLOW
@given(lines=st.lists(JUNK, max_size=4), at=st.integers(0, 30))
def test_junk_ends_in_words(place: Path, small: bytes, lines: list[bytes], at: int) -> None:
    whole = small.split(b"\n")
    for data in (b"\n".join(lines), b"\n".join([*whole[:at], *lines, *whole[at:]])):
        if data == small:
            continue
        assert not holds(place, data)


def test_a_line_without_end_is_not_read_into_memory(place: Path) -> None:
    verdict = check(place, gzip.compress(b'{"row":"' + b"A" * (200 << 20)))
    assert not verdict.ok and "longer than any" in verdict.problems[0].text


def test_a_damaged_packed_file_is_no_crash(place: Path, small: bytes) -> None:
    packed = gzip.compress(small)
    for data in (
        packed[:-9],
        packed[:400],
        packed[:100] + b"\0" * 50 + packed[150:],
        b"\x1f\x8b" + bytes(50),
    ):
        verdict = check(place, data)
        assert not verdict.ok and verdict.head is None


def test_a_newer_format_is_told_as_such(place: Path, small: bytes) -> None:
    lines = small.split(b"\n")[:-1]
    lines[-1] = lines[-1].replace(b'"migrator-proof/1"', b'"migrator-proof/2"')
    with pytest.raises(UserError) as caught:
        check(place, b"\n".join(lines) + b"\n")
    assert caught.value.code == "proof_newer"


# ----------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    "text",
    ["", "ed25519:", "ed25519:" + "A" * 42, "ed25519:" + "A" * 42 + "B", WORD + "x", "rsa:" + WORD],
    ids=[
        "nothing",
        "no key",
        "too short",
        "bits left over",
        "too long",
        "another kind",
    ],  # the key is new every time
)
def test_what_is_no_public_key(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        keys.public_octets(text)
    (tmp_path / "key").write_text(text)
    with pytest.raises(UserError):
        keys.public_key(str(tmp_path / "key"))


def test_what_is_no_private_key_is_not_repeated() -> None:
    for text in (
        "s3cret",
        PEM.replace("MC4", "MC5"),
        "-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----\n",
    ):
        with pytest.raises(UserError) as caught:
            keys.private_key(text)
        assert "s3cret" not in str(caught.value) + caught.value.remedy


def test_keys_come_from_files_too(tmp_path: Path) -> None:
    (tmp_path / "a.pub").write_text(WORD + "\n")
    assert keys.public_key(str(tmp_path / "a.pub")) == PUBLIC
    assert keys.public_key(WORD) == PUBLIC
    der = bytes.fromhex("302a300506032b6570032100") + PUBLIC
    pem = "-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(der).decode() + "\n-----END PUBLIC KEY-----\n"
    (tmp_path / "a.pem").write_text(pem)
    assert keys.public_key(str(tmp_path / "a.pem")) == PUBLIC
