#!/usr/bin/env python3
"""Replaces the tags of images by digests, so that every machine of a deployment gets the same bytes.

    pin_images.py --platform linux/amd64 < images.txt

Each line of the input is an image, such as `team/app:1.0`. The output has the lines in the same order, as
`team/app@sha256:…`.

Exit status: 0 if all were resolved and written, 1 if not. If not all were resolved, there is no output: half of a
deployment is none.
"""

import argparse
import os
import sys
from contextlib import nullcontext

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
        # Closed at the end, so that output that cannot be written is an error. None: the caller has closed it.
        with (
            sys.stdout or nullcontext(),
            RegistryClient(address, token_file=os.environ.get("PORTUS_GATEWAY_TOKEN_FILE")) as client,
        ):
            for result in client.batch_resolve(wanted):
                name = names[result.index]
                if isinstance(result.outcome, RegistryError):
                    print(f"{name}: {result.outcome}", file=sys.stderr)
                else:
                    pinned[result.index] = f"{name.repository}@{result.outcome.digest}"
            if len(pinned) < len(names):
                return 1
            for index in sorted(pinned):
                print(pinned[index])
            return 0
    except OSError as error:
        print(f"{error.filename or 'standard output'}: {error.strerror or error}", file=sys.stderr)
        return 1
    except (RegistryError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
