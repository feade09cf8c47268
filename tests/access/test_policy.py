"""What a policy decides."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portus.registry.v1 import registry_service_pb2
from portus_gateway.access.caller import NOBODY, Caller
from portus_gateway.access.policy import Decision, Policy, Rule
from portus_gateway.access.principal_pattern import PrincipalPattern
from portus_gateway.access.repository_glob import RepositoryGlob
from portus_gateway.access.rpcs import ALL, GROUPS, REPOSITORY_RPCS, RPCS, SERVICE
from tests.access.policies import ROOT, STRANGER, TEAM_A, A, parsed
from tests.access.test_repository_glob import NAMES, PATTERNS, naive_match

DENIED_SECRETS = """
[[deny]]
name = "secrets are nobody's"
principals = ["*"]
rpcs = ["*"]
repositories = ["secret/**"]
"""


def test_what_no_rule_allows_is_denied() -> None:
    decision = parsed(TEAM_A).decide(STRANGER, RPCS["GetManifest"], "team-a/app")
    assert not decision.allowed
    assert str(decision) == "denied: no allow rule matches"


def test_a_decision_names_its_rule_and_line() -> None:
    decision = parsed(TEAM_A).decide(A, RPCS["GetManifest"], "team-a/app")
    assert decision.allowed
    assert str(decision) == "allowed by allow rule 'team a reads' (line 2)"


def test_a_deny_rule_applies_first_wherever_it_is() -> None:
    policy = parsed(
        TEAM_A
        + """
[[deny]]
name = "releases stay"
principals = ["*"]
rpcs = ["delete"]
repositories = ["**/releases"]
"""
    )
    decision = policy.decide(ROOT, RPCS["DeleteManifest"], "team-a/releases")
    assert str(decision) == "denied by deny rule 'releases stay' (line 20)"
    assert policy.decide(ROOT, RPCS["GetManifest"], "team-a/releases").allowed
    assert policy.decide(ROOT, RPCS["DeleteManifest"], "team-a/app").allowed


def test_groups_of_rpcs() -> None:
    policy = parsed(TEAM_A)
    allowed = {rpc for rpc in REPOSITORY_RPCS if policy.decide(A, RPCS[rpc], "team-a/app").allowed}
    assert allowed == GROUPS["read"] - {"GetRegistryInfo"}
    assert {rpc for rpc in REPOSITORY_RPCS if policy.decide(ROOT, RPCS[rpc], "team-a/app").allowed} == REPOSITORY_RPCS


def test_a_call_without_a_credential_needs_a_rule_for_anonymous() -> None:
    everybody = TEAM_A.replace("token:root", "*")
    assert not parsed(everybody).decide(NOBODY, RPCS["GetManifest"], "x").allowed
    assert parsed(everybody).decide(STRANGER, RPCS["GetManifest"], "x").allowed
    assert parsed(TEAM_A.replace("token:root", "anonymous")).decide(NOBODY, RPCS["GetManifest"], "x").allowed


def test_every_name_of_a_caller_counts() -> None:
    both = Caller.known_as("certificate", ["spiffe://example.org/x", "cn:root"])
    policy = parsed(TEAM_A.replace("token:root", "cn:root"))
    assert policy.decide(both, RPCS["DeleteManifest"], "any/thing").allowed


def test_get_registry_info_needs_a_rule_but_no_repository() -> None:
    policy = parsed(TEAM_A)
    assert policy.decide(A, RPCS["GetRegistryInfo"], None).allowed
    assert not policy.decide(STRANGER, RPCS["GetRegistryInfo"], None).allowed
    barred = """
[[deny]]
name = "not a"
principals = ["token:a"]
rpcs = ["*"]
repositories = ["{}"]
"""
    assert parsed(TEAM_A + barred.format("secret/**")).decide(A, RPCS["GetRegistryInfo"], None).allowed
    assert not parsed(TEAM_A + barred.format("**")).decide(A, RPCS["GetRegistryInfo"], None).allowed


def test_a_deny_rule_alone_allows_nothing() -> None:
    assert not parsed(TEAM_A + DENIED_SECRETS).decide(STRANGER, RPCS["GetRegistryInfo"], None).allowed


def test_a_caller_to_whom_one_repository_is_denied_has_rights_everywhere_else_only() -> None:
    everywhere = TEAM_A.replace('"token:root"', '"token:a"')
    assert parsed(everywhere).rights(A, RPCS["GetManifest"]).everywhere
    rights = parsed(everywhere + DENIED_SECRETS).rights(A, RPCS["GetManifest"])
    assert not rights.everywhere
    assert rights.in_repository("team-b/app").allowed
    assert not rights.in_repository("secret/app").allowed


def test_one_pattern_for_all_repositories_is_enough_to_be_allowed_everywhere() -> None:
    both = TEAM_A.replace('repositories = ["**"]', 'repositories = ["team-a/**", "**"]')
    assert parsed(both).rights(ROOT, RPCS["GetManifest"]).everywhere


def test_a_rule_without_a_line_is_shown_with_its_name() -> None:
    rule = Rule(
        name="built in",
        effect="allow",
        principals=(PrincipalPattern("*"),),
        rpcs=frozenset({"GetManifest"}),
        repositories=(RepositoryGlob("**"),),
    )
    assert str(rule) == "allow rule 'built in'"


def test_who_may_only_ask_for_the_registry_info_sees_no_repository() -> None:
    policy = parsed(TEAM_A.replace('rpcs = ["*"]', 'rpcs = ["GetRegistryInfo"]'))
    assert policy.decide(ROOT, RPCS["GetRegistryInfo"], None).allowed
    assert not policy.sees(ROOT, "team-a/app")


def test_questions_about_ever_new_repositories_and_callers_take_little_memory() -> None:
    policy = parsed(TEAM_A)

    def ask(first: int) -> int:
        """Asks 5,000 new questions. The bytes that are kept of them."""
        before = tracemalloc.get_traced_memory()[0]
        for number in range(first, first + 5000):
            policy.decide(A, RPCS["GetManifest"], f"team-a/{number}")
            policy.rights(Caller.known_as("token", [f"token:{number}"]), RPCS["GetManifest"])
        return tracemalloc.get_traced_memory()[0] - before

    tracemalloc.start()
    try:
        ask(0)
        assert ask(10_000) < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_repository_is_seen_by_whoever_may_do_anything_with_it() -> None:
    policy = parsed(TEAM_A.replace('rpcs = ["read"]', 'rpcs = ["ListTags"]'))
    assert policy.sees(A, "team-a/app")
    assert policy.sees(A, "team-a/scratch/x")
    assert not policy.sees(A, "team-b/app")
    assert not policy.sees(STRANGER, "team-a/app")


def test_a_repository_rpc_needs_a_repository() -> None:
    with pytest.raises(ValueError, match="name one"):
        parsed(TEAM_A).decide(A, RPCS["GetManifest"], None)


def test_the_rpcs_of_the_contract_are_the_ones_that_policies_know() -> None:
    service = registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"]
    assert service.full_name == SERVICE
    assert {method.name: method.server_streaming for method in service.methods} == {
        name: rpc.streams for name, rpc in RPCS.items()
    }
    # Each is in a group, so that a policy that speaks of groups alone speaks of everything.
    assert GROUPS["read"] | GROUPS["pull"] | GROUPS["delete"] == ALL


PRINCIPALS = ["token:a", "token:b", "cn:a", "anonymous"]
PATTERNS_OF_PRINCIPALS = ["token:a", "token:*", "*", "anonymous", "cn:*"]
RULES = st.builds(
    lambda name, effect, principals, rpcs, globs: Rule(
        name=str(name),
        effect=effect,
        principals=tuple(map(PrincipalPattern, principals)),
        rpcs=frozenset(rpcs),
        repositories=tuple(map(RepositoryGlob, globs)),
    ),
    st.integers(),
    st.sampled_from(["deny", "allow"]),
    st.lists(st.sampled_from(PATTERNS_OF_PRINCIPALS), min_size=1, max_size=3),
    st.sets(st.sampled_from(sorted(ALL)), min_size=1),
    st.lists(PATTERNS | NAMES, min_size=1, max_size=3),
)


@settings(deadline=None)
@given(
    st.lists(RULES, max_size=6),
    st.sets(st.sampled_from(PRINCIPALS[:3]), min_size=1) | st.just({"anonymous"}),
    st.sampled_from(sorted(REPOSITORY_RPCS)),
    NAMES,
)
def test_decisions_are_those_of_the_naive_policy(
    rules: list[Rule], principals: set[str], rpc: str, repository: str
) -> None:
    policy = Policy(rules)
    caller = Caller.known_as("token", sorted(principals))

    def speaks(rule: Rule) -> bool:
        return (
            rpc in rule.rpcs
            and any(naive_principal(str(pattern), one) for pattern in rule.principals for one in principals)
            and any(naive_match(str(glob), repository) for glob in rule.repositories)
        )

    denying = [rule for rule in rules if rule.effect == "deny" and speaks(rule)]
    allowing = [rule for rule in rules if rule.effect == "allow" and speaks(rule)]
    expected = (
        Decision(allowed=False, rule=denying[0])
        if denying
        else Decision(allowed=bool(allowing), rule=allowing[0] if allowing else None)
    )
    assert policy.decide(caller, RPCS[rpc], repository) == expected
    rights = policy.rights(caller, RPCS[rpc])
    assert not (rights.everywhere and not expected.allowed)
    assert not (expected.allowed and not rights.in_registry.allowed)


def naive_principal(pattern: str, principal: str) -> bool:
    return {
        "token:a": principal == "token:a",
        "token:*": principal.startswith("token:"),
        "cn:*": principal.startswith("cn:"),
        "*": principal != "anonymous",
        "anonymous": principal == "anonymous",
    }[pattern]
