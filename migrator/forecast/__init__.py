"""When it will be finished, and what decides that: a forecast by simulating the queue, not by dividing.

    loads.py      what is to be carried: mailboxes with folders, items, octets, ages; from a plan, a survey, or plain figures
    speeds.py     how quick source, target and line are: measured by a short probe, or assumed, each with its spread
    solo.py       one mailbox alone: closed form over reader, uploaders and the target's two windows
    queue.py      many mailboxes: so many at once, in their order, sharing what they share
    opening.py    working time → wall clock: not before, until, quiet hours
    outlook.py    the whole, many times over with other dice: p50 and p90, what binds, who misses the deadline
    changes.py    what would help, each simulated anew
    live.py       during a run: what is left, at the pace that was measured; tells when the deadline slips

Pure: no clock, no file, no socket. docs/forecast.md says how it computes and what it cannot know.
"""
