"""The query options of OData, in the forms that mail clients send (docs.oasis-open.org/odata; learn.microsoft.com/graph/query-parameters).

`parse` turns a query into an `Options`; `Options.page` cuts a page and tells where the next begins; `where` turns a
`$filter` into a predicate over a function that looks fields up. Understood: comparisons of a property with a literal
(eq ne gt ge lt le), `and`, `or`, `not`, brackets, contains, startswith, endswith, `in (…)`, and
`singleValueExtendedProperties/Any(ep: ep/id eq '…' and ep/value eq '…')`. Anything else is an error, as it is at the service.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote, unquote_plus

T = TypeVar("T")

Lookup = Callable[[str], Any]
"""Gives the value of a path such as `type`, `from/emailAddress/address`, or None."""

Predicate = Callable[[Lookup], bool]


class ODataError(ValueError):
    """A query option that the service refuses. `code` and the message go into the answer's error."""

    def __init__(self, message: str, code: str = "RequestBroker--ParseUri") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


@dataclass(frozen=True, slots=True)
class Expand:
    """One navigation property of `$expand`, with the options in its brackets."""

    name: str
    filter: str = ""
    select: tuple[str, ...] = ()
    top: int | None = None


@dataclass(frozen=True, slots=True)
class Options:
    select: frozenset[str] = frozenset()
    top: int | None = None
    skip: int = 0
    filter: str = ""
    orderby: tuple[tuple[str, bool], ...] = ()  # (path, descending)
    count: bool = False
    expand: Mapping[str, Expand] = field(default_factory=dict)
    skiptoken: str = ""
    deltatoken: str = ""
    others: Mapping[str, str] = field(
        default_factory=dict
    )  # includeHiddenFolders, disposalType …; names in lower case

    def flag(self, name: str) -> bool:
        return self.others.get(name.lower(), "").lower() == "true"


_KNOWN = {
    "select", "top", "skip", "filter", "orderby", "count", "expand", "skiptoken", "deltatoken", "search", "format",
}  # fmt: skip


def parse_query(query: str) -> dict[str, str]:
    """The raw query as names and values; `$` and `%24` are alike, later ones win."""
    pairs: dict[str, str] = {}
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs[unquote_plus(name)] = unquote_plus(value)
    return pairs


def parse(query: str, *, max_top: int = 1000) -> Options:
    """The options of a request. Raises ODataError for a bad value or an unknown `$name`."""
    if not query:
        return _NONE
    values: dict[str, Any] = {}
    others: dict[str, str] = {}
    for name, value in parse_query(query).items():
        if not name.startswith("$"):
            others[name.lower()] = value
            continue
        key = name[1:].lower()
        if key not in _KNOWN:
            raise ODataError(f"The query parameter '{name}' is not supported.", "BadRequest")
        if key == "search":
            raise ODataError("The query parameter '$search' is not supported.", "BadRequest")
        if key == "select":
            values["select"] = frozenset(split(value))
        elif key == "top":
            top = _number(name, value)
            if not 1 <= top <= max_top:
                raise ODataError(
                    f"The limit of '{max_top}' for Top query has been exceeded. The value from the incoming request is '{top}'."
                    if top > max_top
                    else f"Invalid value '{value}' for $top query option found.",
                    "BadRequest",
                )
            values["top"] = top
        elif key == "skip":
            values["skip"] = _number(name, value)
        elif key == "filter":
            values["filter"] = value
        elif key == "orderby":
            values["orderby"] = tuple(_order(part) for part in split(value))
        elif key == "count":
            if value.lower() not in ("true", "false"):
                raise ODataError(f"Invalid value '{value}' for $count query option found.", "BadRequest")
            values["count"] = value.lower() == "true"
        elif key == "expand":
            values["expand"] = {e.name: e for e in map(_expand, split(value))}
        elif key in ("skiptoken", "deltatoken"):
            values[key] = value
    return Options(others=others, **values)


