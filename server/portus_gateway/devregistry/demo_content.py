"""The content of `portus-gateway dev`: five repositories like those of a real registry."""

from portus_gateway.devregistry.images import artifact, image, index, multi_platform
from portus_gateway.devregistry.server import DevRegistry

_CHART = b"name: shop\nversion: 1.4.0\ndescription: The shop and what it needs\n"
_SBOM = b'{"spdxVersion": "SPDX-2.3", "name": "team/app:1.1.0", "packages": []}\n'


def seed_demo(registry: DevRegistry) -> None:
    """Stores five repositories.

    They have indexes for linux/amd64 and linux/arm64 (`library/alpine`), a Docker manifest list (`library/nginx`), two
    tags on one digest (`team/app:1.1.0` and `team/app:latest`), an SBOM that refers to an image, and a Helm chart
    (`charts/shop`).
    """
    for version in ("3.19", "3.20"):
        platforms = ("linux/amd64", "linux/arm64")
        content = index(
            [image(f"alpine {version}", platform=platform, layer_size=4096) for platform in platforms],
            annotations={"org.opencontainers.image.version": version},
        )
        registry.push("library/alpine", version, *(["latest"] if version == "3.20" else []), content=content)
    registry.push("library/nginx", "1.27", content=multi_platform("nginx 1.27", format="docker"))

    for version in ("1.0.0", "1.0.1"):
        registry.push("team/app", version, content=image(f"app {version}", layers=3))
    app = image("app 1.1.0", layers=3, annotations={"org.opencontainers.image.revision": "4f2a91c"})
    registry.push("team/app", "1.1.0", "latest", content=app)
    registry.push(
        "team/app",
        "1.1.0-sbom",
        content=artifact(
            "application/spdx+json", {"sbom.spdx.json": _SBOM}, media_type="application/spdx+json", subject=app
        ),
    )
    registry.push("team/worker", "0.9", content=image("worker 0.9", layers=2, format="docker"))
    registry.push(
        "charts/shop",
        "1.4.0",
        content=artifact(
            "application/vnd.cncf.helm.config.v1+json",
            {"shop-1.4.0.tgz": _CHART},
            media_type="application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        ),
    )
