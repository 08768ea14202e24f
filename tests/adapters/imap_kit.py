"""Servers as fixtures: one of each per test process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.servers import imap_servers as servers


@pytest.fixture(scope="session")
def dovecot() -> Iterator[servers.Server]:
    with servers.short_folder("dv") as folder, servers.dovecot(folder) as server:
        yield server


@pytest.fixture(scope="session")
def plain_dovecot() -> Iterator[servers.Server]:
    """A Dovecot that says it can do nothing beyond RFC 3501."""
    with (
        servers.short_folder("dp") as folder,
        servers.dovecot(folder, separator="/", capability="IMAP4rev1") as server,
    ):
        yield server


@pytest.fixture(scope="session")
def pymap() -> Iterator[servers.Server]:
    with servers.short_folder("pm") as folder, servers.pymap(folder) as server:
        yield server


@pytest.fixture(scope="session")
def cyrus() -> Iterator[servers.Server]:
    with servers.short_folder("cy") as folder, servers.cyrus(folder) as server:
        yield server


@pytest.fixture
def closing() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack
