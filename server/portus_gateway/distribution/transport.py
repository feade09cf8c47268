"""Requests to the registry, with the credentials that it asks for, and where its redirects lead."""

from yarl import URL

from portus_gateway.distribution.admission import Admission
from portus_gateway.distribution.authorization import NOTHING
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.errors import RedirectRefused, RegistryFault
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.origin import Origin, without_secrets
from portus_gateway.distribution.peer import STORAGE
from portus_gateway.distribution.registry_request import REPEATABLE, RegistryRequest
from portus_gateway.distribution.registry_sender import RegistrySender

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5


class Transport:
    """Sends requests to one registry. Content may be fetched from `blob_origins`, too."""

    def __init__(
        self, sender: RegistrySender, admission: Admission, blob_origins: frozenset[Origin] = frozenset()
    ) -> None:
        self._sender = sender
        self._admission = admission
        self._blob_origins = blob_origins

    @property
    def origin(self) -> Origin:
        return self._sender.origin

    async def finds_challenge(self) -> bool:
        """Whether the registry asks for credentials, if it is asked for something that needs a right."""
        return await self._admission.finds_challenge()

    async def send(self, request: RegistryRequest) -> Answer:
        """The registry's answer, whatever its status but 401. Redirects within the registry are followed.

        Raises what `Admission.answer_to` raises, and `RegistryFault` for a redirect that is not followed.
        """
        url = self._sender.url_of(request)
        for _ in range(1 + _MOST_REDIRECTS):
            answer = await self._admission.answer_to(request, url)
            if answer.status not in REDIRECTS or not request.follow_redirects:
                return answer
            if request.method not in REPEATABLE:
                raise RegistryFault(f"the registry answered {request.method} {request.path} with a redirect")
            url = self._redirect_target(url, answer)
        raise RegistryFault(f"the registry redirected {request.path} more than {_MOST_REDIRECTS} times")

    async def fetch_from_storage(self, request: RegistryRequest, redirect: Answer) -> Answer:
        """The answer from where `redirect` leads. It is the registry's answer to the GET of a blob.

        Redirects are followed to the registry's own origin and to `blob_origins`. No credential goes to another origin
        than the registry's, and a challenge from there is only a status. The caller has to verify the content. Raises
        `RedirectRefused`.
        """
        url = URL(str(self.origin)).with_path(request.path, encoded=True)
        for _ in range(_MOST_REDIRECTS):
            url = _location(url, redirect)
            target = Origin.of(url)
            if target == self.origin:
                redirect = await self._admission.answer_to(request, url)
            elif target in self._blob_origins:
                redirect = await self._sender.send(request, url, NOTHING, STORAGE)
            else:
                raise RedirectRefused(
                    "the registry redirected the request for a blob to a server that the gateway may not use",
                    operator_detail=f"to {redirect.concealment.for_operator(str(target))}",
                    concern=Concern.BLOB_ORIGINS,
                )
            if redirect.status not in REDIRECTS:
                return redirect
        raise RegistryFault(f"the registry's storage redirected {request.path} more than {_MOST_REDIRECTS} times")

    def _redirect_target(self, url: URL, answer: Answer) -> URL:
        """Where a redirect leads. It must lead within the registry, because only blobs may be elsewhere."""
        target = _location(url, answer)
        if Origin.of(target) != self.origin:
            raise RegistryFault(
                "the registry redirected to another server: not followed",
                operator_detail=f"from {self.origin} to {answer.concealment.for_operator(without_secrets(target))}",
                concern=Concern.REGISTRY_URL,
            )
        return target


def _location(url: URL, answer: Answer) -> URL:
    """The address that a redirect names. Never from https to http."""
    try:
        target = url.join(URL(answer.headers.get("Location", ""), encoded=True))
        scheme = Origin.of(target).scheme
    except ValueError as error:
        raise RegistryFault("the registry redirected to something that is not an http address") from error
    if url.scheme == "https" and scheme != "https":
        raise RegistryFault("the registry redirected from https to http: not followed")
    return target.with_user(None).with_fragment(None)
