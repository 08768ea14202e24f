"""A signed report: every item's fate in a hash tree, so that nobody can change a row without being found out.

    tree.py     the hash tree (RFC 6962) and its audit paths
    keys.py     Ed25519 keys: made, read, shown
    records.py  the lines of the file: their one spelling, their shapes, what may stand in them
    writing.py  ledger → signed file
    reading.py  signed file → verdict; which row was altered, is missing or was added; one item with its proof

`docs/proof.md` describes the format for those who want to check it with a program of their own.
"""
