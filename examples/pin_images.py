#!/usr/bin/env python3
"""Replaces the tags of images by digests, so that every machine of a deployment gets the same bytes.

    pin_images.py --platform linux/amd64 < images.txt

Each line of the input is an image, such as `team/app:1.0`. The output has the lines in the same order, as
`team/app@sha256:…`.

Exit status: 0 if all were resolved, 1 if not. There is no output then: half of a deployment is none.
"""

import argparse
import os
import sys

from portus_client import ImageName, ManifestRequest, Platform, RegistryClient, RegistryError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--platform", help="default: the digest of the whole index")
    arguments = parser.parse_args()
    try:
        platform = Platform.parse(arguments.platform) if arguments.platform else None
        names = [ImageName.parse(line.strip()) for line in sys.stdin if line.strip()]
    except ValueError as error:
        parser.error(str(error))
    wanted = [ManifestRequest(name.repository, name.reference, platform=platform) for name in names]
    address = os.environ.get("PORTUS_GATEWAY_ADDRESS", "127.0.0.1:50051")
    pinned: dict[int, str] = {}
    try:
        with RegistryClient(address, token_file=os.environ.get("PORTUS_GATEWAY_TOKEN_FILE")) as client:
            for result in client.batch_resolve(wanted):
                name = names[result.index]
                if isinstance(result.outcome, RegistryError):
                    print(f"{name}: {result.outcome}", file=sys.stderr)
                else:
                    pinned[result.index] = f"{name.repository}@{result.outcome.digest}"
    except RegistryError as error:
        print(error, file=sys.stderr)
    if len(pinned) < len(names):
        return 1
    for index in sorted(pinned):
        print(pinned[index])
    return 0


if __name__ == "__main__":
    sys.exit(main())
