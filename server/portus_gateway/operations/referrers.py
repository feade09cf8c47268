"""What refers to a manifest: signatures, attestations, SBOMs. Registries and clients keep it in three ways."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.aio.in_parallel import for_each
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import ContentUnclear, InvalidName, NotFound, Unavailable
from portus_gateway.distribution.manifest import Descriptor, Image, Index, Manifest
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.distribution.referrers import lists_manifests
from portus_gateway.errors import GatewayError, forget_frames
from portus_gateway.operations.catalog_listing import MOST_BYTES
from portus_gateway.operations.tag_listing import tag_page
from portus_gateway.registry.protocol import Cursor, Registry

Source = Literal["referrers API", "fallback tag", "cosign tag"]

_COSIGN_SUFFIXES: Final = ("att", "sbom", "sig")
# The tag schema uses this many characters of a digest, so that the tag has at most 128 characters in all.
_FALLBACK_LENGTH: Final = 64
# The content of a digest does not change, and the registry has just named the digest. In seconds.
_CONTENT_AGE: Final = 3600.0
_COSIGN: Final = Cursor("sliced", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Referrer:
    """A manifest that refers to another one. `tag` is the tag that it was found by; empty for the registry's API.

    If the manifest could not be read, `error` says why, and `layers` is empty.
    """

    descriptor: Descriptor
    source: Source
    tag: str
    place: Cursor
    """The position after it."""
    layers: tuple[Descriptor, ...] = ()
    error: GatewayError | None = None
    size: int = 0
    """About how many bytes it takes in a message."""


@dataclass(frozen=True, slots=True)
class Referrers:
    """A page of referrers. `next` None: there are no more."""

    items: tuple[Referrer, ...]
    next: Cursor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedReferrers:
    """A page of at most `size` referrers of `digest`. With an `artifact_type`, only those of this type."""

    repository: Repository
    digest: Digest
    size: int
    artifact_type: str = ""
    after: Cursor | None = None


class ReferrerListing:
    """Lists referrers in `registry`. Up to `concurrency` manifests are read at the same time.

    First come those that the registry's API names or, if it has none or names none, the index under the fallback tag
    (OCI distribution 1.1, "Referrers Tag Schema"). Then come those that cosign's tags point to. An error of any of
    these requests is an error of the listing, because nothing else proves that there is nothing.
    """

    def __init__(self, registry: Registry, concurrency: int) -> None:
        self._registry = registry
        self._concurrency = concurrency

    async def page(self, wanted: WantedReferrers) -> Referrers:
        """The page. It takes about 3 MiB in a message at most, and can be shorter than asked for, or empty.

        Raises `NotFound` if the repository does not exist, `ContentUnclear` if the fallback tag does not point to a
        valid index, and `Unavailable` (LISTING_CHANGED) if the listing changed between two pages.
        """
        found, following = await self._named(wanted)
        read = await self._with_layers(wanted, found)
        matching = tuple(each for each in read if _matches(each, wanted.artifact_type))
        fitting = matching[: _number_that_fits(matching)]
        if len(fitting) < len(matching):
            following = fitting[-1].place
        if not fitting and following is None and wanted.after is None:
            # Registries also say of a repository that they do not have that nothing in it refers to anything.
            await tag_page(self._registry, wanted.repository, 1, None)
        return Referrers(fitting, following)

    async def _named(self, wanted: WantedReferrers) -> tuple[Sequence[Referrer], Cursor | None]:
        """The referrers on the page as their sources name them, and the position after them."""
        if wanted.after is not None and wanted.after.kind == "sliced":
            return await self._by_cosign_tags(wanted, wanted.after.name)
        found = await self._by_api_or_fallback_tag(wanted)
        items, following = found
        if following != _COSIGN or len(items) + len(_COSIGN_SUFFIXES) > wanted.size:
            return found
        tagged, following = await self._by_cosign_tags(wanted, "")
        return (*items, *tagged), following

    async def _by_api_or_fallback_tag(self, wanted: WantedReferrers) -> tuple[Sequence[Referrer], Cursor | None]:
        after = wanted.after
        if after is not None and after.kind == "after":
            return await self._by_fallback_tag(wanted, after.name)
        query = "" if after is None else after.query
        page = await self._registry.list_referrers(wanted.repository, wanted.digest, wanted.artifact_type, query)
        if page is None:
            if after is not None:
                raise _changed(wanted)
            return await self._by_fallback_tag(wanted, "")
        items = [
            Referrer(
                descriptor=descriptor,
                source="referrers API",
                tag="",
                place=Cursor("linked", descriptor.digest.text, query),
            )
            for descriptor in page.referrers
        ]
        if not items and not page.next_query and after is None:
            # Some registries answer so to every request. Where the list is really empty, there is no fallback tag.
            return await self._by_fallback_tag(wanted, "")
        following = Cursor("linked", "", page.next_query) if page.next_query else _COSIGN
        return _sliced(wanted, items, "" if after is None else after.name, following)

    async def _by_fallback_tag(self, wanted: WantedReferrers, last: str) -> tuple[Sequence[Referrer], Cursor | None]:
        tag = Tag(f"{wanted.digest.algorithm}-{wanted.digest.encoded[:_FALLBACK_LENGTH]}")
        try:
            manifest = await self._registry.get_manifest(wanted.repository, tag)
        except NotFound as absent:
            if last:
                raise _changed(wanted) from absent
            return (), _COSIGN
        items = [
            Referrer(
                descriptor=descriptor,
                source="fallback tag",
                tag=tag.name,
                place=Cursor("after", descriptor.digest.text),
            )
            for descriptor in {each.digest: each for each in _index_in(manifest, tag).manifests}.values()
        ]
        return _sliced(wanted, items, last, _COSIGN)

    async def _by_cosign_tags(self, wanted: WantedReferrers, last: str) -> tuple[Sequence[Referrer], Cursor | None]:
        found: dict[str, Referrer] = {}

        async def look(suffix: str) -> None:
            tag = Tag(f"{wanted.digest.algorithm}-{wanted.digest.encoded}.{suffix}")
            try:
                descriptor = await self._registry.resolve_manifest(wanted.repository, tag)
            except NotFound:
                return
            place = Cursor("sliced", suffix)
            found[suffix] = Referrer(descriptor=descriptor, source="cosign tag", tag=tag.name, place=place)

        try:
            Tag(f"{wanted.digest.algorithm}-{wanted.digest.encoded}.{_COSIGN_SUFFIXES[0]}")
        except InvalidName:
            # With a digest of SHA-512 the tag would be too long, so it cannot exist.
            return (), None
        await for_each([each for each in _COSIGN_SUFFIXES if each > last], look, at_once=self._concurrency)
        items = [found[suffix] for suffix in sorted(found)]
        shown = items[: wanted.size]
        return shown, shown[-1].place if len(shown) < len(items) else None

    async def _with_layers(self, wanted: WantedReferrers, found: Sequence[Referrer]) -> list[Referrer]:
        read: dict[int, Referrer] = {}

        async def look(number: int) -> None:
            referrer = found[number]
            try:
                digest = referrer.descriptor.digest
                manifest = await self._registry.get_manifest(wanted.repository, digest, _CONTENT_AGE)
                if manifest.problem is not None:
                    raise manifest.problem.error()
                if referrer.source == "fallback tag":
                    _check_subject(manifest, wanted.digest)
            except DeadlineExceeded:
                raise
            except GatewayError as error:
                size = _FRAME + _size(referrer.descriptor) + _STATUS_SIZE
                read[number] = replace(referrer, error=forget_frames(error), size=size)
            else:
                read[number] = _described(referrer, manifest)

        await for_each(range(len(found)), look, at_once=self._concurrency)
        return [read[number] for number in range(len(found))]


# About how many bytes of a message a referrer takes beside its texts, and the status of one that could not be read.
_FRAME: Final = 128
_STATUS_SIZE: Final = 1024


def _check_subject(manifest: Manifest, digest: Digest) -> None:
    """Raises `ContentUnclear` if an entry of a fallback tag's index does not refer to the manifest.

    Anybody who may push can write that index, and a copied one can be of another image.
    """
    subject = manifest.content.subject if manifest.content is not None else None
    # A digest of another algorithm may name the same manifest.
    if subject is None or (subject.digest.algorithm == digest.algorithm and subject.digest != digest):
        raise ContentUnclear(
            "the index under the fallback tag lists it, but its `subject` is "
            + ("not set" if subject is None else f"{subject.digest}"),
            reason="CONTENT_INVALID",
        )


def _described(referrer: Referrer, manifest: Manifest) -> Referrer:
    """The referrer with what its manifest says. What the registry's API says of its type and annotations comes first.

    The index under a fallback tag is written by clients. Of what it says, only the digest is verified.
    """
    content = manifest.content
    layers = content.layers if isinstance(content, Image) else ()
    descriptor = replace(referrer.descriptor, media_type=manifest.descriptor.media_type, size=manifest.descriptor.size)
    if referrer.source == "fallback tag":
        descriptor = replace(descriptor, artifact_type="", annotations={})
    config_type = content.config.media_type if isinstance(content, Image) and content.config is not None else ""
    artifact_type = descriptor.artifact_type or ("" if content is None else content.artifact_type)
    if referrer.source == "cosign tag" and artifact_type in ("", config_type):
        # cosign's configurations say nothing of what it is.
        artifact_type = layers[0].media_type if layers else artifact_type
    # OCI distribution 1.1, "Listing Referrers": without an artifact type, it is the configuration's media type.
    artifact_type = artifact_type or config_type
    described = replace(
        descriptor,
        artifact_type=artifact_type,
        annotations=descriptor.annotations or ({} if content is None else content.annotations),
    )
    size = _FRAME + _size(described) + 2 * len(manifest.raw)
    return replace(referrer, descriptor=described, layers=layers, size=size)


def _matches(referrer: Referrer, artifact_type: str) -> bool:
    """Whether it is of this type. One whose type cannot be found out is shown, with its error."""
    stated = referrer.descriptor.artifact_type
    if not artifact_type or stated == artifact_type:
        return True
    return not stated and referrer.error is not None


def _sliced(
    wanted: WantedReferrers, items: Sequence[Referrer], last: str, following: Cursor
) -> tuple[Sequence[Referrer], Cursor]:
    """The items after the digest `last`, as many as are wanted, and the position after them."""
    start = 0
    if last:
        digests = [each.descriptor.digest.text for each in items]
        if last not in digests:
            raise _changed(wanted)
        start = digests.index(last) + 1
    rest = [
        each
        for each in items[start:]
        # If the source does not state a type, the manifest may.
        if not wanted.artifact_type or each.descriptor.artifact_type in ("", wanted.artifact_type)
    ]
    shown = rest[: wanted.size]
    return shown, shown[-1].place if len(shown) < len(rest) else following


def _index_in(manifest: Manifest, tag: Tag) -> Index:
    if isinstance(manifest.content, Index) and lists_manifests(manifest):
        return manifest.content
    if manifest.problem is not None:
        raise ContentUnclear(f"the tag {tag}: {manifest.problem.message}", reason=manifest.problem.reason)
    raise ContentUnclear(f"the tag {tag} is reserved for an index of referrers, but points to something else")


def _changed(wanted: WantedReferrers) -> Unavailable:
    return Unavailable(
        f"list the referrers of {wanted.repository}@{wanted.digest}: the list changed while it was read: start again"
        " with the first page",
        reason="LISTING_CHANGED",
    )


def _number_that_fits(referrers: Sequence[Referrer]) -> int:
    """How many of them, from the first on, fit into one message. At least 1."""
    room = MOST_BYTES
    for number, each in enumerate(referrers):
        room -= each.size
        if room < 0:
            return max(number, 1)
    return len(referrers)


def _size(descriptor: Descriptor) -> int:
    texts = sum(len(key) + len(value) for key, value in descriptor.annotations.items())
    return 2 * (texts + len(descriptor.data) + sum(map(len, descriptor.urls)) + len(descriptor.media_type))
