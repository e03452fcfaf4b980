# SPDX-License-Identifier: Apache-2.0
"""The way of one request's responses from the threads of a model that answers by itself to the event loop.

The model holds a `Sender`, the loop a `Channel`; the sender knows the channel, never the other way round, so that a
sender that the model forgets is noticed. Between them lie at most so many responses and bytes: with more, or when the
transport says that its client does not read, `send` waits. The loop waits for nothing: it takes the lock only to
wake a thread that sleeps on it.
May import `errors`, `requests`, `engine`'s `pending` and `signature`, and its neighbours.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from naiad.engine.pending import Pending
from naiad.engine.scheduling.execution import output_tensor
from naiad.engine.scheduling.instances import Mailbox
from naiad.engine.signature import Signature
from naiad.errors import InternalError, NaiadError
from naiad.requests import NO_PARAMETERS, OutputTensor, ParameterValue
from naiad.tensors import Array

_log = logging.getLogger(__name__)

MOST_RESPONSES_UNDER_WAY = 64
MOST_BYTES_UNDER_WAY = 4 * 1024 * 1024
"""What one request's responses may be on their way to the loop; a single one may be larger."""


class Reply(NamedTuple):
    """What a sender has sent: outputs, an error, or neither of them: that the last response was the last.

    `computed_ns` is when the model gave it, `ready_ns` when it was made ready to go (monotonic).
    """

    outputs: tuple[OutputTensor, ...] | None
    error: NaiadError | None
    parameters: Mapping[str, ParameterValue]
    final: bool
    computed_ns: int
    ready_ns: int

    @property
    def size_bytes(self) -> int:
        """What its arrays hold."""
        return sum([_size_bytes(output.data) for output in self.outputs or ()])


def _size_bytes(array: Array) -> int:
    return sum(map(len, array.flat)) if array.dtype.hasobject else array.nbytes


