# SPDX-License-Identifier: Apache-2.0
"""The only place where a difference between Triton and Naiad is allowed, each with its reason.

An entry allows differences at some paths (see `comparison.Difference`) in the cases whose names match, provided the
two values are as `values` says. Patterns are those of `fnmatch`, where `[[]` stands for a bracket.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.conformance.comparison import ABSENT, Difference


def _any(_triton: object, _naiad: object) -> bool:
    return True


def _are(triton: object, naiad: object) -> Callable[[object, object], bool]:
    return lambda theirs, ours: (theirs, ours) == (triton, naiad)


def _naiad_adds(triton: object, naiad: object) -> bool:
    return isinstance(triton, str) and isinstance(naiad, str) and naiad.startswith(triton)


def _naiad_says(beginning: str) -> Callable[[object, object], bool]:
    return lambda _, ours: str(ours).startswith(beginning)


def _naiad_leaves_out(triton: object, naiad: object) -> bool:
    return isinstance(triton, list) and isinstance(naiad, list) and naiad == [one for one in triton if one in naiad]


def _names_the_raw_input(triton: object, naiad: object) -> bool:
    return str(triton).replace("'raw_input'", "'INPUT0'") == naiad


def _names_another_input(triton: object, naiad: object) -> bool:
    return str(triton).replace("'INPUT0'", "'INPUT1'") == naiad


@dataclass(frozen=True, slots=True)
class Allowed:
    """A difference that may be: `cases` and `paths` are alternatives, any of which must match.

    Where the status may differ, `naiad_status` says what Naiad's must be.
    """

    reason: str
    cases: tuple[str, ...]
    paths: tuple[str, ...]
    values: Callable[[object, object], bool] = _any
    naiad_status: int = 0

    def is_about(self, case: str) -> bool:
        """Tell whether this entry is about the case of that name."""
        return any(fnmatchcase(case, pattern) for pattern in self.cases)

    def allows(self, case: str, difference: Difference) -> bool:
        """Tell whether `difference` may be in the case of that name."""
        return (
            self.is_about(case)
            and any(fnmatchcase(difference.path, pattern) for pattern in self.paths)
            and (difference.path != "status" or difference.naiad == self.naiad_status)
            and self.values(difference.triton, difference.naiad)
        )


_ALL = ("*",)
_WHOLE_ANSWER = ("status", "reason", "header *", "json*", "version", "closed")

ALLOWED = (
    # ---- on purpose, everywhere
    Allowed("a text may go on where it names a fix", _ALL, ("json.error",), _naiad_adds),
    Allowed(
        "Triton labels the JSON of errors as text/plain or application/json, without a rule",
        _ALL,
        ("header content-type of an error",),
        lambda triton, naiad: {triton, naiad} == {"text/plain", "application/json"},
    ),
    Allowed("whoever closes a connection says so", _ALL, ("header connection",), _are(ABSENT, "close")),
    Allowed(
        "which of several bad inputs is named first is open",
        ("batches differ*",),
        ("json.error",),
        _names_another_input,
    ),
    Allowed(
        "Triton calls the one input of a raw request 'raw_input', a name its sender never saw",
        ("raw: *", "no length", "length 0"),
        ("json.error",),
        _names_the_raw_input,
    ),
    Allowed(
        "outputs come as they were asked for; Triton sorts them by name",
        ("outputs: in reverse",),
        ("order of outputs",),
    ),
    Allowed(
        "a string cut short is told by Triton's backends, which leave out the request's id",
        ("BYTES: length beyond the end",),
        ("json.error",),
        lambda triton, naiad: f"[request id: <id_unknown>] {triton}" == naiad,
    ),
    # ---- what the two are
    Allowed("Naiad has a version of its own", ("server metadata", "GET *"), ("json.version",)),
    Allowed(
        "only extensions that work are told", ("server metadata", "GET *"), ("json.extensions",), _naiad_leaves_out
    ),
    Allowed(
        "the models are served by other backends",
        ("metadata *", "config *", "version *", "GET *", "HTTP: *", "a body in a GET"),
        ("json.platform", "json.backend", "json.default_model_filename"),
    ),
    Allowed(
        "Python models fail to load with a traceback",
        ("index*",),
        ("json[[]*].reason",),
        lambda triton, naiad: (
            str(triton).startswith("Internal: ") and str(naiad) == "Internal: the model does not load"
        ),
    ),
    # ---- rules of Triton's that are newer than the reference, 2.51
    Allowed("an output cannot be asked for twice", ("an output twice*",), _WHOLE_ANSWER, naiad_status=400),
    Allowed("JSON nests at most 100 deep", ("JSON b'[[][[]*",), _WHOLE_ANSWER, naiad_status=400),
    Allowed("the index wants a boolean for `ready`", ("index: ready *",), _WHOLE_ANSWER, naiad_status=400),
    Allowed(
        "a header length that is no number of 32 bits is refused as such",
        ("header length *",),
        ("json.error",),
        _naiad_says("Unable to parse Inference-Header-Content-Length, got: "),
    ),
    # ---- Triton's slips
    Allowed(
        "corrupt data: Triton reads on as if the body were empty",
        ("corrupt *",),
        ("json.error",),
        _naiad_says("request body is not valid "),
    ),
    Allowed("an empty Content-Encoding names no coding", ("Content-Encoding ''*",), _WHOLE_ANSWER, naiad_status=200),
    Allowed(
        "codings are named in any case (RFC 9110, 8.4.1)",
        ("Accept-Encoding 'GZIP'*",),
        ("header content-encoding",),
        _are(ABSENT, "gzip"),
    ),
    Allowed(
        "text that isn't UTF-8 is not JSON (RFC 8259, 8.1)",
        ('JSON b\'{"id": "\\xff*',),
        ("json.error",),
        _naiad_says("failed to parse the request JSON buffer: Invalid encoding in string. at "),
    ),
    Allowed(
        "100 Continue is left out when the body is there already (RFC 9110, 10.1.1)",
        ("Expect*",),
        ("interim",),
        _are((100,), ()),
    ),
    Allowed(
        "what the server does not do of an Expect is told (RFC 9110, 10.1.1)",
        ("Expect: 200-ok",),
        _WHOLE_ANSWER,
        naiad_status=417,
    ),
    Allowed(
        "a body must end in the same place for everyone between client and server (RFC 9112, 6.3)",
        ("framed: a length and chunks", "framed: the length twice", "framed: chunked twice", "framed: identity"),
        _WHOLE_ANSWER,
        naiad_status=400,
    ),
    Allowed(
        "a transfer coding is named in any case (RFC 9112, 7)",
        ("framed: in capitals",),
        _WHOLE_ANSWER,
        naiad_status=200,
    ),
    Allowed(
        "an unknown transfer coding is 501 (RFC 9112, 6.1)",
        ("framed: gzip and chunks",),
        _WHOLE_ANSWER,
        naiad_status=501,
    ),
    Allowed(
        "one host (RFC 9112, 3.2), no space before a colon (5.1), no zero bytes (RFC 9110, 5.5)",
        ("header: two hosts", "header: a space before a colon", "header: a zero byte"),
        _WHOLE_ANSWER,
        naiad_status=400,
    ),
    Allowed("an unknown method is 501 (RFC 9110, 9.1)", ("BREW *",), _WHOLE_ANSWER, naiad_status=501),
    Allowed(
        "an answer tells the server's own version of HTTP (RFC 9110, 6.2)",
        ("HTTP: 1.0*",),
        ("version",),
        _are("HTTP/1.0", "HTTP/1.1"),
    ),
    Allowed("HTTP/2.0 cannot be spoken this way", ("HTTP: 2.0",), _WHOLE_ANSWER, naiad_status=505),
    Allowed("`Connection: CLOSE` is close (RFC 9110, 7.6.1)", ("HTTP: header names in odd case",), ("closed",)),
    Allowed("a path has no bytes beyond ASCII (RFC 3986)", ("GET '/v2/models/é'",), _WHOLE_ANSWER, naiad_status=400),
    Allowed("chunk extensions are ignored (RFC 9112, 7.1.1)", ("chunked: an ext*",), ("answers",), _are([], [200])),
    Allowed("CONNECT is a method like others; Triton hangs up", ("CONNECT *",), ("answers",), _are([], [405])),
    Allowed("* is a path like others; Triton hangs up", ("GET '[*]'",), ("answers",), _are([], [404])),
    Allowed(
        "malformed HTTP is told so, where Triton hangs up",
        (
            *("get /v2", "G ET /v2", "GET '/v2/models/a b'", "GET 'v2'", "HTTP: nonsense"),
            *("HTTP: a header without a colon", "chunked: no size", "a negative length", "a length that isn't*"),
        ),
        ("answers",),
        _are([], [400]),
    ),
)


def is_allowed(case: str, difference: Difference) -> bool:
    """Tell whether a difference in the case of that name has been found right."""
    return any(allowed.allows(case, difference) for allowed in ALLOWED)
