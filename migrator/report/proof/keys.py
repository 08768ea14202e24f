"""Ed25519 keys (RFC 8032): the private one is a secret of whoever signs, kept as PEM; the public one is a word to be told."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING

from migrator.errors import UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PREFIX = "ed25519:"
_FILE_MOST = 16_384


def make() -> tuple[str, str]:
    """(private key as PEM, public key as a word)."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
    return pem, public_word(key)


def private_key(pem: str) -> Ed25519PrivateKey:
    """Raises UserError, which never holds any of the text."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode("utf-8", "surrogatepass"), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(
            "the key to sign with is no Ed25519 private key in PEM without a passphrase",
            code="key_unusable",
            remedy="`migrator keygen FILE` makes one; name it as --sign file:FILE.",
        )
    return key


def public_word(key: Ed25519PrivateKey) -> str:
    """ "ed25519:…", 43 characters of base64url: short enough to be read over the telephone."""
    octets = key.public_key().public_bytes_raw()
    return PREFIX + base64.urlsafe_b64encode(octets).decode("ascii").rstrip("=")


def public_octets(word: str) -> bytes:
    """The 32 octets of a public key from its word. Raises UserError."""
    text = word.strip()
    octets = b""
    if text.startswith(PREFIX) and len(text) == len(PREFIX) + 43:
        try:
            octets = base64.b64decode(text.removeprefix(PREFIX) + "=", altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            octets = b""
    if len(octets) != 32 or PREFIX + base64.urlsafe_b64encode(octets).decode().rstrip("=") != text:
        raise UserError(
            "this is no public key",
            code="key_unusable",
            remedy="It looks like ed25519:…, as `migrator keygen` has printed it and written into FILE.pub.",
        )
    return octets


def public_key(given: str) -> bytes:
    """From the word itself or from a file that holds it (FILE.pub, or a PEM public key). Raises UserError."""
    if given.strip().startswith(PREFIX):
        return public_octets(given)
    try:
        with Path(given).expanduser().open("rb") as file:
            data = file.read(_FILE_MOST)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no such file"
        raise UserError(
            f"the public key cannot be read: {why}",
            code="key_unusable",
            remedy="Give --key ed25519:… or the file FILE.pub that `migrator keygen` wrote.",
        ) from None
    if b"-----BEGIN PUBLIC KEY-----" in data:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            key = load_pem_public_key(data)
        except (ValueError, UnsupportedAlgorithm):
            return public_octets("")
        return key.public_bytes_raw() if isinstance(key, Ed25519PublicKey) else public_octets("")
    return public_octets(data.decode("utf-8", "replace").split("\n", 1)[0])


def signed_by(public: bytes, message: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
