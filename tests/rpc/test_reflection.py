from collections.abc import Iterator, Sequence

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from portus.registry.v1 import registry_service_pb2
from portus_gateway.rpc import server
from portus_gateway.rpc.descriptor_set import descriptor_set
from tests.rpc.gateways import PATIENCE, SERVICE, connected, serve, soon
from tests.rpc.scripted_registry import ScriptedRegistry

VERSIONS = ["grpc.reflection.v1", "grpc.reflection.v1alpha"]


async def ask(
    channel: grpc.aio.Channel, version: str, requests: Sequence[ServerReflectionRequest]
) -> list[ServerReflectionResponse]:
    """The answers to several requests in one stream."""
    call = channel.stream_stream(
        f"/{version}.ServerReflection/ServerReflectionInfo",
        ServerReflectionRequest.SerializeToString,
        ServerReflectionResponse.FromString,
    )(iter(requests), timeout=5)
    return [response async for response in call]


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_service_is_listed(version: str) -> None:
    async with serve(ScriptedRegistry()) as gateway:
        (answer,) = await ask(gateway.channel, version, [ServerReflectionRequest(list_services="*")])
    assert [service.name for service in answer.list_services_response.service] == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        SERVICE,
    ]


async def files_of(channel: grpc.aio.Channel, version: str, symbol: str) -> DescriptorPool:
    """What a caller learns who knows nothing but the symbol."""
    pool = DescriptorPool()
    (answer,) = await ask(channel, version, [ServerReflectionRequest(file_containing_symbol=symbol)])
    assert not answer.HasField("error_response"), answer.error_response.error_message
    files = [FileDescriptorProto.FromString(file) for file in answer.file_descriptor_response.file_descriptor_proto]
    known: set[str] = set()
    while files:
        ready = [file for file in files if known.issuperset(file.dependency)]
        assert ready, "an import is missing"
        for file in ready:
            pool.Add(file)
            known.add(file.name)
            files.remove(file)
    return pool


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("service", "methods"),
    [
        (SERVICE, list(registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"].methods_by_name)),
        ("grpc.health.v1.Health", ["Check", "Watch", "List"]),
        ("grpc.reflection.v1.ServerReflection", ["ServerReflectionInfo"]),
        ("grpc.reflection.v1alpha.ServerReflection", ["ServerReflectionInfo"]),
    ],
)
async def test_each_service_is_described_with_all_that_it_needs(version: str, service: str, methods: list[str]) -> None:
    async with serve(ScriptedRegistry()) as gateway:
        pool = await files_of(gateway.channel, version, service)
    assert [method.name for method in pool.FindServiceByName(service).methods] == methods


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "symbol", [f"{SERVICE}.Catalog", "portus.registry.v1.Descriptor", "google.rpc.ErrorInfo", "google.rpc.BadRequest"]
)
async def test_methods_and_messages_and_what_errors_carry_are_found_by_name(version: str, symbol: str) -> None:
    async with serve(ScriptedRegistry()) as gateway:
        await files_of(gateway.channel, version, symbol)


async def test_a_caller_who_has_only_the_description_can_call() -> None:
    async with serve(ScriptedRegistry()) as gateway:
        pool = await files_of(gateway.channel, VERSIONS[0], SERVICE)
        method = pool.FindServiceByName(SERVICE).FindMethodByName("ResolveManifest")
        request = message_factory.GetMessageClass(method.input_type)(repository="team/app", tag="1.0")
        call = gateway.channel.unary_unary(
            f"/{SERVICE}/ResolveManifest",
            type(request).SerializeToString,
            message_factory.GetMessageClass(method.output_type).FromString,
        )
        response = await call(request)
    assert "sha256:" in str(response)


async def test_the_description_of_reflection_v1_speaks_of_v1_alone() -> None:
    async with serve(ScriptedRegistry()) as gateway:
        pool = await files_of(gateway.channel, VERSIONS[0], "grpc.reflection.v1.ServerReflection")
    file = pool.FindFileByName("grpc/reflection/v1/reflection.proto")
    assert "v1alpha" not in file.serialized_pb.decode("latin-1")


