"""The text form of faults, and their checks. `test_fault_effects` has their effects."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portus_gateway.devregistry import DevRegistry, Fault, TokenService
from portus_gateway.devregistry.fault_grammar import ROUTES, SETTINGS

ROUTE_NAMES = list(ROUTES)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("manifests:status=503,times=2", Fault(route="manifests", status=503, times=2)),
        (" tags : status=500 , after=3 ", Fault(route="tags", status=500, after=3)),
        ("manifests:method=delete,reset=after", Fault(route="manifests", method="DELETE", reset="after")),
        ("manifests:reset", Fault(route="manifests", reset="before")),
        ("catalog:link=repeat", Fault(route="catalog", link="repeat")),
        (
            "catalog:link=https://evil.test/v2/_catalog?n=1",
            Fault(route="catalog", link="https://evil.test/v2/_catalog?n=1"),
        ),
        ("token:token-lifetime=2", Fault(route="token", token_lifetime=2)),
        ("token:token_lifetime=0", Fault(route="token", token_lifetime=0)),
        ("token:without-rights", Fault(route="token", without_rights=True)),
        ("any:delay=1.5,answer-delay=.5", Fault(route="any", delay=1.5, answer_delay=0.5)),
        ("tags:repository=team/*,hang", Fault(route="tags", repository="team/*", hang=True)),
        ("ping:status=429,retry-after=2", Fault(route="ping", status=429, headers=(("Retry-After", "2"),))),
        (
            "ping:header=A: b,header=C:d: e,without-header=Docker-Distribution-Api-Version",
            Fault(
                route="ping",
                headers=(("A", "b"), ("C", "d: e")),
                without_headers=("Docker-Distribution-Api-Version",),
            ),
        ),
        (
            'ping:status=401,header=WWW-Authenticate: Bearer realm="x"\\,service="y"',
            Fault(route="ping", status=401, headers=(("WWW-Authenticate", 'Bearer realm="x",service="y"'),)),
        ),
        ("tags:status=502,body=<b>no</b>, times=2", Fault(route="tags", status=502, body="<b>no</b>, times=2")),
        ("tags:body=", Fault(route="tags", body="")),
        ("tags:truncate,corrupt=false,times=1", Fault(route="tags", truncate=True, times=1)),
        ("tags:realm=https://evil.test/token", Fault(route="tags", realm="https://evil.test/token")),
        ("notifications:method=PUT,drop", Fault(route="notifications", method="PUT", drop=True)),
        ("notifications:double,forge,delay=1", Fault(route="notifications", double=True, forge=True, delay=1.0)),
        ("notifications:reorder", Fault(route="notifications", reorder=True)),
        ("tags:before-authorization,invalid-json", Fault(route="tags", before_authorization=True, invalid_json=True)),
    ],
)
def test_the_text_form_says_the_same(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "write it as <route>:<setting>[,<setting>…], for example manifests:status=503,times=2"),
        ("manifests", "the routes are ping, catalog, tags"),
        ("manifests:", "write it as <route>:<setting>"),
        ("manifest:status=503", r"unknown route 'manifest' \(did you mean manifests\?\): it is one of ping, catalog"),
        ("nothing:status=503", "unknown route 'nothing': it is one of ping, catalog"),
        ("tags:stauts=503", r"unknown setting 'stauts' \(did you mean status\?\): it is one of method, repository"),
        ("token:token_lifetme=2", r"unknown setting 'token-lifetme' \(did you mean token-lifetime\?\)"),
        ("tags:status", "status needs a whole number, as in status=3, not None"),
        ("tags:status=", "status needs a whole number"),
        ("tags:status=many", "status needs a whole number, as in status=3, not 'many'"),
        ("tags:status=99", "status 99 is not between 200 and 599"),
        ("tags:status=503,status=500", "status is given twice"),
        ("tags:hang,times=0", "times must be at least 1; leave it out to apply the fault every time"),
        ("tags:hang,after=-1", "after must not be negative"),
        ("tags:delay=soon", "delay needs a number of seconds, as in delay=1.5, not 'soon'"),
        ("tags:delay=-1", "delay must be a number of seconds, 0 or more"),
        ("tags:delay=nan", "delay must be a number of seconds, 0 or more"),
        ("tags:answer-delay=inf", "answer_delay must be a number of seconds, 0 or more"),
        ("tags:drop", "drop is for the route notifications, not tags"),
        ("any:delay=1,double", "double is for the route notifications, not any"),
        (
            "notifications:status=503",
            "status is for answers: a notification has drop, double",
        ),
        ("notifications:drop,double", "drop leaves nothing that double could change"),
        ("tags:hang=maybe", "hang takes no value"),
        ("tags:reset=during", "reset is 'before' or 'after', not 'during'"),
        ("tags:method=LIST,hang", "unknown method 'LIST': it is one of GET, HEAD"),
        ("tags:method,hang", "method needs a value: method=…"),
        ("tags:header=Retry-After", "write a header as header=<name>: <value>"),
        ("tags:header=Retry After: 2", "'Retry After' is not the name of a header"),
        ("tags:header=A: b\r\nC: d", "has a control character"),
        ("tags:status=503,body", "body needs a value: body=…, as the last setting"),
        ("tags:times=2", "a fault needs an effect, for example status=503, delay=2 or hang"),
        ("tags:delay=0", "a fault needs an effect"),
        ("tags:hang=false", "a fault needs an effect"),
        ("tags:status=503,hang", "status and hang contradict each other: inject a fault for each"),
        ("tags:reset,redirect=http://x/", "reset=before and redirect contradict each other"),
        ("tags:reset=after,status=500", "reset=after leaves nothing that status could change"),
        ("tags:endless,header=A: b", "endless leaves nothing that headers could change"),
        ("tags:gzip-bomb,answer-delay=1", "gzip_bomb leaves nothing that answer_delay could change"),
        ("manifests:link=repeat", "link is for the routes catalog, tags, referrers and any; manifests has no pages"),
        ("tags:token-lifetime=2", "token_lifetime and without_rights are for the route token, not tags"),
        ("token:status=500,without-rights", "status leaves no token to change"),
        ("token:realm=http://x/", "realm is for the registry's routes"),
        ("tags:realm=http://x/,delay=1", "realm has to be the only effect"),
        ("catalog:repository=a,hang", "the route catalog has no repository"),
    ],
)
def test_an_error_quotes_the_fault_and_says_what_would_be_right(text: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice if "\\" in advice else re.escape(advice)) as caught:
        Fault.parse(text)
    assert str(caught.value).startswith(f"fault {text!r}: ")


@given(st.sampled_from([*ROUTE_NAMES, "", "x"]), st.text() | st.lists(st.sampled_from(SETTINGS)).map(",".join))
def test_any_text_is_a_fault_or_a_value_error(route: str, settings_text: str) -> None:
    try:
        fault = Fault.parse(f"{route}:{settings_text}")
    except ValueError:
        return
    assert fault.effects


_WORDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 =:;/?,._-]{0,20}[A-Za-z0-9]", fullmatch=True)
_URLS = _WORDS.map(lambda word: f"https://example.test/{word.replace(' ', '')}")
_NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,10}", fullmatch=True)
_STRUCK: dict[str, st.SearchStrategy[Any]] = {
    "method": st.sampled_from(["GET", "DELETE"]),
    "repository": st.sampled_from(["a", "team/*"]),
    "times": st.integers(1, 9),
    "after": st.integers(1, 9),
    "before_authorization": st.just(True),
    "delay": st.floats(0.01, 9),
}
_CHANGED: dict[str, st.SearchStrategy[Any]] = {
    "answer_delay": st.floats(0.01, 9),
    "body": st.text(),
    "headers": st.lists(st.tuples(_NAMES, _WORDS), min_size=1, max_size=2).map(tuple),
    "without_headers": st.lists(_NAMES, min_size=1, max_size=2).map(tuple),
    "truncate": st.just(True),
    "corrupt": st.just(True),
    "link": _URLS,
}
_REPLACED: list[tuple[str, st.SearchStrategy[Any]]] = [
    ("status", st.integers(200, 599)),
    ("redirect", _URLS),
    ("invalid_json", st.just(True)),
]
_ENDED: list[tuple[str, st.SearchStrategy[Any]]] = [
    ("reset", st.sampled_from(["before", "after"])),
    ("hang", st.just(True)),
    ("endless", st.just(True)),
    ("gzip_bomb", st.just(True)),
]
_ROUTE = {"route": st.sampled_from(["tags", "any"])}
_FAULTS = st.one_of(
    *(st.fixed_dictionaries({**_ROUTE, name: values}, optional=_STRUCK | _CHANGED) for name, values in _REPLACED),
    *(st.fixed_dictionaries({**_ROUTE, name: values}, optional=_STRUCK) for name, values in _ENDED),
    st.fixed_dictionaries({"route": st.just("token"), "token_lifetime": st.integers(-9, 9)}),
)


def written(settings_: dict[str, Any]) -> str:
    parts = []
    for name, value in settings_.items():
        if name == "headers":
            parts += [f"header={header}: {text}".replace(",", "\\,") for header, text in value]
        elif name == "without_headers":
            parts += [f"without-header={header}" for header in value]
        elif value is True:
            parts.append(name.replace("_", "-"))
        elif name not in ("route", "body"):
            parts.append(f"{name}={value}".replace(",", "\\,"))
    if "body" in settings_:
        parts.append(f"body={settings_['body']}")
    return f"{settings_['route']}:{','.join(parts)}"


@given(_FAULTS)
def test_what_can_be_built_can_be_written(settings_: dict[str, Any]) -> None:
    assert Fault.parse(written(settings_)) == Fault(**settings_)


def test_the_grammar_explains_every_route_and_setting_and_nothing_else() -> None:
    explained = re.findall(r"^  ([a-z-]+)(?:\[?=| )", Fault.GRAMMAR.partition("Which requests:")[2], re.MULTILINE)
    assert sorted(explained) == sorted(SETTINGS)
    routes = Fault.GRAMMAR.partition("Routes:")[2].partition("any is")[0]
    assert routes.replace(",", " ").split() == ROUTE_NAMES
    example = Fault.GRAMMAR.partition("for example ")[2].split()[0]
    assert Fault.parse(example) == Fault(route="manifests", status=503, times=2)
    assert max(map(len, Fault.GRAMMAR.splitlines())) <= 79


def test_a_token_service_refuses_faults_of_other_routes() -> None:
    with pytest.raises(ValueError, match="faults of the route manifests do not apply to a token service"):
        TokenService().inject(Fault(route="manifests", hang=True))


def test_faults_for_tokens_reach_the_token_service_of_the_registry_or_of_the_caller() -> None:
    fault = Fault(route="token", hang=True)
    with pytest.raises(ValueError, match="unknown route"):
        Fault(route="tokens", hang=True)  # type: ignore[arg-type]
    for tokens in (None, TokenService()):
        registry = DevRegistry(token_service=tokens, faults=[fault])
        assert registry.inject(fault).fault is fault