def split(text: str, separator: str = ",") -> list[str]:
    """Cut at separators that stand outside of brackets and quotes."""
    parts: list[str] = []
    depth, quoted, start = 0, False, 0
    for at, char in enumerate(text):
        if char == "'":
            quoted = not quoted
        elif not quoted:
            if char == "(":
                depth += 1
            elif char == ")":
                depth -= 1
            elif char == separator and depth == 0:
                parts.append(text[start:at].strip())
                start = at + 1
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def _number(name: str, value: str) -> int:
    if not re.fullmatch(r"\d{1,9}", value):
        raise ODataError(f"Invalid value '{value}' for {name} query option found.", "BadRequest")
    return int(value)


def _order(text: str) -> tuple[str, bool]:
    path, _, direction = text.partition(" ")
    if direction.strip().lower() not in ("", "asc", "desc"):
        raise ODataError(f"Syntax error in '$orderby': '{text}'.")
    return path, direction.strip().lower() == "desc"


def _expand(text: str) -> Expand:
    match = re.fullmatch(r"(?s)([A-Za-z]+)\s*(?:\((.*)\))?", text)
    if not match:
        raise ODataError(f"Syntax error in '$expand': '{text}'.")
    name, inside = match.group(1), match.group(2) or ""
    found: dict[str, Any] = {}
    for option in split(inside, ";"):
        key, _, value = option.partition("=")
        key = key.strip().lstrip("$").lower()
        if key == "filter":
            found["filter"] = value.strip()
        elif key == "select":
            found["select"] = tuple(split(value))
        elif key == "top":
            found["top"] = _number("$top", value.strip())
        else:
            raise ODataError(f"Term '{option}' is not valid in a $select or $expand expression.")
    return Expand(name, **found)


def property_ids(expand: Expand) -> list[str]:
    """The ids asked for by `singleValueExtendedProperties($filter=id eq 'A' or id eq 'B')`, in order, as they were written.

    Exchange demands a filter here and nothing in it but comparisons of `id` joined by `or`.
    """
    text = expand.filter
    if not text:
        raise ODataError(
            f"The navigation property '{expand.name}' must be expanded with a $filter on the property ids.",
            "ErrorInvalidProperty",
        )
    ids: list[str] = []
    tokens = _tokens(text)
    at = 0
    while at < len(tokens):
        kind, value = tokens[at]
        if (kind == "punct" and value in "()") or (kind == "word" and value.lower() == "or"):
            at += 1
        elif (
            kind == "word"
            and value.lower() in ("id", "ep/id")
            and at + 2 < len(tokens)
            and tokens[at + 1] == ("word", "eq")
            and tokens[at + 2][0] == "text"
        ):
            ids.append(tokens[at + 2][1])
            at += 3
        else:
            raise ODataError(f"The $filter of {expand.name} is not supported: {text}", "ErrorInvalidProperty")
    return ids


# --- $filter

_TOKEN = re.compile(
    r"""\s*(?:
      '(?P<text>(?:[^']|'')*)'
    | (?P<time>\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?)
    | (?P<number>-?\d+(?:\.\d+)?)(?![\w-])
    | (?P<word>[A-Za-z_@][\w/.@]*)
    | (?P<punct>[(),:])
    )""",
    re.VERBOSE,
)


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    at = 0
    text = text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            raise ODataError(f"Invalid filter clause: syntax error at position {at} in '{text}'.")
        kind = match.lastgroup or ""
        value = match.group(kind)
        tokens.append((kind, value.replace("''", "'") if kind == "text" else value))
        at = match.end()
    return tokens


def instant(text: str) -> datetime:
    """A date-time literal as an aware UTC datetime; a bare date is its midnight. Up to 7 fractional digits are read as 6."""
    text = re.sub(r"(\.\d{6})\d+", r"\1", text)
    value = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: bool(a == b),
    "ne": lambda a, b: bool(a != b),
    "gt": lambda a, b: a is not None and b is not None and bool(a > b),
    "ge": lambda a, b: a is not None and b is not None and bool(a >= b),
    "lt": lambda a, b: a is not None and b is not None and bool(a < b),
    "le": lambda a, b: a is not None and b is not None and bool(a <= b),
}
_TEXT_TESTS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda a, b: b in a,
    "startswith": lambda a, b: a.startswith(b),
    "endswith": lambda a, b: a.endswith(b),
}
EXTENDED = "singleValueExtendedProperties"


