from dataclasses import fields, replace

import pytest

from portus_gateway.rpc.limits import ServerLimits


@pytest.mark.parametrize("name", [field.name for field in fields(ServerLimits)])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_limit_that_lets_nothing_pass_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be more than 0"):
        replace(ServerLimits(), **{name: value})  # type: ignore[arg-type]
