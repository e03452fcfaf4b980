# SPDX-License-Identifier: Apache-2.0
"""A listening gRPC port.

May import its neighbours `connection`, `method` and `settings`, and `transport`'s `bodies`, `slow_work` and `listener`.
"""

from naiad.server.grpc.connection import CallCheck, GrpcConnection, GrpcState
from naiad.server.grpc.method import Methods
from naiad.server.grpc.settings import GrpcSettings
from naiad.server.transport.bodies import BodyBudget
from naiad.server.transport.listener import Listener
from naiad.server.transport.slow_work import SlowWork


class GrpcServer(Listener[GrpcConnection]):
    """Serves `methods` on one address and port; `check_call` may refuse calls before their messages are read."""

    _state: GrpcState

    def __init__(
        self,
        methods: Methods,
        settings: GrpcSettings,
        budget: BodyBudget,
        slow_work: SlowWork,
        check_call: CallCheck | None = None,
    ) -> None:
        state = GrpcState(methods, settings, budget, slow_work, check_call)
        super().__init__(state, lambda: GrpcConnection(state), settings.times.tick_s)
