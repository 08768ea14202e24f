"""Secrets by reference: where a password, a client secret or a private key is kept, never the value itself.

    env:NAME                an environment variable
    keyring:service/user    the operating system's secret store (Windows Credential Manager, macOS Keychain, Secret Service)
    file:path               a file: its first line; the whole of it for PEM; for .pfx and .p12 a PEM-like wrapping of the bytes

A relative path is taken from the project folder. Everything revealed is remembered for the life of the process (a secret store
may ask its owner each time) and is told to `redact.known`, so that it is taken out of every log line.
"""

from __future__ import annotations

import base64
import os
import stat
import textwrap
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from migrator.auth import redact
from migrator.errors import UserError

PKCS12_HEAD = "-----BEGIN PKCS12-----"
PKCS12_TAIL = "-----END PKCS12-----"
FILE_LIMIT = 1 << 20  # octets; a larger file is surely not a secret


class Secret:
    """A value that shows itself only when asked by name."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not to be pickled")


class SecretStore:
    """`interfaces.Secrets` on environment, keyring and files. Thread-safe."""

    def __init__(
        self,
        base: Path | None = None,
        *,
        warn: Callable[[str], None] = lambda text: None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """base: the folder that relative paths start from, default the current one. warn: gets one line about a file that
        others on this machine can read."""
        self._base = base or Path()
        self._warn = warn
        self._environ = os.environ if environ is None else environ
        self._kept: dict[str, Secret] = {}
        self._lock = threading.Lock()

    def reveal(self, reference: str, *, what: str) -> str:
        """The secret behind a reference. Raises UserError naming `what` and the reference, never a value."""
        with self._lock:
            kept = self._kept.get(reference)
            if kept is None:
                kept = Secret(self._look_up(reference, what))
                redact.known(kept.reveal())
                self._kept[reference] = kept
        return kept.reveal()

    def _look_up(self, reference: str, what: str) -> str:
        scheme, colon, rest = reference.partition(":")
        if not reference:
            raise UserError(
                f"{what}: no secret is named",
                code="secret_missing",
                remedy="Give a reference: env:NAME, keyring:service/user or file:path.",
            )
        if colon and rest:
            if scheme == "env":
                return self._from_environment(rest, what)
            if scheme == "keyring":
                return self._from_keyring(rest, what)
            if scheme == "file":
                return self._from_file(rest, what)
        # The text may be a password that someone wrote where a reference belongs: it is not repeated here.
        raise UserError(
            f"{what}: a secret is given by reference, and this is none",
            code="secret_reference",
            remedy="Write env:NAME, keyring:service/user or file:path, and keep the value itself there.",
        )

    def _from_environment(self, name: str, what: str) -> str:
        value = self._environ.get(name, "")
        if not value:
            raise UserError(
                f"{what}: env:{name} is not set"
                if name not in self._environ
                else f"{what}: env:{name} is empty",
                code="secret_missing",
                remedy=f"Set the environment variable {name} in the shell or service that starts this program.",
            )
        return value

    def _from_keyring(self, name: str, what: str) -> str:
        service, slash, user = name.partition("/")
        reference = f"keyring:{name}"
        if not slash or not service or not user:
            raise UserError(
                f"{what}: {reference} needs the form keyring:service/user", code="secret_reference"
            )
        import keyring
        import keyring.errors

        try:
            value = keyring.get_password(service, user)
        except keyring.errors.NoKeyringError:
            raise UserError(
                f"{what}: {reference} cannot be read, this machine has no secret store",
                code="secret_store",
                remedy="Use env:NAME or file:path on servers without a desktop session.",
            ) from None
        except keyring.errors.KeyringError as e:
            raise UserError(
                f"{what}: {reference} cannot be read, the secret store refused ({type(e).__name__})",
                code="secret_store",
                remedy="Unlock the secret store, or use env:NAME or file:path.",
            ) from None
        if not value:
            raise UserError(
                f"{what}: {reference} is not in the secret store",
                code="secret_missing",
                remedy=f"Store it with: keyring set {service} {user}",
            )
        return str(value)

    def _from_file(self, name: str, what: str) -> str:
        reference = f"file:{name}"
        path = self._base / Path(name).expanduser()
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                data = file.read(FILE_LIMIT + 1)
        except OSError as e:
            raise UserError(
                f"{what}: {reference} cannot be read ({e.strerror or type(e).__name__})",
                code="secret_missing",
            ) from None
        if len(data) > FILE_LIMIT:
            raise UserError(f"{what}: {reference} is too large to be a secret", code="secret_reference")
        if os.name == "posix" and mode & (stat.S_IRGRP | stat.S_IROTH):
            self._warn(
                f"{what}: {reference} can be read by others on this machine; chmod 600 keeps it to you"
            )
        if path.suffix.lower() in (".pfx", ".p12"):
            lines = textwrap.wrap(base64.b64encode(data).decode("ascii"), 64)
            return "\n".join([PKCS12_HEAD, *lines, PKCS12_TAIL, ""])
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise UserError(
                f"{what}: {reference} is not a text file",
                code="secret_reference",
                remedy="Save it as UTF-8; a certificate with its key as PEM, or as .pfx with that extension.",
            ) from None
        if "-----BEGIN " in text:
            return text
        value = text.split("\n", 1)[0].rstrip("\r")
        if not value:
            raise UserError(f"{what}: {reference} has an empty first line", code="secret_missing")
        return value
