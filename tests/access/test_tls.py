"""TLS: which connections come about, and how certificates change under way."""

# The files of a test are small and local.

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from structlog.testing import capture_logs

from portus_gateway.access.client_certificates import caller_of_certificate
from portus_gateway.access.errors import InvalidTlsFiles, TlsFile, Unauthenticated
from portus_gateway.access.tls import ServerCertificate
from tests.access.certificates import Authority


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def folder(tmp_path: Path, authority: Authority) -> Path:
    authority.server().write(tmp_path)
    (tmp_path / "clients.pem").write_bytes(authority.pem)
    return tmp_path


def certificate_in(folder: Path) -> ServerCertificate:
    return ServerCertificate(folder / "tls.crt", folder / "tls.key", folder / "clients.pem")


@asynccontextmanager
async def serving(
    credentials: grpc.ServerCredentials, methods: "dict[str, grpc.RpcMethodHandler[bytes, bytes]] | None" = None
) -> AsyncIterator[int]:
    """A server of `test.Test`. Without methods, UNIMPLEMENTED says that a connection came about."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Test", methods or {})])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


async def code_of_call(port: int, credentials: grpc.ChannelCredentials) -> grpc.StatusCode:
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials, options) as channel:
        try:
            await channel.unary_unary("/x/y", bytes, bytes)(b"", timeout=5)
        except grpc.aio.AioRpcError as error:
            return error.code()
    raise AssertionError("there is no such method")


def serial_at(port: int, authority: Authority) -> int:
    """The serial number of the certificate that a new connection gets."""
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        content = secure.getpeercert(binary_form=True)
    assert content is not None
    return x509.load_der_x509_certificate(content).serial_number


def serial_in(folder: Path) -> int:
    return x509.load_pem_x509_certificate((folder / "tls.crt").read_bytes()).serial_number


async def test_a_client_without_a_certificate_is_served_where_none_is_asked_for(
    folder: Path, authority: Authority
) -> None:
    async with serving(certificate_in(folder).credentials(client_certificates=False)) as port:
        assert await code_of_call(port, grpc.ssl_channel_credentials(authority.pem)) is grpc.StatusCode.UNIMPLEMENTED


async def test_only_certificates_of_the_client_authority_connect_where_one_is_needed(
    folder: Path, authority: Authority
) -> None:
    good, evil = authority.issue(dns=["client"]), Authority().issue(dns=["client"])
    expired = authority.issue(dns=["client"], lifetime=-timedelta(days=1))
    async with serving(certificate_in(folder).credentials(client_certificates=True)) as port:
        codes = [
            await code_of_call(port, grpc.ssl_channel_credentials(authority.pem, key, certificate))
            for key, certificate in (
                (good.key, good.certificate),
                (None, None),
                (evil.key, evil.certificate),
                (expired.key, expired.certificate),
            )
        ]
    assert codes == [grpc.StatusCode.UNIMPLEMENTED] + [grpc.StatusCode.UNAVAILABLE] * 3


def test_client_certificates_need_an_authority(folder: Path) -> None:
    certificate = ServerCertificate(folder / "tls.crt", folder / "tls.key")
    with pytest.raises(ValueError, match="need the CA"):
        certificate.credentials(client_certificates=True)
    certificate.credentials(client_certificates=False)


async def test_a_new_certificate_serves_the_next_connection(folder: Path, authority: Authority) -> None:
    async with serving(certificate_in(folder).credentials(client_certificates=False)) as port:
        assert await asyncio.to_thread(serial_at, port, authority) == serial_in(folder)
        authority.server().write(folder)
        assert await asyncio.to_thread(serial_at, port, authority) == serial_in(folder)
        assert await asyncio.to_thread(serial_at, port, authority) == serial_in(folder)


async def test_new_client_authorities_count_for_the_next_connection(folder: Path, authority: Authority) -> None:
    other = Authority()
    client = other.issue(dns=["client"])
    credentials = grpc.ssl_channel_credentials(authority.pem, client.key, client.certificate)
    async with serving(certificate_in(folder).credentials(client_certificates=True)) as port:
        assert await code_of_call(port, credentials) is grpc.StatusCode.UNAVAILABLE
        (folder / "clients.pem").write_bytes(other.pem)
        assert await code_of_call(port, credentials) is grpc.StatusCode.UNIMPLEMENTED


async def test_an_invalid_new_certificate_is_logged_and_the_old_one_stays_in_use(
    folder: Path, authority: Authority
) -> None:
    old = serial_in(folder)
    certificate = certificate_in(folder)
    async with serving(certificate.credentials(client_certificates=False)) as port:
        # Half of it is there: the key has not changed yet.
        fresh = authority.server()
        (folder / "tls.crt").write_bytes(fresh.certificate)
        with capture_logs() as logs:
            serials = [await asyncio.to_thread(serial_at, port, authority) for _ in range(3)]
        assert serials == [old] * 3
        (entry,) = logs
        assert entry["log_level"] == "error"
        assert "the old one stays in use" in entry["event"]
        assert entry["problems"] == [
            f"{folder / 'tls.key'}: the key does not belong to the first certificate in the certificate file"
        ]
        assert (certificate.loads, certificate.failures, list(certificate.problems)) == (1, 1, entry["problems"])
        (folder / "tls.key").write_bytes(fresh.key)
        assert await asyncio.to_thread(serial_at, port, authority) == serial_in(folder) != old
        assert (certificate.loads, certificate.failures, certificate.problems) == (2, 1, ())


async def test_a_renewal_is_not_missed_if_its_files_cannot_be_read_for_a_moment(
    folder: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process may be out of file descriptors when the first connection comes after it."""
    old = serial_in(folder)
    credentials = certificate_in(folder).credentials(client_certificates=False)

    def failing(path: Path, _mode: str) -> None:
        raise OSError(24, "Too many open files", str(path))

    async with serving(credentials) as port:
        authority.server().write(folder)
        with monkeypatch.context() as patched, capture_logs() as logs:
            patched.setattr(Path, "open", failing)
            for _ in range(3):
                assert await asyncio.to_thread(serial_at, port, authority) == old
        # Told once, not at each connection.
        assert [entry["log_level"] for entry in logs] == ["error"]
        assert "Too many open files" in logs[0]["problems"][0]
        assert await asyncio.to_thread(serial_at, port, authority) == serial_in(folder) != old
        # The next time that this happens, it is told again.
        authority.server().write(folder)
        with monkeypatch.context() as patched, capture_logs() as logs:
            patched.setattr(Path, "open", failing)
            await asyncio.to_thread(serial_at, port, authority)
        assert [entry["log_level"] for entry in logs] == ["error"]


