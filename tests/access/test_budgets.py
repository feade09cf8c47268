"""What each of many may use."""

from portus_gateway.access.budgets import OTHERS, Budgets


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def budgets(clock: Clock, remembered: int = 100) -> Budgets:
    return Budgets(rate=1.0, burst=10.0, remembered=remembered, clock=clock)


def used(budget: Budgets, key: str, amount: float = 1) -> int:
    """How often `key` may use `amount` now."""
    times = 0
    while times < 1000 and budget.allows(key):
        budget.spend(key, amount)
        times += 1
    return times


def test_a_burst_and_then_a_rate() -> None:
    clock = Clock()
    budget = budgets(clock)
    assert used(budget, "a") == 10
    clock.now += 3.5
    assert used(budget, "a") == 4
    clock.now += 1000
    assert used(budget, "a") == 10


def test_what_is_large_is_allowed_and_waited_for_longer() -> None:
    clock = Clock()
    budget = budgets(clock)
    assert used(budget, "a", 25) == 1
    clock.now += 14
    assert used(budget, "a") == 0
    clock.now += 2
    assert used(budget, "a") == 1


def test_what_is_used_without_asking_is_not_forgiven_for_the_pause_before_it() -> None:
    """A delete that was allowed is recorded, and counts, whatever is left."""
    clock = Clock()
    budget = budgets(clock)
    assert budget.allows("a")
    clock.now += 1000
    budget.spend("a", 25)
    clock.now += 14
    assert used(budget, "a") == 0
    clock.now += 2
    assert used(budget, "a") == 1


def test_what_all_use_without_asking_is_not_forgiven_for_the_pause_before_it() -> None:
    clock = Clock()
    budget = budgets(clock)
    clock.now += 1000
    budget.spend("a", 250)
    clock.now += 14
    assert used(budget, "b") == 0
    clock.now += 2
    assert used(budget, "b") == 10


def test_one_key_does_not_use_up_anothers() -> None:
    budget = budgets(Clock())
    assert used(budget, "a") == used(budget, "b") == 10


def test_all_together_may_use_ten_times_as_much_however_many_they_are() -> None:
    clock = Clock()
    budget = budgets(clock, remembered=5)
    assert sum(used(budget, f"k{number}") for number in range(500)) == 100
    clock.now += 1
    assert sum(used(budget, f"k{number}") for number in range(500)) == 10


def test_what_is_left_out_is_counted_once() -> None:
    budget = budgets(Clock())
    for key, times in (("a", 3), ("b", 5), ("c", 1), ("d", 2)):
        for _ in range(times):
            budget.leave_out(key)
    assert budget.left_out_of("c") == 1
    assert budget.left_out_of("c") == 0
    assert budget.has_left_out
    assert budget.left_out(2) == {"b": 5, "a": 3, OTHERS: 2}
    assert not budget.has_left_out
    assert budget.left_out(2) == {}


def test_very_many_keys_are_counted_together() -> None:
    budget = budgets(Clock(), remembered=3)
    for number in range(10):
        budget.leave_out(f"k{number}")
    # One that is counted already stays one of its own.
    budget.leave_out("k1")
    assert budget.left_out(10) == {"k0": 1, "k1": 2, "k2": 1, OTHERS: 7}
