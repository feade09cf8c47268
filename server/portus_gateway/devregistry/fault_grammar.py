"""The text form of a fault, for command lines: `<route>:<setting>[,<setting>…]`."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Literal, TypedDict, get_args

Route = Literal[
    "ping", "catalog", "tags", "manifests", "blobs", "uploads", "referrers", "token", "notifications", "any"
]
"""The route to which a fault applies. `any` is every route of the registry. `token` is the token service.

`notifications` is what the registry sends: its requests are those that are announced.
"""

Reset = Literal["before", "after"]

ROUTES: Mapping[str, Route] = {route: route for route in get_args(Route)}
RESETS: Mapping[str, Reset] = {reset: reset for reset in get_args(Reset)}

GRAMMAR = f"""\
<route>:<setting>[,<setting>...], for example manifests:status=503,times=2

Routes:
{", ".join([*ROUTES][:8])},
{", ".join([*ROUTES][8:])}
any is every route of the registry. token is the token service.
notifications is what the registry announces of these requests.

Which requests:
  method=GET              only requests of this method
  repository=team/*       only requests for these repositories
  times=2                 only this number of requests; default: all
  after=3                 only after this number of requests
  before-authorization    also requests without a token, before the challenge

What happens:
  delay=1.5               wait this number of seconds, then process the request
  answer-delay=1.5        process the request, wait, then answer
  status=503              answer with this status; do not process the request
  retry-after=2           send this Retry-After
  header=<name>: <value>  send this header; repeatable
  without-header=<name>   send no such header; repeatable
  truncate                send half of the body
  corrupt                 send other bytes of the same length
  reset[=before|after]    reset the connection, before or after processing
  hang                    do not answer
  endless                 send a body without an end
  gzip-bomb               send 0.5 MiB that unpack to 512 MiB
  invalid-json            answer 200 with a body that is not JSON
  redirect=<url>          answer 307 with this Location
  link=<url>              link to this page; or link=repeat, link=missing
  realm=<url>             put this realm into the challenge
  token-lifetime=2        sign tokens that are valid for this number of seconds
  without-rights          sign tokens that grant nothing
  drop                    do not announce the request
  double                  announce it twice
  reorder                 announce it after the next one, or a second later
  forge                   first announce a push that did not happen
  body=<text>             answer with this body; has to be the last setting

Write a comma in any other value as \\,\
"""

_SEPARATOR = re.compile(r"(?<!\\),")
_REPEATABLE = ("header", "without_header")


class Settings(TypedDict, total=False):
    """The settings of a `Fault` besides its route."""

    method: str
    repository: str
    times: int
    after: int
    before_authorization: bool
    delay: float
    answer_delay: float
    status: int
    body: str
    headers: tuple[tuple[str, str], ...]
    without_headers: tuple[str, ...]
    truncate: bool
    corrupt: bool
    reset: Reset
    hang: bool
    endless: bool
    gzip_bomb: bool
    link: str
    realm: str
    redirect: str
    invalid_json: bool
    token_lifetime: int
    without_rights: bool
    drop: bool
    double: bool
    reorder: bool
    forge: bool


SETTINGS = (
    *(name.replace("_", "-") for name in Settings.__annotations__ if not name.endswith("headers")),
    "header",
    "retry-after",
    "without-header",
)
"""The names of the settings in the text form."""


def read_fault(text: str) -> tuple[Route, Settings]:
    """The route and the settings. Raises `ValueError`, whose message says what is wrong."""
    name, separator, settings = text.partition(":")
    if not separator or not settings.strip():
        raise ValueError(
            "write it as <route>:<setting>[,<setting>…], for example manifests:status=503,times=2;"
            f" the routes are {', '.join(ROUTES)}"
        )
    route = ROUTES.get(name.strip())
    if route is None:
        raise ValueError(
            f"unknown route {name.strip()!r}{_suggestion(name.strip(), ROUTES)}: it is one of {', '.join(ROUTES)}"
        )
    return route, _read_settings(settings)


def _read_settings(text: str) -> Settings:
    settings = Settings()
    seen: set[str] = set()
    rest = text.lstrip()
    while rest:
        if rest.startswith("body="):
            settings["body"] = rest.removeprefix("body=")
            break
        setting, *following = _SEPARATOR.split(rest, maxsplit=1)
        rest = following[0].lstrip() if following else ""
        name, separator, value = setting.replace("\\,", ",").partition("=")
        name = name.strip().replace("-", "_")
        if name in seen and name not in _REPEATABLE:
            raise ValueError(f"{name} is given twice")
        seen.add(name)
        _read_setting(settings, name, value.strip() if separator else None)
    return settings


def _read_setting(settings: Settings, name: str, value: str | None) -> None:
    match name:
        case "method":
            settings["method"] = _text(name, value).upper()
        case "repository":
            settings["repository"] = _text(name, value)
        case "times":
            settings["times"] = _integer(name, value)
        case "after":
            settings["after"] = _integer(name, value)
        case "before_authorization":
            settings["before_authorization"] = _yes(name, value)
        case "delay":
            settings["delay"] = _seconds(name, value)
        case "answer_delay":
            settings["answer_delay"] = _seconds(name, value)
        case "status":
            settings["status"] = _integer(name, value)
        case "header":
            header, separator, content = _text(name, value).partition(":")
            if not separator:
                raise ValueError("write a header as header=<name>: <value>")
            settings["headers"] = (*settings.get("headers", ()), (header.strip(), content.strip()))
        case "retry_after":
            settings["headers"] = (*settings.get("headers", ()), ("Retry-After", _text(name, value)))
        case "without_header":
            settings["without_headers"] = (*settings.get("without_headers", ()), _text(name, value))
        case "truncate":
            settings["truncate"] = _yes(name, value)
        case "corrupt":
            settings["corrupt"] = _yes(name, value)
        case "reset":
            settings["reset"] = _reset(value)
        case "hang":
            settings["hang"] = _yes(name, value)
        case "endless":
            settings["endless"] = _yes(name, value)
        case "gzip_bomb":
            settings["gzip_bomb"] = _yes(name, value)
        case "link":
            settings["link"] = _text(name, value)
        case "realm":
            settings["realm"] = _text(name, value)
        case "redirect":
            settings["redirect"] = _text(name, value)
        case "invalid_json":
            settings["invalid_json"] = _yes(name, value)
        case "token_lifetime":
            settings["token_lifetime"] = _integer(name, value)
        case "without_rights":
            settings["without_rights"] = _yes(name, value)
        case "drop":
            settings["drop"] = _yes(name, value)
        case "double":
            settings["double"] = _yes(name, value)
        case "reorder":
            settings["reorder"] = _yes(name, value)
        case "forge":
            settings["forge"] = _yes(name, value)
        case "body":
            raise ValueError("body needs a value: body=…, as the last setting")
        case _:
            written = name.replace("_", "-")
            raise ValueError(
                f"unknown setting {written!r}{_suggestion(written, SETTINGS)}: it is one of {', '.join(SETTINGS)}"
            )


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name.lower(), known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _reset(value: str | None) -> Reset:
    reset = RESETS.get(value or "before")
    if reset is None:
        raise ValueError(f"reset is 'before' or 'after', not {value!r}")
    return reset


def _text(name: str, value: str | None) -> str:
    if not value:
        raise ValueError(f"{name} needs a value: {name}=…")
    return value


def _integer(name: str, value: str | None) -> int:
    try:
        return int(_text(name, value))
    except ValueError:
        raise ValueError(f"{name} needs a whole number, as in {name}=3, not {value!r}") from None


def _seconds(name: str, value: str | None) -> float:
    try:
        return float(_text(name, value))
    except ValueError:
        raise ValueError(f"{name} needs a number of seconds, as in {name}=1.5, not {value!r}") from None


def _yes(name: str, value: str | None) -> bool:
    if value not in (None, "true", "false"):
        raise ValueError(f"{name} takes no value")
    return value != "false"
