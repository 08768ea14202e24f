"""Reads items out: ExportItems in batches, halved when a batch does not come through, GetItem with MIME where that is the only way.

    batch ── ExportItems ──→ answers ── judged one by one ──→ Item (FTS)
      │ no answer: halve, down to one item, tried again                │ damaged, too large, poisonous
      └─ several in a row fail: is the server there at all?            └─ GetItem + MimeContent ──→ Item (MIME), or an Outcome

Facts this module rests on:
- answers come in the order of the request; the id in an answer may be spelt differently (MS-OXWSBTRF 3.1.4.1)
- ErrorBatchProcessingStopped: the rest of the batch was not attempted
  (learn.microsoft.com/exchange/client-developer/web-service-reference/responsecode)
- a request for item bodies should name about ten items
  (learn.microsoft.com/…/exchange-web-services/ews-throttling-in-exchange)
- 0x1090 PidTagFlagStatus (2 = flagged), 0x1081 PidTagLastVerbExecuted (102, 103 replied, 104 forwarded) (MS-OXOFLAG, MS-OXOMSG)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from lxml import etree

from migrator.adapters.ews import faults
from migrator.adapters.ews.client import Box, EwsClient
from migrator.adapters.ews.cut import DATA, MIME, Cut, StreamCutter, Truncated, cut
from migrator.adapters.ews.listing import extended_values
from migrator.adapters.ews.soap import (
    M,
    Message,
    NotSoap,
    T,
    distinguished,
    field_uri,
    item_ids,
    messages_of,
    property_tag,
    server_of,
    shape,
)
from migrator.adapters.spool import THRESHOLD, BufferContent, SpoolContent
from migrator.errors import ItemError, JobError, MigratorError, Throttled, Transient
from migrator.model import Content, Flag, Format, Item, ItemRef, Outcome, SkipReason, State
from migrator.record import record

Buffer = bytes | memoryview
Result = Item | Outcome

MIME_ITEMS = 10
SLOWEST_OCTETS_S = 200_000  # a server that builds a large answer may be silent for this long
STREAK = 3

HALVED = frozenset(
    (
        "timeout",
        "answer_lost",
        "broken_answer",
        "truncated_data",
        "request_too_large",
        "http_500",
        "http_502",
        "http_504",
        "ErrorTimeoutExpired",
        "ErrorInternalServerError",
        faults.STOPPED,
    )
)
"""Trouble that a smaller batch may not have."""

POISON = HALVED - {"truncated_data"}
"""What an item that spoils every export looks like; a cut answer is the server's trouble and passes."""

MIME_PATHS = (
    *map(field_uri, ("item:ItemClass", "item:Categories", "item:IsDraft", "message:IsRead")),
    property_tag("0x1090", "Integer"),
    property_tag("0x1081", "Integer"),
)


@record
class Answer:
    """One item's answer. data: base64, or content that went to disk already."""

    message: Message
    element: etree._Element | None  # the item's element, of GetItem
    data: Buffer | SpoolContent | None


Got = Answer | MigratorError
Call = Callable[[list[ItemRef], bool], list[Answer]]
"""(refs, whether a large item may be streamed) → one answer each. Raises Transient and what stops a mailbox."""


