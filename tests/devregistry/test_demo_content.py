import json

from portus_gateway.devregistry import DevRegistry, seed_demo
from tests.devregistry.http_client import HttpClient


async def test_the_demo_has_every_kind_of_content(client: HttpClient, registry: DevRegistry) -> None:
    seed_demo(registry)
    assert registry.repositories() == ["charts/shop", "library/alpine", "library/nginx", "team/app", "team/worker"]
    assert set(registry.tags("team/app")) == {"1.0.0", "1.0.1", "1.1.0", "1.1.0-sbom", "latest"}
    assert registry.tags("team/app")["1.1.0"] == registry.tags("team/app")["latest"]
    kinds = set()
    for repository in registry.repositories():
        for tag in registry.tags(repository):
            answer = await client.pull(registry, repository, tag)
            assert answer.status == 200
            kinds.add(answer.headers["Content-Type"])
    assert kinds == {
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }


async def test_the_demos_index_has_two_platforms_whose_images_can_be_pulled(
    client: HttpClient, registry: DevRegistry
) -> None:
    seed_demo(registry)
    index = json.loads((await client.pull(registry, "library/alpine", "3.20")).body)
    platforms = [(child["platform"]["os"], child["platform"]["architecture"]) for child in index["manifests"]]
    assert platforms == [("linux", "amd64"), ("linux", "arm64")]
    for child in index["manifests"]:
        manifest = json.loads((await client.pull(registry, "library/alpine", child["digest"])).body)
        for blob in (manifest["config"], *manifest["layers"]):
            answer = await client.call(registry, "HEAD", f"/v2/library/alpine/blobs/{blob['digest']}")
            assert (answer.status, answer.headers["Content-Length"]) == (200, str(blob["size"]))


async def test_the_demos_sbom_refers_to_the_tagged_image(client: HttpClient, registry: DevRegistry) -> None:
    seed_demo(registry)
    sbom = json.loads((await client.pull(registry, "team/app", "1.1.0-sbom")).body)
    assert sbom["subject"]["digest"] == registry.tags("team/app")["1.1.0"]
    chart = json.loads((await client.pull(registry, "charts/shop", "1.4.0")).body)
    assert chart["artifactType"] == "application/vnd.cncf.helm.config.v1+json"
