"""Any IMAP4rev1 server as a source and as a target of mail (RFC 3501 and what it offers beyond).

Settings of an endpoint of kind `imap`:

    url         imaps://host[:993] (TLS from the start), imap://host[:143] (STARTTLS; in the clear on loopback only)
    auth        login (default), plain, xoauth2 (the secret is the access token itself), or one of secret, certificate, device:
                XOAUTH2 with a token of Microsoft's sign-in (tenant, client_id, … as for graph)
    username    a master user, with options.master; a row's own login and secret go before it
    secret      reference to the master user's password
    ca_file     a further certificate authority
    limits      timeout_s: longest silence of the server; concurrent: calls at once per mailbox
    options     master         how a master user opens a mailbox: a pattern such as "{user}*{master}" or
                               "domain/{master}/{user}", or "authzid" (SASL PLAIN with an authorization identity)
                pin            SHA-256 of the server's certificate in hex, instead of trust in an authority
                page_items (1000), export_items (500), store_items (500; 50 without MULTIAPPEND), connections (4), spool_octets (32 MiB), spool_dir
                max_octets     largest message that the target takes (default: what the server announces, else no limit)
                compress       "yes" asks for COMPRESS=DEFLATE: for thin lines
                receipts       "keep" or "disarm" (requests for read receipts); default: disarm on Exchange, else keep
                all_mail       of Gmail's All Mail: "archive" (default), what is in no other folder, or "everything"
                trust (os, certifi), scope (OAuth)

    grammar.py  lines into values           wire.py     a connection: tags, literals, pipelines
    client.py   endpoint, mailboxes         signin.py   TLS, passwords, tokens, master users
    names.py    paths, roles                faults.py   NO, BAD, BYE → errors, the only reader of them
    dial.py     imapclient, made quicker    ahead.py    what was asked for before its turn
    listing.py  folders, pages, deltas      source.py   content out, in step with what is asked next
    target.py   APPEND and what surrounds it            outgoing.py  a message as APPEND sends it
    fit.py      what a server would refuse, made fit for it
"""

from __future__ import annotations

from migrator.interfaces import Client, Context
from migrator.settings import Endpoint


def connect(endpoint: Endpoint, context: Context) -> Client:
    """Opens nothing yet. Raises UserError when the endpoint's settings cannot work."""
    from migrator.adapters.imap.client import ImapClient

    return ImapClient(endpoint, context)
