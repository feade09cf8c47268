"""Parts of an answer in messages of bounded size."""

from portus.registry.v1.registry_service_pb2 import Repository
from portus_gateway.rpc.packing import MESSAGE_SIZE, packed


def repository(size: int) -> Repository:
    """A message of about so many bytes."""
    return Repository(name="x" * size)


def sizes(*parts: int) -> list[list[int]]:
    return [[len(part.name) for part in group] for group in packed(parts, repository)]


def test_parts_share_a_message_as_long_as_they_fit() -> None:
    third = MESSAGE_SIZE // 3
    assert sizes(third, third, third, 10) == [[third, third], [third, 10]]
    assert sizes() == []


def test_a_part_that_is_larger_than_a_message_comes_alone() -> None:
    large = 2 * MESSAGE_SIZE
    assert sizes(10, large, 10) == [[10], [large], [10]]


def test_a_part_is_made_when_its_message_or_the_one_before_is_taken() -> None:
    made: list[int] = []

    def make(size: int) -> Repository:
        made.append(size)
        return repository(size)

    groups = packed([MESSAGE_SIZE, MESSAGE_SIZE, MESSAGE_SIZE], make)
    next(groups)
    assert len(made) == 2
