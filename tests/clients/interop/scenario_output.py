"""What the scenario prints, in every language."""

from portus_gateway.devregistry import image

# `team/app:latest` of `portus-gateway dev`.
APP = image("app 1.1.0", layers=3, annotations={"org.opencontainers.image.revision": "4f2a91c"})

SBOM = b'{"spdxVersion": "SPDX-2.3", "name": "team/app:1.1.0", "packages": []}\n'


def expected(catalog: str, digest: str, size: int, tags: str) -> str:
    deletes = "".join(
        f"""\
delete team/app@{digest}, expecting the tag latest, validate only: {validate_only}
  code: FAILED_PRECONDITION
  reason: TAGGED
  manifest: team/app@{digest}
  tags: {tags}
"""
        for validate_only in ("true", "false")
    )
    return f"""\
catalog
{catalog}manifest team/app:latest
  media type: application/vnd.oci.image.manifest.v1+json
  size: {size}
  digest: {digest}
  SHA-256 of the bytes: {digest}
{deletes}manifest team/app:no-such-tag
  code: NOT_FOUND
  reason: MANIFEST_UNKNOWN
  manifest: team/app:no-such-tag
"""


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
    APP.digest,
    len(APP.manifest),
    "1.1.0",
)