def test_when_it_expires_is_known_of_a_renewed_one_too(folder: Path, authority: Authority) -> None:
    certificate = certificate_in(folder)
    for days in (10, 20):
        authority.issue(dns=["localhost"], lifetime=timedelta(days=days)).write(folder)
        left = certificate.expires - time.time()
        assert timedelta(days=days).total_seconds() == pytest.approx(left, abs=120)


async def test_over_http_too_a_new_certificate_serves_the_next_connection(folder: Path, authority: Authority) -> None:
    certificate = certificate_in(folder)
    context = certificate.http_context()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        for _ in range(2):
            assert await asyncio.to_thread(serial_at, port, authority) == serial_in(folder)
            assert await asyncio.to_thread(serial_at, port, authority) == serial_in(folder)
            authority.server().write(folder)
        (folder / "tls.key").write_bytes(b"")
        serials = {await asyncio.to_thread(serial_at, port, authority) for _ in range(2)}
        assert len(serials) == 1
    assert (certificate.loads, certificate.failures) == (2, 1)


NO_CERTIFICATE = "contains no certificate in PEM format, or a damaged one"
GONE = "cannot be read: No such file or directory"


def problems_in(folder: Path) -> list[tuple[TlsFile, str]]:
    """What is wrong with the files at the start. Each mistake has the path of its file."""
    with pytest.raises(InvalidTlsFiles) as caught:
        certificate_in(folder)
    names = {TlsFile.CERTIFICATE: "tls.crt", TlsFile.KEY: "tls.key", TlsFile.CLIENT_CA: "clients.pem"}
    for problem in caught.value.problems:
        assert str(problem) == f"{folder / names[problem.file]}: {problem.description}"
        assert str(problem) in str(caught.value)
    return [(problem.file, problem.description) for problem in caught.value.problems]


