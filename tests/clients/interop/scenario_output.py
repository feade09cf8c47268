"""What the scenario prints, in every language."""

import json
from collections.abc import Mapping, Sequence

from portus_gateway.devregistry import Content, artifact, image

SBOM = b'{"spdxVersion": "SPDX-2.3", "name": "team/app:1.1.0", "packages": []}\n'

# Images in `team/app` of `portus-gateway dev`.
OLD = image("app 1.0.0", layers=3)
PATCHED = image("app 1.0.1", layers=3)
APP = image("app 1.1.0", layers=3, annotations={"org.opencontainers.image.revision": "4f2a91c"})
APP_SBOM = artifact("application/spdx+json", {"sbom.spdx.json": SBOM}, media_type="application/spdx+json", subject=APP)

NO_INDEX = "  code: FAILED_PRECONDITION\n  reason: INDEX_DISABLED\n"


def expected(
    catalog: str,
    tags: Mapping[str, Content],
    *,
    refusing: str,
    referrers: Sequence[Content],
    tag_deletion: str = f"  deleted, it pointed to: {APP.digest}\n",
    on_digest: str = NO_INDEX,
    history: str = NO_INDEX,
    current_state: str = NO_INDEX,
) -> str:
    """What the scenario prints for `team/app:latest`, which is `APP`.

    `tags` are those of the repository. `refusing` are the tags that refuse the delete. `tag_deletion` is what it prints
    for the delete of a tag. The rest is what the index knows.
    """
    digest = APP.digest
    deletes = "".join(
        f"""\
delete team/app@{digest}, expecting the tag latest, validate only: {validate_only}
  code: FAILED_PRECONDITION
  reason: TAGGED
  manifest: team/app@{digest}
  tags: {refusing}
"""
        for validate_only in ("true", "false")
    )
    config, *layers = _blobs(APP)
    layer_lines = "".join(
        f"layer {layer}\n  size: {len(APP.blobs[layer])} of {len(APP.blobs[layer])}\n  SHA-256 of the bytes: {layer}\n"
        for layer in layers
    )
    tag_lines = "".join(
        f"  {tag}: {content.digest}, {_size(content)} bytes, {content.platform or 'no platform'}\n"
        for tag, content in sorted(tags.items())
    )
    referrer_lines = "".join(f"  application/spdx+json: {referrer.digest}\n" for referrer in referrers)
    return f"""\
catalog
{catalog}manifest team/app:latest
  media type: application/vnd.oci.image.manifest.v1+json
  size: {len(APP.manifest)}
  digest: {digest}
  SHA-256 of the bytes: {digest}
configuration of team/app:latest
  created: 2024-05-01T12:00:00Z
  platform: linux/amd64
  digest: {config}
{layer_lines}tags of team/app
{tag_lines}referrers of team/app@{digest}
{referrer_lines}digests of latest and no-such-tag
  0: {digest}
  1: MANIFEST_UNKNOWN
delete the tag latest of team/app, validate only
{tag_deletion}batch of deletes in team/app, validate only
  0: TAGGED
tags on {digest}
{on_digest}history of team/app:latest
{history}current state of team/app
{current_state}{deletes}manifest team/app:no-such-tag
  code: NOT_FOUND
  reason: MANIFEST_UNKNOWN
  manifest: team/app:no-such-tag
"""


def _blobs(content: Content) -> list[str]:
    """The digests of the configuration and the layers."""
    document = json.loads(content.manifest)
    return [document["config"]["digest"], *(layer["digest"] for layer in document["layers"])]


def _size(content: Content) -> int:
    return sum(len(content.blobs[digest]) for digest in dict.fromkeys(_blobs(content)))


DEMO = expected(
    """\
  charts/shop: 1.4.0
  library/alpine: 3.19, 3.20, latest
  library/nginx: 1.27
  team/app: 1.0.0, 1.0.1, 1.1.0, 1.1.0-sbom, latest
  team/broken: tags unknown, UPSTREAM_ERROR
  team/untagged: no tags
  team/worker: 0.9
""",
    {"1.0.0": OLD, "1.0.1": PATCHED, "1.1.0": APP, "1.1.0-sbom": APP_SBOM, "latest": APP},
    refusing="1.1.0",
    referrers=[APP_SBOM],
)
