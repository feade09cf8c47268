#!/usr/bin/env python3
"""Prints a table of all repositories: number of tags, newest image, its age, its size and its platforms.

    dashboard.py --prefix team/

What cannot be read is shown as `unknown`, and the error goes to standard error.

Exit status: 0 if all could be read and written, 1 if not.
"""

import argparse
import os
import sys
from contextlib import nullcontext
from datetime import UTC, datetime

from portus_client import RegistryClient, RegistryError, TagDetails

_ROW = "{:<30} {:>5}  {:<20} {:>8} {:>9}  {}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefix", default="", help="only repositories whose names begin with this")
    arguments = parser.parse_args()
    address = os.environ.get("PORTUS_GATEWAY_ADDRESS", "127.0.0.1:50051")
    try:
        # Closed at the end, so that output that cannot be written is an error. None: the caller has closed it.
        with (
            sys.stdout or nullcontext(),
            RegistryClient(address, token_file=os.environ.get("PORTUS_GATEWAY_TOKEN_FILE")) as client,
        ):
            return show(client, arguments.prefix)
    except OSError as error:
        print(f"{error.filename or 'standard output'}: {error.strerror or error}", file=sys.stderr)
        return 1
    except (RegistryError, ValueError) as error:
        print(f"the list is not complete: {error}", file=sys.stderr)
        return 1


def show(client: RegistryClient, prefix: str) -> int:
    failed = False
    print(_ROW.format("REPOSITORY", "TAGS", "NEWEST", "AGE", "SIZE", "PLATFORMS"))
    for repository in client.catalog(prefix=prefix):
        try:
            tags = list(client.tag_details(repository.name, omit_referrer_tags=True))
        except RegistryError as error:
            failed = True
            print(f"{repository.name}: {error}", file=sys.stderr)
            print(_ROW.format(repository.name, "", "unknown", "", "", "").rstrip())
            continue
        for details in tags:
            if details.error is not None:
                failed = True
                print(f"{repository.name}:{details.tag}: {details.error}", file=sys.stderr)
        print(row(repository.name, tags))
    return 1 if failed else 0


def row(name: str, tags: list[TagDetails]) -> str:
    dated = [(details.created, details) for details in tags if details.created is not None]
    if not dated:
        return _ROW.format(name, len(tags), "unknown" if tags else "", "", "", "").rstrip()
    created, newest = max(dated, key=lambda pair: pair[0])
    platforms = ", ".join(map(str, newest.platforms))
    return _ROW.format(name, len(tags), newest.tag, age(created), size(newest.total_size), platforms)


def age(created: datetime) -> str:
    return f"{(datetime.now(UTC) - created).days} d"


def size(total: int | None) -> str:
    if total is None:
        return "unknown"
    return f"{total / 1e6:.1f} MB" if total >= 1e5 else f"{total / 1e3:.1f} kB"


if __name__ == "__main__":
    sys.exit(main())
