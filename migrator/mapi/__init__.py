"""The item as Exchange keeps it.

item.py          the tree: Message, Attachment, Properties, Value, Named
properties.py    names: canonical constants, property sets, the dictionary (data in dictionary.tsv)
fasttransfer/    bytes ⇄ tree
blobs.py         binary values inside properties: entry ids, conversation index, global object id, time zones
recurrence.py    the recurrence blob, both ways
rtf.py           compressed RTF, both ways, with a size cap
compare.py       two trees → differences by meaning (what is expected stands in volatile.tsv)
render.py        a tree or a list of differences as text or JSON, safe for a terminal
"""