def test_a_pair_that_cannot_serve_is_refused_at_start(folder: Path, authority: Authority) -> None:
    good = authority.server()
    authority.issue(dns=["localhost"], lifetime=-timedelta(days=1)).write(folder)
    ((file, description),) = problems_in(folder)
    assert file is TlsFile.CERTIFICATE
    assert description.startswith("the certificate has expired on ")
    good.write(folder)
    key = serialization.load_pem_private_key(good.key, None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
    (folder / "tls.key").write_bytes(encrypted)
    assert problems_in(folder) == [(TlsFile.KEY, "the key is encrypted: use a key without a passphrase")]
    (folder / "tls.key").write_bytes(good.certificate)
    assert problems_in(folder) == [(TlsFile.KEY, "contains no private key in PEM format")]
    (folder / "tls.key").write_bytes(authority.server().key)
    assert problems_in(folder) == [
        (TlsFile.KEY, "the key does not belong to the first certificate in the certificate file")
    ]


@pytest.mark.parametrize(
    ("file", "name", "not_pem"),
    [
        (TlsFile.CERTIFICATE, "tls.crt", NO_CERTIFICATE),
        (TlsFile.KEY, "tls.key", "contains no private key in PEM format"),
        (TlsFile.CLIENT_CA, "clients.pem", NO_CERTIFICATE),
    ],
)
def test_a_file_that_cannot_be_used_is_the_only_one_that_is_blamed(
    folder: Path, file: TlsFile, name: str, not_pem: str
) -> None:
    (folder / name).write_bytes(b"no")
    assert problems_in(folder) == [(file, not_pem)]
    (folder / name).write_bytes(b"-" * (1024 * 1024 + 1))
    assert problems_in(folder) == [(file, "cannot be read: larger than 1048576 bytes")]
    (folder / name).unlink()
    assert problems_in(folder) == [(file, GONE)]


def test_the_mistakes_of_all_files_are_reported_together(folder: Path) -> None:
    (folder / "tls.crt").unlink()
    for name in ("tls.key", "clients.pem"):
        (folder / name).write_bytes(b"")
    assert problems_in(folder) == [
        (TlsFile.CERTIFICATE, GONE),
        (TlsFile.KEY, "contains no private key in PEM format"),
        (TlsFile.CLIENT_CA, NO_CERTIFICATE),
    ]


def test_a_certificate_that_expires_soon_is_logged(folder: Path, authority: Authority) -> None:
    authority.issue(dns=["localhost"], lifetime=timedelta(days=6)).write(folder)
    with capture_logs() as logs:
        certificate_in(folder)
    assert [(entry["log_level"], entry["event"]) for entry in logs] == [("warning", "the certificate expires soon")]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_current_tls_is_spoken(folder: Path, authority: Authority, version: ssl.TLSVersion) -> None:
    async with serving(certificate_in(folder).credentials(client_certificates=False)) as port:
        assert await asyncio.to_thread(handshake, port, authority, version) == version.name.replace("_", ".")


async def test_tls_before_1_2_is_refused(folder: Path, authority: Authority) -> None:
    async with serving(certificate_in(folder).credentials(client_certificates=False)) as port:
        with (
            pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"),
            # This side has said hello; the other has hung up.
            pytest.raises(ssl.SSLError, match=r"EOF occurred|ALERT_PROTOCOL_VERSION"),
        ):
            await asyncio.to_thread(handshake, port, authority, ssl.TLSVersion.TLSv1_1)


def handshake(port: int, authority: Authority, version: ssl.TLSVersion) -> str | None:
    """Connects by this version of TLS alone; answers with the one that came about."""
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.minimum_version = context.maximum_version = version
    # Else this side would refuse by itself.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        return secure.version()


async def test_a_certificate_with_very_many_names_identifies_nobody(folder: Path, authority: Authority) -> None:
    async def answer(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        try:
            caller = caller_of_certificate(context.auth_context())
        except Unauthenticated as error:
            return str(error).encode()
        return (caller.name if caller else "nobody").encode()

    async def answer_to(names: int) -> bytes:
        client = authority.issue(dns=[f"{number}.example.org" for number in range(names)])
        credentials = grpc.ssl_channel_credentials(authority.pem, client.key, client.certificate)
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials, options) as channel:
            answered: bytes = await channel.unary_unary("/test.Test/Ask", bytes, bytes)(b"", timeout=10)
        return answered

    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
    async with serving(certificate_in(folder).credentials(client_certificates=True), {"Ask": method}) as port:
        assert await answer_to(100) == b"dns:0.example.org"
        assert await answer_to(101) == b"the client certificate has too many names: at most 100 are allowed"


async def test_a_resumed_session_does_not_prolong_a_client_certificate(folder: Path, authority: Authority) -> None:
    """TLS tickets live for hours, and a resumed session is not asked for its certificate's validity again."""
    client = authority.issue(common_names=["ci"], lifetime=timedelta(seconds=3))
    expires = x509.load_pem_x509_certificate(client.certificate).not_valid_after_utc
    credentials = grpc.ssl_channel_credentials(authority.pem, client.key, client.certificate)
    # There is no public way to have a client resume its sessions.
    sessions = import_module("grpc._cython.cygrpc").SSLSessionCacheLRU(1)
    reported: list[str] = []

    async def answer(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        connection = context.auth_context()
        try:
            caller = caller_of_certificate(connection)
            reported.append(caller.name if caller else "nobody")
        except Unauthenticated:
            reported.append("refused")
        return b"".join(connection.get("ssl_session_reused", [b"?"]))

    async def call(port: int) -> bytes:
        options = [("grpc.ssl_session_cache", sessions), ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials, options) as channel:
            reused: bytes = await channel.unary_unary("/test.Test/Ask", bytes, bytes)(b"", timeout=10)
        return reused

    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
    async with serving(certificate_in(folder).credentials(client_certificates=True), {"Ask": method}) as port:
        await call(port)
        assert await call(port) == b"true", "the session has to be a resumed one, or this tests nothing"
        while datetime.now(UTC) <= expires:
            await asyncio.sleep(0.1)
        assert await call(port) == b"true"
    assert reported == ["cn:ci", "cn:ci", "refused"]
