"""What the EWS adapter costs per exported octet, against the least that Python can do for the same answers.

    python bench/ews_export.py [--seconds 3] [--threads 4]

A server in a process of its own gives one canned ExportItems answer. "bare" is http.client reading it and nothing else; "adapter" is
EwsSource.export: sign-in, envelope, answer cut and checked, Items made. Prints MB/s of base64 and the ratio.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import multiprocessing
import os
import socket
import threading
import time
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

from migrator.adapters.ews import connect
from migrator.interfaces import Context
from migrator.model import Format, Item, ItemRef, Kind, Mailbox
from migrator.settings import Endpoint

SHAPES = {"20 x 20 kB": (20, 20_000), "16 x 1 MiB": (16, 1 << 20), "1 x 25 MiB": (1, 25 << 20)}

HEAD = (
    b'<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header>'
    b'<h:ServerVersionInfo MajorVersion="15" MinorVersion="1" MajorBuildNumber="2507" MinorBuildNumber="6" '
    b'xmlns:h="http://schemas.microsoft.com/exchange/services/2006/types"/></s:Header><s:Body>'
    b'<m:ExportItemsResponse xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages"><m:ResponseMessages>'
)
TAIL = b"</m:ResponseMessages></m:ExportItemsResponse></s:Body></s:Envelope>"


def canned(items: int, octets: int) -> bytes:
    data = base64.b64encode(os.urandom(octets))
    one = (
        b'<m:ExportItemsResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>'
        b'<m:ItemId Id="' + b"A" * 152 + b'" ChangeKey="' + b"B" * 40 + b'"/><m:Data>' + data
        + b"</m:Data></m:ExportItemsResponseMessage>"
    )  # fmt: skip
    return HEAD + one * items + TAIL


def serve(pipe: Connection) -> None:
    """One thread a connection; the path names the shape."""
    bodies = {f"/{n}": canned(*shape) for n, shape in enumerate(SHAPES.values())}
    listener = socket.create_server(("127.0.0.1", 0))
    pipe.send(listener.getsockname()[1])

    def talk(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        file = sock.makefile("rb")
        while line := file.readline():
            length = 0
            path = line.split()[1].decode()
            while (field := file.readline()) not in (b"\r\n", b""):
                if field.lower().startswith(b"content-length:"):
                    length = int(field[15:])
            file.read(length)
            body = bodies[path]
            sock.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            sock.sendall(body)

    while True:
        sock, _ = listener.accept()
        threading.Thread(target=talk, args=(sock,), daemon=True).start()


class Clock:
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


class NoSecrets:
    def reveal(self, reference: str, *, what: str) -> str:
        return "x"


def bare(url: str, refs: list[ItemRef], until: float) -> int:
    parts = urlsplit(url)
    conn = http.client.HTTPConnection(parts.hostname or "", parts.port)
    request = b"x" * (400 + 220 * len(refs))
    headers = {"Content-Type": "text/xml", "Authorization": "Basic eDp4", "Accept-Encoding": "identity"}
    count = 0
    while time.monotonic() < until:
        conn.request("POST", parts.path, body=request, headers=headers)
        answer = conn.getresponse().read()  # lives until the next one is there, as items in flight do
        count += len(answer)
    return count


def adapter(url: str, refs: list[ItemRef], until: float) -> int:
    client = connect(
        Endpoint("old", "ews", url=url, username="x", secret="env:X"), Context(Clock(), NoSecrets())
    )
    source = client.source(Mailbox("old", "ada@old.example"))
    count = 0
    while time.monotonic() < until:
        for item in source.export(refs, Format.FTS):
            assert isinstance(item, Item)
            count += item.content.size
            item.content.release()
    client.close()
    return count


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    port = ours.recv()
    print(f"{'answer':<12}{'bare MB/s':>12}{'adapter MB/s':>14}{'ratio':>8}   items/s")
    for n, (name, (items, octets)) in enumerate(SHAPES.items()):
        url = f"http://127.0.0.1:{port}/{n}"
        refs = [
            ItemRef("A" * 151 + str(i % 10), ("Inbox",), Kind.MAIL, "B" * 40, size=octets)
            for i in range(items)
        ]
        rates = []
        for way in (bare, adapter):
            counts: list[int] = []
            until = time.monotonic() + given.seconds

            def work(way=way, url=url, refs=refs, until=until, counts=counts) -> None:  # type: ignore[no-untyped-def]
                counts.append(way(url, refs, until))

            threads = [threading.Thread(target=work) for _ in range(given.threads)]
            started = time.monotonic()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            rates.append(sum(counts) / (time.monotonic() - started) / 1e6)
        rate = rates[1] * 1e6 / (octets * 4 / 3)
        print(f"{name:<12}{rates[0]:>12.0f}{rates[1]:>14.0f}{rates[1] / rates[0]:>8.2f}{rate:>10.0f}")
    server.terminate()


if __name__ == "__main__":
    main()
