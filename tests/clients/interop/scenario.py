"""Shows how to use the gateway.

Lists the catalog with its tags and verifies a manifest. Shows what is in the image, what refers to it, and what the
index knows of it. Tries a delete that is refused, and requests a tag that does not exist.

    python scenario.py ADDRESS REPOSITORY TAG

PORTUS_GATEWAY_CA_FILE turns TLS on, PORTUS_GATEWAY_TOKEN_FILE is a file with a bearer token, and
PORTUS_GATEWAY_TIMEOUT is the timeout of each call in seconds.
"""

import hashlib
import os
import sys

from portus_client import Image, Manifest, RegistryClient, RegistryError, Repository, Tagged


def run(client: RegistryClient, repository: str, tag: str) -> None:
    print("catalog")
    for listed in client.catalog(include_tags=True):
        print(f"  {listed.name}: {tags_of(listed)}")

    manifest = client.manifest(repository, tag)
    digest = manifest.descriptor.digest
    computed = "sha256:" + hashlib.sha256(manifest.raw).hexdigest()
    print(f"manifest {repository}:{tag}")
    print(f"  media type: {manifest.descriptor.media_type}")
    print(f"  size: {len(manifest.raw)}")
    print(f"  digest: {digest}")
    print(f"  SHA-256 of the bytes: {computed}")
    if computed != digest:
        raise SystemExit(f"scenario: the digest of the bytes is not {digest}")

    show_content(client, repository, tag, manifest)
    show_index(client, repository, tag, digest)

    for validate_only in (True, False):
        stated = "true" if validate_only else "false"
        print(f"delete {repository}@{digest}, expecting the tag {tag}, validate only: {stated}")
        try:
            deleted = client.delete_manifest(repository, digest, expected_tags=[tag], validate_only=validate_only)
        except RegistryError as error:
            show(error)
        else:
            print(f"  deleted, with the tags: {', '.join(deleted.deleted_tags)}")

    print(f"manifest {repository}:no-such-tag")
    try:
        client.manifest(repository, "no-such-tag")
    except RegistryError as error:
        show(error)


def show_content(client: RegistryClient, repository: str, tag: str, manifest: Manifest) -> None:
    """Shows what is in the image, the repository's tags, and what refers to the image."""
    config = client.image_config(repository, tag)
    print(f"configuration of {repository}:{tag}")
    print(f"  created: {config.created:%Y-%m-%dT%H:%M:%SZ}")
    print(f"  platform: {config.platform}")
    print(f"  digest: {config.config.digest}")

    for layer in manifest.content.layers if isinstance(manifest.content, Image) else ():
        print(f"layer {layer.digest}")
        hasher = hashlib.sha256()
        size = 0
        with client.read_blob(repository, layer.digest) as blob:
            for chunk in blob.chunks():
                hasher.update(chunk)
                size += len(chunk)
            print(f"  size: {size} of {blob.size}")
        print(f"  SHA-256 of the bytes: sha256:{hasher.hexdigest()}")

    print(f"tags of {repository}")
    for details in client.tag_details(repository, omit_referrer_tags=True):
        digest = details.descriptor.digest if details.descriptor is not None else "unknown"
        platform = details.platforms[0] if details.platforms else "no platform"
        print(f"  {details.tag}: {digest}, {details.total_size} bytes, {platform}")

    digest = manifest.descriptor.digest
    print(f"referrers of {repository}@{digest}")
    for referrer in client.referrers(repository, digest):
        print(f"  {referrer.descriptor.artifact_type}: {referrer.descriptor.digest}")

    print(f"digests of {tag} and no-such-tag")
    wanted = [(repository, tag), (repository, "no-such-tag")]
    for resolved in sorted(client.batch_resolve(wanted), key=lambda result: result.index):
        outcome = resolved.outcome
        print(f"  {resolved.index}: {outcome.reason if isinstance(outcome, RegistryError) else outcome.digest}")

    print(f"delete the tag {tag} of {repository}, validate only")
    try:
        deleted = client.delete_tag(repository, tag, expected_digest=digest, validate_only=True)
    except RegistryError as error:
        show(error)
    else:
        print(f"  deleted, it pointed to: {deleted.digest}")

    print(f"batch of deletes in {repository}, validate only")
    for result in client.batch_delete(repository, [digest], validate_only=True):
        reason = result.outcome.reason if isinstance(result.outcome, RegistryError) else ""
        print(f"  {result.index}: {reason}")


def show_index(client: RegistryClient, repository: str, tag: str, digest: str) -> None:
    """Shows what the gateway's index knows of the image, if it has one."""
    print(f"tags on {digest}")
    try:
        for found in client.find_tags(digest=digest):
            print(f"  {found.repository}:{found.tag}")
    except RegistryError as error:
        show(error)

    print(f"history of {repository}:{tag}")
    try:
        for event in client.tag_history(repository, tag):
            print(f"  {event.type}: {event.digest}")
    except RegistryError as error:
        show(error)

    print(f"current state of {repository}")
    try:
        for update in client.watch(repositories=[repository], current_state=True):
            for event in update.events:
                print(f"  {event.type}: {event.tag or event.repository}")
            if update.current_state_complete:
                break
    except RegistryError as error:
        show(error)


def tags_of(repository: Repository) -> str:
    if repository.tags_error is not None:
        return f"tags unknown, {repository.tags_error.reason}"
    return ", ".join(repository.tags or ()) or "no tags"


def show(error: RegistryError) -> None:
    """Prints an error of the gateway, and raises any other again."""
    if not error.reason:
        raise error
    print(f"  code: {error.code.name}")
    print(f"  reason: {error.reason}")
    if error.resource is not None:
        print(f"  {error.resource.kind}: {error.resource.name}")
    if isinstance(error, Tagged):
        print(f"  tags: {', '.join(error.tags)}")
    if error.retry_delay is not None:
        print(f"  retry after: {error.retry_delay.total_seconds():g} s")


def main() -> None:
    if len(sys.argv) != 4:
        raise SystemExit("usage: scenario.py ADDRESS REPOSITORY TAG")
    address, repository, tag = sys.argv[1:]
    timeout = float(os.environ.get("PORTUS_GATEWAY_TIMEOUT", "30"))
    client = RegistryClient(
        address,
        timeout=timeout,
        stream_timeout=timeout,
        ca_file=os.environ.get("PORTUS_GATEWAY_CA_FILE"),
        token_file=os.environ.get("PORTUS_GATEWAY_TOKEN_FILE"),
    )
    with client:
        try:
            run(client, repository, tag)
        except RegistryError as error:
            raise SystemExit(f"scenario: {error.code.name}: {error}") from None


if __name__ == "__main__":
    main()
