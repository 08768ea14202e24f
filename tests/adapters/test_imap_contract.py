"""The contracts on real servers: Dovecot with all it can, Dovecot reduced to RFC 3501, pymap."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence

import pytest

from migrator.adapters.spool import BufferContent
from migrator.interfaces import Target
from migrator.model import Flag, FolderPath, Format, Item, Kind
from tests.adapters.imap_kit import closing, cyrus, dovecot, plain_dovecot, pymap  # noqa: F401 - fixtures
from tests.contracts.samples import Sample
from tests.contracts.source import Seed, Seeded, SourceContract
from tests.contracts.target import Make, TargetContract
from tests.servers import imap_servers as servers


def _seed(server: servers.Server, stack: contextlib.ExitStack) -> Seed:
    def seed(
        samples: Sequence[Sample], *, folders: Sequence[FolderPath] = (), page_items: int | None = None
    ) -> Seeded:
        return servers.seeded(server, samples, folders, page_items, stack)

    return seed


def make_item(sample: Sample) -> Item:
    raw = sample.mime()
    flags = {flag for flag, on in ((Flag.SEEN, sample.seen), (Flag.DRAFT, sample.draft)) if on}
    ref = dataclasses.replace(sample.ref(), id=f"s-{sample.message_id}", size=len(raw))
    return Item(ref, Format.MIME, BufferContent([raw]), frozenset(flags))


class TestDovecotSource(SourceContract):
    @pytest.fixture
    def seed(self, dovecot: servers.Server, closing: contextlib.ExitStack) -> Seed:  # noqa: F811
        return _seed(dovecot, closing)


class TestPlainDovecotSource(SourceContract):
    @pytest.fixture
    def seed(self, plain_dovecot: servers.Server, closing: contextlib.ExitStack) -> Seed:  # noqa: F811
        return _seed(plain_dovecot, closing)

    @pytest.mark.skip(
        reason="a name with the server's separator cannot be made there; the others are in TestDovecotSource"
    )
    def test_folder_names_hold_any_character(self, seed: Seed) -> None: ...


class TestPymapSource(SourceContract):
    @pytest.fixture
    def seed(self, pymap: servers.Server, closing: contextlib.ExitStack) -> Seed:  # noqa: F811
        return _seed(pymap, closing)

    @pytest.mark.skip(
        reason="a name with the server's separator cannot be made there; the others are in TestDovecotSource"
    )
    def test_folder_names_hold_any_character(self, seed: Seed) -> None: ...

    @pytest.mark.skip(
        reason="pymap delivers an expunged message to sessions that were not told yet (RFC 3501 7.4.1)"
    )
    def test_a_vanished_item_harms_no_neighbour(self, seed: Seed) -> None: ...


class TestCyrusSource(SourceContract):
    @pytest.fixture
    def seed(self, cyrus: servers.Server, closing: contextlib.ExitStack) -> Seed:  # noqa: F811
        return _seed(cyrus, closing)

    @pytest.mark.skip(
        reason="a name with the server's separator cannot be made there; the others are in TestDovecotSource"
    )
    def test_folder_names_hold_any_character(self, seed: Seed) -> None: ...

    @pytest.mark.skip(
        reason="Cyrus delivers an expunged message to sessions that were not told yet (RFC 3501 7.4.1)"
    )
    def test_a_vanished_item_harms_no_neighbour(self, seed: Seed) -> None: ...


class ImapTarget(TargetContract):
    __test__ = False

    @pytest.fixture
    def make(self) -> Make:
        return make_item

    @pytest.fixture
    def server(self) -> servers.Server:
        raise NotImplementedError

    @pytest.fixture
    def user(self, server: servers.Server) -> str:
        user = server.new_user()
        if server.user:
            servers.empty(server, user)
        return user

    @pytest.fixture
    def reopen(
        self,
        server: servers.Server,
        user: str,
        closing: contextlib.ExitStack,  # noqa: F811
    ) -> Callable[[], Target] | None:
        client = servers.client_of(server)
        closing.callback(client.close)
        return lambda: client.target(servers.box(user))

    @pytest.fixture
    def target(self, reopen: Callable[[], Target]) -> Target:
        return reopen()


class TestDovecotTarget(ImapTarget):
    __test__ = True

    @pytest.fixture
    def server(self, dovecot: servers.Server) -> servers.Server:  # noqa: F811
        return dovecot


class TestPlainDovecotTarget(ImapTarget):
    __test__ = True
    hostile_names = tuple(name for name in TargetContract.hostile_names if "/" not in name)

    @pytest.fixture
    def server(self, plain_dovecot: servers.Server) -> servers.Server:  # noqa: F811
        return plain_dovecot


class TestPymapTarget(ImapTarget):
    __test__ = True
    hostile_names = tuple(name for name in TargetContract.hostile_names if "/" not in name)

    @pytest.fixture
    def server(self, pymap: servers.Server) -> servers.Server:  # noqa: F811
        return pymap


class TestCyrusTarget(ImapTarget):
    __test__ = True
    hostile_names = tuple(name for name in TargetContract.hostile_names if not set(name) & set("/\\<>%"))

    @pytest.fixture
    def server(self, cyrus: servers.Server) -> servers.Server:  # noqa: F811
        return cyrus

    def test_a_name_that_the_server_refuses_is_written_otherwise(self, target: Target) -> None:
        made = target.ensure_folder(("Names", "back\\slash"), Kind.MAIL)
        assert made.path == ("Names", "back＼slash")
        assert target.ensure_folder(("Names", "back\\slash"), Kind.MAIL).id == made.id
        assert made.id in {folder.id for folder in target.folders()}
