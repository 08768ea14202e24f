"""The harness: what goes over the wire, faults on the socket, the control port, the child process."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from migrator.lab.clock import LabClock
from migrator.lab.command import build, read_table, serve
from migrator.lab.http import Request, Response, gzipped
from migrator.lab.knobs import Knobs
from migrator.lab.options import LabOptions, Seeding
from migrator.lab.server import Lab, LabProcess
from migrator.lab.store import Facts
from migrator.lab.world import Call, World

SMALL = Seeding(mailboxes=2, items=8)


async def echo(request: Request) -> Response:
    """Says what came. /big answers 4 MiB, /crash fails, /op is an operation on a mailbox that stores its body."""
    if request.path == "/crash":
        raise RuntimeError("a bug")
    if request.path == "/big":
        return Response(200, [], [b"a" * (1 << 20)] * 4)
    if request.path == "/gzip":
        return gzipped(request, Response(200, [], [b"text " * 500, b"end"]))
    if request.path == "/none":
        return Response(204)
    world: World = ECHO["world"]
    if request.path == "/op":

        def work(call: Call) -> Response:
            box = world.exchange.mailbox("ada@x.example")
            item = world.exchange.add_item(box.role("inbox"), bytes(request.body), facts=FACTS)
            call.stored(item, bytes(request.body))
            return Response(200, [], b"stored " * 1000)

        return await world.perform(request, "store", work=work, mailbox="ada@x.example", app_id="app")
    told = {
        "method": request.method,
        "path": request.path,
        "segments": request.segments(),
        "params": request.params,
        "headers": request.headers,
        "octets": request.octets,
        "body": bytes(request.body[:64]).decode("latin-1"),
        "sum": sum(request.body[:: max(1, len(request.body) // 1000)]),
        "base_url": request.base_url,
    }
    return Response(200, [("Content-Type", "application/json"), ("X-One", "1")], json.dumps(told).encode())


FACTS = Facts(subject="echo")
ECHO: dict[str, Any] = {}


@pytest.fixture
def lab() -> Iterator[Lab]:
    world = World()
    world.exchange.create_mailbox("ada@x.example")
    ECHO["world"] = world
    with Lab(world, halves=("exchange",), handlers={"exchange": echo}) as lab:
        yield lab


def port(lab: Lab) -> int:
    return int(lab.world.urls.exchange.rpartition(":")[2])


@pytest.fixture
def line(lab: Lab) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port(lab), timeout=20)
    yield connection
    connection.close()


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer, answer.read()


class TestWire:
    def test_request_as_it_came(self, line: http.client.HTTPConnection) -> None:
        answer, body = ask(line, "POST", "/a%2Fb/c%20d?x=1&y=%C3%BC&x=2", b"hello", **{"X-Some": "Thing"})
        told = json.loads(body)
        assert answer.status == 200
        assert (told["method"], told["path"], told["segments"]) == ("POST", "/a/b/c d", ["a/b", "c d"])
        assert told["params"] == {"x": "2", "y": "ü"}
        assert (told["headers"]["x-some"], told["body"], told["octets"]) == ("Thing", "hello", 5)
        assert answer.headers["X-One"] == "1"
        assert answer.headers["Date"]

    @pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 70_000, 300_000, 5_000_000])
    def test_bodies_of_all_sizes_on_one_connection(self, line: http.client.HTTPConnection, size: int) -> None:
        octets = os.urandom(size)
        for _ in range(3):
            _, body = ask(line, "POST", "/x", octets)
            told = json.loads(body)
            assert told["octets"] == size
            assert told["sum"] == sum(octets[:: max(1, size // 1000)])

    def test_chunked_body(self, line: http.client.HTTPConnection) -> None:
        _, body = ask(line, "POST", "/x", iter([b"one", b"two" * 50_000]))
        assert json.loads(body)["octets"] == 150_003

    def test_a_body_that_dribbles_in(self, lab: Lab) -> None:
        body = os.urandom(200_000)
        with socket.create_connection(("127.0.0.1", port(lab)), 20) as sock:
            head = f"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            for spot in range(0, len(head), 7):
                sock.sendall(head[spot : spot + 7])
            for spot in range(0, len(body), 33_333):
                sock.sendall(body[spot : spot + 33_333])
            answer = http.client.HTTPResponse(sock)
            answer.begin()
            assert json.loads(answer.read())["octets"] == len(body)

    def test_pipelined_requests_are_answered_in_order(self, lab: Lab) -> None:
        with socket.create_connection(("127.0.0.1", port(lab)), 20) as sock:
            sock.sendall(b"".join(b"GET /n%d HTTP/1.1\r\nHost: h\r\n\r\n" % n for n in range(20)))
            seen = b""
            while seen.count(b"HTTP/1.1 200") < 20 or not seen.endswith(b"}"):
                seen += sock.recv(65_536)
        order = re.findall(rb'"path": "/n(\d+)"', seen)
        assert order == [b"%d" % n for n in range(20)]

    def test_large_answer(self, line: http.client.HTTPConnection) -> None:
        assert len(ask(line, "GET", "/big")[1]) == 4 << 20

    def test_head_and_no_content(self, line: http.client.HTTPConnection) -> None:
        answer, body = ask(line, "HEAD", "/big")
        assert (answer.headers["Content-Length"], body) == (str(4 << 20), b"")
        answer, body = ask(line, "GET", "/none")
        assert (answer.status, body, answer.headers["Content-Length"]) == (204, b"", None)
        assert ask(line, "GET", "/x")[0].status == 200

    def test_gzip_when_asked(self, line: http.client.HTTPConnection) -> None:
        answer, body = ask(line, "GET", "/gzip", **{"Accept-Encoding": "gzip"})
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(body) == b"text " * 500 + b"end"
        assert ask(line, "GET", "/gzip")[1] == b"text " * 500 + b"end"

    def test_expect_continue(self, lab: Lab) -> None:
        with socket.create_connection(("127.0.0.1", port(lab)), 20) as sock:
            sock.sendall(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
            sock.sendall(b"ok")
            answer = http.client.HTTPResponse(sock)
            answer.begin()
            assert json.loads(answer.read())["body"] == "ok"

    def test_connection_close(self, line: http.client.HTTPConnection) -> None:
        answer, _ = ask(line, "GET", "/x", Connection="close")
        assert answer.headers["Connection"] == "close"

    def test_not_http(self, lab: Lab) -> None:
        with socket.create_connection(("127.0.0.1", port(lab)), 20) as sock:
            sock.sendall(b"EHLO me\r\n\r\n")
            assert sock.recv(1000).startswith(b"HTTP/1.1 400 ")

    def test_a_crash_of_the_lab_shows(self, lab: Lab, line: http.client.HTTPConnection) -> None:
        assert ask(line, "GET", "/crash")[0].status == 500
        (entry,) = lab.world.journal.select()
        assert (entry.code, entry.status) == ("LabError", 500)
        assert "a bug" in entry.detail["error"]

    def test_requests_without_an_operation_are_recorded_too(
        self, lab: Lab, line: http.client.HTTPConnection
    ) -> None:
        ask(line, "PUT", "/unknown", b"123")
        (entry,) = lab.world.journal.select()
        assert (entry.service, entry.operation, entry.octets_in) == ("ews", "PUT /unknown", 3)

    def test_too_large_for_the_front_end_is_cut_off_unread(self, lab: Lab) -> None:
        lab.world.knobs = Knobs(ews_request_octets=1000)
        with socket.create_connection(("127.0.0.1", port(lab)), 20) as sock:
            sock.sendall(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n")
            assert sock.recv(1000).startswith(b"HTTP/1.1 404 ")
        (entry,) = lab.world.journal.select()
        assert (entry.code, entry.octets_in) == ("RefusedUnread", 1001)

    def test_loopback_only(self) -> None:
        with pytest.raises(ValueError, match="loopback"):
            Lab(host="0.0.0.0")


class TestFaultsOnTheSocket:
    def fail(self, lab: Lab, line: http.client.HTTPConnection, **rule: Any) -> BaseException | bytes:
        lab.world.faults.add(**rule)
        try:
            return ask(line, "POST", "/op", b"x" * 50)[1]
        except (OSError, http.client.HTTPException) as error:
            return error

    def stored(self, lab: Lab) -> int:
        return lab.world.exchange.mailbox("ada@x.example").role("inbox").total

    def test_reset_before_reading(self, lab: Lab, line: http.client.HTTPConnection) -> None:
        assert isinstance(self.fail(lab, line, fault="reset", times=1), ConnectionError)
        assert self.stored(lab) == 0
        (entry,) = lab.world.journal.select()
        assert (entry.status, entry.detail) == (0, {"fault": "reset"})
        line.close()
        assert ask(line, "POST", "/op", b"x")[0].status == 200

    def test_lost_answer(self, lab: Lab, line: http.client.HTTPConnection) -> None:
        assert isinstance(self.fail(lab, line, fault="lost_answer"), ConnectionError)
        assert self.stored(lab) == 1
        (entry,) = lab.world.journal.select(operation="store")
        assert (entry.status, entry.fault, len(entry.stored)) == (0, "lost_answer", 1)

    def test_midway(self, lab: Lab, line: http.client.HTTPConnection) -> None:
        lab.world.faults.add("midway")
        line.request("POST", "/op", b"x")
        answer = line.getresponse()
        assert answer.headers["Content-Length"] == "7000"
        with pytest.raises((ConnectionError, http.client.IncompleteRead)):
            answer.read()

    def test_truncated_body_looks_complete(self, lab: Lab, line: http.client.HTTPConnection) -> None:
        body = self.fail(lab, line, fault="truncated_body", keep_share=0.1)
        assert body == (b"stored " * 1000)[:700]

    def test_drip_takes_its_time_on_the_labs_clock(self) -> None:
        world = World(clock=LabClock(0.0))
        world.exchange.create_mailbox("ada@x.example")
        ECHO["world"] = world
        world.faults.add("drip", drip_octets_s=100.0)
        with Lab(world, halves=("exchange",), handlers={"exchange": echo}) as lab:
            connection = http.client.HTTPConnection("127.0.0.1", port(lab), timeout=20)
            assert len(ask(connection, "POST", "/op", b"x")[1]) == 7000
            connection.close()
            assert world.clock.now() == pytest.approx(70, rel=0.01)

    def test_bandwidth(self) -> None:
        world = World(clock=LabClock(0.0), knobs=Knobs(bandwidth_octets_s=1 << 20))
        ECHO["world"] = world
        with Lab(world, halves=("exchange",), handlers={"exchange": echo}) as lab:
            connection = http.client.HTTPConnection("127.0.0.1", port(lab), timeout=20)
            ask(connection, "POST", "/big", bytes(2 << 20))
            connection.close()
            assert world.clock.now() == pytest.approx(6, rel=0.05)


def control(info: dict[str, Any], method: str, path: str, body: Any = None, token: str | None = None) -> Any:
    connection = http.client.HTTPConnection(info["urls"]["control"].rpartition("/")[2], timeout=20)
    connection.request(
        method,
        f"/_lab/{path}",
        None if body is None else json.dumps(body),
        {"Authorization": f"Bearer {info['control_token'] if token is None else token}"},
    )
    answer = connection.getresponse()
    value = json.loads(answer.read())
    connection.close()
    return answer.status, value


class TestControl:
    @pytest.mark.parametrize("token", ["", "wrong"])
    def test_needs_the_token(self, lab: Lab, token: str) -> None:
        assert control(lab.info(), "GET", "state", token=token)[0] == 401

    def test_journal_and_judgement(self, lab: Lab, line: http.client.HTTPConnection) -> None:
        for body in (b"same", b"same", b"other"):
            ask(line, "POST", "/op", body)
        status, found = control(lab.info(), "GET", "journal?operation=store&limit=2")
        assert (status, found["total"], len(found["entries"])) == (200, 3, 2)
        assert found["entries"][-1]["stored"][0]["octets"] == 5
        assert control(lab.info(), "GET", "counts?by=operation,status")[1] == [
            {"operation": "store", "status": 200, "count": 3}
        ]
        judged = control(lab.info(), "GET", "judgement")[1]
        assert (judged["stored"], judged["writes"], [d["times"] for d in judged["doubles"]]) == (3, 3, [2])
        assert control(lab.info(), "POST", "journal", {"clear": True})[1] == {"requests": 0}

    def test_knobs_faults_and_clock(self, lab: Lab, line: http.client.HTTPConnection) -> None:
        assert control(lab.info(), "POST", "knobs", {"item_page": 3})[1]["item_page"] == 3
        assert control(lab.info(), "POST", "knobs", {"item_pages": 3})[0] == 400
        before = lab.world.clock.now()
        assert control(lab.info(), "POST", "clock", {"advance_s": 3600})[1]["now"] >= before + 3600
        assert control(lab.info(), "POST", "faults", [{"fault": "empty_503"}])[1] == {"rules": 1}
        assert ask(line, "POST", "/op", b"x")[0].status == 503
        assert control(lab.info(), "DELETE", "faults")[1] == {"rules": 0}
        assert ask(line, "POST", "/op", b"x")[0].status == 200
        assert {"lost_answer", "drip"} <= {f["name"] for f in control(lab.info(), "GET", "faults")[1]}

    def test_an_owner_at_work(self, lab: Lab, line: http.client.HTTPConnection) -> None:
        ask(line, "POST", "/op", b"x")
        (listed,) = control(lab.info(), "GET", "mailboxes/exchange/ada@x.example?path=Inbox")[1]
        assert (listed["subject"], listed["size"]) == ("echo", 1)
        status, moved = control(
            lab.info(),
            "POST",
            "items",
            {
                "half": "exchange",
                "mailbox": "ada@x.example",
                "folder": ["Inbox"],
                "subject": "echo",
                "do": "move",
                "to": ["Deleted Items"],
            },
        )
        assert status == 200
        assert moved["item"] != listed["item"]
        (box,) = control(lab.info(), "GET", "mailboxes/exchange")[1]
        assert {tuple(f["path"]): f["items"] for f in box["folders"] if f["items"]} == {("Deleted Items",): 1}
        assert control(lab.info(), "POST", "mailboxes/exchange/ada@x.example", {"quota_octets": 0})[0] == 200
        assert lab.world.exchange.mailbox("ada@x.example").quota_octets == 0
        assert control(lab.info(), "GET", "mailboxes/exchange/nobody@x.example")[0] == 400
        assert control(lab.info(), "GET", "nothing")[0] == 404

    def test_do_runs_between_two_requests(self, lab: Lab) -> None:
        assert lab.do(lambda world: len(world.exchange.mailboxes)) == 1


class TestTls:
    def test_own_authority(self, tmp_path: Path) -> None:
        ECHO["world"] = world = World()
        with Lab(world, halves=("exchange",), handlers={"exchange": echo}, tls=True, folder=tmp_path) as lab:
            assert lab.ca_file is not None
            assert lab.world.urls.ews.startswith("https://")
            trusting = ssl.create_default_context(cafile=str(lab.ca_file))
            for host in ("127.0.0.1", "localhost"):
                connection = http.client.HTTPSConnection(host, port(lab), context=trusting, timeout=20)
                answer, body = ask(connection, "POST", "/x", bytes(300_000))
                connection.close()
                assert (answer.status, json.loads(body)["octets"]) == (200, 300_000)
                assert json.loads(body)["base_url"].startswith("https://")
            with pytest.raises(ssl.SSLCertVerificationError):
                ask(http.client.HTTPSConnection("127.0.0.1", port(lab), timeout=20), "GET", "/x")
            assert [p.name for p in tmp_path.iterdir()] == ["lab-ca.pem"]


class TestLife:
    def test_a_taken_port_is_an_error(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            number = taken.getsockname()[1]
            with pytest.raises(OSError):
                Lab(halves=(), ports={"control": number}).start()
            assert serve(LabOptions(halves=(), ports={"control": number}, seeding=SMALL)) == 5

    def test_nothing_listens_after_the_end(self) -> None:
        with Lab(halves=()) as lab:
            address = ("127.0.0.1", int(lab.world.urls.control.rpartition(":")[2]))
            socket.create_connection(address, 5).close()
        with pytest.raises(OSError):
            socket.create_connection(address, 5)
        lab.stop()

    def test_a_port_can_be_given(self) -> None:
        with Lab(halves=()) as first:
            number = int(first.world.urls.control.rpartition(":")[2])
        with Lab(halves=(), ports={"control": number}) as second:
            assert second.world.urls.control.endswith(f":{number}")

    def test_wrong_options(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert serve(LabOptions(knobs={"latency": 1}, seeding=SMALL)) == 2
        assert serve(LabOptions(faults=[{"fault": "quake"}], seeding=SMALL)) == 2
        assert serve(LabOptions(halves=("imap",), seeding=SMALL)) == 2
        told = capsys.readouterr().err
        assert all(word in told for word in ("latency", "quake", "imap"))

    def test_tables(self, tmp_path: Path) -> None:
        path = tmp_path / "lab.toml"
        path.write_text('[knobs]\nlatency_s = 1\n[[faults]]\nfault = "reset"\n', "utf-8")
        assert read_table(path, "knobs") == {"latency_s": 1}
        assert read_table(path, "faults") == [{"fault": "reset"}]
        path.write_text("latency_s = ", "utf-8")
        with pytest.raises(ValueError, match=r"lab\.toml"):
            read_table(path, "knobs")
        with pytest.raises(ValueError, match=r"none\.toml"):
            read_table(tmp_path / "none.toml", "knobs")

    def test_both_halves_with_their_rooms(self) -> None:
        lab = build(LabOptions(seeding=SMALL))
        with lab:
            info = lab.info()
            assert all(info["urls"].values())
            assert len(set(info["urls"].values())) == len(info["urls"])
            assert info["exchange"]["mailboxes"][0]["items"] > 0
            for name in ("ews", "graph"):
                connection = http.client.HTTPConnection(info["urls"][name].split("/")[2], timeout=20)
                assert ask(connection, "POST", "/nowhere", b"x")[0].status in (400, 401, 404)
                connection.close()
            assert control(info, "GET", "judgement")[1]["crashes"] == []


def gone(pid: int, timeout_s: float = 15) -> bool:
    """Whether a process ends in time. Not for Windows, where signal 0 would end it."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return True
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True  # dead; nobody has waited for it
        except OSError:
            pass
        time.sleep(0.02)
    return False


