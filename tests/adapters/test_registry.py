"""Kinds of endpoint by name, imported when asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from migrator.adapters.registry import ADAPTERS, connect_for
from migrator.errors import UserError


def test_an_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(UserError) as info:
        connect_for("imapp")
    assert "ews" in info.value.remedy and "graph" in info.value.remedy


@pytest.mark.parametrize("kind", ["ews", "memory"])
def test_known_kinds_can_be_had(kind: str) -> None:
    assert callable(connect_for(kind))
    assert ADAPTERS[kind].endswith(":connect")


def test_asking_for_one_loads_no_other_and_nothing_heavy() -> None:
    code = (
        "import sys; from migrator.adapters.registry import connect_for; connect_for('ews');"
        "print([m for m in ('exchangelib', 'lxml', 'msal', 'sqlalchemy', 'migrator.adapters.graph') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
