"""Manifests to push, and whether distribution 2.8.2, distribution 3.1.1 and the flavour `oci-1.1` take them.

What distribution does was seen on both releases, with `validation.manifests.urls.allow: ["^https?://"]`. Without that
setting it refuses every layer that has URLs.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from portus_gateway.devregistry import Flavour, image

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
_NON_DISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar"
_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

TAKEN = "taken"
STATUSES: Mapping[str, int] = {
    TAKEN: 201,
    "MANIFEST_INVALID": 400,
    "MANIFEST_BLOB_UNKNOWN": 400,
    "DIGEST_INVALID": 400,
    "UNKNOWN": 500,
}
"""The status of each outcome: `TAKEN`, or the code of the first error."""

STORED = image("stored")
"""The image whose config, layer and manifest are in the repository already."""
_DOCUMENT = json.loads(STORED.manifest)
_CONFIG, _LAYER = _DOCUMENT["config"], _DOCUMENT["layers"][0]
_CHILD = {
    "mediaType": OCI_MANIFEST,
    "digest": STORED.digest,
    "size": len(STORED.manifest),
    "platform": {"os": "linux", "architecture": "amd64"},
}
_ABSENT = "sha256:" + "0" * 64
_URLS = ["https://example.com/layer"]


@dataclass(frozen=True, slots=True)
class Case:
    """A body, and what comes of a push of it."""

    name: str
    media_type: str
    body: bytes
    outcomes: Mapping[Flavour, str]


def cases() -> Iterator[Case]:
    for outcome, bodies in (
        (TAKEN, _TAKEN),
        ("MANIFEST_INVALID", _INVALID),
        ("MANIFEST_BLOB_UNKNOWN", _MISSING),
        ("DIGEST_INVALID", _MALFORMED),
    ):
        for name, (media_type, body) in bodies.items():
            yield Case(name, media_type, body, dict.fromkeys(("2.8", "3.1", "oci-1.1"), outcome))
    for name, (media_type, body, *outcomes) in _DIFFERENT.items():
        yield Case(name, media_type, body, dict(zip(("2.8", "3.1", "oci-1.1"), outcomes, strict=True)))


def _changed(document: Mapping[str, object], changes: Mapping[str, object]) -> bytes:
    """The document with these fields; `...` removes one."""
    fields = {**document, **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def _image(**changes: object) -> tuple[str, bytes]:
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": _CONFIG, "layers": [_LAYER]}
    return OCI_MANIFEST, _changed(document, changes)


def _layer(**changes: object) -> tuple[str, bytes]:
    """An image with this layer."""
    return _image(layers=[json.loads(_changed(_LAYER, changes))])


def _elsewhere(media_type: str, urls: object = ...) -> tuple[str, bytes]:
    """An image with a layer that the registry does not have."""
    return _layer(mediaType=media_type, digest=_ABSENT, urls=urls)


def _with(text: bytes) -> tuple[str, bytes]:
    """An image with these fields at its end."""
    media_type, body = _image()
    return media_type, body[:-1] + b"," + text + b"}"


def _value(text: bytes) -> tuple[str, bytes]:
    """An image with a field of a name that nobody knows."""
    return _with(b'"unknown":' + text)


def _index(**changes: object) -> tuple[str, bytes]:
    return OCI_INDEX, _changed({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [_CHILD]}, changes)


def _child(**changes: object) -> tuple[str, bytes]:
    """An index with this child."""
    return _index(manifests=[json.loads(_changed(_CHILD, changes))])


def _docker(**changes: object) -> tuple[str, bytes]:
    document = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": _CONFIG, "layers": [_LAYER]}
    return DOCKER_MANIFEST, _changed(document, changes)


def _list(**changes: object) -> tuple[str, bytes]:
    return DOCKER_LIST, _changed({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [_CHILD]}, changes)


def _as(media_type: str, body: tuple[str, bytes]) -> tuple[str, bytes]:
    return media_type, body[1]


def _replaced(old: bytes, new: bytes) -> tuple[str, bytes]:
    media_type, body = _image()
    assert old in body
    return media_type, body.replace(old, new)


def _around(before: bytes, after: bytes = b"") -> tuple[str, bytes]:
    media_type, body = _image()
    return media_type, before + body + after


def _as_long_as(size: int) -> tuple[str, bytes]:
    _, empty = _image(annotations={"filling": ""})
    return _image(annotations={"filling": "x" * (size - len(empty))})


_TAKEN: Mapping[str, tuple[str, bytes]] = {
    "an image": _image(),
    "no mediaType": _image(mediaType=...),
    "an empty mediaType": _image(mediaType=""),
    "mediaType is null": _image(mediaType=None),
    "blanks around it": _around(b" \t\r\n", b"\n "),
    "four MiB": _as_long_as(4 * 1024 * 1024),
    "a Content-Type with a parameter": _as(f"{OCI_MANIFEST}; charset=utf-8", _image()),
    "a Content-Type in upper case": _as(OCI_MANIFEST.upper(), _image()),
    # Text that is not Unicode.
    "an annotation that is not UTF-8": _with(b'"annotations":{"a":"caf\xe9"}'),
    "a field's name that is not UTF-8": _with(b'"caf\xe9":1'),
    "a surrogate in UTF-8": _value(b'"\xed\xa0\x80"'),
    "half of an escaped surrogate pair": _value(b'"\\ud800"'),
    "an escaped NUL": _with(b'"annotations":{"a":"\\u0000"}'),
    "an escaped slash": _value(b'"\\/"'),
    "DEL": _value(b'"\x7f"'),
    # Numbers that are not read.
    "a huge number": _value(b"1e999"),
    "an integer of 5,000 digits": _value(b"9" * 5000),
    "minus zero": _value(b"-0"),
    # Sizes.
    "a negative size": _layer(size=-1),
    "the largest size": _layer(size=2**63 - 1),
    "a size that is null": _layer(size=None),
    "no size": _layer(size=...),
    # Depth.
    "2,000 lists deep": _value(b"[" * 2000 + b"]" * 2000),
    "9,999 lists deep": _value(b"[" * 9999 + b"]" * 9999),
    "3,000 objects deep": _value(b'{"a":' * 3000 + b"1" + b"}" * 3000),
    # Fields that are there twice, or in another case.
    "annotations twice": _with(b'"annotations":{"a":"1"},"annotations":{"b":"2"}'),
    "config twice, empty at last": _with(b'"config":{}'),
    "layers twice, none at last": _with(b'"layers":[]'),
    "layers with a missing one, then the good ones": _replaced(
        b'"layers"', b'"Layers":[{"digest":"' + _ABSENT.encode() + b'"}],"layers"'
    ),
    "fields in upper case": _replaced(b'"layers"', b'"LAYERS"'),
    "a field with the long s": _replaced(b'"layers"', '"layer\u017f"'.encode()),
    "a field's name with an escape": _replaced(b'"layers"', b'"l\\u0061yers"'),
    "manifests, then null": _with(b'"manifests":[],"manifests":null'),
    "an architecture in two cases": _child(platform={"os": "linux", "architecture": "s390x", "Architecture": "amd64"}),
    # Layers.
    "layers are null": _image(layers=None),
    "no layers": _image(layers=...),
    "a layer twice": _image(layers=[_LAYER, _LAYER]),
    "a layer without a type": _layer(mediaType=...),
    "a layer of an odd type": _layer(mediaType="text/plain"),
    "a layer of a manifest's type": _layer(mediaType=OCI_MANIFEST),
    "a stored layer with URLs": _layer(urls=_URLS),
    "URLs are null": _layer(urls=None),
    "a non-distributable layer with URLs": _elsewhere(_NON_DISTRIBUTABLE, _URLS),
    "a packed non-distributable layer with URLs": _elsewhere(f"{_NON_DISTRIBUTABLE}+gzip", _URLS),
    "a URL with a blank in its path": _elsewhere(_NON_DISTRIBUTABLE, ["https://example.com/a b"]),
    "a URL with an empty fragment": _elsewhere(_NON_DISTRIBUTABLE, ["https://example.com/#"]),
    "a URL with an account": _elsewhere(_NON_DISTRIBUTABLE, ["https://user:password@example.com/"]),
    "a foreign layer": _docker(layers=[{"mediaType": _FOREIGN, "digest": _ABSENT, "size": 1, "urls": _URLS}]),
    "data": _layer(data="e30="),
    "data of something else": _layer(data="YWJj"),
    "data with a line break": _layer(data="e3\n0="),
    # Annotations, subject.
    "an annotation that is null": _image(annotations={"a": None}),
    "annotations are null": _image(annotations=None),
    "a subject that is missing": _image(subject={"mediaType": OCI_MANIFEST, "digest": _ABSENT, "size": 1}),
    "a subject that is null": _image(subject=None),
    "an artifact": _image(artifactType="text/plain"),
    # Indexes and Docker's types.
    "an index": _index(),
    "an index without mediaType": _index(mediaType=...),
    "an index whose config is null": _index(config=None),
    "an index without manifests": _index(manifests=...),
    "an index whose manifests are null": _index(manifests=None),
    "a child without a platform": _child(platform=...),
    "a Docker image": _docker(),
    "a Docker image with manifests": _docker(manifests=[]),
    "a Docker list": _list(),
    "a Docker list with layers": _list(layers=[]),
}

_INVALID: Mapping[str, tuple[str, bytes]] = {
    "an empty body": (OCI_MANIFEST, b""),
    "a list": (OCI_MANIFEST, b"[]"),
    "a number": (OCI_MANIFEST, b"2"),
    "something behind it": _around(b"", b"x"),
    "two documents": _around(b"", b"{}"),
    "a form feed": _around(b"\f"),
    "a byte order mark": _around(b"\xef\xbb\xbf"),
    "UTF-16": (OCI_MANIFEST, _image()[1].decode().encode("utf-16")),
    "UTF-16 without a byte order mark": (OCI_MANIFEST, _image()[1].decode().encode("utf-16-le")),
    "a comment": _around(b"/* */"),
    "more than four MiB": _as_long_as(4 * 1024 * 1024 + 1),
    "not closed": (OCI_MANIFEST, _image()[1][:-1]),
    "a comma too many": (OCI_MANIFEST, _image()[1][:-1] + b",}"),
    "a list that ends as an object": _value(b"[1}"),
    "10,000 lists deep": _value(b"[" * 10_000 + b"]" * 10_000),
    "NaN": _value(b"NaN"),
    "infinity": _value(b"Infinity"),
    "a leading zero": _value(b"01"),
    "a plus sign": _value(b"+1"),
    "a hexadecimal number": _value(b"0x1"),
    "a dot without digits": _value(b"1."),
    "a tab in a string": _value(b'"a\tb"'),
    "an escape that JSON does not have": _value(b'"\\x41"'),
    "an escape that is too short": _value(b'"\\u12"'),
    "another mediaType": _image(mediaType=OCI_INDEX),
    "mediaType is a number": _image(mediaType=1),
    "another mediaType after the right one": _with(b'"MediaType":"' + OCI_INDEX.encode() + b'"'),
    "schemaVersion is text": _image(schemaVersion="2"),
    "schemaVersion has a fraction": _replaced(b'"schemaVersion": 2', b'"schemaVersion": 2.0'),
    "schemaVersion has an exponent": _replaced(b'"schemaVersion": 2', b'"schemaVersion": 2e0'),
    "a size with a fraction": _layer(size=1.5),
    "a size of more than 64 bits": _layer(size=2**63),
    "a size that is text": _layer(size="1"),
    "a size that is true": _layer(size=True),
    "config is a list": _image(config=[]),
    "layers are an object": _image(layers={}),
    "a layer is text": _image(layers=["x"]),
    "a layer is a list": _image(layers=[[]]),
    "a digest is a number": _layer(digest=1),
    "URLs are text": _layer(urls="https://example.com/"),
    "a URL is a number": _layer(urls=[1]),
    "an annotation is a number": _image(annotations={"a": 1}),
    "annotations are a list": _image(annotations=[]),
    "an annotation of a layer is a number": _layer(annotations={"a": 1}),
    "a platform is a number": _layer(platform=1),
    "an operating system is a number": _layer(platform={"os": 1}),
    "an image with manifests": _image(manifests=[]),
    "an image with manifests in another case": _image(Manifests=0),
    "an index with config": _index(config={}),
    "an index with layers in another case": _index(Layers=[]),
    "an index's manifests are an object": _index(manifests={}),
    "a child's platform is text": _child(platform="linux/amd64"),
    "an image as an index": _as(OCI_INDEX, _image(mediaType=...)),
    "an index as an image": _as(OCI_MANIFEST, _index(mediaType=...)),
    "a Docker image without mediaType": _docker(mediaType=...),
    "a Docker image with OCI's mediaType": _docker(mediaType=OCI_MANIFEST),
    "a Docker list without mediaType": _list(mediaType=...),
    "a Docker list with OCI's mediaType": _list(mediaType=OCI_INDEX),
    "features of a Docker platform are text": _list(manifests=[{**_CHILD, "platform": {"features": "x"}}]),
    "no Content-Type": _as("", _image()),
    "JSON's Content-Type": _as("application/json", _image()),
    "a Content-Type with a broken parameter": _as(f"{OCI_MANIFEST}; x", _image()),
    "an artifact manifest": _as("application/vnd.oci.artifact.manifest.v1+json", _image()),
}

_MISSING: Mapping[str, tuple[str, bytes]] = {
    "a missing layer": _layer(digest=_ABSENT),
    "a missing layer of sha512": _layer(digest="sha512:" + "0" * 128),
    "a missing layer in another case, at last": _with(b'"Layers":[{"digest":"' + _ABSENT.encode() + b'"}]'),
    "a missing config, at last": _with(b'"config":{"digest":"' + _ABSENT.encode() + b'"}'),
    "a missing layer with an empty list of URLs": _elsewhere(_OCI_LAYER, []),
    "a manifest as a layer": _image(layers=[{"mediaType": OCI_MANIFEST, "digest": STORED.digest, "size": 1}]),
    "a missing child": _child(digest=_ABSENT),
    "a missing child with URLs": _child(digest=_ABSENT, urls=_URLS),
    "a missing child of a Docker list": _list(manifests=[{**_CHILD, "digest": _ABSENT}]),
}

_MALFORMED: Mapping[str, tuple[str, bytes]] = {
    "no config": _image(config=...),
    "config is null": _image(config=None),
    "a layer is null": _image(layers=[None]),
    "a layer without a digest": _layer(digest=...),
    "a digest without an algorithm": _layer(digest="x"),
    "a digest in upper case": _layer(digest=_LAYER["digest"].upper()),
    "a digest with upper-case digits": _layer(digest=_LAYER["digest"].replace(_LAYER["digest"][7:], "A" * 64)),
    "a child without a digest": _child(digest=...),
    "a child is empty": _index(manifests=[{}]),
}

# In 2.8, in 3.1, and in OCI 1.1.
_DIFFERENT: Mapping[str, tuple[str, bytes, str, str, str]] = {
    # Distribution answers some bad requests with 500.
    "null": (OCI_MANIFEST, b"null", "UNKNOWN", "UNKNOWN", "MANIFEST_INVALID"),
    "schemaVersion 1": (*_image(schemaVersion=1), "UNKNOWN", "UNKNOWN", "MANIFEST_INVALID"),
    "schemaVersion 1 in another case": (*_with(b'"schemaversion":1'), "UNKNOWN", "UNKNOWN", "MANIFEST_INVALID"),
    "no schemaVersion": (*_image(schemaVersion=...), "UNKNOWN", "UNKNOWN", "MANIFEST_INVALID"),
    "a digest of MD5": (*_layer(digest="md5:" + "0" * 32), "UNKNOWN", "UNKNOWN", "MANIFEST_INVALID"),
    "a digest that is too short": (*_layer(digest="sha256:12"), "UNKNOWN", "UNKNOWN", "MANIFEST_INVALID"),
    "a child's digest of MD5": (*_child(digest="md5:" + "0" * 32), "UNKNOWN", "UNKNOWN", "MANIFEST_INVALID"),
    # URLs are only read by distribution.
    "a URL of FTP": (*_elsewhere(_NON_DISTRIBUTABLE, ["ftp://example.com/"]), "UNKNOWN", "UNKNOWN", TAKEN),
    "a URL with a fragment": (*_elsewhere(_NON_DISTRIBUTABLE, ["https://example.com/#a"]), "UNKNOWN", "UNKNOWN", TAKEN),
    "a URL with a bad port": (*_elsewhere(_NON_DISTRIBUTABLE, ["https://example.com:x/"]), "UNKNOWN", "UNKNOWN", TAKEN),
    "a URL with a bad escape": (
        *_elsewhere(_NON_DISTRIBUTABLE, ["https://example.com/%zz"]),
        "UNKNOWN",
        "UNKNOWN",
        TAKEN,
    ),
    "a URL with a blank host": (
        *_elsewhere(_NON_DISTRIBUTABLE, ["https://exa mple.com/"]),
        "UNKNOWN",
        "UNKNOWN",
        TAKEN,
    ),
    "a good URL and a bad one": (*_elsewhere(_NON_DISTRIBUTABLE, [*_URLS, "/layer"]), "UNKNOWN", "UNKNOWN", TAKEN),
    "a stored layer with a bad URL": (*_layer(urls=["/layer"]), "UNKNOWN", "UNKNOWN", TAKEN),
    "a foreign layer without URLs": (
        *_docker(layers=[{"mediaType": _FOREIGN, "digest": _ABSENT, "size": 1}]),
        *("UNKNOWN", "UNKNOWN", TAKEN),
    ),
    # Which layers may be missing.
    "a non-distributable layer without URLs": (
        *_elsewhere(_NON_DISTRIBUTABLE),
        *("MANIFEST_BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", TAKEN),
    ),
    "a non-distributable layer of zstd": (
        *_elsewhere(f"{_NON_DISTRIBUTABLE}+zstd", _URLS),
        *(TAKEN, "MANIFEST_BLOB_UNKNOWN", TAKEN),
    ),
    "a missing layer with URLs": (
        *_elsewhere(_OCI_LAYER, _URLS),
        *(TAKEN, "MANIFEST_BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"),
    ),
    "a missing layer of an odd type with URLs": (
        *_elsewhere("text/plain", _URLS),
        *(TAKEN, "MANIFEST_BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"),
    ),
    "a malformed digest with URLs": (
        *_layer(mediaType=_NON_DISTRIBUTABLE, digest="x", urls=_URLS),
        *(TAKEN, "DIGEST_INVALID", "DIGEST_INVALID"),
    ),
    "a blob as a child": (
        *_child(digest=_LAYER["digest"]),
        *(TAKEN, "MANIFEST_BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"),
    ),
    # Fields that 2.8 does not read.
    "data that is not base 64": (*_layer(data="??"), TAKEN, "MANIFEST_INVALID", "MANIFEST_INVALID"),
    "data without padding": (*_layer(data="e30"), TAKEN, "MANIFEST_INVALID", "MANIFEST_INVALID"),
    "a layer's artifactType is a number": (*_layer(artifactType=1), TAKEN, "MANIFEST_INVALID", "MANIFEST_INVALID"),
    "an annotation of an index is a number": (
        *_index(annotations={"a": 1}),
        TAKEN,
        "MANIFEST_INVALID",
        "MANIFEST_INVALID",
    ),
    # Fields that 2.8 reads for Docker's lists.
    "features of an OCI platform are text": (*_child(platform={"features": "x"}), "MANIFEST_INVALID", TAKEN, TAKEN),
    # Fields that came with version 1.1.
    "a subject that is a number": (*_image(subject=1), TAKEN, TAKEN, "MANIFEST_INVALID"),
    "artifactType is a number": (*_image(artifactType=1), TAKEN, TAKEN, "MANIFEST_INVALID"),
}
