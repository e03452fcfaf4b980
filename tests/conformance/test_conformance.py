# SPDX-License-Identifier: Apache-2.0
"""Each line of the table is sent to the real Triton and to Naiad, and the answers are compared."""

from itertools import chain

import pytest
from tests.conformance import allowed
from tests.conformance.cases import HUNG_UP, Case
from tests.conformance.comparison import differences, shown
from tests.conformance.conftest import Servers
from tests.conformance.table import bodies, datatypes, errors, http, log_settings, options, trace_settings
from tests.conformance.wire import Conversation, converse

TABLE = tuple(
    chain.from_iterable(
        chapter.cases() for chapter in (datatypes, options, bodies, errors, http, log_settings, trace_settings)
    )
)


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_naiad_answers_as_triton(case: Case, servers: Servers) -> None:
    triton, naiad = (_conversation(case, port) for port in (servers.triton.http, servers.naiad.http))
    status = triton.answers[0].status if triton.answers else HUNG_UP
    found = [one for one in differences(triton, naiad) if not allowed.is_allowed(case.name, one)]
    both = f"\n\nTriton:\n{shown(triton)}\n\nNaiad:\n{shown(naiad)}\n"
    assert status == case.status, f"the table says that Triton answers with {case.status}{both}"
    assert not found, "differences that nobody has allowed:\n" + "\n".join(map(str, found)) + both


def test_the_table_is_large_and_half_of_it_are_errors() -> None:
    names = {case.name for case in TABLE}
    assert len(names) == len(TABLE)
    assert len(TABLE) >= 200
    assert sum(case.status >= 400 or case.status == HUNG_UP for case in TABLE) >= len(TABLE) / 2


def test_every_allowance_is_about_some_case() -> None:
    idle = [one for one in allowed.ALLOWED if not any(one.is_about(case.name) for case in TABLE)]
    assert not idle


def _conversation(case: Case, port: int) -> Conversation:
    return converse(port, case.encoded(), case.answers, head_only=case.head_only, watch=case.watch)
