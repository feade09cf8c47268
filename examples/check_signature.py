#!/usr/bin/env python3
"""Admits an image only if it is signed with a given key, as `cosign sign --key` does.

    check_signature.py team/app:1.0 --key cosign.pub

Prints `team/app@sha256:…`: what to run. The tag may point elsewhere a moment later.

Exit status: 0 if the image is signed, 1 if not, 2 if that could not be found out or written. Only 0 admits the image.

It needs the package `cryptography`, which `portus-gateway[server]` installs.
"""

import argparse
import base64
import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from portus_client import Descriptor, ImageName, RegistryClient, RegistryError

_PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
_SIGNATURE = "dev.cosignproject.cosign/signature"
# A payload has some hundred bytes. Anybody who may push can attach a larger one.
_LARGEST_PAYLOAD = 64 * 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", help="an image, such as team/app:1.0")
    parser.add_argument("--key", type=Path, required=True, help="cosign's public key (PEM, ECDSA)")
    arguments = parser.parse_args()
    try:
        name = ImageName.parse(arguments.image)
        key = load_pem_public_key(arguments.key.read_bytes())
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if not isinstance(key, EllipticCurvePublicKey):
        parser.error(f"{arguments.key} is not an ECDSA key")
    address = os.environ.get("PORTUS_GATEWAY_ADDRESS", "127.0.0.1:50051")
    try:
        # Closed at the end, so that output that cannot be written is an error. None: the caller has closed it.
        with (
            sys.stdout or nullcontext(),
            RegistryClient(address, token_file=os.environ.get("PORTUS_GATEWAY_TOKEN_FILE")) as client,
        ):
            digest = client.resolve(name.repository, name.reference).digest
            if not is_signed(client, name.repository, digest, key):
                print(f"{name.repository}@{digest} is not signed with this key", file=sys.stderr)
                return 1
            print(f"{name.repository}@{digest}")
            return 0
    except OSError as error:
        print(f"{error.filename or 'standard output'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except (RegistryError, ValueError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2


def is_signed(client: RegistryClient, repository: str, digest: str, key: EllipticCurvePublicKey) -> bool:
    unreadable: RegistryError | None = None
    for referrer in client.referrers(repository, digest):
        unreadable = unreadable or referrer.error
        for layer in referrer.layers:
            if layer.media_type == _PAYLOAD_TYPE and verifies(client, repository, layer, digest, key):
                return True
    if unreadable is not None:
        raise unreadable
    return False


def verifies(
    client: RegistryClient, repository: str, layer: Descriptor, digest: str, key: EllipticCurvePublicKey
) -> bool:
    if layer.size is None or layer.size > _LARGEST_PAYLOAD:
        return False
    with client.read_blob(repository, layer.digest) as content:
        payload = content.read()
    try:
        signature = base64.b64decode(layer.annotations.get(_SIGNATURE, ""), validate=True)
        key.verify(signature, payload, ECDSA(SHA256()))
        signed = json.loads(payload)["critical"]["image"]["docker-manifest-digest"]
    except (InvalidSignature, ValueError, KeyError, TypeError):
        return False
    return bool(signed == digest)


if __name__ == "__main__":
    sys.exit(main())
