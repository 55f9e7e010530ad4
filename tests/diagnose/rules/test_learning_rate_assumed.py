"""A learning rate that nobody chose is nobody's fault."""

from __future__ import annotations

import msgspec
import pytest
from examined_trainings import adam, digits, examined, mlp, with_setting

from evenflow.diagnose.rules import lr_too_high, lr_too_low


@pytest.mark.parametrize(("judge", "rate"), [(lr_too_low.judge, 1e-5), (lr_too_high.judge, 3.0)])
def test_rate_of_the_doctors_own_choice_is_information(judge, rate):
    case = examined(mlp(64, 32, 32, 10), digits(), adam(rate))
    chosen = judge(case)
    assert chosen is not None
    assert chosen.severity == "fault"
    assert "own choice" not in chosen.message
    assumed = judge(with_setting(case, msgspec.structs.replace(case.setting, assumed=True)))
    assert assumed is not None
    assert assumed.severity == "information"
    assert "own choice" in assumed.message
