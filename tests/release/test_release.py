"""`deploy/release`: every artifact is installed in a clean place, and used once against the gateway of the wheel."""

import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from portus_gateway import __version__
from tests.deploy.kubernetes import CHART, Manifests, helm
from tests.release.commands import ROOT, output_of

REQUEST = '{"repository": "team/app", "tag": "latest"}'
METHOD = "portus.registry.v1.RegistryService/ResolveManifest"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
GO_MODULE = "github.com/portus-gateway/portus-gateway/clients/go"


@pytest.fixture(scope="module")
def installed(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel, with what the gateway needs."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    (wheel,) = (release / "python").glob("*.whl")
    pip = (folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check")
    # The tested versions, which are in pip's cache as well.
    output_of(*pip, "--require-hashes", "--requirement", ROOT / "requirements/server.txt")
    output_of(*pip, "--no-index", f"{wheel}[server]")
    return folder / "bin"


@pytest.fixture(scope="module")
def address(installed: Path) -> Iterator[str]:
    """Where a gateway of the wheel serves, over a registry in memory."""
    process = subprocess.Popen(
        [installed / "portus-gateway", "dev", "--listen", "127.0.0.1:0", "--log-level", "warning"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=installed,
    )
    with process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                found = re.match(r"The gateway serves gRPC at ([\d.:]+),", line)
                if found is not None:
                    break
            else:
                raise AssertionError("the gateway ended")
            yield found[1]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def digest(installed: Path, address: str) -> str:
    """What each client has to print."""
    digest = output_of(installed / "portus-client", "--address", address, "digest", "team/app:latest").strip()
    assert DIGEST.fullmatch(digest)
    return digest


def test_all_artifacts_are_there_with_their_checksums(release: Path) -> None:
    files = {str(path.relative_to(release)) for path in release.rglob("*") if path.is_file()} - {"SHA256SUMS"}
    go, java = f"go/{GO_MODULE}/@v", f"maven/io/portus/portus-gateway-client/{__version__}"
    jar = f"{java}/portus-gateway-client-{__version__}"
    assert files == {
        f"python/portus_gateway-{__version__}-py3-none-any.whl",
        f"python/portus_gateway-{__version__}.tar.gz",
        *(f"{go}/v{__version__}{suffix}" for suffix in (".info", ".mod", ".zip")),
        f"{go}/list",
        f"npm/portus-gateway-client-{__version__}.tgz",
        *(f"{jar}{suffix}" for suffix in (".jar", "-sources.jar", "-javadoc.jar", ".pom")),
        f"helm/portus-gateway-{__version__}.tgz",
        *(f"image/portus-gateway-{__version__}{suffix}" for suffix in (".oci.tar", ".cdx.json")),
        "portus-registry-v1.binpb",
        "release-notes.md",
    }
    checked = output_of("sha256sum", "--check", "--strict", "SHA256SUMS", folder=release)
    assert checked.count(": OK\n") == len(files)
    assert "### Added" in (release / "release-notes.md").read_text()


def test_the_source_distribution_has_the_sources_alone(release: Path) -> None:
    (sdist,) = (release / "python").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        tops = {"/".join(name.split("/")[1:3]) for name in archive.getnames()}
    assert {top.split("/")[0] for top in tops} <= {
        *("server", "clients", "protos", "CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md"),
        *("PKG-INFO", "pyproject.toml", ".gitignore"),
    }
    assert {top for top in tops if top.startswith("clients/")} == {"clients/python"}
    assert sdist.stat().st_size < 2_000_000


def test_python(installed: Path, address: str) -> None:
    assert __version__ in output_of(installed / "portus-gateway", "--version")
    assert DIGEST.search(output_of(installed / "portus-client", "--address", address, "manifest", "team/app:latest"))
    assert output_of(installed / "portus-gateway", "healthcheck", "--address", address) == "SERVING\n"


def test_the_descriptor_set(release: Path, address: str, digest: str) -> None:
    grpcurl = Path(sys.executable).with_name("grpcurl")
    set_file = release / "portus-registry-v1.binpb"
    answer = output_of(grpcurl, "-plaintext", "-protoset", set_file, "-d", REQUEST, address, METHOD)
    assert digest in answer


def example(language: str, address: str) -> str:
    """The first program of a client's README."""
    text = (ROOT / "clients" / language / "README.md").read_text()
    fence = {"go": "go", "typescript": "ts", "java": "java"}[language]
    found = re.search(rf"```{fence}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1].replace("127.0.0.1:50051", address)


def test_go(release: Path, address: str, digest: str, tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text(example("go", address))
    proxies = output_of("go", "env", "GOPROXY").strip()
    variables = {
        "GOPROXY": f"{(release / 'go').as_uri()},{proxies}",
        # The checksum database knows what is published only.
        "GONOSUMDB": GO_MODULE,
        "GOFLAGS": "-mod=mod -modcacherw",
        "GOMODCACHE": str(tmp_path / "modules"),
    }
    # What others have published is in the cache already.
    cache = Path(output_of("go", "env", "GOMODCACHE").strip()) / "cache/download"
    if cache.is_dir():
        variables["GOPROXY"] = f"{(release / 'go').as_uri()},{cache.as_uri()},{proxies}"
    output_of("go", "mod", "init", "example.org/consumer", folder=tmp_path, **variables)
    output_of("go", "get", f"{GO_MODULE}@v{__version__}", folder=tmp_path, **variables)
    assert digest in output_of("go", "run", ".", folder=tmp_path, **variables)


def test_npm(release: Path, address: str, digest: str, tmp_path: Path) -> None:
    (package,) = (release / "npm").glob("*.tgz")
    (tmp_path / "package.json").write_text('{"type": "module", "private": true}')
    output_of("npm", "install", "--no-audit", "--no-fund", "--prefer-offline", package, folder=tmp_path)
    # It has no types, so it is JavaScript as well.
    (tmp_path / "main.js").write_text(example("typescript", address))
    assert digest in output_of("node", "main.js", folder=tmp_path)


def test_java(release: Path, address: str, digest: str, tmp_path: Path) -> None:
    (tmp_path / "Example.java").write_text(example("java", address))
    repository = tmp_path / "repository"
    # What others have published is in the user's repository already.
    known = Path(
        output_of(
            "mvn", "--quiet", "--batch-mode", "help:evaluate", "-Dexpression=settings.localRepository", "-DforceStdout"
        ).strip()
    )
    ours = known / "io/portus/portus-gateway-client" / __version__
    assert not ours.exists(), f"{ours} would be used in place of the release: remove it"
    (tmp_path / "pom.xml").write_text(f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>consumer</artifactId><version>1</version>
  <repositories><repository><id>release</id><url>{(release / "maven").as_uri()}</url></repository></repositories>
  <dependencies><dependency>
    <groupId>io.portus</groupId><artifactId>portus-gateway-client</artifactId><version>{__version__}</version>
  </dependency></dependencies>
</project>""")
    try:
        output_of(
            *("mvn", "--batch-mode", "--no-transfer-progress", "--quiet"),
            "org.apache.maven.plugins:maven-dependency-plugin:3.9.0:copy-dependencies",
            f"-DoutputDirectory={repository}",
            folder=tmp_path,
        )
    finally:
        shutil.rmtree(ours, ignore_errors=True)
    assert digest in output_of("java", "-cp", f"{repository}/*", "Example.java", folder=tmp_path)


def test_the_java_artifact_is_complete_for_a_central_repository(release: Path) -> None:
    folder = release / "maven/io/portus/portus-gateway-client" / __version__
    name = f"portus-gateway-client-{__version__}"
    pom = ElementTree.parse(folder / f"{name}.pom").getroot()
    wanted = ("name", "description", "url", "licenses/license/name", "licenses/license/url")
    for path in (*wanted, "developers/developer/name", "scm/url", "scm/connection"):
        place = "/".join(f"{{*}}{part}" for part in path.split("/"))
        assert pom.findtext(place), f"the POM has no {path}"
    with zipfile.ZipFile(folder / f"{name}-sources.jar") as sources:
        assert "io/portus/client/PortusClient.java" in sources.namelist()
    with zipfile.ZipFile(folder / f"{name}-javadoc.jar") as javadoc:
        assert "io/portus/client/PortusClient.html" in javadoc.namelist()


def test_the_chart(release: Path) -> None:
    (package,) = (release / "helm").glob("*.tgz")
    values = ("--set", "registry.url=https://r,registry.anonymous=true,tls.insecure=true,callers.anonymous=true")
    text = helm("template", "gw", str(package), *values)
    assert text == helm("template", "gw", str(CHART), *values)
    assert f"portus-gateway:{__version__}" in str(Manifests(text).container)


def test_the_same_sources_make_the_same_wheel(release: Path, tmp_path: Path) -> None:
    output_of(
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--directory",
        tmp_path,
        SOURCE_DATE_EPOCH=output_of("git", "log", "-1", "--format=%ct").strip(),
    )
    for built in tmp_path.iterdir():
        assert built.read_bytes() == (release / "python" / built.name).read_bytes(), built.name


def test_what_is_not_ready_is_not_released() -> None:
    for arguments, message in (
        (("98.7.6",), "run make version VERSION=98.7.6"),
        (("98.7.6", "--trial"), "make version"),
    ):
        refused = subprocess.run(
            [sys.executable, ROOT / "deploy/release", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert refused.returncode == 1
        assert message in refused.stderr
