"""A source that speaks more formats than its system does: what it reads is converted on the way out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from migrator.errors import ItemError
from migrator.interfaces import Reader, ReaderTraits
from migrator.model import Format, Item, ItemRef, Outcome, State
from migrator.wrappers.handed import HandedSource

Convert = Callable[[Item], Item]


class ConvertingSource(HandedSource):
    """Its own formats first, then those that `pairs` (from, to) can make of them."""

    def __init__(
        self, inner: Reader, pairs: Sequence[tuple[Format, Format]], load: Callable[[Format, Format], Convert]
    ) -> None:
        """load: gives the converter of a pair; called when the first item needs it."""
        super().__init__(inner)
        self._load = load
        self._converters: dict[tuple[Format, Format], Convert] = {}
        own = inner.traits.formats
        self._made_of = {to: of for of, to in reversed(pairs) if of in own and to not in own}
        self._extra = tuple(dict.fromkeys(to for of, to in pairs if to in self._made_of))

    @property
    def traits(self) -> ReaderTraits:
        traits = self._inner.traits
        return replace(traits, formats=(*traits.formats, *self._extra)) if self._extra else traits

    def export(self, refs: Sequence[ItemRef], fmt: Format) -> list[Item | Outcome]:
        of = self._made_of.get(fmt)
        if of is None:
            return self._inner.export(refs, fmt)
        results = self._inner.export(refs, of)
        return [self._converted(each, fmt) if isinstance(each, Item) else each for each in results]

    def _converted(self, item: Item, fmt: Format) -> Item | Outcome:
        if item.format is fmt:
            return item
        try:
            return self._converter(item.format, fmt)(item)
        except ItemError as error:
            return Outcome(item.ref, State.FAILED, error=error, notes=item.notes)
        finally:
            item.content.release()

    def _converter(self, of: Format, to: Format) -> Convert:
        convert = self._converters.get((of, to))
        if convert is None:
            convert = self._converters[of, to] = self._load(of, to)
        return convert
