"""Hosted Exchange as a source, over Exchange Web Services (Exchange 2007 SP1 to Subscription Edition).

Settings of an endpoint of kind `ews`:

    url         https://host/EWS/Exchange.asmx; empty: autodiscover by the mailbox' domain
    auth        basic (default), ntlm, oauth
    access      impersonation (default): the account holds ApplicationImpersonation
                delegate: the account has full access to each mailbox; owner: each row brings its own password
    username    the account; a row's own login and secret go before it
    secret      reference to its password; with oauth to the application's secret (tenant, client_id, certificate as for graph)
    version     highest schema version to ask for, default Exchange2010_SP2; stepped down per mailbox as the server wishes
    ca_file     a further certificate authority
    limits      timeout_s: longest silence of the server; concurrent: sources per mailbox
    options     page_items (512), export_items (50), export_octets (16 MiB), spool_octets (32 MiB), spool_dir,
                trust (os, certifi), scope (oauth), autodiscover_hosts (comma-separated hosts outside the mailbox' domain)

    client.py      an endpoint: accounts, mailboxes, one call         signin.py    Basic, NTLM, OAuth; a wrong password is tried once
    source.py      probe, folders, pages                              export.py    items out, in batches that shrink
    listing.py     folders and refs out of answers                    cut.py       item data out of answers, unparsed
    soap.py        envelopes and response messages                    faults.py    codes → errors, the only reader of them
    ids.py         what an id tells                                   names.py     classes, well-known folders
    discovery.py   autodiscover                                       patches.py   what exchangelib needs for it
"""

from __future__ import annotations

from migrator.interfaces import Client, Context
from migrator.settings import Endpoint


def connect(endpoint: Endpoint, context: Context) -> Client:
    """Opens nothing yet. Raises UserError when the endpoint's settings cannot work."""
    from migrator.adapters.ews.client import EwsClient

    return EwsClient(endpoint, context)
