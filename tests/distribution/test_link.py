import pytest
from hypothesis import given
from hypothesis import strategies as st

from portus_gateway.distribution.link import next_target


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        (['</v2/_catalog?last=b&n=2>; rel="next"'], "/v2/_catalog?last=b&n=2"),
        (["<https://r.example/v2/_catalog?last=b>; rel=next"], "https://r.example/v2/_catalog?last=b"),
        (["<?last=a%2Fb>;rel=next"], "?last=a%2Fb"),
        (['<x>; title="a, b; rel=no"; rel="next"'], "x"),
        (['<first>; rel="first", <second>; rel="next"'], "second"),
        (['<first>; rel="first"', '<second>; rel="next"'], "second"),
        (['<x>; rel="prefetch next"'], "x"),
        (['<x>; REL="NEXT"'], "x"),
        (['<x>; rel="prev"; rel="next"'], None),
        (['<x>; rel="nextish"'], None),
        (['<x>; rev="next"'], None),
        (["<x>"], None),
        (["x; rel=next"], None),
        (["<x; rel=next"], None),
        ([], None),
        ([""], None),
        (["<a,b?n=1>; rel=next"], "a,b?n=1"),
        (["<a>; anchor; rel=next"], "a"),
    ],
)
def test_the_next_link(fields: list[str], target: str | None) -> None:
    assert next_target(fields) == target


URI = st.text(alphabet="abc/?&=%2F,;:.-_~", min_size=1, max_size=40)


@given(
    URI,
    st.lists(st.sampled_from(['title="a;b,c"', "type=x", 'media="\\"q\\""', "crossorigin"]), max_size=3),
    st.lists(st.sampled_from(['<other>; rel="prev"', "<y>; rel=last; n=1"]), max_size=3),
    st.booleans(),
)
def test_it_is_found_among_other_links_and_parameters(
    target: str, parameters: list[str], others: list[str], quoted: bool
) -> None:
    link = "; ".join([f"<{target}>", *parameters, 'rel="next"' if quoted else "rel=next"])
    assert next_target([", ".join([*others, link])]) == target
    assert next_target([*others, link]) == target


@given(st.text(alphabet='<>;,="\\ relnxt', max_size=80))
def test_no_input_makes_it_fail(field: str) -> None:
    next_target([field])