@pytest.mark.parametrize("version", VERSIONS)
async def test_several_questions_in_one_stream_and_unknown_symbols(version: str) -> None:
    async with serve(ScriptedRegistry()) as gateway:
        answers = await ask(
            gateway.channel,
            version,
            [
                ServerReflectionRequest(file_containing_symbol="no.such.Service"),
                ServerReflectionRequest(file_by_filename="portus/registry/v1/manifest.proto"),
                ServerReflectionRequest(list_services="*"),
            ],
        )
    assert answers[0].error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    # With the two that it imports.
    assert len(answers[1].file_descriptor_response.file_descriptor_proto) == 3
    assert len(answers[2].list_services_response.service) == 4


async def test_it_can_be_switched_off() -> None:
    async with serve(ScriptedRegistry(), reflection=False) as gateway:
        # Its one request goes out with the call: where a refusal overtakes a later one, an aio channel says INTERNAL.
        ask_once = gateway.channel.unary_unary(
            f"/{VERSIONS[0]}.ServerReflection/ServerReflectionInfo",
            ServerReflectionRequest.SerializeToString,
            ServerReflectionResponse.FromString,
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask_once(ServerReflectionRequest(list_services="*"), timeout=PATIENCE)
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_an_open_stream_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_FAREWELL", 0.1)
    async with serve(ScriptedRegistry()) as gateway, connected(gateway.port) as channel:
        call = channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            ServerReflectionRequest.SerializeToString,
            ServerReflectionResponse.FromString,
        )()
        await call.write(ServerReflectionRequest(list_services="*"))
        assert isinstance(await soon(call.read()), ServerReflectionResponse)
        await soon(gateway.server.drain(3 * PATIENCE))
        assert await call.code() == grpc.StatusCode.UNAVAILABLE


async def test_fields_carry_the_names_that_json_has_for_them() -> None:
    async with serve(ScriptedRegistry()) as gateway:
        (answer,) = await ask(
            gateway.channel,
            VERSIONS[0],
            [ServerReflectionRequest(file_containing_symbol="portus.registry.v1.Descriptor")],
        )
    files = [FileDescriptorProto.FromString(file) for file in answer.file_descriptor_response.file_descriptor_proto]
    messages = {message.name: message for file in files for message in file.message_type}
    names = {field.name: field.json_name for field in messages["Descriptor"].field}
    assert names["media_type"] == "mediaType"
    assert names["digest"] == "digest"


@pytest.mark.parametrize("version", VERSIONS)
async def test_descriptions_have_the_comments_of_the_contract(version: str) -> None:
    async with serve(ScriptedRegistry()) as gateway:
        (answer,) = await ask(gateway.channel, version, [ServerReflectionRequest(file_containing_symbol=SERVICE)])
    files = [FileDescriptorProto.FromString(file) for file in answer.file_descriptor_response.file_descriptor_proto]
    (file,) = [file for file in files if file.name == "portus/registry/v1/registry_service.proto"]
    # Field 6 of a file has its services, and field 2 of a service its methods.
    paths = {tuple(location.path): location.leading_comments for location in file.source_code_info.location}
    names = [method.name for method in file.service[0].method]
    assert all(paths[6, 0, 2, index].strip() for index, _ in enumerate(names))
    assert "digest" in paths[6, 0, 2, names.index("ResolveManifest")]


def test_the_descriptor_set_is_of_the_code_that_serves() -> None:
    """`make protos` makes both. What one of them lacks, callers would not see, or not be able to call."""
    files = [file for file in FileDescriptorSet.FromString(descriptor_set()).file if file.name.startswith("portus/")]
    assert len(files) > 3
    for file in files:
        served = FileDescriptorProto()
        descriptor_pool.Default().FindFileByName(file.name).CopyToProto(served)
        file.ClearField("source_code_info")
        for message in _messages(file):
            for field in message.field:
                field.ClearField("json_name")
        assert file == served, file.name


def _messages(holder: FileDescriptorProto | DescriptorProto) -> Iterator[DescriptorProto]:
    for message in holder.message_type if isinstance(holder, FileDescriptorProto) else holder.nested_type:
        yield message
        yield from _messages(message)
