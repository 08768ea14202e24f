"""Messages to people who do not watch: events → few messages → e-mail and webhooks.

    message.py     what is said: a frozen record, its words made safe
    composer.py    events → messages: finished mailboxes are told together, a server that comes and goes is told once
    shapes.py      a message as it crosses the wire: e-mail, Teams card, Slack blocks, plain JSON
    post.py        delivery: SMTP, HTTPS, apprise; what may be tried again
    notifier.py    the thread that does it beside a run, and never holds the run up

Nothing here decides anything about a migration, and nothing that goes wrong here is more than a warning.
"""
