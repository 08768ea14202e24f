"""Passwords that stood in the manifest: kept in memory for this process, never written, logged or shown."""

from __future__ import annotations

from collections.abc import Mapping

from migrator.errors import UserError
from migrator.interfaces import Secrets


class RowSecrets:
    """`interfaces.Secrets` that knows "csv:LINE/SIDE" references and hands every other one on."""

    def __init__(self, inner: Secrets, values: Mapping[str, str]) -> None:
        self._inner = inner
        self._values = dict(values)

    def reveal(self, reference: str, *, what: str) -> str:
        if not reference.startswith("csv:"):
            return self._inner.reveal(reference, what=what)
        try:
            return self._values[reference]
        except KeyError:
            raise UserError(
                f"{what}: {reference} is not known in this process",
                code="secret_unknown",
                remedy="passwords of the CSV are not kept between runs: give --passwords-in-csv again",
            ) from None

    def __repr__(self) -> str:
        return f"RowSecrets({len(self._values)} of the manifest)"
