"""What a conversion could not carry or had to repair: short stable words, so that reports can count them."""

from __future__ import annotations

from typing import Final

NOTES: Final[dict[str, str]] = {
    # MIME → tree
    "charset_unknown": "a part names a charset that nobody knows; it was read by what its octets look like",
    "charset_wrong": "a part is not in the charset that it names; what did not fit was read as windows-1252",
    "charset_guessed": "a part holds octets above 127 and names no charset",
    "base64_damaged": "a base64 part is cut or has foreign text in it; it was read as far as it goes",
    "uuencode_damaged": "a uuencoded part is damaged",
    "encoding_unknown": "a part has an unknown transfer encoding; it was kept as it stands",
    "boundary_missing": "a multipart names no boundary, or its boundary never comes; its content was kept as text",
    "too_deep": "parts nested beyond the limit were kept unread as one attachment",
    "preamble_dropped": "text in front of the first part of a multipart, which mail programs do not show",
    "epilogue_dropped": "text behind the last part of a multipart, which mail programs do not show",
    "date_missing": "no readable Date; the time of delivery stands for it",
    "date_unknown": "neither a Date nor a time of delivery",
    "sender_missing": "no From and no Sender",
    "recipients_capped": "more than 20,000 recipients in one field; the header keeps them all",
    "headers_not_promoted": "header fields beyond the limit for single properties; the whole header is kept",
    "receipt_disarmed": "a read or delivery receipt was asked for; the migrated item does not ask again",
    "signature_nested": "a signed part within other parts: its content is kept, its signature cannot be checked any more",
    "tnef_unreadable": "a winmail.dat that cannot be read; it was kept as an attachment",
    "tnef_damaged": "a winmail.dat was read in spite of damage",
    "calendar_unreadable": "a text/calendar part that cannot be read; it was kept as an attachment",
    "calendar_several": "a text/calendar part with several events; the mail shows the first, the attachment keeps all",
    # tree → MIME
    "named_properties": "fields that people or add-ins filled and mail has no place for",
    "voting_buttons": "voting buttons or a vote",
    "reminder": "a reminder",
    "followup_details": "start, due date or text of a follow-up flag",
    "rtf_body": "formatting of an RTF body; the text is in the mail, the RTF is attached",
    "rtf_unreadable": "a compressed RTF body that cannot be read",
    "ole_object": "an embedded OLE object; its storage is attached",
    "ole_lost": "an embedded OLE object without content",
    "web_reference": "a file kept elsewhere; a text with its address is attached",
    "address_ex": "an address that only the old directory can resolve",
    "bcc_hidden": "blind copies of a message that was received",
    "class_lost": "an item class that mail does not have",
    "text_repaired": "characters that no charset can hold (lone surrogates, NUL)",
    "attachment_empty": "an attachment without content",
    "smime_rebuilt": "a signed or encrypted item whose original is not there; what there is was written as plain mail",
    "calendar_dropped": "calendar data that could not be written as text/calendar",
}
"""Word → explanation. `Converted.notes` and `Written.notes` hold nothing else."""
