"""skopeo and buildah, which push images to the registries and read them, independently of this project's code."""

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from portus_gateway.devregistry import Content, User
from tests import programs
from tests.real.backends import Backend
from tests.real.image_layouts import write_folders, write_layout

_PATIENCE_SECONDS = 60.0
_AUTHENTICATION_FILE = "authentication.json"


class ToolFailed(Exception):
    """A command failed. The message has its standard error."""


@dataclass(frozen=True, slots=True)
class ImageTools:
    """Commands against one registry, as one user. They work in `folder`."""

    authority: str
    folder: Path
    _names: "count[int]"

    @classmethod
    def of(cls, backend: Backend, folder: Path) -> "ImageTools":
        return cls.at(backend.authority, backend.pusher, folder)

    @classmethod
    def at(cls, authority: str, user: User, folder: Path) -> "ImageTools":
        # In a file, since every user can read command lines.
        encoded = base64.b64encode(f"{user.name}:{user.password}".encode()).decode()
        file = folder / _AUTHENTICATION_FILE
        file.touch(mode=0o600)
        file.write_text(json.dumps({"auths": {authority: {"auth": encoded}}}))
        return cls(authority, folder, count())

    async def push(self, repository: str, *tags: str, content: Content) -> str:
        """Pushes the content byte for byte. Answers with its digest."""
        layout = write_layout(self._new_folder(), content)
        for tag in tags:
            await self._copy("--all", "--preserve-digests", layout, self._address(repository, tag))
        return content.digest

    async def push_untagged(self, repository: str, *, content: Content) -> str:
        """Pushes the content under its digest alone; answers with the digest."""
        layout = write_layout(self._new_folder(), content)
        await self._copy("--all", "--preserve-digests", layout, self._address(repository, content.digest))
        return content.digest

    async def push_as_docker(self, repository: str, tag: str, *, content: Content) -> str:
        """Pushes the content after skopeo has converted it to Docker's schema 2. Answers with the new digest."""
        layout = write_layout(self._new_folder(), content)
        await self._copy("--all", "--format", "v2s2", layout, self._address(repository, tag))
        return await self.digest(repository, tag)

    async def push_index_by_buildah(self, repository: str, tag: str, *, content: Content) -> str:
        """Pushes an index that buildah makes of the content's children. Answers with its digest."""
        layout = write_layout(self._new_folder(), content)
        storage = self._new_folder()
        command = (
            programs.buildah(),
            *("--root", f"{storage}/root", "--runroot", f"{storage}/run", "--storage-driver", "vfs", "manifest"),
        )
        await _run(*command, "create", "made-here")
        await _run(*command, "add", "--all", "made-here", layout)
        await _run(
            *command,
            *("push", "--all", "--tls-verify=false", "--authfile", self._authentication),
            *("made-here", self._address(repository, tag)),
        )
        return await self.digest(repository, tag)

    async def push_many(self, namespace: str, images: Mapping[str, Content]) -> None:
        """Pushes many images, named `name:tag`, to `namespace/name`."""
        folder = self._new_folder()
        write_folders(folder, images)
        await _run(
            *(programs.skopeo(), "sync", "--src", "dir", "--dest", "docker", "--dest-tls-verify=false"),
            *("--dest-authfile", self._authentication, str(folder), f"{self.authority}/{namespace}"),
        )

    async def raw(self, repository: str, reference: str) -> bytes:
        """The bytes of the manifest."""
        return await _run(
            *(programs.skopeo(), "inspect", "--raw", "--tls-verify=false", "--authfile", self._authentication),
            self._address(repository, reference),
        )

    async def configuration(self, repository: str, reference: str) -> bytes:
        """The bytes of the image's configuration."""
        return await _run(
            *(programs.skopeo(), "inspect", "--config", "--raw", "--tls-verify=false"),
            *("--authfile", self._authentication, self._address(repository, reference)),
        )

    async def digest(self, repository: str, reference: str) -> str:
        """The digest of the manifest, computed by skopeo."""
        file = self._new_folder()
        file.write_bytes(await self.raw(repository, reference))
        return (await _run(programs.skopeo(), "manifest-digest", str(file))).decode().strip()

    async def holds(self, repository: str, reference: str) -> bool:
        """Whether the registry has the manifest."""
        try:
            await self.raw(repository, reference)
        except ToolFailed as error:
            if "manifest unknown" in str(error):
                return False
            raise
        return True

    async def pull(self, repository: str, reference: str) -> None:
        """Fetches the image with all of its blobs."""
        await _run(
            *(programs.skopeo(), "copy", "--src-tls-verify=false", "--src-authfile", self._authentication),
            *(self._address(repository, reference), f"dir:{self._new_folder()}"),
        )

    async def _copy(self, *arguments: str) -> None:
        await _run(
            *(programs.skopeo(), "copy", "--dest-tls-verify=false", "--dest-authfile", self._authentication),
            *arguments,
        )

    def _address(self, repository: str, reference: str) -> str:
        return f"docker://{self.authority}/{repository}{'@' if ':' in reference else ':'}{reference}"

    @property
    def _authentication(self) -> str:
        return str(self.folder / _AUTHENTICATION_FILE)

    def _new_folder(self) -> Path:
        return self.folder / str(next(self._names))


async def _run(*command: str) -> bytes:
    """The command's standard output. Raises `ToolFailed`."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            output, error = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise ToolFailed(f"{' '.join(command)} ended with {process.returncode}: {error.decode(errors='replace')}")
    return output
