"""The canary's items are what they say and can do no harm."""

import pybase64
import pytest

from migrator.formats import canary
from migrator.mapi import fasttransfer
from migrator.mapi import properties as p
from migrator.model import Kind


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.OTHER}))
def test_a_sample_is_a_strict_stream_of_its_kind(kind: Kind) -> None:
    item = canary.samples()[kind]
    raw = pybase64.b64decode(b"".join(item.content.pieces()), validate=True)
    message = fasttransfer.read(raw, strict=True)
    assert message.properties.text(p.PidTagMessageClass) == item.ref.item_class
    assert message.properties.text(p.PidTagSubject) == canary.SUBJECT
    assert item.content.size == item.ref.size
    # No one is invited, nothing rings, nothing asks for a receipt.
    assert not message.recipients
    assert not message.properties.flag(p.PidLidReminderSet)
    assert not message.properties.flag(p.PidTagReadReceiptRequested)
