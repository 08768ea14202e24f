"""Every vCard of the shared data: none crashes, none loses names, addresses or numbers; vobject judges."""

from __future__ import annotations

import re

import pytest

from migrator.formats.contact import read_vcf, write_vcf
from migrator.mapi import fasttransfer
from migrator.mapi import properties as P
from tests.shared_data import SHARED, shared

FILES = sorted(str(f.relative_to(SHARED)) for f in SHARED.glob("**/*.vcf"))
pytestmark = pytest.mark.skipif(not FILES, reason="no shared data here")


def squeezed(text: str) -> str:
    return re.sub(r"[\s,;\\]+", "", text).lower()


@pytest.mark.parametrize("name", FILES)
def test_nothing_said_is_lost(name: str) -> None:
    vobject = pytest.importorskip("vobject", reason="vobject is not installed")
    raw = shared(name).read_bytes()
    made = read_vcf(raw)
    cards = list(vobject.readComponents(raw.decode("utf-8", "replace"), allowQP=True))
    assert len(made) >= len(cards)
    for one in made:
        fasttransfer.read(fasttransfer.write(one.message))
    told = squeezed(" ".join(str(v.value) for one in made for v in one.message.properties.values()))
    for component in cards:
        for key in ("fn", "n", "email", "tel", "adr", "org", "note", "title", "nickname"):
            for line in component.contents.get(key, ()):
                values = (
                    [line.value]
                    if isinstance(line.value, str)
                    else getattr(line.value, "__dict__", {}).values() or line.value
                )
                for value in values:
                    for text in value if isinstance(value, list) else [value]:
                        plain = re.sub(r"(?i)^(mailto|tel):", "", str(text).strip())
                        assert squeezed(plain).replace("=0d=0a", "") in told, (key, plain)


@pytest.mark.parametrize("name", FILES)
def test_number_of_cards_is_that_of_the_manifest(name: str) -> None:
    rows = shared("MANIFEST.tsv").read_text("utf-8").splitlines()
    facts = next(row.split("\t")[-1] for row in rows if row.startswith(f"{name}\t"))
    match = re.match(r"(\d+) cards", facts)
    assert match is not None
    assert len(read_vcf(shared(name).read_bytes())) == int(match[1])


@pytest.mark.parametrize("name", FILES)
def test_round_trip(name: str) -> None:
    for one in read_vcf(shared(name).read_bytes()):
        again = read_vcf(write_vcf([one.message]).octets)
        assert len(again) == 1
        assert again[0].message.properties == one.message.properties
        photos = [a for a in one.message.attachments if a.properties.flag(P.PidTagAttachmentContactPhoto)]
        kept = [a for a in again[0].message.attachments if a.properties.flag(P.PidTagAttachmentContactPhoto)]
        assert [bytes(a.properties.binary(P.PidTagAttachDataBinary)) for a in kept] == [
            bytes(a.properties.binary(P.PidTagAttachDataBinary)) for a in photos
        ]
