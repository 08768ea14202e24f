"""The HTTP transport against a server that says what the test wrote."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from pathlib import Path

import pytest

from migrator import lull
from migrator.adapters import transport as transport_module
from migrator.adapters.transport import (
    FIRST_WRITE,
    STEADY,
    WRITE,
    AnswerLost,
    ConnectTimeout,
    NoSuchHost,
    NotSent,
    ProxyFailure,
    Refused,
    TlsFailure,
    Transport,
)
from migrator.wrappers.rate import BURST_S, Pace
from tests.servers.http_script import (
    Recorder,
    Request,
    ScriptServer,
    Wire,
    answer,
    break_off,
    gzipped,
    hang_up,
    head,
    ok,
    raw_answer,
)


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def transport():
    t = Transport(user_agent="migrator-test", timeout_s=5, proxies={})
    yield t
    t.close()


# ---- the ordinary way


def test_buffers_go_out_in_order_and_the_length_is_theirs(transport):
    big = bytes(range(256)) * 4000
    with ScriptServer([ok(b"fine")]) as server:
        reply = transport.request(
            "POST",
            server.url + "/a?b=c",
            headers={"X-One": "1"},
            body=[b"<", memoryview(big), b"", b">", big[:70_000]],
        )
    request = server.requests[0]
    assert (reply.status, reply.body) == (200, b"fine")
    assert request.body == b"<" + big + b">" + big[:70_000]
    assert request.headers["content-length"] == str(len(big) + 2 + 70_000)
    assert request.headers["x-one"] == "1"
    assert request.headers["user-agent"] == "migrator-test"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.path == "/a?b=c"


@pytest.mark.parametrize(
    "sizes", [[0], [1, 16384], [16383, 1], [16384], [65536, 65536, 1], [300_000, 5, 20_000]]
)
def test_any_mix_of_buffer_sizes_arrives(transport, sizes):
    buffers = [bytes([65 + i % 26]) * size for i, size in enumerate(sizes)]
    with ScriptServer([ok()]) as server:
        transport.request("POST", server.url, body=buffers)
    assert server.requests[0].body == b"".join(buffers)


def test_connections_are_reused_within_an_affinity_and_not_across(transport):
    with ScriptServer([ok(b"x")]) as server:
        for affinity in ("a", "a", "b", "a", "b"):
            transport.request("GET", server.url, affinity=affinity)
    assert [r.connection for r in server.requests] == [1, 1, 2, 1, 2]


def test_cookies_stay_with_their_affinity_and_can_be_taken_back(transport):
    def route(request: Request):
        if request.path == "/set":
            return raw_answer(
                b"HTTP/1.1 200 OK\r\nSet-Cookie: X-BackEndCookie=abc; path=/; secure\r\nSet-Cookie: e=1\r\nContent-Length: 0\r\n\r\n"
            )
        if request.path == "/drop":
            return ok(b"", {"Set-Cookie": "e=; expires=Thu, 01-Jan-1970 00:00:00 GMT"})
        return ok()

    with ScriptServer(route=route) as server:
        for path, affinity in [
            ("/set", "a"),
            ("/1", "a"),
            ("/2", "b"),
            ("/drop", "a"),
            ("/3", "a"),
            ("/set", ""),
            ("/4", ""),
        ]:
            transport.request("GET", server.url + path, affinity=affinity)
    seen = {r.path: r.headers.get("cookie", "") for r in server.requests}
    assert seen == {
        "/set": "", "/1": "X-BackEndCookie=abc; e=1", "/2": "", "/drop": "X-BackEndCookie=abc; e=1",
        "/3": "X-BackEndCookie=abc", "/4": "",
    }  # fmt: skip


def test_redirects_are_answers(transport):
    with ScriptServer([answer(302, b"", {"Location": "/elsewhere"})]) as server:
        reply = transport.request("GET", server.url)
    assert (reply.status, reply.headers["location"]) == (302, "/elsewhere")
    assert len(server.requests) == 1


def test_chunks_trailers_and_interim_answers(transport):
    raw = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nX-A: 2\r\n\r\n"
        b"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n"
    )
    with ScriptServer([raw_answer(raw), ok(b"next")]) as server:
        first = transport.request("POST", server.url, body=[b"x"])
        second = transport.request("GET", server.url)
    assert (first.body, first.headers["x-a"]) == (b"hello world", "1, 2")
    assert second.body == b"next"
    assert server.connections == 1


def test_gzip_is_decoded_whole_and_into_a_sink(transport):
    text = b"the same words again and again " * 50_000
    packed = gzip.compress(text)
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
        + f"{len(packed):x}\r\n".encode() + packed + b"\r\n0\r\n\r\n"
    )  # fmt: skip
    sink = Recorder()
    with ScriptServer([gzipped(text), raw_answer(chunked), gzipped(text)]) as server:
        assert transport.request("GET", server.url).body == text
        assert transport.request("GET", server.url).body == text
        assert transport.request("GET", server.url, sink=sink).body == b""
    assert sink.data == text
    assert server.requests[0].headers["accept-encoding"] == "gzip"


def test_a_caller_may_ask_for_identity(transport):
    with ScriptServer([ok()]) as server:
        transport.request("GET", server.url, headers={"Accept-Encoding": "identity"})
    assert server.requests[0].headers["accept-encoding"] == "identity"


def test_a_sink_gets_a_good_answer_in_pieces_and_never_an_error_page(transport):
    sink, other = Recorder(), Recorder()
    with ScriptServer([ok(b"z" * 1_000_000), answer(500, b"why")]) as server:
        assert transport.request("GET", server.url, sink=sink).body == b""
        assert transport.request("GET", server.url, sink=other).body == b"why"
    assert sink.data == b"z" * 1_000_000
    assert max(map(len, sink.pieces)) < 600_000
    assert other.pieces == []


def test_what_a_sink_raises_passes_through(transport):
    def full(piece):
        raise OSError(28, "No space left on device")

    with ScriptServer([ok(b"z" * 10), ok(b"again")]) as server:
        with pytest.raises(OSError, match="No space") as info:
            transport.request("GET", server.url, sink=full)
        assert not isinstance(info.value, AnswerLost)
        assert transport.request("GET", server.url).body == b"again"
    assert server.connections == 2


def test_an_answer_without_length_ends_with_the_connection(transport):
    with ScriptServer([raw_answer(b"HTTP/1.1 200 OK\r\n\r\nall of it", close=True)]) as server:
        assert transport.request("GET", server.url).body == b"all of it"


def test_head_and_204_have_no_body(transport):
    with ScriptServer(
        [raw_answer(head(200, {"Content-Length": "5"})), raw_answer(head(204, {})), ok(b"x")]
    ) as server:
        assert transport.request("HEAD", server.url).body == b""
        assert transport.request("DELETE", server.url).status == 204
        assert transport.request("GET", server.url).body == b"x"
    assert server.connections == 1


# ---- connections that end


@pytest.mark.parametrize("said", [{"Connection": "close"}, {"Keep-Alive": "timeout=1"}])
def test_a_connection_that_the_server_gives_up_is_not_used_again(transport, said):
    with ScriptServer([ok(b"1", said), ok(b"2")]) as server:
        transport.request("GET", server.url)
        assert transport.request("POST", server.url, body=[b"x"]).body == b"2"
    assert server.connections == 2


def test_a_connection_closed_while_idle_is_noticed_before_reuse(transport):
    def step(wire: Wire, request: Request) -> None:
        wire.send(head(200, {"Content-Length": "1"}) + b"1")
        wire.close()  # without having said so

    with ScriptServer([step, ok(b"2")]) as server:
        transport.request("GET", server.url)
        assert server.closed_by_server.wait(5)
        assert transport.request("POST", server.url, body=[b"important"]).body == b"2"
    assert [r.body for r in server.requests] == [b"", b"important"]


def test_idle_connections_grow_old():
    clock = Clock()
    transport = Transport(user_agent="t", clock=clock, proxies={})
    with ScriptServer([ok()]) as server:
        transport.request("GET", server.url)
        clock.at += 20
        transport.request("GET", server.url)
        clock.at += 100
        transport.request("GET", server.url)
    assert [r.connection for r in server.requests] == [1, 1, 2]
    transport.close()


def test_octets_that_nobody_asked_for_end_the_connection(transport):
    with ScriptServer(
        [raw_answer(head(200, {"Content-Length": "1"}) + b"1HTTP/1.1 200 OK\r\n"), ok(b"2")]
    ) as server:
        assert transport.request("GET", server.url).body == b"1"
        assert transport.request("GET", server.url).body == b"2"
    assert server.connections == 2


def test_forget_drops_connections_and_cookies(transport):
    with ScriptServer([ok(b"", {"Set-Cookie": "a=b"}), ok()]) as server:
        transport.request("GET", server.url, affinity="m")
        transport.forget("m")
        transport.request("GET", server.url, affinity="m")
    assert [(r.connection, r.headers.get("cookie")) for r in server.requests] == [(1, None), (2, None)]


def test_after_close_nothing_is_sent(transport):
    with ScriptServer([ok()]) as server:
        transport.request("GET", server.url)
        transport.close()
        with pytest.raises(NotSent):
            transport.request("GET", server.url)
    assert len(server.requests) == 1


# ---- what was surely not sent


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_nobody_listens(transport):
    with pytest.raises(Refused) as info:
        transport.request("POST", f"http://127.0.0.1:{free_port()}/secret?sig=abc", body=[b"x"])
    assert info.value.kind == "refused"
    assert "secret" not in str(info.value) and "abc" not in str(info.value)


def test_no_such_name(transport):
    with pytest.raises(NoSuchHost) as info:
        transport.request("GET", "https://no-such-host.invalid/EWS/Exchange.asmx")
    assert info.value.kind == "dns"
    assert "no-such-host.invalid" in str(info.value)


def test_a_host_name_that_cannot_be(transport):
    with pytest.raises(NoSuchHost):
        transport.request("GET", "https://" + "x" * 70 + ".example/")


def test_a_call_in_flight_while_its_affinity_is_forgotten(transport):
    def step(wire: Wire, request: Request) -> None:
        transport.forget("m")
        wire.send(head(200, {"Content-Length": "0"}))

    with ScriptServer([step, ok()]) as server:
        transport.request("GET", server.url, affinity="m")
        transport.request("GET", server.url, affinity="m")
    assert [r.connection for r in server.requests] == [1, 2]


def test_patience_is_per_request():
    """A request that is known to take long waits longer; the next one on the same connection does not."""
    seen: list[float | None] = []
    transport = Transport(user_agent="t", timeout_s=7, proxies={})
    with ScriptServer([ok()]) as server:
        for given in (None, 300, None):
            transport.request("GET", server.url, timeout_s=given)
            (pool,) = transport._pools.values()
            seen.append(pool.idle[-1].sock.gettimeout())
    assert seen == [7, 300, 7]
    assert server.connections == 1
    transport.close()


def test_no_connection_in_time(transport, monkeypatch):
    def never(*args, **kwargs):
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", never)
    with pytest.raises(ConnectTimeout):
        transport.request("GET", "http://127.0.0.1:9/")


@pytest.mark.parametrize(
    "url", ["ftp://x/", "http:///", "http://h:99999999/", "https://h/a b?c=d", "http://h/\u00e4"]
)
def test_odd_urls_are_refused_without_a_word_of_them(transport, url):
    with pytest.raises(NotSent) as info:
        transport.request("GET", url)
    assert info.value.kind == "url"
    assert "c=d" not in str(info.value)


def test_header_injection_is_refused(transport):
    with ScriptServer([ok()]) as server, pytest.raises(NotSent) as info:
        transport.request("GET", server.url, headers={"Authorization": "Bearer s3cret\r\nX: y"})
    assert "s3cret" not in str(info.value)
    assert server.requests == []


# ---- what left and was not answered


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (hang_up, "garbled"),
        (break_off, "closed"),
        (raw_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", close=True), "garbled"),
        (raw_answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", close=True), "garbled"),
        (raw_answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX", close=True), "garbled"),
        (raw_answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", close=True), "garbled"),
        (raw_answer(b"HTTP/1.1 200 OK\r\nContent-Le", close=True), "garbled"),
        (raw_answer(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", close=True), "garbled"),
        (raw_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"), "garbled"),
        (raw_answer(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), "garbled"),
        (raw_answer(b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx"), "garbled"),
        (ok(gzip.compress(b"some words here" * 99)[:-9], {"Content-Encoding": "gzip"}), "garbled"),
        (ok(b"not gzip", {"Content-Encoding": "gzip"}), "garbled"),
        (raw_answer(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 70_000 * 4 + b"\r\n"), "garbled"),
    ],
)  # fmt: skip
def test_no_whole_answer(transport, step, kind):
    with ScriptServer([step]) as server:
        with pytest.raises(AnswerLost) as info:
            transport.request(
                "POST", server.url + "/p?sig=abc", headers={"Authorization": "Bearer t0k"}, body=[b"x"]
            )
        assert info.value.kind == kind
        assert "abc" not in str(info.value) and "t0k" not in str(info.value) and "/p" not in str(info.value)
    assert len(server.requests) == 1  # never repeated by itself


def test_a_lost_answer_on_a_reused_connection_is_not_repeated_either(transport):
    with ScriptServer([ok(b"1"), hang_up, ok(b"3")]) as server:
        transport.request("POST", server.url, body=[b"1"])
        with pytest.raises(AnswerLost):
            transport.request("POST", server.url, body=[b"2"])
        assert transport.request("POST", server.url, body=[b"3"]).body == b"3"
    assert [r.body for r in server.requests] == [b"1", b"2", b"3"]


def test_silence_ends_after_the_timeout():
    release = threading.Event()

    def silent(wire: Wire, request: Request) -> None:
        release.wait(10)

    transport = Transport(user_agent="t", timeout_s=0.05, proxies={})
    with ScriptServer([silent]) as server:
        with pytest.raises(AnswerLost) as info:
            transport.request("GET", server.url)
        release.set()
    assert info.value.kind == "timeout"
    transport.close()


def test_a_drip_ends_although_every_drop_comes_in_time():
    class Racing(Clock):
        def monotonic(self) -> float:
            self.at += 7.0
            return self.at

    sent = threading.Semaphore(0)

    def drip(wire: Wire, request: Request) -> None:
        wire.send(head(200, {"Content-Length": "100000"}))
        while sent.acquire(timeout=0.001) or True:
            wire.send(b"x")

    transport = Transport(user_agent="t", timeout_s=60, proxies={}, clock=Racing())
    with ScriptServer([drip]) as server, pytest.raises(AnswerLost) as info:
        transport.request("GET", server.url)
    assert info.value.kind == "timeout"
    transport.close()


def test_an_answer_before_the_whole_request_was_read_is_given_back(transport):
    """A front end that refuses a large body says 413 and closes."""

    def refuse(wire: Wire, request: Request) -> None:
        wire.send(head(413, {"Content-Length": "3", "Connection": "close"}) + b"big")
        while wire.sock.recv(1 << 16):  # drain, so that no reset overtakes the answer
            pass

    body = [b"x" * (8 << 20)]
    with ScriptServer([refuse, ok(b"next")], read_body=False) as server:
        reply = transport.request("POST", server.url, body=body)
        assert (reply.status, reply.body) == (413, b"big")
        assert transport.request("GET", server.url).body == b"next"
    assert server.connections == 2


# ---- sign-in bound to a connection


def test_warm_runs_once_per_connection_and_on_that_connection(transport):
    def warm(line):
        assert line.certificate == b""
        assert line.request("GET", server.url + "/hello", {"Authorization": "NTLM x"}).status == 401
        assert line.request("GET", server.url + "/hello", {"Authorization": "NTLM y"}).status == 200

    with ScriptServer([answer(401), ok(), ok(b"1"), ok(b"2")]) as server:
        for _ in range(2):
            transport.request("POST", server.url + "/x", body=[b"b"], warm=warm)
    assert [(r.connection, r.path) for r in server.requests] == [
        (1, "/hello"),
        (1, "/hello"),
        (1, "/x"),
        (1, "/x"),
    ]


# ---- TLS


@pytest.fixture(scope="module")
def authority():
    import trustme

    return trustme.CA()


def server_context(authority, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.mark.parametrize("trust", ["os", "certifi"])
def test_tls_with_a_private_authority(authority, tmp_path: Path, trust):
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    seen = []
    transport = Transport(user_agent="t", ca_file=str(ca), trust=trust, proxies={})
    big = b"q" * 900_000
    with ScriptServer([ok(big)], tls=server_context(authority)) as server:
        for _ in range(2):
            reply = transport.request(
                "POST", server.url, body=[big], warm=lambda line: seen.append(line.certificate)
            )
            assert reply.body == big
    assert [len(r.body) for r in server.requests] == [len(big)] * 2
    assert server.connections == 1
    assert len(seen) == 1 and seen[0][:1] == b"0"
    transport.close()


def test_an_untrusted_certificate_is_refused_and_nothing_sent(authority, transport):
    with ScriptServer([ok()], tls=server_context(authority)) as server, pytest.raises(TlsFailure) as info:
        transport.request("POST", server.url + "/p?q", body=[b"x"])
    assert info.value.kind == "tls"
    assert "not trusted" in str(info.value)
    assert server.requests == []


def test_a_certificate_for_another_name_is_refused(authority, tmp_path):
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    transport = Transport(user_agent="t", ca_file=str(ca), proxies={})
    with (
        ScriptServer([ok()], tls=server_context(authority, "mail.example")) as server,
        pytest.raises(TlsFailure),
    ):
        transport.request("GET", server.url)
    assert server.requests == []
    transport.close()


def test_tls_to_a_server_that_speaks_none(transport):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            conn, _ = listener.accept()
            with conn:
                conn.recv(1)
                conn.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                conn.recv(1 << 16)

        server = threading.Thread(target=greet)
        server.start()
        with pytest.raises(TlsFailure):
            transport.request("GET", f"https://127.0.0.1:{listener.getsockname()[1]}/")
        server.join()


def test_a_missing_authority_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.pem"):
        Transport(user_agent="t", ca_file=str(tmp_path / "gone.pem"))


# ---- proxies


def test_https_goes_through_a_tunnel(authority):
    seen: list[str] = []
    with ScriptServer([answer(407)]) as proxy:
        transport = Transport(user_agent="t", proxies={"https": f"http://user:p%40ss@127.0.0.1:{proxy.port}"})
        with pytest.raises(ProxyFailure) as info:
            transport.request("POST", "https://mail.example/EWS?x=y", body=[b"x"])
    seen = [proxy.requests[0].method, proxy.requests[0].path]
    assert seen == ["CONNECT", "mail.example:443"]
    assert proxy.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"
    assert "407" in str(info.value) and "p@ss" not in str(info.value)


def test_http_goes_to_the_proxy_whole_and_exceptions_do_not():
    with ScriptServer([ok(b"via")]) as proxy:
        transport = Transport(
            user_agent="t", proxies={"http": f"http://127.0.0.1:{proxy.port}", "no": "inside.example"}
        )
        assert transport.request("GET", "http://mail.example/a?b").body == b"via"
        with pytest.raises(NoSuchHost):
            transport.request("GET", "http://x.inside.example/")
    assert proxy.requests[0].path == "http://mail.example/a?b"
    assert len(proxy.requests) == 1


def test_a_dead_proxy_is_told_from_a_dead_server():
    transport = Transport(user_agent="t", proxies={"https": f"http://127.0.0.1:{free_port()}"})
    with pytest.raises(ProxyFailure):
        transport.request("GET", "https://mail.example/")


def test_loopback_never_goes_through_a_proxy():
    transport = Transport(user_agent="t", proxies={"http": "http://127.0.0.1:1"})
    with ScriptServer([ok(b"direct")]) as server:
        assert transport.request("GET", server.url).body == b"direct"


# ---- threads


def test_many_threads_share_it(transport):
    with ScriptServer(route=lambda request: ok(request.body)) as server:
        wrong: list[str] = []

        def work(n: int) -> None:
            for i in range(20):
                text = f"{n}/{i}".encode()
                if transport.request("POST", server.url, body=[text], affinity=str(n % 3)).body != text:
                    wrong.append(text.decode())

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert wrong == []
    assert len(server.requests) == 160
    assert server.connections <= 8


# ---- few words per request


def test_a_small_request_goes_in_one_write(transport, monkeypatch):
    writes: list[int] = []
    send = socket.socket.send
    monkeypatch.setattr(
        socket.socket, "send", lambda sock, data: writes.append(len(data)) or send(sock, data)
    )
    with ScriptServer([ok(), ok()]) as server:
        transport.request("POST", server.url, body=[b'{"Data":"', b"x" * 27_000, b'"}'])
        assert len([size for size in writes if size > 1000]) == 1 and len(writes) <= 2  # the server's answer
        transport.request("POST", server.url, body=[b"y" * (WRITE + FIRST_WRITE + 1)])
    assert len(server.requests[1].body) == WRITE + FIRST_WRITE + 1


def test_a_steady_connection_is_asked_no_more_until_it_disappoints(transport, monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(
        transport_module,
        "_readable",
        lambda sock, plain=transport_module._readable: asked.append(1) or plain(sock),
    )
    clock = Clock()
    monkeypatch.setattr(transport, "_clock", clock)
    with ScriptServer([*[ok()] * (STEADY + 5), hang_up, *[ok()] * 3]) as server:
        for _ in range(STEADY + 5):
            transport.request("GET", server.url)
        assert len(asked) == STEADY
        clock.at += 1.0  # longer than a moment
        with pytest.raises(AnswerLost):
            transport.request("GET", server.url)
        assert len(asked) == STEADY + 1
        for _ in range(3):
            transport.request("GET", server.url)
    assert len(asked) == STEADY + 3  # the new connection, twice reused


# ---- a cap on the line


class PacedClock(Clock):
    """Sleepers pass the time at once."""

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


class Paced(Pace):
    """Also remembers what was given leave for, and when."""

    def __init__(self, octets_s: float, clock: PacedClock) -> None:
        super().__init__(octets_s, clock)
        self.clock = clock
        self.given: list[tuple[str, float, int]] = []

    def up(self, octets: int) -> float:
        waited = super().up(octets)
        self.given.append(("up", self.clock.at, octets))
        return waited

    def down(self, octets: int) -> float:
        waited = super().down(octets)
        self.given.append(("down", self.clock.at, octets))
        return waited

    def most_within(self, direction: str, seconds: float) -> int:
        mine = [(at, octets) for way, at, octets in self.given if way == direction]
        return max(sum(n for t, n in mine if at <= t < at + seconds) for at, _ in mine)


def test_one_large_upload_is_held_to_the_cap_all_the_way():
    clock = PacedClock()
    pace = Paced(1_000_000, clock)
    transport = Transport(user_agent="x", timeout_s=5, proxies={}, clock=clock, pace=pace)
    body = bytes(8_000_000)
    with ScriptServer([ok(b"fine")]) as server:
        reply = transport.request("POST", server.url + "/", body=[body[:5_000_000], body[:3_000_000]])
        assert reply.status == 200
        assert len(server.requests[0].body) == 8_000_000
    transport.close()
    assert clock.at - 1000 == pytest.approx(8_000_000 / 1_000_000 - BURST_S, abs=0.2)
    assert max(octets for _, _, octets in pace.given) <= pace.piece == 50_000
    assert pace.most_within("up", 1.0) <= 1_000_000 * (1 + BURST_S) + pace.piece


def test_one_large_answer_is_read_at_the_cap_and_our_own_pauses_are_not_the_servers():
    """At 100 octets a second the server would be given up as too slow, were the pauses counted as its own."""
    clock = PacedClock()
    pace = Paced(100, clock)
    transport = Transport(user_agent="x", timeout_s=5, proxies={}, clock=clock, pace=pace)
    body = bytes(60_000)
    with ScriptServer([ok(body)]) as server:
        assert transport.request("GET", server.url + "/").body == body
    transport.close()
    assert clock.at - 1000 == pytest.approx(600, rel=0.1)
    assert max(octets for way, _, octets in pace.given if way == "down") <= pace.piece


def test_connections_share_one_cap():
    clock = PacedClock()
    pace = Paced(1_000_000, clock)
    transports = [
        Transport(user_agent="x", timeout_s=5, proxies={}, clock=clock, pace=pace) for _ in range(4)
    ]
    with ScriptServer([ok(b"fine")] * 4) as server:
        threads = [
            threading.Thread(
                target=one.request, args=("POST", server.url + "/"), kwargs={"body": [bytes(2_000_000)]}
            )
            for one in transports
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sum(len(request.body) for request in server.requests) == 8_000_000
    assert pace.most_within("up", 1.0) <= 1_000_000 * (1 + BURST_S) + pace.piece


def test_book_keeping_is_done_before_the_answer_is_read(transport):
    done: list[str] = []
    asked = threading.Event()

    def step(wire: Wire, request: Request) -> None:
        assert asked.wait(
            5
        )  # the answer goes when the book-keeping is done: whoever waited for it first would hang
        wire.send(head(200, {"Content-Length": "1"}) + b"1")

    def keep_books() -> None:
        done.append("books")
        asked.set()

    with ScriptServer([step]) as server:
        lull.later(keep_books)
        assert transport.request("GET", server.url).body == b"1"
    assert done == ["books"]