@dataclass(frozen=True, slots=True)
class ExtendedTest:
    """One `Any(ep: …)` of a filter: a predicate asks its lookup for this instead of a path; the value compares as text."""

    id: str


class _Filter:
    """Recursive descent over the tokens of a filter. Text compares without regard to case, as Exchange does."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.at = 0
        self.extended: list[str] = []

    def fail(self) -> ODataError:
        return ODataError(
            f"Invalid filter clause: '{self.text}' is not supported.", "ErrorInvalidUrlQueryFilter"
        )

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def take(self) -> tuple[str, str]:
        token = self.peek()
        self.at += 1
        return token

    def expect(self, kind: str, value: str | None = None) -> str:
        found, text = self.take()
        if found != kind or (value is not None and text.lower() != value):
            raise self.fail()
        return text

    def word(self, value: str) -> bool:
        kind, text = self.peek()
        if kind == "word" and text.lower() == value:
            self.at += 1
            return True
        return False

    def either(self) -> Predicate:
        left = self.both()
        while self.word("or"):
            left = _or(left, self.both())
        return left

    def both(self) -> Predicate:
        left = self.one()
        while self.word("and"):
            left = _and(left, self.one())
        return left

    def one(self) -> Predicate:
        if self.word("not"):
            inner = self.one()
            return lambda look: not inner(look)
        kind, value = self.peek()
        if kind == "punct" and value == "(":
            self.at += 1
            inner = self.either()
            self.expect("punct", ")")
            return inner
        if kind != "word":
            raise self.fail()
        self.at += 1
        if value.lower() in _TEXT_TESTS:
            return self.text_test(value.lower())
        if value.lower() == f"{EXTENDED.lower()}/any":
            return self.any_extended()
        return self.comparison(value)

    def literal(self) -> Any:
        kind, value = self.take()
        if kind == "text":
            return value.lower()
        if kind == "time":
            return instant(value)
        if kind == "number":
            return float(value) if "." in value else int(value)
        if kind == "word" and value.lower() in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[value.lower()]
        raise self.fail()

    def comparison(self, path: str) -> Predicate:
        operator = self.expect("word").lower()
        if operator == "in":
            self.expect("punct", "(")
            wanted = [self.literal()]
            while self.peek() == ("punct", ","):
                self.at += 1
                wanted.append(self.literal())
            self.expect("punct", ")")
            return lambda look: _plain(look(path), wanted[0]) in wanted
        if operator not in _COMPARE:
            raise self.fail()
        literal = self.literal()
        compare = _COMPARE[operator]

        def test(look: Lookup) -> bool:
            try:
                return compare(_plain(look(path), literal), literal)
            except TypeError as error:
                raise ODataError(
                    f"A binary operator with incompatible types was detected at '{path}'."
                ) from error

        return test

    def text_test(self, name: str) -> Predicate:
        self.expect("punct", "(")
        path = self.expect("word")
        self.expect("punct", ",")
        wanted = self.expect("text").lower()
        self.expect("punct", ")")
        test = _TEXT_TESTS[name]
        return lambda look: test(str(look(path) or "").lower(), wanted)

    def any_extended(self) -> Predicate:
        self.expect("punct", "(")
        variable = self.expect("word")
        self.expect("punct", ":")
        wanted_id = ""
        tests: list[tuple[Callable[[Any, Any], bool], Any]] = []
        while True:
            kind, value = self.take()
            if kind != "word":
                raise self.fail()
            if value == f"{variable}/id":
                self.expect("word", "eq")
                wanted_id = self.expect("text")
            elif value == f"{variable}/value":
                operator = self.expect("word").lower()
                if operator not in _COMPARE:
                    raise self.fail()
                tests.append((_COMPARE[operator], self.literal()))
            elif value.lower() in _TEXT_TESTS:
                self.expect("punct", "(")
                self.expect("word", f"{variable}/value".lower())
                self.expect("punct", ",")
                text_test = _TEXT_TESTS[value.lower()]
                tests.append(
                    (lambda a, b, t=text_test: t(str(a), b), self.expect("text").lower())  # type: ignore[misc]
                )
                self.expect("punct", ")")
            elif value.lower() == "cast":  # cast(ep/value, Edm.DateTimeOffset) gt 2019-…
                self.expect("punct", "(")
                self.expect("word", f"{variable}/value".lower())
                self.expect("punct", ",")
                self.expect("word")
                self.expect("punct", ")")
                tests.append((_COMPARE[self.expect("word").lower()], self.literal()))
            else:
                raise self.fail()
            if self.word("and"):
                continue
            self.expect("punct", ")")
            break
        if not wanted_id or not tests:
            raise self.fail()
        self.extended.append(wanted_id)

        def test(look: Lookup) -> bool:
            value = look(f"{EXTENDED}/{wanted_id}")
            return value is not None and all(
                compare(_as(value, literal), literal) for compare, literal in tests
            )

        return test


def _or(left: Predicate, right: Predicate) -> Predicate:
    return lambda look: left(look) or right(look)


def _and(left: Predicate, right: Predicate) -> Predicate:
    return lambda look: left(look) and right(look)


def _plain(value: Any, literal: Any) -> Any:
    """A looked-up value in the shape of the literal it is compared with."""
    if isinstance(literal, str):
        return str(value).lower() if value is not None else None
    if isinstance(literal, datetime) and isinstance(value, str):
        return instant(value)
    return value


def _as(value: str, literal: Any) -> Any:
    """An extended property's value, which is text on the wire, as what it is compared with."""
    if isinstance(literal, bool):
        return value.lower() == "true"
    if isinstance(literal, int | float):
        return float(value)
    if isinstance(literal, datetime):
        return instant(value)
    return value.lower()


