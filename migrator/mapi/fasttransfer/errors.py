"""The one error of the reader."""

from __future__ import annotations

from migrator.errors import ItemError


class StreamError(ItemError):
    """A stream cannot be read. `offset` counts octets of the input, container included; `element` names the place.

    code: stream_truncated   it ends inside something
          stream_malformed   bytes that the format does not allow
          stream_forbidden   readable, but a server must refuse it (strict reading only)
          stream_unknown     legal perhaps, but beyond this reader: `opaque` is True, the item can still be copied unread
          stream_limit       larger or deeper than the limits given: `opaque` is True as well
    The text never holds content of the item.
    """

    default_code = "stream_malformed"

    def __init__(self, offset: int, element: str, problem: str, *, code: str = "stream_malformed") -> None:
        super().__init__(f"offset {offset}, {element}: {problem}", code=code)
        self.offset = offset
        self.element = element
        self.problem = problem

    @property
    def opaque(self) -> bool:
        return self.code in ("stream_unknown", "stream_limit")
