"""Finding out on Cloud Run which service this is."""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from doorward import ConfigurationError, FetchError
from doorward.audiences.cloud_run import CloudRunAudience
from doorward.audiences.service_detection import Service, ask_for_service
from support.httpendpoint import HttpEndpoint, Script, answering, repeating, response

REGION = "projects/1234567890/regions/europe-west1"
ON_CLOUD_RUN = {"K_SERVICE": "orders"}


class Metadata:
    """A metadata server without a network: answers one text, and keeps the URLs it was asked for."""

    def __init__(self, answer: str | Exception = REGION) -> None:
        self.answer = answer
        self.urls: list[str] = []

    def __call__(self, url: str) -> str:
        self.urls.append(url)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_on_cloud_run_the_service_is_found_out() -> None:
    metadata = Metadata()

    audience = CloudRunAudience.detect(environ=ON_CLOUD_RUN, fetch=metadata)

    assert "https://orders-1234567890.europe-west1.run.app" == str(audience)
    assert ["http://metadata.google.internal/computeMetadata/v1/instance/region"] == metadata.urls


def test_settings_reach_what_is_found_out() -> None:
    audience = CloudRunAudience.detect(
        environ=ON_CLOUD_RUN, fetch=Metadata(), custom_audiences=["own"], allow_path=False, allow_tags=True
    )

    assert audience.accepts("own")
    assert audience.accepts("https://v2---orders-1234567890.europe-west1.run.app")
    assert not audience.accepts("https://orders-1234567890.europe-west1.run.app/x")


@pytest.mark.parametrize("environ", [{}, {"K_SERVICE": ""}], ids=str)
def test_elsewhere_nothing_is_asked_and_the_error_says_what_to_do(environ: dict[str, str]) -> None:
    metadata = Metadata()

    with pytest.raises(ConfigurationError, match=r"K_SERVICE is not set.*CloudRunAudience\("):
        CloudRunAudience.detect(environ=environ, fetch=metadata)
    assert [] == metadata.urls


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K_SERVICE", "billing")
    for variable in ("GCE_METADATA_HOST", "GCE_METADATA_ROOT"):
        monkeypatch.delenv(variable, raising=False)

    assert Service("billing", "1234567890", "europe-west1") == ask_for_service(fetch=Metadata())


@pytest.mark.parametrize(
    "host",
    [
        "metadata.google.internal",
        "metadata.google.internal:80",
        "169.254.169.254",
        "127.0.0.1:8099",
        "localhost:8099",
        "[::1]:8099",
        "localhost",
    ],
)
@pytest.mark.parametrize("variable", ["GCE_METADATA_HOST", "GCE_METADATA_ROOT"])
def test_googles_own_host_or_one_on_this_machine_may_be_named(variable: str, host: str) -> None:
    metadata = Metadata()

    ask_for_service({**ON_CLOUD_RUN, variable: host}, metadata)

    assert [f"http://{host}/computeMetadata/v1/instance/region"] == metadata.urls


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "10.0.0.1",
        "metadata.google.internal.evil.example",
        "metadata.google.internal@evil.example",
        "evil.example#metadata.google.internal",
        "evil.example/metadata.google.internal",
        "evil.example?169.254.169.254",
        "user@127.0.0.1:8099",
        "127.0.0.1:8099@evil.example",
        "127.0.0.1.evil.example",
        "169.254.169.254:8080",
        "169.254.169.253",
        "127.0.0.1:port",
        "127.0.0.1\n.evil.example",
        " 127.0.0.1",
        "127.0.0.1/x",
        "[::1",
        "[::1].evil.example:80",
        "[::1].evil.example",
        "evil[::1]:80",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:080",
        "127.0.0.1:",
        "127.0.0.1:8099:80",
        "metadata.google.internal:8080",
        "metadata.google.internal:0",
        "metadata.google.internal:",
        "[::ffff:127.0.0.1]",
        "[::1%25eth0]:80",
        "::1",
        "127.1",
        "127.0.0.01",
        "2130706433",
        "\u0661\u0662\u0667.0.0.1",
        "127.0.0.1\n",
    ],
    ids=repr,
)
@pytest.mark.parametrize("variable", ["GCE_METADATA_HOST", "GCE_METADATA_ROOT"])
def test_any_other_host_is_refused_unasked(variable: str, host: str) -> None:
    metadata = Metadata()

    with pytest.raises(ConfigurationError, match=f"{variable}=.*Remove the variable"):
        ask_for_service({**ON_CLOUD_RUN, variable: host}, metadata)
    assert [] == metadata.urls


def test_the_newer_variable_goes_before_the_older() -> None:
    metadata = Metadata()

    ask_for_service(
        {**ON_CLOUD_RUN, "GCE_METADATA_HOST": "127.0.0.1:1", "GCE_METADATA_ROOT": "evil.example"}, metadata
    )

    assert ["http://127.0.0.1:1/computeMetadata/v1/instance/region"] == metadata.urls


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "europe-west1",
        "projects/my-project/regions/europe-west1",
        "projects/1/zones/europe-west1-b",
        f"{REGION}/x",
        f"x/{REGION}",
        "projects/1/regions/evil.example",
        "<html>",
        f"{REGION}\nprojects/2/regions/x",
    ],
    ids=repr,
)
def test_an_answer_that_names_no_region_is_refused(answer: str) -> None:
    with pytest.raises(ConfigurationError, match="name the URL"):
        ask_for_service(ON_CLOUD_RUN, Metadata(answer))


def test_blanks_around_the_answer_do_no_harm() -> None:
    assert Service("orders", "1234567890", "europe-west1") == ask_for_service(
        ON_CLOUD_RUN, Metadata(f"{REGION}\n")
    )


def test_a_metadata_server_that_does_not_answer_is_a_mistake_of_configuration() -> None:
    with pytest.raises(ConfigurationError, match=r"name the URL") as caught:
        ask_for_service(ON_CLOUD_RUN, Metadata(FetchError("connect", "connection refused")))
    assert isinstance(caught.value.__cause__, FetchError)


def test_a_service_whose_name_is_too_long_for_a_deterministic_url_is_a_mistake_of_configuration() -> None:
    with pytest.raises(ConfigurationError, match="not the URL of a Cloud Run service"):
        CloudRunAudience.detect(environ={"K_SERVICE": "o" * 60}, fetch=Metadata())


# Over a socket.


class Answering(HTTPServer):
    """A metadata server on this machine."""

    status = 200
    flavor: str | None = "Google"
    body = REGION.encode()
    location: str | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.flavors: list[str | None] = []

    @property
    def environ(self) -> dict[str, str]:
        return {**ON_CLOUD_RUN, "GCE_METADATA_HOST": f"127.0.0.1:{self.server_port}"}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        server.flavors.append(self.headers["Metadata-Flavor"])
        self.send_response(server.status)
        if server.flavor is not None:
            self.send_header("Metadata-Flavor", server.flavor)
        if server.location is not None:
            self.send_header("Location", server.location)
        self.send_header("Content-Length", str(len(server.body)))
        self.end_headers()
        self.wfile.write(server.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        pass


@pytest.fixture
def server() -> Iterator[Answering]:
    with Answering() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join(10)


def test_it_is_asked_with_the_header_that_it_wants(
    server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert Service("orders", "1234567890", "europe-west1") == ask_for_service(server.environ)
    assert ["Google"] == server.flavors


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"status": 404}, "answered with 404"),
        ({"status": 302, "location": "http://127.0.0.1:9/"}, "answered with 302"),
        ({"flavor": None}, "no metadata server"),
        ({"flavor": "Other"}, "no metadata server"),
        ({"body": b"x" * 2_000}, "over 1024 bytes"),
        ({"body": b"\xff"}, "not ASCII"),
    ],
    ids=str,
)
def test_what_does_not_answer_as_one_is_not_believed(
    server: Answering, changed: dict[str, Any], says: str
) -> None:
    for name, value in changed.items():
        setattr(server, name, value)

    with pytest.raises(ConfigurationError, match=says):
        ask_for_service(server.environ)


@pytest.fixture
def serve() -> Iterator[Callable[[Script], dict[str, str]]]:
    """Start metadata servers that are scripted to the byte; gives the environment that names one."""
    with contextlib.ExitStack() as stack:

        def start(script: Script) -> dict[str, str]:
            endpoint = stack.enter_context(HttpEndpoint(script))
            return {**ON_CLOUD_RUN, "GCE_METADATA_HOST": endpoint.url.split("/")[2]}

        yield start


def test_one_that_sends_slowly_is_given_up_at_the_deadline(
    serve: Callable[[Script], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doorward.audiences.service_detection._DEADLINE", 0.3)
    head = response(b"", "Metadata-Flavor: Google", length=1_000)

    with pytest.raises(ConfigurationError, match=r"no whole answer in 0\.3 s, at read"):
        ask_for_service(serve(repeating(head, b"x", 1_000, pause=0.02)))


def test_an_answer_that_is_compressed_is_read(serve: Callable[[Script], dict[str, str]]) -> None:
    environ = serve(
        answering(gzip.compress(REGION.encode()), "Metadata-Flavor: Google", "Content-Encoding: gzip")
    )

    assert Service("orders", "1234567890", "europe-west1") == ask_for_service(environ)


def test_an_error_that_says_when_to_ask_again_is_an_error(serve: Callable[[Script], dict[str, str]]) -> None:
    with pytest.raises(ConfigurationError, match="answered with 503"):
        ask_for_service(serve(answering("Retry-After: 1", status="503 Busy")))


def test_a_closed_port_is_named_as_such() -> None:
    with Answering() as stopped:
        environ = stopped.environ

    with pytest.raises(ConfigurationError, match="ConnectError"):
        ask_for_service(environ)
