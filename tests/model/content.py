"""The content that comes and goes in a run: a few images, and indexes over some of them."""

import json

from portus_gateway.devregistry.images import Content, image, index

REPOSITORIES = tuple(f"team/{name}" for name in ("app", "db", "web"))
_CHILDREN = tuple(image(f"child {number}", platform=f"linux/{arch}") for number, arch in enumerate(("amd64", "arm64")))
CONTENTS: tuple[Content, ...] = (
    *(image(f"image {number}") for number in range(6)),
    *_CHILDREN,
    index(_CHILDREN),
    index([_CHILDREN[0], image("image 0")]),
)
SIGNED = CONTENTS[0].digest
"""The image of which cosign would find a signature under `SIGNATURE_TAG`."""
SIGNATURE_TAG = f"{SIGNED.replace(':', '-')}.sig"
TAGS = (*(f"v{number}" for number in range(6)), SIGNATURE_TAG)
BY_DIGEST = {content.digest: content for content in CONTENTS}
CONFIG_OF = {
    content.digest: content.blobs[json.loads(content.manifest)["config"]["digest"]]
    for content in CONTENTS
    if not content.children
}
"""The configuration of each image, by the digest of its manifest."""
FOR_AMD64 = {
    content.digest: next(child.digest for child in content.children if child.platform == "linux/amd64")
    for content in CONTENTS
    if content.children
}
"""The image for linux/amd64 in each index, by the digest of the index."""
CHILDREN = {
    content.digest: frozenset(child.digest for child in content.children) for content in CONTENTS if content.children
}
"""The children of each index, by its digest."""
BLOBS = {digest: blob for content in CONTENTS for digest, blob in content.blobs.items()}
"""All blobs, by their digests."""
WITH_BLOB = {blob: frozenset(content.digest for content in CONTENTS if blob in content.blobs) for blob in BLOBS}
"""The manifests that bring a blob with them."""
