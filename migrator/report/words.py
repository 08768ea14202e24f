"""Numbers as a person reads them; the same in every report."""

from __future__ import annotations

from datetime import UTC, datetime


def octets(size: int | None) -> str:
    """1536 → "1.5 KiB"."""
    if size is None:
        return ""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def moment(epoch: float | None) -> str:
    """Epoch seconds → "2026-10-01 12:00:00 UTC"."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if epoch else ""


def moment_iso(epoch: float) -> str:
    """Epoch seconds → "2026-10-01T12:00:00Z"; what no calendar holds stays a number."""
    try:
        return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(int(epoch))


def span(seconds: float) -> str:
    """3723 → "1 h 02 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def number(count: int) -> str:
    return f"{count:,}"


def plural(count: int, word: str, many: str = "") -> str:
    """(1, "mailbox", "mailboxes") → "1 mailbox"."""
    return f"{count:,} {word if count == 1 else many or word + 's'}"
