# SPDX-License-Identifier: Apache-2.0
"""The streams of one connection: which are open, which were reset a moment ago, and how each of them ends.

May import `frames`, `streams`, `outbox`, `floods`, `limits` and `faults`.
"""

from naiad.protocol.http2 import frames
from naiad.protocol.http2.faults import ConnectionFailedError, ErrorCode
from naiad.protocol.http2.floods import FloodGuard
from naiad.protocol.http2.frames import MAX_STREAM_ID
from naiad.protocol.http2.limits import Http2Limits
from naiad.protocol.http2.outbox import Outbox
from naiad.protocol.http2.streams import Stream

_REMEMBERED_RESETS = 1024


class StreamTable:
    """What the readers of all kinds of frames share.

    `open` holds the open streams by id. `receiving` is the stream whose DATA frame has begun and not ended; None if
    there is none, or its stream is gone. Streams above `last_accepted_id` are refused. `outbox` takes what is to be
    sent: the table has to know of the responses that end in it.
    """

    __slots__ = ("_floods", "_reset_ids", "highest_id", "last_accepted_id", "open", "outbox", "receiving")

    def __init__(self, limits: Http2Limits, floods: FloodGuard) -> None:
        self.open: dict[int, Stream] = {}
        self.receiving: Stream | None = None
        self.highest_id = 0
        self.last_accepted_id = MAX_STREAM_ID
        self.outbox = Outbox(limits, self._end_response)
        self._floods = floods
        self._reset_ids: dict[int, None] = {}

    def check_not_idle(self, stream_id: int, kind: int) -> None:
        """Check that a frame of type `kind` is on a stream that the client has opened, be it closed by now.

        Raises:
            ConnectionFailedError: it isn't (RFC 9113 §5.1, idle).
        """
        if not stream_id or stream_id > self.highest_id or not stream_id & 1:
            raise ConnectionFailedError(ErrorCode.PROTOCOL_ERROR, f"frame of type {kind} on a stream that isn't open")

    def was_reset(self, stream_id: int) -> bool:
        """Tell whether we reset a stream lately; the client may not know it yet, so its frames are passed over."""
        return stream_id in self._reset_ids

    # -- the ends of streams

    def forget(self, stream: Stream) -> None:
        """Close a stream; its sink isn't told."""
        stream.local_closed = stream.remote_closed = True
        self.open.pop(stream.id, None)
        self.outbox.forget(stream)
        if self.receiving is stream:
            self.receiving = None

    def reset_for_fault(self, stream_id: int, code: ErrorCode) -> None:
        """Reset a stream for the client's fault, open or not, and tell its sink.

        Raises:
            ConnectionFailedError: the client has provoked too many resets.
        """
        self._floods.count_reset()
        stream = self.open.get(stream_id)
        self._remember_reset(stream_id)
        self.outbox.send_control(frames.rst_stream(stream_id, code))
        if stream is not None:
            self.forget(stream)
            stream.lose()

    def refuse(self, stream_id: int) -> None:
        """Refuse a stream that is about to open; the client may try again.

        Raises:
            ConnectionFailedError: the client has opened too many beyond the allowed number.
        """
        self._floods.count_refusal()
        self._send_reset(stream_id, ErrorCode.REFUSED_STREAM)

    def lose_all(self) -> None:
        """Note that the connection is gone, and tell all sinks."""
        streams = list(self.open.values())
        self.open.clear()
        self.receiving = None
        self.outbox.forget_all()
        for stream in streams:
            stream.lose()

    def _end_response(self, stream: Stream) -> None:
        """Forget a stream; what still comes of its request is of no use (RFC 9113 §8.1)."""
        if not stream.remote_closed:
            self._send_reset(stream.id, ErrorCode.NO_ERROR)
        self.forget(stream)
        stream.sink = None

    def _send_reset(self, stream_id: int, code: ErrorCode) -> None:
        self._remember_reset(stream_id)
        self.outbox.buffers.append(frames.rst_stream(stream_id, code))

    def _remember_reset(self, stream_id: int) -> None:
        self._reset_ids[stream_id] = None
        if len(self._reset_ids) > _REMEMBERED_RESETS:
            del self._reset_ids[next(iter(self._reset_ids))]
