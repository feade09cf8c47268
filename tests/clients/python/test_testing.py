"""`portus_client.testing`: a gateway for users' own tests."""

import asyncio
import logging
import subprocess
import sys
import threading

import pytest
import structlog

from portus_client import (
    AsyncRegistryClient,
    FailedPrecondition,
    Index,
    NotFound,
    RegistryClient,
    RegistryError,
    Unavailable,
    testing,
)
from portus_gateway.devregistry import image, index
from tests.clients.python.command_line import PATIENCE, environment


def test_the_gateway_serves_what_a_test_pushes() -> None:
    with testing.gateway() as gateway, gateway.client() as client:
        assert list(client.catalog()) == []

        digest = gateway.registry.push("team/app", "1.0", "latest")
        content = index([image("amd", platform="linux/amd64"), image("arm", platform="linux/arm64")])
        gateway.registry.push("team/multi", "1.0", content=content)

        assert [(item.name, item.tags) for item in client.catalog(include_tags=True)] == [
            ("team/app", ("1.0", "latest")),
            ("team/multi", ("1.0",)),
        ]
        assert client.resolve("team/app", "latest").digest == digest
        assert isinstance(client.manifest("team/multi", "1.0").content, Index)


def test_a_test_can_read_and_change_the_registry() -> None:
    with testing.gateway() as gateway, gateway.client() as client:
        digest = gateway.registry.push("team/app", "1.0", "latest")
        gateway.registry.tag("team/app", "stable", digest)
        assert gateway.registry.untag("team/app", "latest")
        assert client.delete_manifest("team/app", digest, expected_tags=["1.0", "stable"]).digest == digest
        assert gateway.registry.tags("team/app") == {}

        other = gateway.registry.push("team/app", "2.0")
        assert gateway.registry.delete("team/app", other)
        assert gateway.registry.repositories() == ["team/app"]
        with pytest.raises(NotFound):
            client.resolve("team/app", "2.0")
        with pytest.raises(KeyError):
            gateway.registry.tag("team/app", "gone", other)


def test_a_fault_lasts_as_long_as_its_block() -> None:
    with testing.gateway() as gateway, gateway.client() as client:
        gateway.registry.push("team/app", "1.0")
        with gateway.registry.fault("manifests:corrupt"), pytest.raises(RegistryError) as raised:
            client.manifest("team/app", "1.0")
        assert raised.value.reason == "DIGEST_MISMATCH"
        assert client.manifest("team/app", "1.0").raw
        with pytest.raises(ValueError, match="unknown route"), gateway.registry.fault("nonsense:status=500"):
            pass


def test_the_registry_begins_empty_or_with_the_demo_images() -> None:
    with testing.gateway(seed=True, allow_delete=False) as gateway, gateway.client() as client:
        digest = client.resolve("team/app", "1.0.0").digest
        with pytest.raises(FailedPrecondition) as raised:
            client.delete_manifest("team/app", digest, force=True)
        assert raised.value.reason == "DELETION_DISABLED"


def test_after_the_block_the_port_is_closed_and_no_thread_is_left() -> None:
    before = set(threading.enumerate())

    with testing.gateway() as gateway:
        pass

    left = [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("portus-gateway")]
    assert left == []
    with RegistryClient(gateway.address, timeout=5) as client, pytest.raises(Unavailable):
        client.info()


def test_a_test_that_fails_ends_the_gateway_too() -> None:
    with pytest.raises(ZeroDivisionError), testing.gateway() as gateway:
        raise ZeroDivisionError
    with RegistryClient(gateway.address, timeout=5) as client, pytest.raises(Unavailable):
        client.info()


def test_two_gateways_are_independent() -> None:
    with testing.gateway() as one, testing.gateway() as other, other.client() as client:
        one.registry.push("team/app", "1.0")
        assert list(client.catalog()) == []


async def test_async_with_uses_the_running_loop() -> None:
    async with testing.gateway() as gateway:
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("portus-gateway")]
        digest = gateway.registry.push("team/app", "1.0")
        async with gateway.async_client() as client:
            assert (await client.resolve("team/app", "1.0")).digest == digest
    async with AsyncRegistryClient(gateway.address, timeout=5) as client:
        with pytest.raises(Unavailable):
            await client.info()


async def test_asyncio_code_can_use_a_gateway_in_a_thread(caplog: pytest.LogCaptureFixture) -> None:
    with testing.gateway(seed=True) as gateway:
        async with gateway.async_client() as client:
            answers = await asyncio.gather(*(client.manifest("team/app", "latest") for _ in range(100)))
            assert len({answer.raw for answer in answers}) == 1
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def test_settings_in_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PASSWORD_FILE", "CA_FILE", "LISTEN", "METRICS_LISTEN", "REGISTRY_URL", "MAX_CALL_DURATION"):
        monkeypatch.setenv(f"PORTUS_{name}", "/nowhere:1")

    with testing.gateway() as gateway, gateway.client() as client:
        assert client.info().reachable


def test_log_messages_go_to_the_logging_module(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    # An earlier test may have configured structlog.
    structlog.reset_defaults()

    with caplog.at_level(logging.INFO, "portus_gateway"), testing.gateway():
        pass

    assert any("listening" in record.getMessage() for record in caplog.records)
    assert capfd.readouterr() == ("", "")


def test_the_block_raises_the_reason_for_a_failed_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> object:
        raise OSError("no port is free")

    monkeypatch.setattr("portus_gateway.settings.load", refuse)

    with pytest.raises(OSError, match="no port is free"), testing.gateway():
        pass


def test_without_the_gateway_the_error_says_what_to_install() -> None:
    program = (
        "import sys\n"
        "sys.modules['aiohttp'] = None\n"
        "from portus_client import testing\n"
        "try:\n"
        "    testing.gateway()\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert finished.stdout == (
        "portus_client.testing needs the gateway, but aiohttp is not installed:"
        " install portus-gateway with its extra 'server'\n"
    )
