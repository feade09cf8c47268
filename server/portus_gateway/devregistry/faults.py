"""Failures on demand: what goes wrong at a registry or a token service, for which requests, and how often."""

import math
import re
from dataclasses import dataclass
from typing import ClassVar

from portus_gateway.devregistry.fault_grammar import GRAMMAR, RESETS, ROUTES, Reset, Route, read_fault

_METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE")
_OF_NO_REPOSITORY = ("ping", "catalog", "token")
_REPLACING = ("status", "redirect", "endless", "gzip_bomb", "invalid_json", "hang")
_OF_A_TOKEN = ("token_lifetime", "without_rights")
_OF_AN_EVENT = ("drop", "double", "reorder", "forge")
# The settings that have an effect besides each of these.
_LEFT_BY = {
    "hang": ("delay",),
    "endless": ("delay",),
    "gzip_bomb": ("delay",),
    "reset=before": ("delay",),
    "reset=after": ("delay", "answer_delay"),
    "drop": (),
    "reorder": (),
}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A failure: the requests to which it applies, and its effects.

    A fault applies to requests that the registry has admitted. A request that is answered with a challenge is not
    counted. With `before_authorization` the fault applies when a request arrives, as it always does for the routes
    `ping` and `token`. If several faults match a request, the first one that was injected applies. Raises `ValueError`
    for settings that contradict each other.
    """

    GRAMMAR: ClassVar[str] = GRAMMAR
    """A description of the text form that `parse` reads."""

    route: Route
    method: str | None = None
    repository: str | None = None
    """Only this repository. `*` stands for any characters, as in `team/*`."""
    times: int | None = None
    """The number of requests to which it applies. None: all."""
    after: int = 0
    """The number of matching requests that are left alone first."""
    before_authorization: bool = False

    delay: float = 0.0
    """Seconds to wait before the request is processed."""
    answer_delay: float = 0.0
    """Seconds to wait between processing and answer, such as a delete that ends after its caller's deadline."""
    status: int | None = None
    """The status of the answer; the request is not processed. Without `body`, the body is a usual error."""
    body: str | bytes | None = None
    """The body of the answer. Without `status`, the answer keeps its status."""
    headers: tuple[tuple[str, str], ...] = ()
    """Headers to set on the answer, for example `(("Retry-After", "2"),)`."""
    without_headers: tuple[str, ...] = ()
    """Headers to remove from the answer, for example `("Docker-Content-Digest",)`."""
    truncate: bool = False
    """Announce the whole body, send half of it, and close the connection."""
    corrupt: bool = False
    """Send a body of the same length with other bytes."""
    reset: Reset | None = None
    """Reset the connection `before` the request is processed, or `after` that and before the answer."""
    hang: bool = False
    """Do not answer until the caller disconnects or the server closes."""
    endless: bool = False
    """Send a body that ends when the caller disconnects, or after 2 GiB."""
    gzip_bomb: bool = False
    """Send a gzip-encoded body of 0.5 MiB that unpacks to 512 MiB."""
    link: str | None = None
    """The `Link` of a listing: `repeat` (the same page again), `missing`, or a URL."""
    realm: str | None = None
    """The realm in the challenge."""
    redirect: str | None = None
    """Answer 307 with this `Location`."""
    invalid_json: bool = False
    """Answer 200 with a body that is not JSON."""
    token_lifetime: int | None = None
    """How long the token is valid, in seconds, also in `expires_in`. With 0 or less it has expired already."""
    without_rights: bool = False
    """Answer 200 with a token that grants nothing."""
    drop: bool = False
    """Send no notification."""
    double: bool = False
    """Send the notification twice."""
    reorder: bool = False
    """Send the notification after the next one, or after a second."""
    forge: bool = False
    """Send the notification of a push that did not happen before this one."""

    def __post_init__(self) -> None:
        if self.route not in ROUTES:
            raise ValueError(f"unknown route {self.route!r}: it is one of {', '.join(ROUTES)}")
        if self.method is not None and self.method not in _METHODS:
            raise ValueError(f"unknown method {self.method!r}: it is one of {', '.join(_METHODS)}")
        if self.times is not None and self.times < 1:
            raise ValueError("times must be at least 1; leave it out to apply the fault every time")
        if self.after < 0:
            raise ValueError("after must not be negative")
        for name, seconds in (("delay", self.delay), ("answer_delay", self.answer_delay)):
            if not math.isfinite(seconds) or seconds < 0:
                raise ValueError(f"{name} must be a number of seconds, 0 or more")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError(f"status {self.status} is not between 200 and 599")
        if self.reset is not None and self.reset not in RESETS:
            raise ValueError(f"reset is 'before' or 'after', not {self.reset!r}")
        self._check_headers()
        self._check_combination()

    def _check_headers(self) -> None:
        for name in (*(name for name, _ in self.headers), *self.without_headers):
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a header")
        for value in (*(value for _, value in self.headers), self.link, self.realm, self.redirect):
            if value is not None and _CONTROL.search(value):
                raise ValueError(f"{value!r} has a control character, which no header can hold")

    def _check_combination(self) -> None:
        if not self.effects:
            raise ValueError("a fault needs an effect, for example status=503, delay=2 or hang")
        set_effects = [f"reset={self.reset}" if name == "reset" else name for name in self.effects]
        replacing = [name for name in set_effects if name in (*_REPLACING, "reset=before")]
        if len(replacing) > 1:
            raise ValueError(f"{' and '.join(replacing)} contradict each other: inject a fault for each")
        for name in set_effects:
            useless = [other for other in set_effects if other not in (name, *_LEFT_BY.get(name, set_effects))]
            if useless:
                raise ValueError(f"{name} leaves nothing that {' or '.join(useless)} could change")
        if replacing and any(name in set_effects for name in _OF_A_TOKEN):
            raise ValueError(f"{replacing[0]} leaves no token to change")
        if self.repository is not None and self.route in _OF_NO_REPOSITORY:
            raise ValueError(f"the route {self.route} has no repository")
        if self.link is not None and self.route not in ("catalog", "tags", "referrers", "any"):
            raise ValueError(f"link is for the routes catalog, tags, referrers and any; {self.route} has no pages")
        if (self.token_lifetime is not None or self.without_rights) and self.route != "token":
            raise ValueError(f"token_lifetime and without_rights are for the route token, not {self.route}")
        self._check_notification()
        if self.realm is not None:
            if self.route == "token":
                raise ValueError("realm is for the registry's routes: the token service sends no Bearer challenge")
            if self.effects != ("realm",):
                raise ValueError("realm has to be the only effect: inject another fault for the others")

    def _check_notification(self) -> None:
        for name in self.effects:
            if (name in _OF_AN_EVENT) > (self.route == "notifications"):
                raise ValueError(f"{name} is for the route notifications, not {self.route}")
            if self.route == "notifications" and name not in (*_OF_AN_EVENT, "delay"):
                raise ValueError(f"{name} is for answers: a notification has {', '.join(_OF_AN_EVENT)} and delay")

    @property
    def effects(self) -> tuple[str, ...]:
        """The names of the effects that are set."""
        # A token_lifetime of 0 has an effect. A delay of 0 has none.
        return tuple(
            name
            for name in EFFECTS
            if getattr(self, name) not in ((None,) if name == "token_lifetime" else (None, False, 0.0, ()))
        )

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Reads the text form that `GRAMMAR` describes, such as `manifests:status=503,times=2`.

        Raises `ValueError`, whose message says what is wrong and how to write it.
        """
        try:
            route, settings = read_fault(text)
            return cls(route=route, **settings)
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
    *_OF_AN_EVENT,
)
