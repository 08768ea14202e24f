"""Which adapter a project file means by `kind`, imported when asked for: an unused protocol costs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from migrator.errors import UserError
from migrator.interfaces import Connect

ADAPTERS = {
    "ews": "migrator.adapters.ews:connect",
    "graph": "migrator.adapters.graph:connect",
    "imap": "migrator.adapters.imap:connect",
    "memory": "migrator.adapters.memory:connect",
}


def connect_for(kind: str) -> Connect:
    """The adapter's entry point. Raises UserError for a kind that does not exist."""
    try:
        module, _, name = ADAPTERS[kind].partition(":")
    except KeyError:
        raise UserError(
            f"unknown endpoint kind {kind!r}",
            code="unknown_kind",
            remedy=f"Use one of {', '.join(sorted(ADAPTERS))}.",
        ) from None
    return cast(Connect, getattr(import_module(module), name))
