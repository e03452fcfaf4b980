# SPDX-License-Identifier: Apache-2.0
"""How many requests may be in flight over all models, so that a crowd is told to come back instead of being queued.

May import `errors`, `requests` and `pending`. Touched on the event loop's thread only.
"""

from naiad.engine.pending import OnResponse
from naiad.errors import NaiadError, UnavailableError
from naiad.requests import InferResponse, is_last


class Admission:
    """Counts the requests in flight, `most` at a time."""

    __slots__ = ("count", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = 0

    def admit(self, on_response: OnResponse) -> "Admitted":
        """Take a request in; what is returned takes the place of its `on_response`.

        Raises:
            UnavailableError: there are as many already as may be.
        """
        if self.count >= self.most:
            raise UnavailableError(
                f"the server has as many requests in flight as --max-requests-in-flight={self.most} allows; "
                "retry later, or send fewer at a time"
            )
        self.count += 1
        return Admitted(self, on_response)


class Admitted:
    """A request that counts until its last response, or until `leave`."""

    __slots__ = ("_admission", "_on_response")

    def __init__(self, admission: Admission, on_response: OnResponse) -> None:
        self._admission: Admission | None = admission
        self._on_response = on_response

    def __call__(self, response: InferResponse | NaiadError) -> None:
        """Hand a response on; after the last one there is room for another request at once."""
        if is_last(response):
            self.leave()
        self._on_response(response)

    def leave(self) -> None:
        """Make room for another request; once, however often it is called."""
        admission, self._admission = self._admission, None
        if admission is not None:
            admission.count -= 1
