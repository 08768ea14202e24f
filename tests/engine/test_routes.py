"""Which path is taken, as a table of verdicts: what was proven, nothing else."""

from __future__ import annotations

import pybase64
import pytest

from migrator.engine.routes import JSON, SYNTHETIC, Routes, convertible
from migrator.formats.content import MemoryContent
from migrator.interfaces import ReaderTraits, TargetTraits
from migrator.ledger import Verdict
from migrator.mapi import fasttransfer
from migrator.mapi import properties as p
from migrator.mapi.item import STRING, TIME, Message, filetime
from migrator.model import Format, Item, ItemRef, Kind, Outcome, Path, SkipReason, State
from tests.contracts.samples import MOMENT

EWS = ReaderTraits((Format.FTS, Format.MIME), origin="ews 15.1")
FILES = ReaderTraits((Format.MIME,))
GRAPH = TargetTraits(
    (Format.FTS,), accepts=(Format.FTS,), canary=True, creates=frozenset({Kind.MAIL, Kind.EVENT})
)


def verdicts(text: str) -> list[Verdict]:
    """ "ews mail yes, synthetic task no" """
    origins = {"ews": "ews 15.1", "made": SYNTHETIC, "json": JSON}
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        origin, kind, word = part.split()
        refusal = "" if word == "yes" else "ErrorNo: long words"
        found.append(Verdict("new", "t", origins[origin], Kind(kind), word == "yes", refusal, 0.0))
    return found


@pytest.mark.parametrize(
    ("proven", "kind", "path"),
    [
        ("ews mail yes, made mail no", "mail", "stream"),
        ("ews mail no, made mail yes", "mail", "synthetic"),
        ("ews mail no, made mail no, json mail yes", "mail", "json"),
        ("ews mail no, made mail no, json mail no", "mail", None),
        ("ews mail no, made mail no", "mail", None),
        # No task was at hand: the mails of that server speak for it ...
        ("ews mail yes, made mail no, made task no", "task", "stream"),
        ("ews mail no, made mail yes, made task yes", "task", "synthetic"),
        # ... unless the target takes streams, but not of tasks.
        ("ews mail yes, made mail yes, made task no", "task", None),
        ("made mail yes, made task yes", "task", "stream"),
        ("ews mail no, made mail no, json task yes", "task", None),
        ("ews mail yes, made mail yes", "other", "stream"),
        ("ews mail no, made mail no, json mail yes", "other", None),
    ],
)
def test_the_best_path_that_was_proven_is_taken(proven: str, kind: str, path: str | None) -> None:
    route = Routes(EWS, GRAPH, verdicts(proven)).of(Kind(kind))
    assert (route.path.value if route.path else None) == path
    assert bool(route.why) == (path != "stream")
    assert "long words" not in route.why


@pytest.mark.parametrize(
    ("proven", "path"),
    [
        ("made mail yes", "synthetic"),
        ("ews mail yes, made mail no", None),
        ("made mail no, json mail yes", "json"),
    ],
)
def test_items_of_foreign_formats_go_by_what_was_proven_of_streams_made_here(
    proven: str, path: str | None
) -> None:
    route = Routes(FILES, GRAPH, verdicts(proven)).of(Kind.MAIL)
    assert (route.path.value if route.path else None) == path


def test_without_a_question_the_plain_path_is_taken() -> None:
    assert Routes(EWS, GRAPH).of(Kind.TASK).path is Path.STREAM
    assert Routes(FILES, GRAPH).of(Kind.MAIL).path is Path.SYNTHETIC
    mails = TargetTraits((Format.MIME,), accepts=(Format.MIME,), kinds=frozenset({Kind.MAIL}))
    assert Routes(EWS, mails).of(Kind.MAIL).path is Path.MIME
    assert Routes(EWS, mails).kinds() == {Kind.MAIL}


def test_all_that_can_be_made_a_stream() -> None:
    assert {fmt for fmt in Format if convertible(fmt, Format.FTS)} == set(Format) - {Format.FTS}
    assert not any(convertible(fmt, Format.MSG) for fmt in Format)


# --- one item


def stream() -> Item:
    message = Message()
    message.properties.set(p.PidTagMessageClass, STRING, "IPM.Note")
    message.properties.set(p.PidTagSubject, STRING, "Angebot")
    message.properties.set(p.PidTagLastModificationTime, TIME, filetime(MOMENT))
    data = pybase64.b64encode(fasttransfer.write(message, version=(15, 1, 1, 0)))
    ref = ItemRef("a", ("Inbox",), Kind.MAIL, "1", size=len(data), item_class="IPM.Note")
    return Item(ref, Format.FTS, MemoryContent([data]), origin="ews 15.1")


def test_a_stream_that_is_taken_is_not_touched() -> None:
    item = stream()
    assert Routes(EWS, GRAPH, verdicts("ews mail yes")).prepare(item) is item


def test_a_stream_that_is_refused_is_written_anew() -> None:
    before = stream()
    item = Routes(EWS, GRAPH, verdicts("ews mail no, made mail yes")).prepare(before)
    assert isinstance(item, Item)
    assert (item.path, item.origin, item.ref) == (Path.SYNTHETIC, SYNTHETIC, before.ref)
    decoded = fasttransfer.decode(pybase64.b64decode(b"".join(item.content.pieces())), strict=True)
    assert decoded.version == fasttransfer.VERSION
    assert decoded.message.properties.text(p.PidTagSubject) == "Angebot"
    assert p.PidTagLastModificationTime not in decoded.message.properties


def test_what_goes_by_json_keeps_its_stream_and_is_marked() -> None:
    item = Routes(EWS, GRAPH, verdicts("ews mail no, made mail no, json mail yes")).prepare(stream())
    assert isinstance(item, Item)
    assert (item.path, item.format) == (Path.JSON, Format.FTS)


def test_a_mail_that_stands_in_for_a_stream_goes_by_its_own_verdict() -> None:
    ref = ItemRef("a", ("Inbox",), Kind.MAIL, "1")
    raw = b"From: a@x.example\r\nSubject: Hallo\r\n\r\nText\r\n"
    item = Item(ref, Format.MIME, MemoryContent([raw]), origin="ews 15.1", notes=("read as MIME",))
    made = Routes(EWS, GRAPH, verdicts("ews mail yes, made mail yes")).prepare(item)
    assert isinstance(made, Item)
    assert (made.path, made.format, made.origin) == (Path.SYNTHETIC, Format.FTS, SYNTHETIC)
    assert "read as MIME" in made.notes
    item = Item(ref, Format.MIME, MemoryContent([raw]), origin="ews 15.1")
    left = Routes(EWS, GRAPH, verdicts("ews mail yes, made mail no")).prepare(item)
    assert isinstance(left, Outcome)
    assert (left.state, left.reason) == (State.SKIPPED, SkipReason.UNSUPPORTED_KIND)


def test_what_cannot_be_converted_fails_alone() -> None:
    item = Item(
        ItemRef("a", (), Kind.EVENT, "1"), Format.ICS, MemoryContent([b"no calendar"]), origin="ews 15.1"
    )
    left = Routes(EWS, GRAPH, verdicts("made event yes")).prepare(item)
    assert isinstance(left, Outcome)
    assert left.state is State.FAILED