@dataclass(frozen=True, slots=True)
class Where:
    test: Predicate
    extended: tuple[str, ...]  # ids of the extended properties that the filter looks at


def where(text: str) -> Where:
    """The predicate of a `$filter`. Raises ODataError where the service would refuse it."""
    parser = _Filter(text)
    test = parser.either()
    if parser.peek()[0] != "end":
        raise parser.fail()
    return Where(test, tuple(parser.extended))


# --- pages


def page(rows: Sequence[T], options: Options, default: int) -> tuple[Sequence[T], int | None]:
    """The rows of this page, and how many the next one skips (None: there is none)."""
    top = options.top or default
    chosen = rows[options.skip : options.skip + top]
    after = options.skip + len(chosen)
    return chosen, after if after < len(rows) else None


def next_link(url: str, query: str, **replace: str | int) -> str:
    """The address of the next page: the same options in the same order, `$` written as %24, with some replaced.

    learn.microsoft.com shows `…/items?%24skip=10`: option names come percent-encoded, values too.
    """
    pairs = parse_query(query)
    for name, value in replace.items():
        pairs.pop(f"${name}", None)
        pairs[f"${name}"] = str(value)
    return url + "?" + "&".join(f"{quote(n, safe='')}={quote(v, safe='')}" for n, v in pairs.items())


def dig(row: Mapping[str, Any], path: str) -> Any:
    """The value at a path such as `from/emailAddress/address`, None where something on the way is missing."""
    value: Any = row
    for name in path.split("/"):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def ordered(rows: Iterable[T], orderby: Sequence[tuple[str, bool]], look: Callable[[T, str], Any]) -> list[T]:
    """Rows in the order of `$orderby`; absent values first, as Exchange sorts them."""
    result = list(rows)
    for path, descending in reversed(orderby):
        result.sort(key=lambda row: _sort_key(look(row, path)), reverse=descending)
    return result


def _sort_key(value: Any) -> tuple[bool, Any]:
    return (value is not None, value.lower() if isinstance(value, str) else value)


_NONE = Options()
