"""What is wrong with a policy file is said at once, where it is."""

import pytest

from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.access.rpcs import RPCS
from tests.access.policies import TEAM_A, A, parsed

MISTAKES = """
version = 1

[[deny]]
principals = ["*"]
rpcs = ["delete"]
repositories = ["**"]

[[allow]]
name = "twice"
principals = ["ci"]
rpcs = ["reed"]
repositories = ["Team/**"]

[[allow]]
name = "twice"
principal = "token:x"
principals = []
rpcs = ["read"]
"""


def problems_of(text: str | bytes) -> tuple[str, ...]:
    with pytest.raises(InvalidAccessFile) as caught:
        parsed(text if isinstance(text, str) else text.decode("latin-1"))
    return caught.value.problems


def test_all_mistakes_are_reported_at_once_with_rule_and_line() -> None:
    problems = problems_of(MISTAKES)
    expected = [
        "'version' is unknown",
        "deny rule 1 (line 4): needs a `name`",
        "allow rule 'twice' (line 9): principals: 'ci' is neither `*` nor `anonymous`",
        "allow rule 'twice' (line 9): rpcs: 'reed' is neither an RPC nor a group; these exist: read, pull, delete, *",
        "allow rule 'twice' (line 9): repositories: 'Team/**': 'Team' is not a segment",
        "allow rule 'twice' (line 15): 'principal' is unknown: a rule has name, principals, rpcs, repositories",
        "allow rule 'twice' (line 15): needs `principals`",
        "allow rule 'twice' (line 15): needs `repositories`",
    ]
    assert len(problems) == len(expected), problems
    for problem, beginning in zip(problems, expected, strict=True):
        assert problem.startswith(beginning), problem


def test_two_rules_cannot_have_one_name() -> None:
    assert problems_of(TEAM_A + TEAM_A)[0] == "two rules have the name 'team a reads'"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no [[allow]] rule"),
        (TEAM_A[:-20], "not TOML"),
        ("[allow]\nname = 'x'", "'allow' has to be a list of tables"),
        ("allow = ['x']", "'allow' has to be a list of tables"),
        ("allow = 5", "'allow' has to be a list of tables"),
        ("a = " + "[" * 5000, "not TOML"),
    ],
)
def test_what_is_no_policy_at_all(text: str, problem: str) -> None:
    assert problems_of(text)[0].startswith(problem)


def test_a_rule_of_the_registry_alone_needs_no_repositories() -> None:
    text = '[[allow]]\nname = "info"\nprincipals = ["*"]\nrpcs = ["GetRegistryInfo"]\n'
    assert parsed(text).decide(A, RPCS["GetRegistryInfo"], None).allowed
    assert "needs `repositories`" in problems_of(text.replace('"GetRegistryInfo"', '"GetRegistryInfo", "ListTags"'))[0]


def test_rules_written_inline_have_no_lines() -> None:
    text = 'allow = [{name = "all", principals = ["*"], rpcs = ["*"], repositories = ["**"]}]'
    assert str(parsed(text).decide(A, RPCS["ListTags"], "x")) == "allowed by allow rule 'all'"


def test_a_header_in_a_comment_makes_no_wrong_line() -> None:
    text = "# [[allow]] is for what is allowed\n#[[allow]]\n" + TEAM_A
    assert str(parsed(text).decide(A, RPCS["ListTags"], "team-a/x")) == "allowed by allow rule 'team a reads' (line 4)"


RULE = """
[[allow]]
name = "a"
principals = ["*"]
rpcs = ["read"]
repositories = ["**"]
"""


@pytest.mark.parametrize("name", ['" "', '""', "1", f'"{"x" * 201}"', r'"a\nb"', r'"a\u001b[31mb"'])
def test_a_name_that_logs_cannot_show_is_refused(name: str) -> None:
    (problem,) = problems_of(RULE.replace('"a"', name))
    assert "needs a `name`: 1 to 200 printable characters" in problem


def test_a_name_may_have_200_characters() -> None:
    (rule,) = parsed(RULE.replace('"a"', f'"{"x" * 200}"')).rules
    assert rule.name == "x" * 200


@pytest.mark.parametrize("value", ['"*"', "[]", "5", "[5]", '["*", 5]', '[["*"]]'])
@pytest.mark.parametrize("key", ["principals", "rpcs", "repositories"])
def test_what_is_no_list_of_strings_is_refused(key: str, value: str) -> None:
    lines = [f"{key} = {value}" if line.startswith(key) else line for line in RULE.splitlines()]
    assert problems_of("\n".join(lines)) == (f"allow rule 'a' (line 2): needs `{key}`: a list of one or more strings",)


def test_repositories_count_also_for_an_rpc_that_concerns_none() -> None:
    text = RULE.replace('"read"', '"GetRegistryInfo"').replace('"**"', '"Team/**"')
    assert "repositories: 'Team/**': 'Team' is not a segment" in problems_of(text)[0]


def test_missing_repositories_are_reported_together_with_unknown_rpcs() -> None:
    text = RULE.replace('"read"', '"reed"').replace('repositories = ["**"]', "")
    first, second = problems_of(text)
    assert first.startswith("allow rule 'a' (line 2): rpcs: 'reed' is neither")
    assert second == "allow rule 'a' (line 2): needs `repositories`: a list of one or more strings"


def test_a_mistake_in_a_rule_without_a_line_is_reported_with_its_name() -> None:
    (problem,) = problems_of('allow = [{name = "a", principals = ["*"], rpcs = ["read"], repositories = []}]')
    assert problem == "allow rule 'a': needs `repositories`: a list of one or more strings"
