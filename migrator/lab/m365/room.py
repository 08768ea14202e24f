"""What all operations share: ids as Graph shows them, mailboxes by name, folders and items by id, who may do what.

Ids are base64 in the REST manner (`-` for `/`, `_` for `+`), bound to their mailbox and checked: an id of another mailbox
or one whose letters changed case is not found. A moved item has a new number in the store, so it has a new id.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
import uuid
from dataclasses import dataclass
from functools import cache
from typing import Any

from migrator.lab.folders import VISIBLE_ROOT
from migrator.lab.m365 import errors
from migrator.lab.m365.ids import long_change_key, parse_change_key, short_change_key
from migrator.lab.store import (
    BadFolderName,
    CorruptStream,
    FolderExists,
    FolderFull,
    FolderNotFound,
    FolderProtected,
    ItemNotFound,
    LabFolder,
    LabItem,
    LabMailbox,
    MailboxNotFound,
    QuotaExceeded,
    StaleChangeKey,
    StoreError,
    TooLarge,
)
from migrator.lab.world import App, Tenant, Token, World

FOLDER, ITEM, ATTACHMENT, CONVERSATION = 1, 2, 3, 4
_HEAD = b"\x10\x34\x95"  # ids of the documentation's samples begin with EDSV
_ID = struct.Struct(">3sB6s6s4s")
_MAILBOX = re.compile(r"MBX:([0-9A-Fa-f-]{36})@([0-9A-Fa-f-]{36})")


@dataclass(slots=True)
class Room:
    """The Microsoft 365 half of a world, for the handlers."""

    world: World

    # -- mailboxes

    def mailbox_id(self, box: LabMailbox) -> str:
        if self.world.knobs.mailbox_id_shape == "guid":
            return f"MBX:{box.guid}@{box.tenant}"
        return "EXM_" + base64.urlsafe_b64encode(uuid.UUID(box.guid).bytes).decode().rstrip("=")

    def mailbox(self, mailbox_id: str) -> LabMailbox:
        """By mailbox id. Raises GraphError 404."""
        box: LabMailbox | None = None
        if self.world.knobs.mailbox_id_shape == "guid":
            match = _MAILBOX.fullmatch(mailbox_id)
            if match:
                box = self.world.m365.mailboxes.get(match[1].lower())
                if box is not None and box.tenant.lower() != match[2].lower():
                    box = None
        elif mailbox_id.startswith("EXM_"):
            try:
                raw = base64.urlsafe_b64decode(mailbox_id[4:] + "==")
                box = self.world.m365.mailboxes.get(str(uuid.UUID(bytes=raw)))
            except (ValueError, binascii.Error):
                box = None
        if box is None:
            raise errors.GraphError(
                404, "ErrorInvalidMailboxId", f"The mailbox '{mailbox_id}' was not found."
            )
        self.ready(box)
        return box

    def by_user(self, name: str) -> LabMailbox:
        """The mailbox of a user, by id, UPN or address. Raises GraphError 404."""
        try:
            box = self.world.m365.mailbox(name)
        except MailboxNotFound:
            if self.user_exists(name):
                raise errors.no_mailbox() from None
            raise errors.GraphError(
                404, "ErrorInvalidUser", f"The requested user '{name}' is invalid."
            ) from None
        self.ready(box)
        return box

    def user_exists(self, name: str) -> bool:
        return any(name.lower() in tenant.users for tenant in self.world.tenants.values())

    def ready(self, box: LabMailbox) -> None:
        """Raises GraphError 404 for a mailbox without licence or one that is still being made."""
        wait = self.world.knobs.provisioning_s
        if not box.licensed or not box.provisioned:
            raise errors.no_mailbox()
        if wait:
            since = box.settings.setdefault("licensed_at", self.world.clock.now())
            if self.world.clock.now() < since + wait:
                raise errors.no_mailbox()

    # -- ids

    def _id(self, kind: int, box: LabMailbox, number: int) -> str:
        owner = _replica(box.guid).bytes[:6]
        raw = number.to_bytes(6, "big")
        check = hashlib.blake2b(raw, digest_size=4, key=owner + bytes([kind])).digest()
        return base64.b64encode(_ID.pack(_HEAD, kind, owner, raw, check)).decode().translate(_REST)

    def number(self, kind: int, box: LabMailbox, text: str) -> int:
        """Raises GraphError: 400 for what is no id at all, 404 for the id of another mailbox."""
        try:
            raw = base64.b64decode(text.translate(_PLAIN), validate=True)
            head, found, owner, number, check = _ID.unpack(raw)
        except (binascii.Error, ValueError, struct.error):
            raise errors.malformed_id() from None
        expected = hashlib.blake2b(number, digest_size=4, key=owner + bytes([found])).digest()
        if head != _HEAD or check != expected:
            raise errors.malformed_id()
        if owner != _replica(box.guid).bytes[:6] or found != kind:
            raise errors.no_folder() if kind == FOLDER else errors.no_item()
        return int.from_bytes(number, "big")

    def folder_id(self, folder: LabFolder) -> str:
        return self._id(FOLDER, folder.mailbox, folder.id)

    def item_id(self, item: LabItem) -> str:
        return self._id(ITEM, item.mailbox, item.id)

    def gone_item_id(self, box: LabMailbox, number: int) -> str:
        return self._id(ITEM, box, number)

    def gone_folder_id(self, box: LabMailbox, number: int) -> str:
        return self._id(FOLDER, box, number)

    def attachment_id(self, item: LabItem, number: int) -> str:
        return self._id(ATTACHMENT, item.mailbox, item.id << 16 | number)

    def attachment_number(self, item: LabItem, text: str) -> int:
        found = self.number(ATTACHMENT, item.mailbox, text)
        if found >> 16 != item.id:
            raise errors.no_item()
        return found & 0xFFFF

    def conversation_id(self, item: LabItem, topic: str) -> str:
        seed = hashlib.blake2b(topic.lower().encode("utf-8", "surrogatepass"), digest_size=5).digest()
        return self._id(CONVERSATION, item.mailbox, int.from_bytes(seed, "big"))

    def folder(self, box: LabMailbox, text: str) -> LabFolder:
        """By id or well-known name. Raises GraphError."""
        role = box.roles.get(text.lower())
        if role is not None:
            return role
        if re.fullmatch(
            r"[A-Za-z]{4,30}", text
        ):  # the form of a well-known name, and none that this mailbox has
            raise errors.no_folder()
        folder = box.folders.get(self.number(FOLDER, box, text))
        if folder is None:
            raise errors.no_folder()
        return folder

    def item(self, box: LabMailbox, text: str, folder: LabFolder | None = None) -> LabItem:
        """By id; folder: it must be in there. Raises GraphError."""
        item = box.items.get(self.number(ITEM, box, text))
        if item is None or (folder is not None and item.folder is not folder):
            raise errors.no_item()
        return item

    # -- change keys

    def long_key(self, item: LabItem) -> str:
        return long_change_key(_replica(item.mailbox.guid), item.change, item.facts.item_class)

    def short_key(self, item: LabItem) -> str:
        return short_change_key(_replica(item.mailbox.guid), item.change)

    def change_of(self, box: LabMailbox, text: str) -> int | None:
        return parse_change_key(text, _replica(box.guid))

    # -- rights

    def token(self, header: str) -> Token:
        """The token of an Authorization header, for Graph. Raises GraphError 401."""
        kind, _, value = header.partition(" ")
        if not header or kind.lower() != "bearer" or not value:
            raise errors.bad_token()
        token = self.world.tokens.look(value.strip(), "access")
        if token is None:
            raise errors.bad_token(
                "IDX14100: JWT is not well formed, there are no dots (.)."
                if "." not in value
                else "Access token validation failure. Invalid signature."
            )
        if token.audience != "https://graph.microsoft.com":
            raise errors.bad_token("Access token validation failure. Invalid audience.")
        if token.expires <= self.world.clock.now():
            raise errors.bad_token("Lifetime validation failed, the token is expired.")
        return token

    def app(self, token: Token) -> tuple[Tenant, App]:
        tenant = self.world.tenant(token.tenant)
        app = tenant.app(token.app_id) if tenant else None
        if tenant is None or app is None or not app.enabled:
            raise errors.bad_token("Access token validation failure. The application is disabled.")
        return tenant, app

    def allow(
        self, token: Token, names: frozenset[str], box: LabMailbox | None, *, directory: bool = False
    ) -> None:
        """names: application permissions of which one is enough; a person needs the same without `.All`, and the own mailbox.

        Raises GraphError 403.
        """
        tenant, app = self.app(token)
        if token.user:
            held = {name.removesuffix(".All") for name in names} | names
            fine = bool(token.scopes & held) and (
                box is None
                or directory
                or box.owns(token.user)
                or _mailbox_of(tenant, token) == box.address.lower()
            )
        else:
            fine = bool(token.roles & names)
        if box is not None and box.tenant.lower() != tenant.id.lower():
            fine = False
        if not fine:
            raise errors.missing_privilege() if directory else errors.denied()
        if box is not None and not directory and not token.user and app.mailbox_scope is not None:
            names_of_box = {box.address.lower(), box.upn.lower(), *(a.lower() for a in box.aliases)}
            if not names_of_box & app.mailbox_scope:
                raise errors.denied("Access to OData is disabled.")

    # -- the store's refusals, in Graph's words

    def refusal(self, error: StoreError) -> errors.GraphError:
        match error:
            case FolderExists():
                return errors.folder_exists()
            case FolderNotFound():
                return errors.no_folder()
            case ItemNotFound():
                return errors.no_item()
            case BadFolderName():
                return errors.bad_request("The folder name is empty or too long.", "ErrorInvalidFolderName")
            case FolderProtected():
                return errors.bad_request(
                    "Distinguished folders can't be deleted.", "ErrorDeleteDistinguishedFolder"
                )
            case FolderFull():
                return errors.GraphError(
                    self.world.knobs.import_quota_status,
                    "ErrorQuotaExceeded",
                    "The folder exceeded its maximum number of items.",
                )
            case QuotaExceeded():
                return errors.GraphError(
                    self.world.knobs.import_quota_status,
                    "ErrorQuotaExceeded",
                    "The mailbox exceeded its storage quota.",
                )
            case TooLarge():
                return errors.GraphError(
                    413, "ErrorMessageSizeExceeded", "The message exceeds the maximum supported size."
                )
            case StaleChangeKey():
                return errors.GraphError(
                    self.world.knobs.import_stale_status,
                    "ErrorIrresolvableConflict",
                    "The send or update operation could not be performed because the change key passed in the request does "
                    "not match the current change key for the item.",
                )
            case CorruptStream():
                return errors.bad_request("The data is corrupt.", "ErrorCorruptData")
        return errors.GraphError(500, error.code, str(error))


_REST = str.maketrans("/+", "-_")
_PLAIN = str.maketrans("-_", "/+")


@cache
def _replica(guid: str) -> uuid.UUID:
    return uuid.UUID(guid)


def _mailbox_of(tenant: Tenant, token: Token) -> str:
    user = tenant.users.get(token.user.lower())
    return user.mailbox.lower() if user else ""


def storable(folder: LabFolder) -> bool:
    """Whether items can be put into a folder."""
    return not folder.search and folder.role not in ("root", "searchfolders") and folder.parent is not None


def visible_children(folder: LabFolder, *, hidden: bool) -> list[LabFolder]:
    return [child for child in folder.children.values() if hidden or not child.hidden]


def root_of(box: LabMailbox) -> LabFolder:
    return box.roles[VISIBLE_ROOT]


Json = dict[str, Any]
