import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portus_gateway.distribution.challenge import Challenge, normal_scopes, parse_challenges
from portus_gateway.distribution.errors import ChallengeUnusable


def only(*fields: str) -> Challenge:
    (challenge,) = parse_challenges(fields)
    return challenge


def test_distributions_own_challenge() -> None:
    challenge = only(
        'Bearer realm="https://portus.example/v2/token",service="registry.example:5000",'
        'scope="repository:team/app:pull,push",error="insufficient_scope"'
    )
    assert challenge.scheme == "bearer"
    assert dict(challenge.parameters) == {
        "realm": "https://portus.example/v2/token",
        "service": "registry.example:5000",
        "scope": "repository:team/app:pull,push",
        "error": "insufficient_scope",
    }
    assert challenge.scopes == ("repository:team/app:pull,push",)


def test_several_scopes_stand_in_one_value() -> None:
    challenge = only('Bearer realm="r",scope="repository:b:push,pull registry:catalog:*  repository:a:delete"')
    assert challenge.scopes == ("registry:catalog:*", "repository:a:delete", "repository:b:pull,push")


def test_spaces_after_commas_and_around_equals() -> None:
    assert dict(only('Bearer realm = "r" ,  service= "s"').parameters) == {"realm": "r", "service": "s"}


def test_an_equals_sign_and_a_comma_in_a_realm() -> None:
    assert only('Bearer realm="https://r/?a=b,c=d"').parameters["realm"] == "https://r/?a=b,c=d"


def test_escapes_in_a_quoted_string() -> None:
    assert only(r'Basic realm="a \"b\" \\c"').parameters["realm"] == r'a "b" \c'


def test_scheme_and_parameter_names_in_any_case() -> None:
    challenge = only('bEaReR ReAlM="R"')
    assert (challenge.scheme, dict(challenge.parameters)) == ("bearer", {"realm": "R"})


def test_an_unquoted_realm() -> None:
    assert only("Bearer realm=https://r.example/token,service=s").parameters["realm"] == "https://r.example/token"


def test_several_challenges_in_one_field() -> None:
    challenges = parse_challenges(['Negotiate, Basic realm="b", charset="UTF-8", Bearer realm="t",service="s"'])
    assert [(c.scheme, dict(c.parameters)) for c in challenges] == [
        ("negotiate", {}),
        ("basic", {"realm": "b", "charset": "UTF-8"}),
        ("bearer", {"realm": "t", "service": "s"}),
    ]


def test_several_fields() -> None:
    assert [c.scheme for c in parse_challenges(['Basic realm="b"', 'Bearer realm="t"'])] == ["basic", "bearer"]


def test_a_token68_is_no_parameter() -> None:
    challenges = parse_challenges(["Negotiate YWJj=, Basic"])
    assert [(c.scheme, dict(c.parameters)) for c in challenges] == [("negotiate", {"token68": "YWJj="}), ("basic", {})]


@pytest.mark.parametrize("field", ["", "  ", ",", ", ,"])
def test_an_empty_field_has_no_challenge(field: str) -> None:
    assert parse_challenges([field]) == ()


@pytest.mark.parametrize(
    "fields",
    [
        ['Bearer realm="r', 'Basic realm="r"'],
        ['Basic realm="r"', 'Bearer realm="r'],
        ['Bearer realm="a",realm="b", Basic realm="r"'],
        ['Bearer realm="a" service="s", Basic realm="r"'],
        ['Bearer realm=", Basic realm="r"'],
        ["x" * 8193, 'Basic realm="r"'],
    ],
)
def test_a_broken_challenge_does_not_hide_a_good_one(fields: list[str]) -> None:
    assert Challenge("basic", {"realm": "r"}) in parse_challenges(fields)


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ('Bearer realm="r', "closing quote"),
        ('Bearer realm="r" service="s"', "a comma"),
        ('Bearer realm="a",realm="b"', "twice"),
        ('="r"', "an authentication scheme"),
        ("x" * 8193, "longer than"),
    ],
)
def test_a_malformed_field_is_an_error_that_says_where(field: str, why: str) -> None:
    with pytest.raises(ChallengeUnusable, match=why):
        parse_challenges([field])


TOKEN = st.text(alphabet=string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~", min_size=1, max_size=12)
VALUE = st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)
PARAMETERS = st.dictionaries(TOKEN.map(str.lower), VALUE, min_size=1, max_size=4)


def written(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.lists(st.tuples(TOKEN, PARAMETERS), max_size=4), st.sampled_from([",", ", ", " ,\t"]))
def test_what_is_written_by_the_grammar_is_read_back(challenges: list[tuple[str, dict[str, str]]], comma: str) -> None:
    field = comma.join(
        f"{scheme} " + comma.join(f"{name}={written(value)}" for name, value in parameters.items())
        for scheme, parameters in challenges
    )
    assert [(c.scheme, dict(c.parameters)) for c in parse_challenges([field])] == [
        (scheme.lower(), parameters) for scheme, parameters in challenges
    ]


@given(st.text(alphabet=st.sampled_from('Bearer basic=,"\\ \t;:/ab'), max_size=60))
def test_no_input_makes_it_fail_in_another_way(field: str) -> None:
    try:
        parse_challenges([field])
    except ChallengeUnusable:
        pass


@given(st.permutations(["pull", "push", "delete"]), st.permutations(["repository:a:{}", "registry:catalog:*"]))
def test_scopes_compare_whatever_order_the_registry_writes_them_in(actions: list[str], scopes: list[str]) -> None:
    assert normal_scopes(scope.format(",".join(actions)) for scope in scopes) == (
        "registry:catalog:*",
        "repository:a:delete,pull,push",
    )


def test_a_repository_with_a_port_keeps_its_colons() -> None:
    assert normal_scopes(["repository:host:5000/team/app:push,pull"]) == ("repository:host:5000/team/app:pull,push",)
