"""Which path items of a kind take into a target, from what the tenant was proven to take.

    the source's own stream ──(refused)──→ a stream made here ──(refused)──→ created anew by JSON ──(refused)──→ left out

A path is open when an item of that origin and kind was stored, read back and removed in that very tenant (`canary`); the
ledger keeps those verdicts. Nothing is assumed: a path that nobody tried is closed. One thing is inferred: where no item of
a kind could be tried (the mailbox that was asked has no tasks, say), streams of the source go the way of its mails, as long
as streams of that kind are taken at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from migrator.errors import ItemError
from migrator.interfaces import ReaderTraits, TargetTraits
from migrator.ledger import Verdict
from migrator.model import Format, Item, Kind, Outcome, Path, SkipReason, State
from migrator.record import record

SYNTHETIC = "synthetic"
"""Origin of streams that were made here."""
JSON = "json"
"""Origin under which the verdicts about creation by JSON stand."""


NOT_THERE = "the target has no such items"
"""Why kinds have no path that the target does not know at all."""


@record
class Route:
    """path None: items of this kind are left out. why: what closed the better paths, by the code of the refusal."""

    kind: Kind
    path: Path | None
    why: str = ""


PLAIN = {Format.FTS: Path.STREAM, Format.MIME: Path.MIME}
"""The path that an item takes which names none."""


class Routes:
    """What a source gives and a target takes, per origin and kind. Without `verdicts` every path is held for open."""

    def __init__(
        self, source: ReaderTraits, target: TargetTraits, verdicts: Iterable[Verdict] | None = None
    ) -> None:
        self._accepts = target.accepts
        self._creates = target.creates
        self._kinds = target.kinds
        self._origin = source.origin
        self._streams = Format.FTS in source.formats
        self._asked = verdicts is not None
        self._verdicts: dict[tuple[str, Kind], Verdict] = {
            (one.origin, one.kind): one for one in verdicts or ()
        }
        self._known: dict[tuple[str, Kind], Route] = {}

    def of(self, kind: Kind, origin: str | None = None) -> Route:
        """The route of a kind; origin: of the very item, else the source's own."""
        if origin is None:
            origin = self._origin if self._streams else SYNTHETIC
        key = (origin, kind)
        route = self._known.get(key)
        if route is None:
            route = self._known[key] = self._choose(kind, origin)
        return route

    def all(self) -> Mapping[Kind, Route]:
        return {kind: self.of(kind) for kind in Kind}

    def kinds(self) -> frozenset[Kind]:
        """Those that have a path."""
        return frozenset(kind for kind in Kind if self.of(kind).path is not None)

    def _choose(self, kind: Kind, origin: str) -> Route:
        if kind not in self._kinds:
            return Route(kind, None, NOT_THERE)
        if Format.FTS not in self._accepts:
            return Route(kind, Path.MIME)
        own = origin != SYNTHETIC
        if not self._asked:
            return Route(kind, Path.STREAM if own else Path.SYNTHETIC)
        # Items of classes of their own are mail to the store.
        asked = Kind.MAIL if kind is Kind.OTHER else kind
        made = self._verdicts.get((SYNTHETIC, asked))
        refused: list[str] = []
        if own:
            verdict = self._verdicts.get((origin, asked))
            mails = self._verdicts.get((origin, Kind.MAIL))
            if verdict is None and mails is not None and not (mails.accepted and self._of_kind(asked)):
                verdict = mails
            if verdict is None:
                verdict = made
            if verdict is not None and verdict.accepted:
                return Route(kind, Path.STREAM)
            refused.append(f"streams of {origin or 'the source'}: {_word(verdict)}")
        if made is not None and made.accepted:
            return Route(kind, Path.SYNTHETIC, "; ".join(refused))
        refused.append(f"streams made here: {_word(made)}")
        anew = self._verdicts.get((JSON, kind))
        if kind in self._creates and anew is not None and anew.accepted:
            return Route(kind, Path.JSON, "; ".join(refused))
        if kind in self._creates:
            refused.append(f"JSON: {_word(anew)}")
        return Route(kind, None, "; ".join(refused))

    def _of_kind(self, kind: Kind) -> bool:
        """Whether the refusal of a stream made here would be one of its kind: mails made here are taken, these not."""
        made, mails = self._verdicts.get((SYNTHETIC, kind)), self._verdicts.get((SYNTHETIC, Kind.MAIL))
        return made is not None and mails is not None and mails.accepted and not made.accepted

    def prepare(self, item: Item) -> Item | Outcome:
        """The item in the form in which it travels. An outcome where it cannot: left out, or not convertible."""
        try:
            if item.format not in self._accepts and Format.FTS in self._accepts:
                item = as_stream(item)
            route = self.of(item.ref.kind, item.origin)
            if route.path is None:
                item.content.release()
                notes = (f"no path into the target: {route.why}",)
                return Outcome(item.ref, State.SKIPPED, reason=SkipReason.UNSUPPORTED_KIND, notes=notes)
            if route.path is Path.SYNTHETIC and item.origin != SYNTHETIC and item.format is Format.FTS:
                item = rewritten(item)
        except ItemError as error:
            item.content.release()
            return Outcome(item.ref, State.FAILED, error=error)
        return item if route.path is PLAIN.get(item.format) else replace(item, path=route.path)


def _word(verdict: Verdict | None) -> str:
    """The code of a refusal; its whole text is what `check` shows."""
    if verdict is None:
        return "not asked"
    return verdict.detail.partition(":")[0] or "refused"


def as_stream(item: Item) -> Item:
    """An item of any format as an item stream. Raises ItemError for what cannot be one."""
    from migrator.formats.convert import CONVERTERS

    if item.format is Format.FTS:
        return item
    convert = CONVERTERS.get((item.format, Format.FTS))
    if convert is None:
        raise ItemError(f"no item stream can be made of {item.format.value}", code="format_unsupported")
    return _converted(item, convert(item))


def convertible(fmt: Format, into: Format) -> bool:
    """Whether items of a format can be made into another one."""
    if into is not Format.FTS:
        return False
    from migrator.formats.convert import CONVERTERS

    return (fmt, into) in CONVERTERS


def rewritten(item: Item) -> Item:
    """A stream of another origin, read and written anew by us. Raises ItemError for one that cannot be read."""
    from migrator.formats.convert import tree_of, tree_to_fts

    return _converted(item, tree_to_fts(item, tree_of(item)))


def _converted(before: Item, after: Item) -> Item:
    if after.content is not before.content:
        before.content.release()
    # The engine knows the item by what listing told of it.
    return replace(after, ref=before.ref)
