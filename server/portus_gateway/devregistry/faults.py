"""Failures on demand: what a registry or a token service shall do wrong, to which requests, how often."""

import math
from dataclasses import dataclass
from typing import Literal, TypedDict, cast, get_args

Route = Literal["ping", "catalog", "tags", "manifests", "blobs", "uploads", "referrers", "token", "any"]
"""What a fault strikes. `any` is every route of the registry; the token service is struck by `token` alone."""

Reset = Literal["before", "after"]

ROUTES: tuple[str, ...] = get_args(Route)
_METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE")
_REPLACING = ("status", "redirect", "endless", "gzip_bomb", "invalid_json", "hang")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A failure: which requests it strikes, and its effects.

    It strikes a request only once the registry has admitted it, so that the challenge which precedes
    a token is neither struck nor counted; `before_authorization` lifts that. `ping` and `token` requests are
    always struck on arrival. Of several faults that fit a request, the one injected first strikes.
    Raises `ValueError` for contradictory settings.
    """

    route: Route
    method: str | None = None
    repository: str | None = None
    """Only this repository; `*` stands for any characters, as in `team/*`."""
    times: int | None = None
    """How many requests it strikes; None is for ever."""
    after: int = 0
    """How many requests that fit it lets pass first."""
    before_authorization: bool = False

    delay: float = 0.0
    """Seconds to wait before the request is carried out."""
    answer_delay: float = 0.0
    """Seconds to wait between carrying it out and answering: a delete that outlives its caller's deadline."""
    status: int | None = None
    """Answers with this status and does nothing. Without `body`, the body is the registry's usual error form."""
    body: str | bytes | None = None
    """The body in place of the real one, with the real status where `status` is not given."""
    headers: tuple[tuple[str, str], ...] = ()
    """Set on the answer, replacing what was there; for example `(("Retry-After", "2"),)`."""
    without_headers: tuple[str, ...] = ()
    """Taken off the answer; for example `("Docker-Content-Digest",)`."""
    truncate: bool = False
    """Announces the whole body, sends half of it and closes the connection."""
    corrupt: bool = False
    """Sends a body of the same length with other bytes."""
    reset: Reset | None = None
    """Resets the connection `before` the request is carried out, or `after` it was, its answer lost."""
    hang: bool = False
    """Never answers, until the caller leaves or the server closes."""
    endless: bool = False
    """A body that goes on until the caller leaves, or 2 GiB have been sent."""
    gzip_bomb: bool = False
    """A gzip-encoded body of 0.5 MiB that unpacks to 512 MiB."""
    link: str | None = None
    """The `Link` of a listing: `repeat` (to this very page), `missing`, or a URL to which it points."""
    realm: str | None = None
    """The realm that the challenge names."""
    redirect: str | None = None
    """Answers 307 with this `Location`."""
    invalid_json: bool = False
    """Answers 200 with a body that is not JSON."""
    token_lifetime: int | None = None
    """Seconds that the token is good for (also `expires_in`); 0 or less: expired from the beginning."""
    without_rights: bool = False
    """A token that grants nothing, with status 200."""

    def __post_init__(self) -> None:
        if self.route not in ROUTES:
            raise ValueError(f"unknown route {self.route!r}: it is one of {', '.join(ROUTES)}")
        if self.method is not None and self.method not in _METHODS:
            raise ValueError(f"unknown method {self.method!r}: it is one of {', '.join(_METHODS)}")
        if self.times is not None and self.times < 1:
            raise ValueError("times must be at least 1; leave it out for ever")
        if self.after < 0:
            raise ValueError("after must not be negative")
        for name, seconds in (("delay", self.delay), ("answer_delay", self.answer_delay)):
            if not math.isfinite(seconds) or seconds < 0:
                raise ValueError(f"{name} must be a number of seconds, 0 or more")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError(f"status {self.status} is not between 200 and 599")
        if self.reset is not None and self.reset not in get_args(Reset):
            raise ValueError(f"reset is 'before' or 'after', not {self.reset!r}")
        self._check_combination()

    def _check_combination(self) -> None:
        replacing = [name for name in _REPLACING if getattr(self, name) not in (None, False)]
        if self.reset == "before":
            replacing.append("reset=before")
        if len(replacing) > 1:
            raise ValueError(f"{' and '.join(replacing)} exclude one another: inject a fault for each")
        if self.link is not None and self.route not in ("catalog", "tags", "any"):
            raise ValueError(f"link is for the routes catalog, tags and any; {self.route} has no pages")
        if (self.token_lifetime is not None or self.without_rights) and self.route != "token":
            raise ValueError(f"token_lifetime and without_rights are for the route token, not {self.route}")
        if self.realm is not None:
            if self.route == "token":
                raise ValueError("realm is for the registry's routes: the token service sends no Bearer challenge")
            if self.effects != ("realm",):
                raise ValueError("realm changes the challenge alone: inject another fault for the other effects")
        if not self.effects:
            raise ValueError("a fault needs an effect, for example status=503, delay=2 or hang")

    @property
    def effects(self) -> tuple[str, ...]:
        """The names of the effects that are set."""
        # A token_lifetime of 0 is an effect, a delay of 0 is none.
        return tuple(
            name
            for name in EFFECTS
            if getattr(self, name) not in ((None,) if name == "token_lifetime" else (None, False, 0.0, ()))
        )

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Reads the text form, `<route>:<setting>[,<setting>…]`.

        A setting is `name=value`, or a bare name for a yes; a dash may stand for an underscore. Shorthands:
        `retry-after=<seconds>`, `header=<name>: <value>` and `without-header=<name>` (each repeatable).
        `body=…` comes last and takes the rest of the text, commas too. Examples: `manifests:status=503,times=2`,
        `catalog:link=repeat`, `manifests:method=DELETE,reset=after`, `token:token-lifetime=2`.
        Raises `ValueError` that says what is wrong and what would be right.
        """
        route, separator, settings = text.partition(":")
        if not separator or not settings.strip():
            raise ValueError(
                f"fault {text!r}: write it as <route>:<setting>[,<setting>…], for example"
                f" manifests:status=503,times=2; the routes are {', '.join(ROUTES)}"
            )
        try:
            return cls(route=cast(Route, route.strip()), **_read_settings(settings))
        except ValueError as error:
            raise ValueError(f"fault {text!r}: {error}") from None


EFFECTS = (
    "delay",
    "answer_delay",
    "status",
    "body",
    "headers",
    "without_headers",
    "truncate",
    "corrupt",
    "reset",
    "hang",
    "endless",
    "gzip_bomb",
    "link",
    "realm",
    "redirect",
    "invalid_json",
    "token_lifetime",
    "without_rights",
)


class _Settings(TypedDict, total=False):
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


def _read_settings(text: str) -> _Settings:
    settings = _Settings()
    rest = text.strip()
    while rest:
        if rest.startswith("body="):
            settings["body"] = rest.removeprefix("body=")
            break
        setting, _, rest = rest.partition(",")
        rest = rest.lstrip()
        name, separator, value = setting.partition("=")
        _read_setting(settings, name.strip().replace("-", "_"), value.strip() if separator else None)
    return settings


def _read_setting(settings: _Settings, name: str, value: str | None) -> None:
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
            settings["reset"] = cast(Reset, value or "before")
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
        case _:
            known = (*_Settings.__annotations__, "header", "retry_after", "without_header")
            names = ", ".join(known_name for known_name in known if not known_name.endswith("headers"))
            raise ValueError(f"unknown setting {name!r}; there are {names}")


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
        raise ValueError(f"{name} takes no value: write it alone")
    return value != "false"
