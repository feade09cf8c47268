#!/usr/bin/env python3
"""Scans all layers of an image for files that run with the rights of their owner (setuid), and lists its SBOMs.

    scan_image.py team/app:1.0 --platform linux/amd64

Layers are read as streams: nothing is written to disk, and no layer is in memory as a whole. Each digest is verified.

Exit status: 0 if nothing was found, 1 if there are such files, 2 if not all could be read or written.
"""

import argparse
import json
import os
import stat
import sys
import tarfile
from contextlib import nullcontext

from portus_client import Descriptor, Image, ImageName, Platform, RegistryClient, RegistryError

_SBOM_TYPES = ("spdx+json", "cyclonedx+json")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", help="an image, such as team/app:1.0")
    parser.add_argument("--platform", default="linux/amd64", help="default: linux/amd64")
    arguments = parser.parse_args()
    try:
        name, platform = ImageName.parse(arguments.image), Platform.parse(arguments.platform)
    except ValueError as error:
        parser.error(str(error))
    address = os.environ.get("PORTUS_GATEWAY_ADDRESS", "127.0.0.1:50051")
    try:
        # Closed at the end, so that output that cannot be written is an error. None: the caller has closed it.
        with (
            sys.stdout or nullcontext(),
            RegistryClient(address, token_file=os.environ.get("PORTUS_GATEWAY_TOKEN_FILE")) as client,
        ):
            return scan(client, name, platform)
    except OSError as error:
        print(f"{error.filename or 'standard output'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except (RegistryError, tarfile.TarError, ValueError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2


def scan(client: RegistryClient, name: ImageName, platform: Platform) -> int:
    manifest = client.manifest(name.repository, name.reference, platform=platform)
    if not isinstance(manifest.content, Image):
        print(f"{name}: {manifest.content_error or 'there is no image for this platform'}", file=sys.stderr)
        return 2
    found = [path for layer in manifest.content.layers for path in setuid_files(client, name.repository, layer)]
    for path in found:
        print(f"setuid: {path}")
    print(f"{len(manifest.content.layers)} layers, {len(found)} setuid files")
    for sbom, packages in sboms(client, name.repository, manifest.descriptor.digest):
        print(f"SBOM: {sbom.media_type}, {packages} packages")
    return 1 if found else 0


def setuid_files(client: RegistryClient, repository: str, layer: Descriptor) -> list[str]:
    with client.read_blob(repository, layer.digest) as content, tarfile.open(fileobj=content, mode="r|*") as archive:
        found = [member.name for member in archive if member.isfile() and member.mode & stat.S_ISUID]
        # The digest is verified at the end of the blob, and the archive may end before it.
        while content.read(1 << 20):
            pass
        return found


def sboms(client: RegistryClient, repository: str, digest: str) -> list[tuple[Descriptor, int]]:
    found = []
    for referrer in client.referrers(repository, digest):
        if referrer.error is not None:
            raise referrer.error
        for layer in referrer.layers:
            if layer.media_type.endswith(_SBOM_TYPES):
                with client.read_blob(repository, layer.digest) as content:
                    found.append((layer, packages_in(content.read())))
    return found


def packages_in(sbom: bytes) -> int:
    try:
        document = json.loads(sbom)
        return len(document.get("packages") or document.get("components") or ())
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise ValueError("an SBOM is malformed") from error


if __name__ == "__main__":
    sys.exit(main())
