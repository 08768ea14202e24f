"""Where a source folder goes in the target: by role first, then by name.

Facts this module rests on:
- folders with a role are matched by role: their names are localised and may have been renamed by an administrator
- display names may hold any character, `/` and `\\` among them, and siblings may differ in letter case alone
  (MS-OXCFOLD 2.2.1.2; learn.microsoft.com/exchange/client-developer/exchange-web-services/folders-and-items-in-ews-in-exchange)
- Exchange refuses a sibling whose name differs in letter case alone, so such names get a number here
- a folder's display name holds at most 255 characters, a tree at most 300 levels
  (learn.microsoft.com/office365/servicedescriptions/exchange-online-service-description/exchange-online-limits)
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import field

from migrator.model import Folder, FolderPath, Role
from migrator.record import record

NAME_MOST = 255
DEPTH_MOST = 300

_OUTBOX_NOTE = "unsent mail of the Outbox goes below Drafts, so that nothing is sent by accident"


@record
class Place:
    """Where a folder goes: `path` below the target's own folder of `role`, or below the visible root without a role.

    Given to `Target.ensure_folder(path, kind, folder_class=…, role=role)`. notes: what was changed on the way, and why.
    """

    path: FolderPath
    role: Role | None = None
    notes: tuple[str, ...] = ()
    clash: Clash | None = None  # the name that it would have had was taken


@record
class Clash:
    """other: the source's folder that has the name, None where it is the target's own."""

    other: FolderPath | None
    why: str


@record
class FolderRules:
    """What the project file says about folders.

    under: a folder of the target that takes the whole tree, folders with a role included (a merge of two mailboxes).
    rename: source path → path in the target; the folders below move along.
    """

    under: FolderPath = ()
    rename: Mapping[FolderPath, FolderPath] = field(default_factory=dict)


def path_text(path: FolderPath) -> str:
    r"""A path as a person reads and writes it: "A/B", with `\/` for a slash in a name and `\\` for a backslash."""
    return "/".join(name.replace("\\", "\\\\").replace("/", "\\/") for name in path)


def parse_path(text: str) -> FolderPath:
    r"""The inverse of `path_text`. A backslash before anything but `/` and `\` stands for itself."""
    names: list[str] = []
    name: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\" and text[at + 1 : at + 2] in ("/", "\\"):
            name.append(text[at + 1])
            at += 2
            continue
        if char == "/":
            names.append("".join(name))
            name = []
        else:
            name.append(char)
        at += 1
    names.append("".join(name))
    return () if names == [""] else tuple(names)


def map_folders(
    folders: Sequence[Folder], rules: FolderRules | None = None, *, reserved: Sequence[str] = ()
) -> dict[str, Place]:
    """Source folder id → its place in the target, for every folder given. Two folders never get the same place.

    folders: all of one mailbox, as the source lists them (any order; search folders may be among them).
    reserved: names at the target's root that belong to its folders with a role; a plain folder that would fall on one
    of them gets a number, because "Inbox" in a German mailbox is a folder of the user and not the Inbox.
    """
    rules = rules or FolderRules()
    by_path = {folder.path: folder for folder in folders}
    places: dict[FolderPath, Place] = {}
    taken = _Taken()
    if not rules.under:
        taken.paths.update({(None, (_key(name),)): None for name in reserved})
    # Parents first, among siblings those with a role, then by name: the same tree gives the same names every time.
    for path in sorted(_with_parents(by_path), key=lambda p: (len(p), _rank(by_path.get(p)), p)):
        if path:
            places[path] = _place(path, by_path.get(path), places, rules, taken)
    root = Place(rules.under)
    return {folder.id: places[folder.path] if folder.path else root for folder in folders}


def reserved_names(target: Sequence[Folder]) -> list[str]:
    """For `map_folders`: what the target's own folders with a role are called at its root."""
    return [folder.path[0] for folder in target if folder.role is not None and len(folder.path) == 1]


@record(frozen=False)
class _Taken:
    paths: dict[tuple[Role | None, tuple[str, ...]], FolderPath | None] = field(default_factory=dict)
    roles: dict[Role, FolderPath] = field(default_factory=dict)

    def free(
        self, role: Role | None, path: FolderPath, of: FolderPath
    ) -> tuple[FolderPath, FolderPath | None]:
        """A free path for the source folder `of`, and whose the first choice is (None: nobody's, or the target's own)."""
        number = 1
        found = path
        first = self.paths.get((role, tuple(_key(name) for name in path)))
        while (role, tuple(_key(name) for name in found)) in self.paths:
            number += 1
            found = (*path[:-1], _cut(path[-1], f" ({number})"))
        self.paths[role, tuple(_key(name) for name in found)] = of
        return found, first


def _with_parents(paths: Mapping[FolderPath, Folder]) -> set[FolderPath]:
    """The paths and all that lie above them: a parent may be missing from the list (no right to see it)."""
    return {path[:depth] for path in paths for depth in range(1, len(path) + 1)}


def _rank(folder: Folder | None) -> int:
    return 0 if folder is not None and folder.role is not None else 1


def _place(
    path: FolderPath,
    folder: Folder | None,
    places: Mapping[FolderPath, Place],
    rules: FolderRules,
    taken: _Taken,
) -> Place:
    role = folder.role if folder is not None else None
    notes: list[str] = []
    renamed = rules.rename.get(path)
    if renamed:
        base, names = Place(rules.under), renamed
    elif role is Role.OUTBOX:
        base = Place(rules.under) if rules.under else Place((), Role.DRAFTS)
        names = (path[-1],)
        notes.append(_OUTBOX_NOTE)
    elif role is not None and not rules.under and role not in taken.roles:
        taken.roles[role] = path  # a second folder that claims the role goes by its name
        return Place((), role)
    else:
        base = places.get(path[:-1], Place(rules.under))
        names = (path[-1],)
    fixed: list[str] = []
    for name in names:
        good = _name(name, notes)
        fixed.append(good)
    target = (*base.path, *fixed)
    if len(target) > DEPTH_MOST:
        # Deeper than the service allows: the name goes as far down as there is room, its parents into the name.
        notes.append(f"the folder lies deeper than {DEPTH_MOST} levels and was moved up")
        target = (*target[: DEPTH_MOST - 1], _cut(" - ".join(target[DEPTH_MOST - 1 :])))
    free, other = taken.free(base.role, target, path)
    clash = None
    if free != target:
        notes.append(
            "another folder has the same name but for letter case, or the target's own folder has it"
        )
        clash = Clash(other, _clash_words(path, other))
    elif role is not None and role in taken.roles and not rules.under and not renamed:
        clash = Clash(
            taken.roles[role], f"both claim to be the folder {role.value}: this one goes by its name"
        )
    return Place(free, base.role, tuple(notes), clash)


def _clash_words(path: FolderPath, other: FolderPath | None) -> str:
    if other is None:
        return "the target's own folder has this name"
    if path[-1].casefold() == other[-1].casefold():
        return "the names differ in letter case alone"
    if _key(path[-1]) == _key(other[-1]):
        return "the names differ in blanks or in how an accent is written alone"
    return "the names are the same after what the target does not take was replaced"


def _name(name: str, notes: list[str]) -> str:
    good = "".join("_" if unicodedata.category(char) in ("Cc", "Cs") else char for char in name)
    if good != name:
        notes.append("control characters in the name became _")
    if not good.strip():
        notes.append("a folder without a name was given one")
        return "(no name)"
    if len(good) > NAME_MOST:
        notes.append(f"the name was cut to {NAME_MOST} characters")
        return _cut(good)
    return good


def _cut(name: str, suffix: str = "") -> str:
    return name[: NAME_MOST - len(suffix)] + suffix


def _key(name: str) -> str:
    """What two sibling names must not share. Blanks at the ends do not tell names apart in Exchange."""
    return unicodedata.normalize("NFC", name).casefold().strip()
