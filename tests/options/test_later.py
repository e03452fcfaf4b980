# SPDX-License-Identifier: Apache-2.0
import pytest

from naiad.errors import UnsupportedError
from naiad.options import FIELD_FLAGS, LATER_FLAGS, flag_name, refuse_later_flag


def test_no_flag_is_both_served_and_later() -> None:
    served = {flag_name(name) for name in FIELD_FLAGS} | {alias for f in FIELD_FLAGS.values() for alias in f.aliases}
    assert served.isdisjoint(LATER_FLAGS)


def test_a_later_flag_is_refused_with_the_feature_and_what_to_do() -> None:
    with pytest.raises(UnsupportedError) as caught:
        refuse_later_flag(LATER_FLAGS["rate-limit-resource"], "R1:4")
    assert str(caught.value) == (
        "--rate-limit-resource=R1:4: the rate limiter is not available in this version of Naiad; leave the flag out"
    )


@pytest.mark.parametrize(("flag", "value"), [("model-namespacing", "False"), ("rate-limit", "off")])
def test_a_later_flag_that_asks_for_nothing_is_let_through(flag: str, value: str) -> None:
    refuse_later_flag(LATER_FLAGS[flag], value)
