"""The one error of conversions between the item tree and foreign formats."""

from __future__ import annotations

from migrator.errors import ItemError


class FormatError(ItemError):
    """An item cannot be converted. The text never quotes the item.

    code: format_malformed    not what it says it is, or damaged beyond reading
          format_limit        more parts, levels or octets than a conversion takes on
          format_unsupported  legal, but this direction or kind is not covered
    """

    default_code = "format_malformed"