class TestProcess:
    def test_starts_tells_and_ends(self, tmp_path: Path) -> None:
        with LabProcess(LabOptions(halves=("m365",), seeding=SMALL), log=tmp_path / "log") as lab:
            child = lab._child
            assert child is not None
            assert lab.info["pid"] == child.pid == lab.pid
            assert lab.info["urls"]["ews"] == ""
            assert lab.control("GET", "state")["requests"] == 0
            with pytest.raises(RuntimeError, match="unknown"):
                lab.control("POST", "knobs", {"nope": 1})
            assert len(lab.control("GET", "mailboxes/m365")) == 2
        assert child.returncode == 0

    def test_state_is_kept(self, tmp_path: Path) -> None:
        options = LabOptions(halves=("m365",), seeding=SMALL, state=str(tmp_path / "lab.db"))
        address = "alma.whitcombe@brightwater.example"
        with LabProcess(options) as lab:
            lab.control("POST", f"mailboxes/m365/{address}", {"quota_octets": 4711})
        with LabProcess(options) as lab:
            assert [
                b["quota_octets"] for b in lab.control("GET", "mailboxes/m365") if b["address"] == address
            ] == [4711]

    def test_what_does_not_start_says_so(self) -> None:
        with pytest.raises(RuntimeError, match="did not start"):
            LabProcess(LabOptions(knobs={"nope": 1}, seeding=SMALL)).start()

    @pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
    def test_ends_when_its_parent_is_killed(self) -> None:
        script = (
            "import sys\nfrom migrator.lab.server import LabProcess\nfrom migrator.lab.options import *\n"
            "lab = LabProcess(LabOptions(halves=('m365',), seeding=Seeding(mailboxes=1, items=0))).start()\n"
            "print(lab.pid, flush=True)\nsys.stdin.read()\n"
        )
        parent = subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        parent.stdout.close()
        assert parent.stdin is not None
        parent.stdin.close()
        assert gone(child)

    @pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C by signal")
    def test_ctrl_c_ends_the_foreground(self, tmp_path: Path) -> None:
        path = tmp_path / "options.json"
        path.write_text(LabOptions(seeding=Seeding(mailboxes=1, items=0)).to_json(), "utf-8")
        child = subprocess.Popen(
            [sys.executable, "-m", "migrator.lab", "--options", str(path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        told = []
        for text in child.stdout:
            told.append(text)
            if "Ctrl-C" in text:
                break
        assert any("/EWS/Exchange.asmx" in text for text in told)
        assert any("secret Lab-" in text for text in told)
        child.send_signal(signal.SIGINT)
        assert child.wait(15) == 0
        child.stdout.close()


def test_reset_is_a_reset(lab: Lab) -> None:
    """A TCP reset, not an orderly end: clients tell the two apart."""
    lab.world.faults.add("lost_answer")
    with socket.create_connection(("127.0.0.1", port(lab)), 20) as sock:
        sock.sendall(b"POST /op HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
        with pytest.raises(ConnectionResetError):
            sock.recv(1000)
