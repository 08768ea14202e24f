"""Notes of conversions: every word that can be said is explained, and no other is."""

from __future__ import annotations

import re
from pathlib import Path

from migrator import formats
from migrator.formats.converted import NOTES, Notes


def test_every_note_is_explained() -> None:
    folder = Path(formats.__file__).parent
    said: set[str] = set()
    for file in [*folder.glob("calendar/*.py"), folder / "contact.py", folder / "bodies.py"]:
        text = file.read_text("utf-8")
        said |= set(re.findall(r'(?:notes\.add|notes\.append|\.add)\(\s*f?"([a-z]+(?:_[a-z]+)*)[":]', text))
        said |= set(re.findall(r'alone\(component, "(\w+)"', text))
        said |= set(re.findall(r'"(recurrence_\w+|line_malformed)"', text))
    assert said == NOTES.keys()


def test_notes_are_told_once_and_not_without_end() -> None:
    notes = Notes()
    for number in range(1000):
        notes.add("a")
        notes.add(f"dropped:{number}")
    assert notes.all()[:2] == ("a", "dropped:0")
    assert len(notes.all()) == 100
