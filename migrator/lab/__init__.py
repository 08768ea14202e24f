"""A simulated hosted Exchange and a simulated Microsoft 365 on loopback: for the demo, for rehearsals, for the tests.

    server.py     Lab (in this process), LabProcess (in a child)      command.py  `migrator lab`; options.py what it takes
    wire.py       HTTP/1.1 on asyncio and httptools                   http.py     Request, Response, Handler
    world.py      everything that exists; World.perform serves one operation
    store.py      mailboxes, folders, items                           changes.py  the log behind sync states and delta links
    journal.py    every request, what it stored: the referee          control.py  the lab's own port: journal and levers
    knobs.py      what can be turned                                  faults.py   scripted trouble
    throttle.py   Graph's windows, Exchange's budget                  clock.py    the lab's own time
    seed.py       invented mailboxes; words.py make.py blobs.py eml.py what they are made of
    ews/          hosted Exchange: EWS and autodiscover               m365/       sign-in, Graph, import host

The lab shares the item format (mapi, formats) with the product and not a line of protocol code: it imports no adapter and
no engine. docs/lab.md says how to use it and what of the real services it does not do.
"""
