"""The tags that clients make for what refers to a manifest: its signatures, attestations and SBOMs."""

import re
from typing import Final

from portus_gateway.distribution.names import Tag

_REFERRER: Final = re.compile(r"sha(?:256|512)-[0-9a-f]{64}(?:\.(?:sig|att|sbom))?")


def is_referrer_tag(tag: Tag) -> bool:
    """Whether a tag is named as those that clients make for the referrers of a manifest.

    `sha256-<digest>` is the fallback tag of OCI distribution 1.1 ("Referrers Tag Schema"), which has at most 64
    characters of the digest. cosign adds `.sig`, `.att` and `.sbom`.
    """
    return _REFERRER.fullmatch(tag.name) is not None
