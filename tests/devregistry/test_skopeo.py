"""The registry with skopeo as its client: push, read and delete."""

import asyncio
import base64
import json
from pathlib import Path

import pytest

from portus_gateway.devregistry import Content, DevRegistry, Flavour, User, artifact, image, multi_platform
from tests import programs

CONTENTS = {
    "image": image("skopeo", layers=2, layer_size=5000),
    "docker": image("skopeo", layers=2, format="docker"),
    "index": multi_platform("skopeo"),
    "list": multi_platform("skopeo", format="docker"),
    "artifact": artifact("application/spdx+json", {"sbom.json": b"{}"}, media_type="application/spdx+json"),
}


class Skopeo:
    """Runs skopeo against one registry; its credentials are in a file, never on the command line."""

    def __init__(self, registry: DevRegistry, folder: Path, password: str | None = None) -> None:
        self._authority = registry.url.removeprefix("http://")
        secret = registry.password if password is None else password
        encoded = base64.b64encode(f"{registry.username}:{secret}".encode()).decode()
        self._authfile = folder / "auth.json"
        self._authfile.write_text(json.dumps({"auths": {self._authority: {"auth": encoded}}}))

    def at(self, name: str) -> str:
        return f"docker://{self._authority}/{name}"

    async def run(self, verb: str, *arguments: str, insecure: str = "--tls-verify=false") -> tuple[int, bytes, str]:
        process = await asyncio.create_subprocess_exec(
            programs.skopeo(),
            "--insecure-policy",
            verb,
            f"--authfile={self._authfile}",
            insecure,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            output, errors = await asyncio.wait_for(process.communicate(), 20)
        except BaseException:
            process.kill()
            await process.wait()
            raise
        assert process.returncode is not None
        return process.returncode, output, errors.decode()

    async def push(self, folder: Path, name: str) -> None:
        code, _, errors = await self.run(
            "copy", "--all", "--preserve-digests", f"dir:{folder}", self.at(name), insecure="--dest-tls-verify=false"
        )
        assert code == 0, errors

    async def pull(self, name: str, folder: Path) -> None:
        code, _, errors = await self.run(
            "copy", "--all", "--preserve-digests", self.at(name), f"dir:{folder}", insecure="--src-tls-verify=false"
        )
        assert code == 0, errors


def lay_out(content: Content, folder: Path) -> Path:
    """The content as skopeo's `dir:` transport has it."""
    folder.mkdir(exist_ok=True)
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    (folder / "manifest.json").write_bytes(content.manifest)
    for part in (content, *content.children):
        for digest, blob in part.blobs.items():
            (folder / digest.partition(":")[2]).write_bytes(blob)
    for child in content.children:
        (folder / f"{child.digest.partition(':')[2]}.manifest.json").write_bytes(child.manifest)
    return folder


@pytest.mark.parametrize(
    ("flavour", "form"), [("2.8", "docker"), ("2.8", "index"), *(("3.1", form) for form in CONTENTS)]
)
async def test_skopeo_pulls_what_it_pushed(tmp_path: Path, flavour: Flavour, form: str) -> None:
    content = CONTENTS[form]
    async with DevRegistry(flavour=flavour) as registry:
        skopeo = Skopeo(registry, tmp_path)
        await skopeo.push(lay_out(content, tmp_path / "pushed"), "team/app:1.0")
        assert registry.repositories() == ["team/app"]
        assert registry.tags("team/app") == {"1.0": content.digest}
        for part in (content, *content.children):
            assert registry.holds("team/app", part.digest)
            assert all(registry.holds("team/app", digest) for digest in part.blobs)
        await skopeo.pull(f"team/app@{content.digest}", tmp_path / "pulled")
        pulled = {path.name: path.read_bytes() for path in (tmp_path / "pulled").iterdir()}
        assert pulled == {path.name: path.read_bytes() for path in (tmp_path / "pushed").iterdir()}


async def test_skopeo_reads_what_was_seeded(tmp_path: Path) -> None:
    async with DevRegistry() as registry:
        content = CONTENTS["index"]
        registry.push("team/app", "1.0", "latest", content=content)
        skopeo = Skopeo(registry, tmp_path)
        code, raw, errors = await skopeo.run("inspect", "--raw", skopeo.at("team/app:1.0"))
        assert (code, raw) == (0, content.manifest), errors
        code, tags, errors = await skopeo.run("list-tags", skopeo.at("team/app"))
        assert json.loads(tags)["Tags"] == ["1.0", "latest"], errors
        code, inspected, errors = await skopeo.run("inspect", "--override-arch=arm64", skopeo.at("team/app:1.0"))
        assert json.loads(inspected)["Architecture"] == "arm64", errors


async def test_skopeo_deletes(tmp_path: Path) -> None:
    async with DevRegistry() as registry:
        registry.push("team/app", "1.0", "latest")
        skopeo = Skopeo(registry, tmp_path)
        code, _, errors = await skopeo.run("delete", skopeo.at("team/app:1.0"))
        assert code == 0, errors
        assert registry.tags("team/app") == {}


async def test_skopeo_is_refused_without_the_right_password_or_rights(tmp_path: Path) -> None:
    async with DevRegistry([User("portus", "right", ("repository:team/app:pull",))]) as registry:
        registry.push("team/app", "1.0")
        wrong = Skopeo(registry, tmp_path, "wrong")
        code, _, errors = await wrong.run("inspect", "--raw", wrong.at("team/app:1.0"))
        assert code != 0
        assert "invalid username/password" in errors
        reader = Skopeo(registry, tmp_path)
        assert (await reader.run("inspect", "--raw", reader.at("team/app:1.0")))[0] == 0
        code, _, errors = await reader.run("delete", reader.at("team/app:1.0"))
        assert code != 0
        assert registry.tags("team/app")
