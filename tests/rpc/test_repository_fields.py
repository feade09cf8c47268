"""The bytes that are made by hand are those that protobuf makes."""

import weakref

import pytest

from portus.registry.v1.registry_service_pb2 import CatalogResponse, Repository
from portus_gateway.distribution import names
from portus_gateway.index.store import CatalogPage, IndexedRepository
from portus_gateway.operations.catalog_listing import CatalogEntry, TagNames
from portus_gateway.rpc.packing import MESSAGE_SIZE
from portus_gateway.rpc.repository_fields import grouped_repository_fields, repository_fields


@pytest.mark.parametrize("count", [0, 1, 16, 17, 100, 10_000])
@pytest.mark.parametrize("length", [1, 4, 127, 128])
def test_repositories_of_the_index(count: int, length: int) -> None:
    tags = tuple(f"{number}".rjust(length, "v")[-length:] for number in range(count))
    name = "a" * 255
    expected = CatalogResponse(repositories=[Repository(name=name, tags=tags), Repository(name="b")])
    entries = [IndexedRepository(name, 1.0, tags, True), IndexedRepository("b", 1.0, (), True)]
    assert repository_fields(entries) == expected.SerializeToString()
    # Small ones come from memory the second time.
    assert repository_fields(entries) == expected.SerializeToString()


@pytest.mark.parametrize("count", [0, 1, 16, 17, 100])
def test_repositories_of_the_registry(count: int) -> None:
    tags = tuple(f"v{number}" for number in range(count))
    entry = CatalogEntry(names.Repository("team/app"), TagNames(tags))
    expected = CatalogResponse(repositories=[Repository(name="team/app", tags=tags)])
    assert repository_fields([entry]) == expected.SerializeToString()


def test_a_page_of_the_index_is_converted_once_for_as_long_as_it_is_remembered() -> None:
    page = CatalogPage((IndexedRepository("team/app", 1.0, ("v1",), True),), more=False)
    expected = CatalogResponse(repositories=[Repository(name="team/app", tags=["v1"])])
    first = grouped_repository_fields(page)
    assert b"".join(first) == expected.SerializeToString()
    assert grouped_repository_fields(page) is first
    # Another page with the same content is another object: nobody compares pages.
    assert grouped_repository_fields(CatalogPage(page.repositories, more=True)) == first
    forgotten = weakref.ref(page)
    del page
    assert forgotten() is None


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            CatalogEntry(names.Repository("a"), TagNames(("1",), ("-2",))),
            Repository(name="a", tags=["1"], unusable_tags=["-2"]),
        ),
        (CatalogEntry(names.Repository("a"), None), Repository(name="a")),
        (CatalogEntry(names.UnusableName("A", "no name"), TagNames(("1",))), Repository(name="A", tags=["1"])),
    ],
)
def test_other_entries_are_converted(entry: CatalogEntry, expected: Repository) -> None:
    assert repository_fields([entry]) == CatalogResponse(repositories=[expected]).SerializeToString()


def test_groups_are_full_and_not_larger_than_a_message() -> None:
    entries = [IndexedRepository(f"team/app-{number}", 1.0, ("v1",) * 50, True) for number in range(2000)]
    groups = list(grouped_repository_fields(entries))
    assert b"".join(groups) == repository_fields(entries)
    assert all(0.9 * MESSAGE_SIZE < len(group) <= MESSAGE_SIZE for group in groups[:-1])


def test_a_large_repository_comes_alone() -> None:
    large = IndexedRepository("large", 1.0, tuple(f"v{number:020}" for number in range(MESSAGE_SIZE // 20)), True)
    small = IndexedRepository("small", 1.0, (), True)
    groups = list(grouped_repository_fields([small, large, small]))
    assert [CatalogResponse.FromString(group).repositories[0].name for group in groups] == ["small", "large", "small"]
