"""Rewrites a Docker schema 2 manifest to schema 1, as 2.8 does for clients that do not accept schema 2.

The result has another digest, and the registry does not store it. Nothing can be fetched or deleted by that digest
(Portus #718, #725).
"""

import base64
import hashlib
import json
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from portus_gateway.devregistry.digests import digest_of
from portus_gateway.devregistry.documents import object_of, objects_of, parse_object, text_of
from portus_gateway.devregistry.errors import Json

SCHEMA_1_TYPE = "application/vnd.docker.distribution.manifest.v1+prettyjws"
_EMPTY_LAYER = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
_KEY = ec.generate_private_key(ec.SECP256R1())


class NotConvertible(Exception):
    """The history in the image's config does not fit its layers."""


def config_digest(manifest: bytes) -> str:
    """The digest of the image's config, or an empty string."""
    return text_of(object_of(parse_object(manifest).get("config")).get("digest"))


def schema_1(name: str, tag: str, manifest: bytes, config: bytes | None) -> tuple[bytes, str]:
    """The signed schema 1 manifest, and the digest of its payload: the text without the signatures."""
    if config is None:
        raise NotConvertible("the image's config is not in the repository")
    try:
        described = parse_object(config)
    except ValueError as error:
        raise NotConvertible("the image's config is not a JSON object") from error
    layers = [text_of(layer.get("digest")) for layer in objects_of(parse_object(manifest).get("layers"))]
    filled = iter(layers)
    entries: list[tuple[str, dict[str, Json]]] = []
    for step in objects_of(described.get("history")):
        layer = _EMPTY_LAYER if step.get("empty_layer") else next(filled, "")
        if not layer:
            raise NotConvertible("the config's history has more layers than the manifest")
        entries.append((layer, step))
    if not entries or next(filled, None) is not None:
        raise NotConvertible("the config's history has fewer layers than the manifest")
    document: dict[str, Json] = {
        "schemaVersion": 1,
        "name": name,
        "tag": tag,
        "architecture": described.get("architecture"),
        "fsLayers": [{"blobSum": layer} for layer, _ in reversed(entries)],
        "history": _history(described, entries),
    }
    payload = json.dumps(document, indent=3)
    return _signed(payload), digest_of(payload.encode())


def _history(described: dict[str, Json], entries: list[tuple[str, dict[str, Json]]]) -> list[Json]:
    history: list[Json] = []
    parent = ""
    for position, (layer, step) in enumerate(entries):
        last = position == len(entries) - 1
        known = {key: value for key, value in described.items() if key not in ("history", "rootfs")}
        compatible: dict[str, Json] = dict(known) if last else {"created": step.get("created")}
        if parent:
            compatible["parent"] = parent
        parent = hashlib.sha256(f"{layer} {parent} {position}".encode()).hexdigest()
        compatible["id"] = parent
        history.insert(0, {"v1Compatibility": json.dumps(compatible, separators=(",", ":"), sort_keys=True)})
    return history


def _signed(payload: str) -> bytes:
    # The signatures replace the closing brace. `formatTail` has it.
    head, tail = payload[:-2], payload[-2:]
    protected = _base64url(
        json.dumps(
            {
                "formatLength": len(head.encode()),
                "formatTail": _base64url(tail.encode()),
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            },
            separators=(",", ":"),
        ).encode()
    )
    signed = f"{protected}.{_base64url(payload.encode())}".encode()
    r, s = decode_dss_signature(_KEY.sign(signed, ec.ECDSA(hashes.SHA256())))
    point = _KEY.public_key().public_numbers()
    signature = {
        "header": {
            "jwk": {
                "crv": "P-256",
                "kty": "EC",
                "x": _base64url(point.x.to_bytes(32, "big")),
                "y": _base64url(point.y.to_bytes(32, "big")),
            },
            "alg": "ES256",
        },
        "signature": _base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big")),
        "protected": protected,
    }
    return f'{head},\n   "signatures": [{json.dumps(signature)}]{tail}'.encode()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
