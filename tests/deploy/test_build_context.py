"""Which files a build of the image gets: .dockerignore, as buildah reads it."""

from pathlib import Path

from tests.deploy.buildah import buildah
from tests.deploy.project import ROOT

NEEDED = (
    "LICENSE",
    "README.md",
    "clients/python/portus/registry/v1/registry_service_pb2.py",
    "clients/python/portus_client/service_config.json",
    "pyproject.toml",
    "requirements/build.txt",
    "requirements/image.txt",
    "requirements/server.txt",
    "server/portus_gateway/cli/__init__.py",
    "server/portus_gateway/py.typed",
)
UNWANTED = (
    ".env",
    ".git/config",
    ".venv/bin/python",
    "clients/go/go.mod",
    "clients/python/portus_client/__pycache__/client.cpython-311.pyc",
    "deploy/secrets/portus-password",
    "secret.pem",
    "server/portus_gateway/__pycache__/cli.cpython-311.pyc",
    "tests/deploy/test_build_context.py",
)


def test_only_what_the_image_is_made_of_reaches_the_build(tmp_path: Path) -> None:
    context = tmp_path / "context"
    for name in (*NEEDED, *UNWANTED):
        file = context / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (context / ".dockerignore").write_bytes((ROOT / ".dockerignore").read_bytes())
    recipe = tmp_path / "Dockerfile"
    recipe.write_text("FROM scratch\nCOPY . /\n")

    with buildah() as run:
        image = run.build(context, "--file", str(recipe))
        with run.files(image) as root:
            sent = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    assert sent == sorted(NEEDED)
