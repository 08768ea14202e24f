"""The hash tree of RFC 6962 section 2.1, over SHA-256.

A leaf is SHA-256(0x00 ‖ row), a node SHA-256(0x01 ‖ left ‖ right): a row can never be taken for a node. n > 1 leaves are
split at the largest power of two below n. So aligned blocks of `BLOCK` rows are subtrees of their own, and a tree of
millions needs no more memory than one block and a hash for each block before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

BLOCK = 1024
"""Rows of a block; a power of two, so that blocks are subtrees."""
SIZE = 32
"""Octets of a hash."""
PATH_MOST = 64
"""Longest audit path that makes sense: no tree has 2⁶⁴ rows."""


def leaf(row: bytes) -> bytes:
    return sha256(b"\0" + row).digest()


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """Of leaves, or of the roots of equal, aligned subtrees. Of none: SHA-256 of nothing."""
    if not hashes:
        return sha256(b"").digest()
    level = list(hashes)
    while len(level) > 1:
        # Pairs from the left; what is left over goes up as it is: the same tree as splitting from the top.
        above = [node(level[n], level[n + 1]) for n in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0]


def audit_path(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings from a leaf up to the root, lowest first (RFC 6962 2.1.1)."""
    path: list[bytes] = []
    level = list(hashes)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        above = [node(level[n], level[n + 1]) for n in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            above.append(level[-1])
        level, index = above, index // 2
    return path


def root_by_path(start: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """The root that a leaf and its audit path make in a tree of `count` leaves; None where the path does not fit.

    RFC 9162 2.1.3.2.
    """
    if not 0 <= index < count or len(path) > PATH_MOST:
        return None
    here, last, made = index, count - 1, start
    for sibling in path:
        if last == 0:
            return None
        if here & 1 or here == last:
            made = node(sibling, made)
            while not here & 1 and here:
                here >>= 1
                last >>= 1
        else:
            made = node(made, sibling)
        here >>= 1
        last >>= 1
    return made if last == 0 else None
