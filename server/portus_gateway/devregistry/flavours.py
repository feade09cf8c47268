"""The registries whose behaviour the development registry follows, and how they differ."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Flavour = Literal["2.8", "3.1", "oci-1.1"]
"""Distribution 2.8.2, distribution 3.1.1, or the OCI distribution specification 1.1.1."""

MissingLayers = Literal["with URLs", "non-distributable with URLs", "non-distributable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """One flavour, as the points in which the flavours differ."""

    json_type: str
    """The Content-Type of the registry's own answers."""
    details_are_objects: bool
    """Whether the `detail` of MANIFEST_UNKNOWN is an object or a sentence."""
    bad_content_code: str
    """The error code for a manifest that has the right types and a wrong value, such as its schema version."""
    bad_reference_code: str
    """The error code for a reference that has a colon and is not a digest."""
    long_name_code: str
    """The error code for a repository name that is too long."""

    pages_tags: bool
    """Whether `n` and `last` count for tags. Without pages, the tags are in no order."""
    links_full_last_page: bool
    """Whether a full page of tags has a `Link` when it is the last one."""
    no_tags_are_null: bool
    """Whether a repository without tags has `null` in place of an empty list."""
    lists_untagged_repository: bool
    """Whether the tags of a repository that never had one are an empty list, or an unknown name."""
    ignores_bad_page_size: bool
    """Whether the catalog answers a page size that is not a number with a page of the usual size."""
    blob_makes_repository: bool
    """Whether a repository is in the catalog as soon as it has a blob."""

    negotiates: bool
    """Whether a manifest is only sent to a client that accepts its type."""
    index_needs_accept: bool
    """Whether that counts for OCI indexes too."""
    accepts_in_any_case: bool
    """Whether upper case counts in `Accept`."""
    rewrites_to_schema_1: bool
    """Whether Docker images are rewritten to schema 1 for clients that do not accept schema 2."""

    deletes_tags: bool
    """Whether a manifest can be deleted by tag, which leaves the manifest."""
    manifest_route_finds_blobs: bool
    """Whether the digest of a blob counts where that of a manifest is asked for."""
    digests_are_sha256: bool
    """Whether content is stored under its SHA-256, whatever digest it is pushed with."""
    checks_digests_first: bool
    """Whether a reference with a malformed digest is refused before anything else counts."""
    tells_type_by_fields: bool
    """Whether a manifest without `mediaType` is sent as its fields tell, or as it was pushed."""
    may_be_missing: MissingLayers
    """The layers that the registry need not have when a manifest is pushed."""
    descriptors_of_1_1: bool
    """Whether `data` and `artifactType` of descriptors, and annotations of indexes, have to be of the right type."""

    upload_status_needs_state: bool
    """Whether only a client that sends the latest state of an upload gets its progress."""
    stale_state_code: str
    """The error code for a chunk that is sent to an earlier `Location` of its upload."""
    reads_content_range: bool
    """Whether the `Content-Range` of a chunk has to follow on the chunks before it."""
    reads_content_range_of_put: bool
    """Whether that counts for the last request of an upload too."""
    bad_content_range_code: str
    """The error code for a `Content-Range` of another form than `0-499`."""
    checks_chunk_type: bool
    """Whether a chunk has to be `application/octet-stream`."""
    uploads_in_one_request: bool
    """Whether `POST` with a digest takes the blob."""
    mounts_without_source: bool
    """Whether a blob is mounted from any repository that the client may pull from."""
    breaks_off_bad_ranges: bool
    """Whether the refusal of a range announces the length of the blob, and so ends too early."""

    lists_referrers: bool
    """Whether there is the referrers API."""
    events_have_empty_fields: bool
    """Whether the target of a notification names what it does not know with an empty text, or leaves it out."""


_TRAITS_3_1 = Traits(
    json_type="application/json",
    details_are_objects=False,
    bad_content_code="UNKNOWN",
    # It looks for a tag of that name, and its storage has no path for one.
    bad_reference_code="UNKNOWN",
    long_name_code="UNKNOWN",
    pages_tags=True,
    links_full_last_page=True,
    no_tags_are_null=True,
    lists_untagged_repository=False,
    ignores_bad_page_size=False,
    blob_makes_repository=False,
    negotiates=True,
    # It looks for OCI indexes among the Docker lists only.
    index_needs_accept=False,
    accepts_in_any_case=True,
    rewrites_to_schema_1=False,
    deletes_tags=True,
    manifest_route_finds_blobs=False,
    digests_are_sha256=True,
    checks_digests_first=True,
    tells_type_by_fields=True,
    may_be_missing="non-distributable with URLs",
    descriptors_of_1_1=True,
    upload_status_needs_state=False,
    stale_state_code="RANGE_INVALID",
    reads_content_range=True,
    reads_content_range_of_put=False,
    bad_content_range_code="UNKNOWN",
    checks_chunk_type=True,
    uploads_in_one_request=False,
    mounts_without_source=False,
    breaks_off_bad_ranges=False,
    lists_referrers=False,
    events_have_empty_fields=True,
)
_TRAITS_2_8 = replace(
    _TRAITS_3_1,
    json_type="application/json; charset=utf-8",
    details_are_objects=True,
    pages_tags=False,
    links_full_last_page=False,
    ignores_bad_page_size=True,
    blob_makes_repository=True,
    index_needs_accept=True,
    accepts_in_any_case=False,
    rewrites_to_schema_1=True,
    deletes_tags=False,
    manifest_route_finds_blobs=True,
    checks_digests_first=False,
    may_be_missing="with URLs",
    descriptors_of_1_1=False,
    upload_status_needs_state=True,
    stale_state_code="BLOB_UPLOAD_INVALID",
    reads_content_range=False,
    breaks_off_bad_ranges=True,
    events_have_empty_fields=False,
)
_TRAITS_OCI_1_1 = replace(
    _TRAITS_3_1,
    bad_content_code="MANIFEST_INVALID",
    bad_reference_code="DIGEST_INVALID",
    long_name_code="NAME_INVALID",
    links_full_last_page=False,
    no_tags_are_null=False,
    lists_untagged_repository=True,
    negotiates=False,
    digests_are_sha256=False,
    tells_type_by_fields=False,
    may_be_missing="non-distributable",
    reads_content_range_of_put=True,
    bad_content_range_code="RANGE_INVALID",
    checks_chunk_type=False,
    uploads_in_one_request=True,
    mounts_without_source=True,
    lists_referrers=True,
)

TRAITS: Mapping[Flavour, Traits] = {"2.8": _TRAITS_2_8, "3.1": _TRAITS_3_1, "oci-1.1": _TRAITS_OCI_1_1}
