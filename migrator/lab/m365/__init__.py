"""A simulated Microsoft 365: sign-in, Graph, and the host of import URLs.

    tokens.py     the sign-in service                     errors.py    what goes wrong, in Graph's and OAuth's words
    graph.py      routes, rights, throttling, journal     batch.py     $batch
    room.py       ids, names and rights over the store    odata.py     query options
    folders.py items.py imports.py                        the mailbox import/export API
    users.py mail.py attachments.py events.py contacts.py the classic endpoints
    shapes.py making.py                                   items as JSON, JSON and MIME as items

`apps(world)` gives the handlers by service: `token`, `graph`, `import`. Whoever wants to see all traffic (a test's schema
check) appends `witness(request, response)` to `world.notes["m365_witnesses"]`.
"""

from __future__ import annotations

from migrator.lab.http import Handler, Request, Response
from migrator.lab.world import World

WITNESSES = "m365_witnesses"


def apps(world: World) -> dict[str, Handler]:
    """The handlers of the three services, over the world's Microsoft 365 store."""
    from migrator.lab.m365.graph import Graph
    from migrator.lab.m365.imports import ImportHost
    from migrator.lab.m365.room import Room
    from migrator.lab.m365.tokens import SignIn

    room = Room(world)
    return {
        "token": _seen(world, SignIn(world).handle),
        "graph": _seen(world, Graph(room).handle),
        "import": _seen(world, ImportHost(room).handle),
    }


def _seen(world: World, handler: Handler) -> Handler:
    async def handle(request: Request) -> Response:
        response = await handler(request)
        for witness in world.notes.get(WITNESSES, ()):
            witness(request, response)
        return response

    return handle
