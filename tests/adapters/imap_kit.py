"""Servers as fixtures: one of each per test process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.servers import imap_servers as servers


@pytest.fixture(scope="session")
def dovecot() -> Iterator[servers.Server]:
    with servers.short_folder("dv") as folder:
        server = servers.dovecot(folder)
        yield server
        server.stop()


@pytest.fixture(scope="session")
def plain_dovecot() -> Iterator[servers.Server]:
    """A Dovecot that says it can do nothing beyond RFC 3501."""
    with servers.short_folder("dp") as folder:
        server = servers.dovecot(folder, separator="/", capability="IMAP4rev1")
        yield server
        server.stop()


@pytest.fixture(scope="session")
def pymap() -> Iterator[servers.Server]:
    with servers.short_folder("pm") as folder:
        server = servers.pymap(folder)
        yield server
        server.stop()


@pytest.fixture(scope="session")
def cyrus() -> Iterator[servers.Server]:
    with servers.short_folder("cy") as folder:
        server = servers.cyrus(folder)
        yield server
        server.stop()


@pytest.fixture
def closing() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack
