# SPDX-License-Identifier: Apache-2.0
"""A small client for any server that speaks KServe v2 over HTTP: numpy in, numpy out, no PyTorch, no gRPC.

May import `errors`, `tensors`, `requests` and `protocol`, numpy and the standard library, nothing else.
"""

import json
import ssl
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection, RemoteDisconnected
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import quote, urlsplit

import numpy as np
import numpy.typing as npt

from naiad.errors import (
    InternalError,
    InvalidArgumentError,
    NaiadError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
)
from naiad.tensors import BYTES, DATATYPES, Array, datatype_of, decode_bytes, encode_bytes

DEFAULT_URL = "http://127.0.0.1:8000"

_ERRORS: Mapping[int, type[NaiadError]] = {
    kind.http_status: kind
    for kind in (InternalError, InvalidArgumentError, NotFoundError, UnavailableError, UnsupportedError)
}
_NO_SUCH_ROUTE = ("Not Found", "Method Not Allowed")
"""What servers of Triton's protocol say of a path that they do not have, such as those of metrics."""

_OTHER_PORT = "check the URL, expected that of a server's HTTP port"
_LONGEST_TEXT = 200
_JSON_LENGTH = "Inference-Header-Content-Length"


class _Answer(NamedTuple):
    status: int
    json_length: int | None
    body: bytes

    def document(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.body) if self.body else None


class Client:
    """A client of one server; may be used by several threads at once, each request has a connection of its own.

    Connections are kept open between requests; `close`, or leaving a `with` block, closes them.

    Args:
        url: of the server, `http://host:port` or `https://host:port`.
        timeout_s: seconds to wait for a connection, and for each answer.
        api_key: sent as `Authorization: Bearer` with every request; empty: none.
        ssl_context: how to check an https server; without one, against the certificates this system trusts.

    Raises:
        InvalidArgumentError: the URL is not one of a server, or the key cannot be one.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        timeout_s: float = 60.0,
        *,
        api_key: str = "",
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidArgumentError(f"'{url}' is not the URL of a server, expected something like {DEFAULT_URL}")
        self.url = f"{parts.scheme}://{parts.netloc}"
        self._prefix = parts.path.rstrip("/")
        self._host, self._port, self._timeout_s = parts.hostname, parts.port, timeout_s
        self._is_https, self._ssl_context = parts.scheme == "https", ssl_context
        self._idle: deque[HTTPConnection] = deque()
        if not all("!" <= character <= "~" for character in api_key):
            raise InvalidArgumentError("the API key has characters beside printable ASCII, or spaces; take it as it is")
        self._authorization = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()

    def live(self) -> bool:
        """Tell whether the server runs; False also when none answers."""
        return self._is_ok("/v2/health/live")

    def ready(self) -> bool:
        """Tell whether the server and all its models are ready; False also when no server answers."""
        return self._is_ok("/v2/health/ready")

    def model_ready(self, model: str, version: str = "") -> bool:
        """Tell whether a model is ready; False also when there is none of that name, or no server answers."""
        return self._is_ok(f"{_model_path(model, version)}/ready")

    def server_metadata(self) -> dict[str, Any]:
        """Return the server's name, version and extensions."""
        return self._get("/v2")

    def index(self, ready_only: bool = False) -> list[dict[str, Any]]:
        """Return the rows of the repository index: name and, where there are any, version, state and reason."""
        body = b'{"ready":true}' if ready_only else b""
        return self._document(self._send("POST", "/v2/repository/index", [body]))  # type: ignore[no-any-return]

    def model_metadata(self, model: str, version: str = "") -> dict[str, Any]:
        """Return a model's name, versions, platform, inputs and outputs."""
        return self._get(_model_path(model, version))

    def model_config(self, model: str, version: str = "") -> dict[str, Any]:
        """Return a model's completed config, in Triton's JSON form."""
        return self._get(f"{_model_path(model, version)}/config")

    def statistics(self, model: str = "", version: str = "") -> list[dict[str, Any]]:
        """Return the statistics of a model, or of all ready ones: one dict for each version."""
        path = f"{_model_path(model, version)}/stats" if model else "/v2/models/stats"
        return self._get(path)["model_stats"]  # type: ignore[no-any-return]

    def infer(
        self, model: str, inputs: Mapping[str, npt.ArrayLike], version: str = "", outputs: Sequence[str] = ()
    ) -> dict[str, Array]:
        """Run a model once.

        Tensors travel as bytes in both directions (KServe v2, binary tensor data extension). The arrays that come
        back are read-only views of the received bytes.

        Args:
            model: its name.
            inputs: name → array; the dtype must be that of the model's input.
            version: of the model; empty lets the server choose.
            outputs: names of those wanted; none means all.

        Returns:
            Name → array, in the order of the response. BYTES arrays hold `bytes`, BF16 arrays the raw `uint16`.

        Raises:
            NaiadError: in the class that goes with the server's HTTP status.
        """
        head, buffers = _encode_request(inputs, outputs)
        path = f"{_model_path(model, version)}/infer"
        return _decode_response(self._checked(self._send("POST", path, [head, *buffers], len(head))), model)

    def _get(self, path: str) -> dict[str, Any]:
        return self._document(self._send("GET", path))  # type: ignore[no-any-return]

    def _document(self, answer: _Answer) -> Any:  # noqa: ANN401 - JSON
        try:
            return self._checked(answer).document()
        except ValueError as error:
            raise UnavailableError(f"what answers at {self.url} gives no JSON; {_OTHER_PORT}") from error

    def _is_ok(self, path: str) -> bool:
        try:
            return self._send("GET", path).status == 200
        except UnavailableError:
            return False

    def _checked(self, answer: _Answer) -> _Answer:
        if answer.status == 200:
            return answer
        if answer.status == 401:
            raise InvalidArgumentError(
                f"{self.url} refuses the request: {_error_text(answer)}; naiad.Client takes it as api_key, naiad "
                "models from the environment variable NAIAD_API_KEY"
            )
        unlisted = InvalidArgumentError if 400 <= answer.status < 500 else InternalError
        text = _error_text(answer)
        if text in _NO_SUCH_ROUTE:
            text = f"{self.url} answers: {text}; {_OTHER_PORT}"
        raise _ERRORS.get(answer.status, unlisted)(text)

    def _send(
        self, method: str, path: str, buffers: Sequence[bytes | memoryview] = (), json_length: int | None = None
    ) -> _Answer:
        headers = dict(self._authorization)
        if method == "POST":
            headers["Content-Length"] = str(sum(len(buffer) for buffer in buffers))
        if json_length is not None:
            headers |= {_JSON_LENGTH: str(json_length), "Content-Type": "application/octet-stream"}
        try:
            while self._idle:
                try:
                    return self._exchange(self._idle.pop(), method, path, buffers, headers)
                except (RemoteDisconnected, ConnectionResetError, BrokenPipeError, IndexError):
                    continue  # closed by the server while idle, or taken by another thread
            return self._exchange(self._new_connection(), method, path, buffers, headers)
        except TimeoutError as error:
            raise UnavailableError(
                f"{self.url} did not answer within {self._timeout_s:g} s; give the client a larger timeout_s"
            ) from error
        except ssl.SSLCertVerificationError as error:
            raise UnavailableError(
                f"the certificate of {self.url} is not trusted ({error.verify_message}); where it should be, name its "
                "issuer's PEM file in the environment variable SSL_CERT_FILE, or give the client an ssl_context"
            ) from error
        except (OSError, HTTPException) as error:
            # A server that speaks TLS hangs up on a request in the clear.
            hung_up = isinstance(error, RemoteDisconnected) and not self._is_https
            instead = f"; if it speaks TLS: https://{self.url.removeprefix('http://')}" if hung_up else ""
            raise UnavailableError(
                f"no server answers at {self.url} ({error or type(error).__name__}); start one with 'naiad serve', or "
                f"check the URL{instead}"
            ) from error

    def _new_connection(self) -> HTTPConnection:
        if self._is_https:
            return HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._ssl_context)
        return HTTPConnection(self._host, self._port, timeout=self._timeout_s)

    def _exchange(
        self,
        connection: HTTPConnection,
        method: str,
        path: str,
        buffers: Sequence[bytes | memoryview],
        headers: Mapping[str, str],
    ) -> _Answer:
        try:
            # A server that refuses a large body closes while it is being sent; what it answered is still to be read.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, self._prefix + path, iter(buffers) if buffers else None, dict(headers))
            response = connection.getresponse()
            length = response.getheader(_JSON_LENGTH)
            answer = _Answer(response.status, int(length) if length else None, response.read())
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        return answer


def _model_path(model: str, version: str) -> str:
    path = f"/v2/models/{quote(model, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path


def _error_text(answer: _Answer) -> str:
    try:
        document = answer.document()
    except ValueError:
        document = None
    if isinstance(document, dict) and "error" in document:
        return str(document["error"])
    text = answer.body.decode(errors="replace").strip()
    if text and not text.startswith("<") and len(text) <= _LONGEST_TEXT:
        return f"the server answered HTTP {answer.status}: {text}"
    return f"the server answered HTTP {answer.status} without saying why; {_OTHER_PORT}"


def _encode_request(
    inputs: Mapping[str, npt.ArrayLike], outputs: Sequence[str]
) -> tuple[bytes, list[bytes | memoryview]]:
    rows: list[dict[str, object]] = []
    buffers: list[bytes | memoryview] = []
    for name, value in inputs.items():
        array = np.asarray(value)
        datatype = datatype_of(array)
        buffer = encode_bytes(array) if datatype is BYTES else _bytes_of(array, datatype.dtype)
        buffers.append(buffer)
        parameters = {"binary_data_size": len(buffer)}
        rows.append({"name": name, "shape": array.shape, "datatype": datatype.name, "parameters": parameters})
    document: dict[str, object] = {"inputs": rows, "parameters": {"binary_data_output": True}}
    if outputs:
        document["outputs"] = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    return json.dumps(document).encode(), buffers


def _bytes_of(array: Array, dtype: np.dtype[Any]) -> memoryview:
    contiguous = np.ascontiguousarray(array, dtype=dtype)
    return contiguous.reshape(-1).view(np.uint8).data


def _decode_response(answer: _Answer, model: str) -> dict[str, Array]:
    length = len(answer.body) if answer.json_length is None else answer.json_length
    document = json.loads(answer.body[:length])
    binary = memoryview(answer.body)[length:]
    return dict(_decode_outputs(document["outputs"], binary, model))


def _decode_outputs(rows: Sequence[Mapping[str, Any]], binary: memoryview, model: str) -> Iterator[tuple[str, Array]]:
    position = 0
    for row in rows:
        name, datatype, shape = row["name"], DATATYPES[row["datatype"]], tuple(row["shape"])
        size = row.get("parameters", {}).get("binary_data_size")
        if size is None:
            yield name, _from_json(row["data"], datatype.dtype, shape)
            continue
        part = binary[position : position + size]
        position += size
        if datatype is BYTES:
            yield name, decode_bytes(part, shape, name, model)
        else:
            yield name, np.frombuffer(part, dtype=datatype.dtype).reshape(shape)


def _from_json(data: Sequence[Any], dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    if dtype.hasobject:
        array = np.empty(len(data), dtype=object)
        array[:] = [str(element).encode() for element in data]
        return array.reshape(shape)
    return np.asarray(data, dtype=dtype).reshape(shape)