class Exporter:
    def __init__(
        self,
        client: EwsClient,
        box: Box,
        *,
        items: int,
        octets: int,
        threshold: int = THRESHOLD,
        spool_dir: str | None = None,
    ) -> None:
        self._client = client
        self._box = box
        self._items = items
        self._octets = octets
        self._threshold = threshold
        self._spool_dir = spool_dir

    @property
    def origin(self) -> str:
        server = self._box.server
        return f"ews {server.short}" if server is not None else "ews"

    def export(self, refs: Sequence[ItemRef], fmt: Format) -> list[Result]:
        """One result per ref, in order (`interfaces.Reader.export`)."""
        if not refs:
            return []
        if fmt is Format.FTS and can_export(self._box):
            try:
                got = self._fetch(refs, self._call_export, self._items, self._octets)
            except JobError as e:
                # a server that does not know the operation says so only when it is asked
                if e.code not in faults.UNKNOWN_OPERATION or self._box.exports:
                    raise
                self._box.exports = False
            else:
                return self._judged(refs, got)
        elif fmt not in (Format.FTS, Format.MIME):
            error = ItemError(f"EWS cannot export as {fmt}", code="format")
            return [Outcome(ref, State.FAILED, error=error) for ref in refs]
        note = "the server has no ExportItems: read as MIME" if fmt is Format.FTS else ""
        got = self._fetch(refs, self._call_mime, MIME_ITEMS, self._octets)
        return _unless_nothing(
            [self._mime_result(ref, one, note) for ref, one in zip(refs, got, strict=True)]
        )

    # ---- the wire, with batches that shrink

    def _fetch(self, refs: Sequence[ItemRef], call: Call, most: int, octets: int) -> list[Got]:
        """Ask for every ref; what it was answered, or the Transient that befell it alone.

        Raises Transient when nothing came, and whatever stops the mailbox.
        """
        got: dict[int, Got] = {}
        failures: dict[int, int] = {}
        streak = 0
        queue = deque(_groups(refs, most, octets, self._threshold * 3 // 4))
        while queue:
            group = queue.popleft()
            try:
                answers = call([refs[n] for n in group], failures.get(group[0], 0) == 0)
            except Transient as e:
                if isinstance(e, Throttled) or e.code not in HALVED:
                    return _rest(refs, got, e)
                for n in group:
                    failures[n] = failures.get(n, 0) + 1
                if len(group) > 1:
                    middle = len(group) // 2
                    queue.extendleft((group[middle:], group[:middle]))
                    continue
                if failures[group[0]] < 2:
                    queue.appendleft(group)
                    continue
                got[group[0]] = e
                streak += 1
                if streak == STREAK:
                    # Poisonous neighbours, or a server in trouble? It would be asked for each item of the batch in vain.
                    streak = 0
                    try:
                        self._is_there()
                    except Transient as trouble:
                        return _rest(refs, got, trouble)
                continue
            streak = 0
            answered = dict(zip(group, answers, strict=True))
            left = [n for n, answer in answered.items() if answer.message.code == faults.STOPPED]
            got.update((n, answer) for n, answer in answered.items() if n not in left)
            if left and len(left) < len(group):
                queue.appendleft(left)
            elif left:
                stopped = faults.from_code(
                    faults.STOPPED, "the server attempted none of a batch", {}, self._box.seat
                )
                for n in left:
                    failures[n] = failures.get(n, 0) + 1
                if len(left) > 1:
                    middle = len(left) // 2
                    queue.extendleft((left[middle:], left[:middle]))
                elif failures[left[0]] < 2:
                    queue.appendleft(left)
                else:
                    got[left[0]] = stopped
        return [got[n] for n in range(len(refs))]

    def _is_there(self) -> None:
        body = (
            f"<m:GetFolder>{shape('FolderShape')}<m:FolderIds>{distinguished('msgfolderroot', self._box.owner)}"
            "</m:FolderIds></m:GetFolder>"
        )
        for message in self._client.messages(self._box, "GetFolder", body):
            if not message.ok:
                raise faults.from_code(message.code, message.text, message.values, self._box.seat)

    def _patience(self, refs: Sequence[ItemRef]) -> float:
        octets = sum(ref.size or 0 for ref in refs)
        return max(self._client.endpoint.limits.timeout_s, octets / SLOWEST_OCTETS_S)

    def _call_export(self, refs: list[ItemRef], stream: bool) -> list[Answer]:
        ids = item_ids([(ref.id, ref.version) for ref in refs])
        body = f"<m:ExportItems>{ids}</m:ExportItems>"
        if stream and len(refs) == 1 and (refs[0].size or 0) > self._threshold * 3 // 4:
            return self._streamed(refs[0], body)
        found = self._cut("ExportItems", body, DATA, refs)
        self._box.exports = True
        answers = []
        for message in found.messages:
            element = message.child(DATA)
            answers.append(Answer(message, None, found.data_of(element) if element is not None else None))
        return self._matched(refs, answers)

    def _streamed(self, ref: ItemRef, body: str) -> list[Answer]:
        """A large item, from the socket to a file."""
        content = SpoolContent(self._spool_dir)
        cutter = StreamCutter(DATA, content.write)
        try:
            self._client.call(
                self._box, "ExportItems", body, sink=cutter.feed, timeout_s=self._patience([ref]), bulk=True
            )
            content.close_writing()
            root = cutter.finish()
            self._box.server = server_of(etree.tostring(root)) or self._box.server
            messages = messages_of(root)
        except Truncated as e:
            content.release()
            raise faults.truncated(self._box.seat) from e
        except NotSoap as e:
            content.release()
            raise Transient(self._box.seat.says(str(e)), code="broken_answer") from e
        except BaseException:
            content.release()
            raise
        if content.size == 0:
            content.release()
            return self._matched([ref], [Answer(message, None, None) for message in messages])
        self._box.exports = True
        return self._matched([ref], [Answer(message, None, content) for message in messages])

    def _call_mime(self, refs: list[ItemRef], stream: bool) -> list[Answer]:
        ids = item_ids([(ref.id, "") for ref in refs])
        body = f"<m:GetItem>{shape('ItemShape', MIME_PATHS, mime=True)}{ids}</m:GetItem>"
        found = self._cut("GetItem", body, MIME, refs)
        answers = []
        for message in found.messages:
            items = message.child(f"{M}Items")
            element = items[0] if items is not None and len(items) else None
            mime = element.find(MIME) if element is not None else None
            answers.append(Answer(message, element, found.data_of(mime) if mime is not None else None))
        return self._matched(refs, answers)

    def _cut(self, operation: str, body: str, tag: str, refs: Sequence[ItemRef]) -> Cut:
        data = self._client.call(self._box, operation, body, timeout_s=self._patience(refs), bulk=True)
        try:
            return cut(data, tag)
        except Truncated as e:
            raise faults.truncated(self._box.seat) from e
        except NotSoap as e:
            raise faults.not_soap(self._box.seat, data, str(e)) from e

    def _matched(self, refs: Sequence[ItemRef], answers: list[Answer]) -> list[Answer]:
        """Position is what ties an answer to its item, so there must be as many."""
        if len(answers) != len(refs):
            raise Transient(
                self._box.seat.says(f"{len(answers)} answers came for {len(refs)} items"),
                code="broken_answer",
            )
        return answers

    # ---- judging

    def _judged(self, refs: Sequence[ItemRef], got: Sequence[Got]) -> list[Result]:
        results: dict[int, Result] = {}
        spoilt: dict[
            int, MigratorError | SkipReason
        ] = {}  # to be read as MIME, with what became of the export
        again: list[int] = []
        origin = self.origin
        for n, (ref, one) in enumerate(zip(refs, got, strict=True)):
            if isinstance(one, Answer) and one.message.code == "ErrorInvalidChangeKey" and ref.version:
                again.append(n)
                continue
            if isinstance(one, Answer) and one.data and one.message.ok:
                results[n] = self._item(ref, one.data, origin)
                continue
            verdict = self._verdict(ref, one)
            if isinstance(verdict, (Item, Outcome)):
                results[n] = verdict
            else:
                spoilt[n] = verdict
        if again:
            bare = [_without_version(refs[n]) for n in again]
            for n, one in zip(
                again, self._fetch(bare, self._call_export, self._items, self._octets), strict=True
            ):
                verdict = self._verdict(refs[n], one)
                if isinstance(verdict, (Item, Outcome)):
                    results[n] = verdict
                else:
                    spoilt[n] = verdict
        if spoilt:
            self._second_way(refs, spoilt, results)
        return _unless_nothing([results[n] for n in range(len(refs))])

    @staticmethod
    def _item(ref: ItemRef, data: Buffer | SpoolContent, origin: str) -> Item:
        content: Content = data if isinstance(data, SpoolContent) else BufferContent((data,), len(data))
        return Item(ref, Format.FTS, content, _flags_of(ref), (), (), origin)

    def _verdict(self, ref: ItemRef, one: Got) -> Result | MigratorError | SkipReason:
        """An Item, an Outcome, or the reason for trying MIME."""
        if isinstance(one, MigratorError):
            return one if one.code in POISON else Outcome(ref, State.FAILED, error=one)
        message = one.message
        if message.ok:
            if one.data:
                return self._item(ref, one.data, self.origin)
            if one.data is None:
                return ItemError("the export holds no whole stream", code="broken_stream")
            return SkipReason.CORRUPT_AT_SOURCE
        code = message.code
        if code in faults.ITEM_GONE:
            return Outcome(ref, State.SKIPPED, reason=SkipReason.VANISHED)
        if code in faults.ITEM_DAMAGED:
            return SkipReason.CORRUPT_AT_SOURCE
        if code in faults.ITEM_TOO_LARGE:
            return SkipReason.TOO_LARGE
        error = faults.from_item_code(code, message.text, message.values, self._box.seat)
        if isinstance(error, Transient) and not isinstance(error, Throttled) and error.code in POISON:
            return error
        return Outcome(ref, State.FAILED, error=error)

    def _second_way(
        self,
        refs: Sequence[ItemRef],
        spoilt: dict[int, MigratorError | SkipReason],
        results: dict[int, Result],
    ) -> None:
        """What the server would not export as a stream: once more alone where it was passing trouble, then as MIME."""
        for n in [
            n for n, why in spoilt.items() if isinstance(why, Transient) and why.code.startswith("Error")
        ]:
            (one,) = self._quietly([refs[n]], self._call_export)
            verdict = self._verdict(refs[n], one)
            if isinstance(verdict, (Item, Outcome)):
                results[n] = verdict
                del spoilt[n]
        order = list(spoilt)
        for n, one in zip(order, self._quietly([refs[n] for n in order], self._call_mime), strict=True):
            why = spoilt[n]
            words = why.message if isinstance(why, MigratorError) else why.value.replace("_", " ")
            result = self._mime_result(refs[n], one, f"not exportable as a stream ({words}): read as MIME")
            if isinstance(result, Outcome) and result.state is State.FAILED:
                if isinstance(why, SkipReason) and not isinstance(result.error, Transient):
                    result = Outcome(refs[n], State.SKIPPED, reason=why)
                elif isinstance(why, ItemError):
                    result = Outcome(refs[n], State.FAILED, error=why)
            elif isinstance(result, Item):
                result = replace(result, spoilt=why)
            results[n] = result

    def _quietly(self, refs: Sequence[ItemRef], call: Call) -> list[Got]:
        """As `_fetch`, but what would stop all of it befalls each: others were read before."""
        if not refs:
            return []
        try:
            return self._fetch(refs, call, MIME_ITEMS, self._octets)
        except Transient as e:
            return [e for _ in refs]

    def _mime_result(self, ref: ItemRef, one: Got, note: str) -> Result:
        if isinstance(one, MigratorError):
            return Outcome(ref, State.FAILED, error=one)
        message = one.message
        if not message.ok:
            if message.code in faults.ITEM_GONE:
                return Outcome(ref, State.SKIPPED, reason=SkipReason.VANISHED)
            if message.code in faults.ITEM_DAMAGED:
                return Outcome(ref, State.SKIPPED, reason=SkipReason.CORRUPT_AT_SOURCE)
            if message.code in faults.ITEM_TOO_LARGE:
                return Outcome(ref, State.SKIPPED, reason=SkipReason.TOO_LARGE)
            error = faults.from_item_code(message.code, message.text, message.values, self._box.seat)
            return Outcome(ref, State.FAILED, error=error)
        if one.element is None or not one.data or isinstance(one.data, SpoolContent):
            error = ItemError("the server gives no MIME content for this item", code="no_mime")
            return Outcome(ref, State.FAILED, error=error)
        text = _decoded(one.data)
        flags, categories = _properties(one.element)
        return Item(
            ref,
            _format_of(text),
            BufferContent([text]),
            flags=flags,
            categories=categories,
            notes=(note,) if note else (),
            origin=self.origin,
        )


def can_export(box: Box) -> bool:
    if box.exports is None and box.server is not None and not box.server.exports:
        box.exports = False
    return box.exports is not False


def _groups(refs: Sequence[ItemRef], most: int, octets: int, alone: int) -> list[list[int]]:
    """Indexes, in order: at most `most` and `octets` together; an item larger than `alone` stands by itself."""
    groups: list[list[int]] = []
    held = 0
    for n, ref in enumerate(refs):
        size = ref.size or 0
        if not groups or len(groups[-1]) >= most or held + size > octets or size > alone:
            groups.append([])
            held = 0
        groups[-1].append(n)
        held += octets + 1 if size > alone else size
    return groups


def _rest(refs: Sequence[ItemRef], got: dict[int, Got], e: Transient) -> list[Got]:
    """Trouble midway: it befalls those that were not read. Raises it when nothing was."""
    if not any(isinstance(one, Answer) for one in got.values()):
        raise e
    return [got.get(n, e) for n in range(len(refs))]


def _unless_nothing(results: list[Result]) -> list[Result]:
    """Raises the passing trouble when it befell all of several items alike: then nothing was read."""
    errors = [one.error if isinstance(one, Outcome) else None for one in results]
    first = errors[0]
    if len(results) > 1 and isinstance(first, Transient) and all(isinstance(e, Transient) for e in errors):
        longest = max(
            (e for e in errors if isinstance(e, Throttled)), key=lambda e: e.retry_after_s or 0, default=first
        )
        raise longest
    return results


def _without_version(ref: ItemRef) -> ItemRef:
    return replace(ref, version="")


_FLAGS = {
    (seen, draft): frozenset(flag for flag, is_set in ((Flag.SEEN, seen), (Flag.DRAFT, draft)) if is_set)
    for seen in (True, False)
    for draft in (True, False)
}


def _flags_of(ref: ItemRef) -> frozenset[Flag]:
    return _FLAGS[bool(ref.seen), bool(ref.draft)]


def _properties(element: etree._Element) -> tuple[frozenset[Flag], tuple[str, ...]]:
    flags = set()
    if (element.findtext(f"{T}IsRead") or "").strip() == "true":
        flags.add(Flag.SEEN)
    if (element.findtext(f"{T}IsDraft") or "").strip() == "true":
        flags.add(Flag.DRAFT)
    values = extended_values(element)
    if values.get("0x1090", "").strip() == "2":
        flags.add(Flag.FLAGGED)
    verb = values.get("0x1081", "").strip()
    if verb in ("102", "103"):
        flags.add(Flag.ANSWERED)
    elif verb == "104":
        flags.add(Flag.FORWARDED)
    categories = element.find(f"{T}Categories")
    names = tuple(text for each in (categories if categories is not None else ()) if (text := each.text))
    return frozenset(flags), names


def _decoded(data: Buffer) -> bytes:
    try:
        import pybase64
    except ImportError:
        import base64

        return base64.b64decode(data)
    return bytes(pybase64.b64decode(data))


def _format_of(text: bytes) -> Format:
    """EWS calls all of them MIME content: a calendar item comes as iCalendar, a contact as vCard."""
    head = text[:64].lstrip(b"\xef\xbb\xbf \r\n").upper()
    if head.startswith(b"BEGIN:VCALENDAR"):
        return Format.ICS
    if head.startswith(b"BEGIN:VCARD"):
        return Format.VCF
    return Format.MIME
