r"""Which folders and items take part. Pure decisions on what listing told; nothing here asks a server.

Folder patterns (`--folder`, `--exclude-folder`, `folders` and `exclude_folders` in the project file):

    Inbox             the folder at the root of this name, and all below it
    Projects/2024*    `*` and `?` stand for characters within one name
    **/Archive        `**` stands for any number of levels
    @sent             the folder with this role, whatever its name is in the user's language
    Sales\/Support    a `/` that is part of a name; `\\`, `\*`, `\?`, `\@` likewise

Letter case does not matter. An exclusion wins over an inclusion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from migrator.model import Folder, FolderPath, ItemRef, Kind, Role, SkipReason
from migrator.settings import RunSettings

DATED = frozenset({Kind.MAIL, Kind.OTHER})
"""Kinds that date limits apply to. An old contact is a current contact, and an old series may still be running."""

_ROLE = "\0"  # stands before a role, so that a folder whose name begins with @ is not taken for one


def decide_folder(
    folder: Folder, settings: RunSettings, roles: Mapping[FolderPath, Role] | None = None
) -> SkipReason | None:
    """Why a folder is left out, or None when it takes part.

    roles: path → role of the mailbox's folders, so that `@inbox` also matches what lies below the Inbox; see `roles_of`.
    Hidden folders (Outlook's own settings) are left out unless an inclusion names them.
    """
    if folder.search:
        return SkipReason.SEARCH_FOLDER
    spelled = _spellings(folder, roles or {})
    if any(_matches(pattern, spelled) for pattern in settings.exclude_folders):
        return SkipReason.FILTERED_FOLDER
    named = [p for p in settings.include_folders if _matches(p, spelled)]
    if settings.include_folders and not named:
        return SkipReason.FILTERED_FOLDER
    if folder.hidden and not any(p not in ("*", "**") for p in named):
        return SkipReason.FILTERED_FOLDER
    return None


def decide_date(ref: ItemRef, settings: RunSettings) -> SkipReason | None:
    """Why an item is left out by its date, or None. The date is when it was received, else sent, else changed.

    `since` is inclusive, `until` exclusive, so two passes with one boundary share no item. Items without any date, and
    kinds outside DATED, always take part.
    """
    if ref.kind not in DATED or (settings.since is None and settings.until is None):
        return None
    date = ref.received or ref.sent or ref.modified
    if date is None:
        return None
    if settings.since is not None and date < settings.since:
        return SkipReason.FILTERED_DATE
    if settings.until is not None and date >= settings.until:
        return SkipReason.FILTERED_DATE
    return None


def roles_of(folders: Sequence[Folder]) -> dict[FolderPath, Role]:
    return {folder.path: folder.role for folder in folders if folder.role is not None}


def pattern_problem(pattern: str) -> str:
    """What is wrong with a folder pattern, or ""."""
    if not pattern.strip():
        return "an empty folder pattern"
    if pattern.startswith("@"):
        role = _split(pattern)[0][1:]
        if role.casefold() not in {r.value for r in Role}:
            return f"{pattern!r}: no folder role is called {role!r}; there are {', '.join(sorted(r.value for r in Role))}"
    return ""


def parse_date(text: str, *, now: datetime) -> datetime:
    """A date limit: "2024-01-31", an ISO date and time, or "90d" and "12w" before now. Without a zone: UTC.

    Raises ValueError with words for a person.
    """
    ago = re.fullmatch(r"(\d{1,4})([dw])", text.strip())
    if ago:
        days = int(ago[1]) * (7 if ago[2] == "w" else 1)
        return now - timedelta(days=days)
    try:
        date = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"{text!r} is not a date: write 2024-01-31, 2024-01-31T18:00+01:00, or 90d"
        ) from None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def _spellings(folder: Folder, roles: Mapping[FolderPath, Role]) -> list[tuple[str, ...]]:
    """The path by names and, where an ancestor (or itself) has a role, by that role."""
    found = [folder.path]
    for depth in range(1, len(folder.path) + 1):
        role = folder.role if depth == len(folder.path) else roles.get(folder.path[:depth])
        if role is not None:
            found.append((_ROLE + role.value, *folder.path[depth:]))
    return found


def _matches(pattern: str, spelled: Sequence[tuple[str, ...]]) -> bool:
    parts = _compiled(pattern)
    return any(_walk(parts, names) for names in spelled)


def _walk(parts: Sequence[re.Pattern[str] | None], names: Sequence[str]) -> bool:
    """Does the pattern match these names or a folder above them? None in `parts` is `**`."""
    reached = {0}  # how many parts are used up; a plain search would be exponential in the number of `**`
    for name in (*names, None):
        closed = set()
        for used in sorted(reached):
            step = used
            closed.add(step)
            while step < len(parts) and parts[step] is None:
                step += 1
                closed.add(step)
        if len(parts) in closed:
            return True
        if name is None:
            return False
        following = set()
        for used in closed:
            part = parts[used]
            if part is None:
                following.add(used)
            elif part.fullmatch(name):
                following.add(used + 1)
        reached = following
    return False


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> tuple[re.Pattern[str] | None, ...]:
    parts = _split(pattern)
    if parts[0].startswith("@"):
        parts[0] = _ROLE + parts[0][1:]
    return tuple(None if part == "**" else _glob(part) for part in parts)


def _split(pattern: str) -> list[str]:
    parts: list[str] = [""]
    at = 0
    while at < len(pattern):
        if pattern[at] == "\\" and at + 1 < len(pattern):
            parts[-1] += pattern[at : at + 2]
            at += 2
        elif pattern[at] == "/":
            parts.append("")
            at += 1
        else:
            parts[-1] += pattern[at]
            at += 1
    if len(parts) > 1 and not parts[-1]:
        parts.pop()  # "Inbox/" is what a shell's completion leaves
    if len(parts) > 1 and not parts[0]:
        parts.pop(0)  # "/Inbox" likewise
    return parts


def _glob(part: str) -> re.Pattern[str]:
    built = []
    at = 0
    while at < len(part):
        char = part[at]
        if char == "\\" and at + 1 < len(part):
            at += 1
            built.append(re.escape(part[at]))
        elif char == "*":
            if not built or built[-1] != ".*":
                built.append(".*")
        elif char == "?":
            built.append(".")
        else:
            built.append(re.escape(char))
        at += 1
    return re.compile("".join(built), re.IGNORECASE | re.DOTALL)
