"""A simulated hosted Exchange: Exchange Web Services and autodiscover.

    __init__.py       HTTP: paths, sign-in, size, versions, throttling, faults; calls the operation
    envelope.py       SOAP envelope: hostile requests in, bytes out
    grammar.py        names, order and values of the schema        schema.py    refuses what the schema refuses
    versions.py       products and schema versions                 identity.py  who asks for whom
    ids.py            item and folder ids, change keys             syncstate.py sync states
    session.py        one request: ids both ways, one response message per id
    folderops.py      operations on folders                        find.py      pages and restrictions
    itemops.py        operations on items                          syncops.py   what changed
    fields.py         properties of items                          extended.py  MAPI properties by path
    bulk.py           ExportItems, UploadItems                     attachments.py
    writing.py        items from elements                          mime.py ical.py recurrence.py rtf.py oneoff.py
    people.py         ResolveNames, ConvertId                      settings.py  out of office, rules, configuration
    autodiscover.py

`app(world)` gives the handler that the harness serves on the exchange port.

Facts this package rests on are listed where they are used; each module names its sources.
"""

from __future__ import annotations

from migrator.lab.ews.service import app

__all__ = ["app"]
