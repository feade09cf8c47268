"""The artifacts of the clients: licence, version, content."""

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from tests.programs import missing

ROOT = Path(__file__).parents[2]
LICENSE = (ROOT / "LICENSE").read_bytes()
GO = ROOT / "clients/go"
TYPESCRIPT = ROOT / "clients/typescript"
JAVA = ROOT / "clients/java"
VERSION_SCRIPT = ROOT / "clients/version"
PATIENCE = 120.0


def output_of(*command: str | Path, folder: Path = ROOT) -> str:
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert finished.returncode == 0, finished
    return finished.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist, built from a copy of the source tree."""
    source = tmp_path_factory.mktemp("source")
    listed = output_of("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").rstrip("\0").split("\0")
    for name in listed:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    output_of(sys.executable, "-m", "hatchling", "build", folder=source)
    (wheel,) = (source / "dist").glob("*.whl")
    (sdist,) = (source / "dist").glob("*.tar.gz")
    return wheel, sdist


def test_the_wheel_has_the_licence_and_both_packages(distributions: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(distributions[0]) as wheel:
        names = wheel.namelist()
        (licence,) = (name for name in names if name.endswith(".dist-info/licenses/LICENSE"))
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        assert wheel.read(licence) == LICENSE
        described = wheel.read(metadata).decode()
    assert {"portus_client/py.typed", "portus/py.typed", "portus_client/service_config.json"} <= set(names)
    assert re.search("^License-Expression: Apache-2.0$", described, re.MULTILINE)
    assert "Classifier: Typing :: Typed" in described


def test_the_source_distribution_has_the_licence(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[1]) as sdist:
        (licence,) = (name for name in sdist.getnames() if name.count("/") == 1 and name.endswith("/LICENSE"))
        content = sdist.extractfile(licence)
        assert content is not None
        assert content.read() == LICENSE


@pytest.mark.parametrize("folder", [GO, TYPESCRIPT], ids=lambda folder: folder.name)
def test_a_package_that_is_a_folder_has_the_licence(folder: Path) -> None:
    assert (folder / "LICENSE").read_bytes() == LICENSE, "copy LICENSE over it"


def test_the_npm_package_has_only_the_licence_and_the_compiled_code() -> None:
    if shutil.which("npm") is None:
        missing("npm is not installed")
    if not (TYPESCRIPT / "dist/src/index.js").exists():
        missing("clients/typescript is not built: run clients/build typescript")
    (packed,) = json.loads(output_of("npm", "pack", "--dry-run", "--json", folder=TYPESCRIPT))
    names = [file["path"] for file in packed["files"]]
    assert {"LICENSE", "README.md", "package.json", "dist/src/index.js", "dist/src/index.d.ts"} <= set(names)
    assert [name for name in names if not name.startswith("dist/src/")] == ["LICENSE", "README.md", "package.json"]


def test_the_jar_has_the_licence() -> None:
    jars = list(JAVA.glob("target/portus-gateway-client-*.jar"))
    if not jars:
        missing("clients/java is not built: run clients/build java")
    with zipfile.ZipFile(jars[0]) as jar:
        assert jar.read("META-INF/LICENSE") == LICENSE


def test_package_metadata_names_the_licence() -> None:
    npm = json.loads((TYPESCRIPT / "package.json").read_text())
    pom = ElementTree.parse(JAVA / "pom.xml").getroot()
    namespace = "{http://maven.apache.org/POM/4.0.0}"
    assert npm["license"] == pom.findtext(f"{namespace}licenses/{namespace}license/{namespace}name") == "Apache-2.0"
    assert npm["keywords"]
    assert pom.findtext(f"{namespace}description")


def test_every_package_names_the_address_of_the_sources() -> None:
    pom = ElementTree.parse(JAVA / "pom.xml").getroot()
    address = pom.findtext("{http://maven.apache.org/POM/4.0.0}url")
    assert address is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    npm = json.loads((TYPESCRIPT / "package.json").read_text())
    chart = yaml.safe_load((ROOT / "deploy/helm/portus-gateway/Chart.yaml").read_text())
    assert project["urls"]["Source"] == chart["home"] == address
    assert chart["sources"] == [address]
    assert npm["repository"] == {"type": "git", "url": f"git+{address}.git", "directory": "clients/typescript"}
    assert (GO / "go.mod").read_text().startswith(f"module {address.removeprefix('https://')}/clients/go\n")
    assert f'image.source="{address}"' in (ROOT / "Dockerfile").read_text()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of all files with the version."""
    shutil.copytree(
        ROOT / "clients", tmp_path / "clients", ignore=shutil.ignore_patterns("node_modules", "dist", "target")
    )
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_make_version_prints_the_version_of_all_artifacts() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", output_of("make", "--no-print-directory", "version"))


def test_make_version_sets_it_in_all_places(copy: Path) -> None:
    old = output_of(VERSION_SCRIPT).strip()

    assert output_of(copy / "clients/version", "98.7.6") == "98.7.6\n"

    assert output_of(copy / "clients/version") == "98.7.6\n"
    ours = re.compile(
        rf"(version\S* ?[:=] ?\"{re.escape(old)}\"|<version>{re.escape(old)}<|client-{re.escape(old)})", re.I
    )
    left = {
        str(path)
        for path in copy.rglob("*")
        if path.suffix in (".toml", ".go", ".json", ".ts", ".xml", ".java", ".md", ".yaml")
        if "grpcurl" not in path.parts and ours.search(path.read_text(errors="replace"))
    }
    assert left == set()


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3-rc1", "01.2.3", ""])
def test_a_version_that_some_package_manager_would_reject_is_refused(copy: Path, version: str) -> None:
    refused = subprocess.run([copy / "clients/version", version], capture_output=True, check=False, timeout=PATIENCE)
    assert refused.returncode == 1
    assert b"usage: clients/version" in refused.stderr


def test_a_file_with_another_version_is_named(copy: Path) -> None:
    place = copy / "clients/go/portus/version.go"
    place.write_text(place.read_text().replace('Version = "', 'Version = "9'))

    differs = subprocess.run([copy / "clients/version"], capture_output=True, text=True, check=False, timeout=PATIENCE)

    assert differs.returncode == 1
    assert "clients/go/portus/version.go: 9" in differs.stderr
