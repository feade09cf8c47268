#!/usr/bin/env python3
"""Keeps the newest N images of a repository, and deletes the others with all of their tags.

    keep_newest.py team/app --keep 10             # shows what it would delete
    keep_newest.py team/app --keep 10 --delete

An image is as old as its configuration says. What has no date, or cannot be read, is kept. A delete is refused if
somebody moved or added a tag meanwhile, or if a kept index needs the image.

Exit status: 0 if all went, 1 if a delete was refused or failed, or if the output could not be written.
"""

import argparse
import os
import sys
from collections import defaultdict
from contextlib import nullcontext
from datetime import datetime

from portus_client import ManifestDeletion, RegistryClient, RegistryError

_BATCH = 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", help="such as team/app")
    parser.add_argument("--keep", type=int, required=True, help="number of images to keep")
    parser.add_argument("--delete", action="store_true", help="delete; without it, only show what would be deleted")
    arguments = parser.parse_args()
    if arguments.keep < 1:
        parser.error("--keep must be at least 1")
    address = os.environ.get("PORTUS_GATEWAY_ADDRESS", "127.0.0.1:50051")
    try:
        # Closed at the end, so that output that cannot be written is an error. None: the caller has closed it.
        with (
            sys.stdout or nullcontext(),
            RegistryClient(address, token_file=os.environ.get("PORTUS_GATEWAY_TOKEN_FILE")) as client,
        ):
            return clean(client, arguments.repository, arguments.keep, really=arguments.delete)
    except OSError as error:
        print(f"{error.filename or 'standard output'}: {error.strerror or error}", file=sys.stderr)
        return 1
    except (RegistryError, ValueError) as error:
        print(f"{arguments.repository}: {error}", file=sys.stderr)
        return 1


def clean(client: RegistryClient, repository: str, keep: int, *, really: bool) -> int:
    tags: dict[str, list[str]] = defaultdict(list)
    created: dict[str, datetime] = {}
    undated: set[str] = set()
    for details in client.tag_details(repository, omit_referrer_tags=True):
        if details.descriptor is None:
            print(f"kept: {details.tag} cannot be read: {details.error}", file=sys.stderr)
            continue
        digest = details.descriptor.digest
        tags[digest].append(details.tag)
        if details.created is None:
            undated.add(digest)
            print(f"kept: {details.tag} has no date", file=sys.stderr)
        else:
            created[digest] = details.created
    newest_first = sorted(created.keys() - undated, key=lambda digest: created[digest], reverse=True)
    old = [ManifestDeletion(digest, expected_tags=tags[digest]) for digest in newest_first[keep:]]
    failed = False
    for first in range(0, len(old), _BATCH):
        for result in client.batch_delete(repository, old[first : first + _BATCH], validate_only=not really):
            names = ", ".join(tags[result.deletion.digest])
            if isinstance(result.outcome, RegistryError):
                failed = True
                print(f"kept: {names}: {result.outcome}", file=sys.stderr)
            else:
                print(f"{'deleted' if really else 'would delete'}: {names}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
