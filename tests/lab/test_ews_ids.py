"""Ids, change keys and sync states of the simulated Exchange: real ones are understood, forged ones are refused."""

from __future__ import annotations

import re
import uuid
from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.lab.changes import Position
from migrator.lab.ews import ids, syncstate
from tests.shared_data import shared

BOX = uuid.UUID("5f1c1e0a-3b1d-4a55-9c60-0d4f7a2b8e11")
NUMBERS = st.integers(1, 2**48 - 1)


def test_layout_is_that_of_real_ids() -> None:
    made = ids.IdMaker(BOX)
    raw = b64decode(made.make(285, 7, (), False))
    assert raw[:4] == b"\x00\x03\x24\x00"
    assert raw[4:40] == str(BOX).encode()
    assert raw[40:43] == b"\x00\x46\x00"
    assert len(raw[43:]) == 70
    assert len(b64decode(made.make(285, 0, (), False))) == 43 + 46
    assert len(made.entry_id(285)) == 46
    assert made.entry_id(285, 7)[:4] == b"\x00" * 4
    assert made.entry_id(285, 7)[20:22] == b"\x07\x00"


@given(NUMBERS, NUMBERS, st.lists(st.integers(0, 2**32 - 1), max_size=4), st.booleans())
def test_both_forms_say_the_same(folder: int, item: int, path: list[int], compress: bool) -> None:
    made = ids.IdMaker(BOX)
    told = ids.decode(made.make(folder, item, tuple(path), compress))
    assert told == ids.StoreId(BOX, folder, item, tuple(path))
    assert ids.decode(made.make(folder, 0, (), compress)) == ids.StoreId(BOX, folder)


@given(st.binary(max_size=300))
def test_run_lengths(data: bytes) -> None:
    assert ids._expand(ids._compress(data)) == data


def test_every_recorded_id_is_read() -> None:
    """Ids that Exchange Online and Exchange 2010 SP2 made."""
    seen = 0
    for pattern in ("ews/recordings-exchange-online/*.json", "ews/traces-exchange-2010/*.trace"):
        folder, _, name = pattern.rpartition("/")
        for file in shared(folder).glob(name):
            text = file.read_text("utf-8", "replace").replace('\\"', '"').replace("\\/", "/")
            for one in re.findall(r'<t:(?:Item|Folder)Id Id="([^"]+)"', text):
                assert ids.decode(one) is not None, one
                seen += 1
    assert seen > 60


@given(NUMBERS, st.integers(0, 400), st.integers(1, 255))
def test_a_changed_id_never_crashes(folder: int, spot: int, flip: int) -> None:
    raw = bytearray(b64decode(ids.IdMaker(BOX).make(folder, 5)))
    raw[spot % len(raw)] ^= flip
    ids.decode(b64encode(raw).decode())  # None or another id, never an exception


@pytest.mark.parametrize("bad", ["", "malformedparentid", "AAAA", "AAMk" * 2000, "é" * 8, "AAMkADhhNjgxMWMw"])
def test_malformed_ids(bad: str) -> None:
    assert ids.decode(bad) is None


def test_change_keys() -> None:
    made = ids.IdMaker(BOX)
    key = made.change_key(ids.CLASS_MESSAGE, 77)
    assert key.startswith("CQAAABYAAA")
    assert made.change_version(key) == 77
    assert ids.IdMaker(uuid.uuid4()).change_version(key) is None
    assert made.change_version("rubbish") is None


STATE = syncstate.SyncState(syncstate.ITEMS, 0, BOX, 17, False, Position(4, 9, 7))


def test_sync_state_round_trip() -> None:
    token = STATE.encode()
    assert syncstate.decode(token) == STATE
    assert syncstate.decode("\n".join((token[:76], token[76:]))) == STATE
    assert len(token) > 600


@given(st.integers(0, 2000), st.integers(1, 255))
def test_altered_sync_state_is_refused(spot: int, flip: int) -> None:
    raw = bytearray(b64decode(STATE.encode()))
    raw[spot % len(raw)] ^= flip
    assert syncstate.decode(b64encode(raw).decode()) is None


@pytest.mark.parametrize("cut", [1, 4, 100, 700])
def test_truncated_sync_state_is_refused(cut: int) -> None:
    assert syncstate.decode(STATE.encode()[:-cut]) is None


def test_foreign_sync_state_is_refused() -> None:
    assert syncstate.decode("H4sIAAA=") is None
    assert syncstate.decode("not base64 at all!") is None