class Channel:
    """The responses of one request, in the order in which they were sent, each once, none after the last.

    `on_reply` is called on the loop's thread with each. `started_ns` is when the model was given the request, on the
    thread `server` (its identifier).
    """

    def __init__(self, model: str, mailbox: Mailbox, on_reply: Callable[[Reply], None]) -> None:
        self.started_ns = 0
        self.server = 0
        self.is_cancelled = False
        self.is_closed = False
        self._model = model
        self._mailbox = mailbox
        self._on_reply = on_reply
        self._changed = threading.Condition()
        self._sleepers: set[int] = set()
        self._is_held = False
        # Each is written by one side only: the first two with the lock held, the others on the loop.
        self._sent = 0
        self._sent_bytes = 0
        self._delivered = 0
        self._delivered_bytes = 0

    # -- any thread

    def put(self, reply: Reply) -> None:
        """Let `reply` follow those before it; waits while there are too many and the client still wants them."""
        size_bytes = reply.size_bytes
        with self._changed:
            if self._is_full and not (reply.final and reply.outputs is None):
                self._wait()
            if self.is_closed:
                _log.error(
                    "model '%s' sent a response after the last one of its request; it was dropped. Send the last one "
                    "with final=True, or close(), once, and nothing after it",
                    self._model,
                )
                return
            if self.is_cancelled and not reply.final:
                return
            self.is_closed = reply.final
            self._sent += 1
            self._sent_bytes += size_bytes
            # With the lock held, so that what two threads send arrives as they got it.
            self._mailbox.post(partial(self._deliver, reply, size_bytes))

    def _wait(self) -> None:
        # Said before the look, as the loop changes things before it looks whether somebody sleeps.
        me = threading.get_ident()
        self._sleepers.add(me)
        try:
            while self._is_full and not self.is_closed:
                self._changed.wait()
        finally:
            self._sleepers.discard(me)

    @property
    def _is_full(self) -> bool:
        if self.is_cancelled:
            return False
        return (
            self._is_held
            or self._sent - self._delivered >= MOST_RESPONSES_UNDER_WAY
            or self._sent_bytes - self._delivered_bytes >= MOST_BYTES_UNDER_WAY
        )

    def forget(self) -> None:
        """Fail the request: its sender is gone.

        Takes no lock, since the garbage collector calls this wherever it happens to run.
        """
        if not self.is_closed:
            self._mailbox.post(self._fail_forgotten)

    # -- the loop's thread

    @property
    def keeps_instance(self) -> bool:
        """Whether the thread that serves the request waits in `put`, and its instance with it."""
        return self.server in self._sleepers

    @property
    def delivered_bytes(self) -> int:
        """The size of all replies that the loop has taken."""
        return self._delivered_bytes

    def hold_back(self, holds_back: bool) -> None:
        """Let the model wait with further responses, or go on."""
        self._is_held = holds_back
        self._wake()

    def cancel(self) -> None:
        """Tell the model that nobody waits; what it still sends is dropped, and it waits for nothing any more."""
        self.is_cancelled = True
        self._wake()

    def _deliver(self, reply: Reply, size_bytes: int) -> None:
        self._delivered += 1
        self._delivered_bytes += size_bytes
        self._wake()
        self._on_reply(reply)

    def _wake(self) -> None:
        if self._sleepers:
            with self._changed:
                self._changed.notify_all()

    def _fail_forgotten(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        now_ns = time.monotonic_ns()
        error = InternalError(
            f"model '{self._model}' has forgotten a request before its last response; it has to send one with "
            "final=True, or call close()"
        )
        self._on_reply(Reply(None, error, NO_PARAMETERS, True, now_ns, now_ns))


class Sender:
    """The model's end of a channel; see `backends.base.ResponseSender`."""

    __slots__ = ("__weakref__", "_channel", "_is_decoupled", "_signature", "_wanted")

    def __init__(self, channel: Channel, pending: Pending, signature: Signature, is_decoupled: bool) -> None:
        self._channel = channel
        self._wanted = pending.bound.outputs
        self._signature = signature
        self._is_decoupled = is_decoupled

    def __del__(self) -> None:
        self._channel.forget()

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for responses any more."""
        return self._channel.is_cancelled

    def send(
        self,
        outputs: Mapping[str, Array],
        parameters: Mapping[str, ParameterValue] = NO_PARAMETERS,
        final: bool = False,
    ) -> None:
        """Send a response; waits while the client leaves too much unread.

        Raises:
            InternalError: an output is none of the model's, or of another datatype or shape.
        """
        computed_ns = time.monotonic_ns()
        tensors = tuple([self._tensor(name, array) for name, array in outputs.items() if self._is_wanted(name)])
        is_last = final or not self._is_decoupled
        self._channel.put(Reply(tensors, None, dict(parameters), is_last, computed_ns, time.monotonic_ns()))

    def fail(self, error: NaiadError, final: bool = True) -> None:
        """Send an error."""
        now_ns = time.monotonic_ns()
        self._channel.put(Reply(None, error, NO_PARAMETERS, final or not self._is_decoupled, now_ns, now_ns))

    def close(self) -> None:
        """Send that the last response was the last."""
        now_ns = time.monotonic_ns()
        error = None
        if not self._is_decoupled:
            error = InternalError(f"model '{self._signature.model}' gave no response, expected exactly one")
        self._channel.put(Reply(None, error, NO_PARAMETERS, True, now_ns, now_ns))

    def _is_wanted(self, name: str) -> bool:
        if name in self._wanted:
            return True
        if name in self._signature.outputs:
            return False
        raise InternalError(
            f"model '{self._signature.model}' gave an output '{name}', expected one of: "
            f"{', '.join(self._signature.outputs)}; correct the model, or 'output' in config.pbtxt"
        )

    def _tensor(self, name: str, array: Array) -> OutputTensor:
        expected = self._signature.outputs[name]
        if array.dtype != expected.datatype.dtype:
            raise InternalError(
                f"model '{self._signature.model}' gave output '{name}' as {array.dtype}, expected "
                f"{expected.datatype.dtype} ({expected.datatype.name}); convert it with astype()"
            )
        try:
            return output_tensor(expected, array, self._signature)
        except ValueError:
            raise InternalError(
                f"model '{self._signature.model}' gave output '{name}' in shape {list(array.shape)}, which cannot be "
                f"reshaped to {list(expected.dims)}; correct the model, or 'reshape' in config.pbtxt"
            ) from None
