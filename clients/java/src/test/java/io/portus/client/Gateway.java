package io.portus.client;

import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerCredentials;
import io.grpc.ServerInterceptor;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.portus.registry.v1.BatchDeleteManifestsRequest;
import io.portus.registry.v1.BatchDeleteManifestsResponse;
import io.portus.registry.v1.BatchGetImageConfigsRequest;
import io.portus.registry.v1.BatchGetImageConfigsResponse;
import io.portus.registry.v1.BatchGetManifestsRequest;
import io.portus.registry.v1.BatchGetManifestsResponse;
import io.portus.registry.v1.BatchResolveManifestsRequest;
import io.portus.registry.v1.BatchResolveManifestsResponse;
import io.portus.registry.v1.CatalogRequest;
import io.portus.registry.v1.CatalogResponse;
import io.portus.registry.v1.DeleteManifestRequest;
import io.portus.registry.v1.DeleteManifestResponse;
import io.portus.registry.v1.DeleteTagRequest;
import io.portus.registry.v1.DeleteTagResponse;
import io.portus.registry.v1.FindTagsRequest;
import io.portus.registry.v1.FindTagsResponse;
import io.portus.registry.v1.GetManifestRequest;
import io.portus.registry.v1.GetManifestResponse;
import io.portus.registry.v1.ListReferrersRequest;
import io.portus.registry.v1.ListReferrersResponse;
import io.portus.registry.v1.ListTagHistoryRequest;
import io.portus.registry.v1.ListTagHistoryResponse;
import io.portus.registry.v1.ListTagsRequest;
import io.portus.registry.v1.ListTagsResponse;
import io.portus.registry.v1.ReadBlobRequest;
import io.portus.registry.v1.ReadBlobResponse;
import io.portus.registry.v1.RegistryServiceGrpc;
import io.portus.registry.v1.Repository;
import io.portus.registry.v1.StreamCatalogRequest;
import io.portus.registry.v1.StreamCatalogResponse;
import io.portus.registry.v1.WatchEventsRequest;
import io.portus.registry.v1.WatchEventsResponse;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.BiConsumer;
import java.util.function.Function;

/** A gateway on loopback with the responses that a test sets. With null it never answers. */
final class Gateway extends RegistryServiceGrpc.RegistryServiceImplBase implements AutoCloseable {
  Function<CatalogRequest, CatalogResponse> catalog;
  Function<ListTagsRequest, ListTagsResponse> tags;
  Function<GetManifestRequest, GetManifestResponse> manifest;
  Function<DeleteManifestRequest, DeleteManifestResponse> deletion;
  Function<DeleteTagRequest, DeleteTagResponse> tagDeletion;
  Function<ListReferrersRequest, ListReferrersResponse> referrers;
  Function<ListTagHistoryRequest, ListTagHistoryResponse> history;
  Function<FindTagsRequest, FindTagsResponse> found;
  BiConsumer<BatchGetManifestsRequest, ServerCallStreamObserver<BatchGetManifestsResponse>> batch;
  BiConsumer<BatchGetImageConfigsRequest, StreamObserver<BatchGetImageConfigsResponse>> configs;
  BiConsumer<BatchResolveManifestsRequest, StreamObserver<BatchResolveManifestsResponse>> resolve;
  BiConsumer<BatchDeleteManifestsRequest, StreamObserver<BatchDeleteManifestsResponse>> deletes;
  BiConsumer<ReadBlobRequest, ServerCallStreamObserver<ReadBlobResponse>> blob;
  BiConsumer<WatchEventsRequest, ServerCallStreamObserver<WatchEventsResponse>> watch =
      (request, observer) -> observer.onCompleted();

  /** The deadline of the last call. */
  volatile Deadline lastDeadline;

  volatile String lastUserAgent;

  /** The authorization of each call. */
  final List<String> authorizations = new CopyOnWriteArrayList<>();

  private final Server server;

  Gateway() throws IOException {
    this(InsecureServerCredentials.create());
  }

  Gateway(ServerCredentials credentials) throws IOException {
    server = Grpc.newServerBuilderForPort(0, credentials).addService(this).intercept(new Listening()).build().start();
  }

  String address() {
    return "127.0.0.1:" + server.getPort();
  }

  int calls() {
    return authorizations.size();
  }

  @Override
  public void catalog(CatalogRequest request, StreamObserver<CatalogResponse> observer) {
    answer(catalog, request, observer);
  }

  @Override
  public void listTags(ListTagsRequest request, StreamObserver<ListTagsResponse> observer) {
    answer(tags, request, observer);
  }

  @Override
  public void getManifest(GetManifestRequest request, StreamObserver<GetManifestResponse> observer) {
    answer(manifest, request, observer);
  }

  @Override
  public void deleteManifest(DeleteManifestRequest request, StreamObserver<DeleteManifestResponse> observer) {
    answer(deletion, request, observer);
  }

  @Override
  public void deleteTag(DeleteTagRequest request, StreamObserver<DeleteTagResponse> observer) {
    answer(tagDeletion, request, observer);
  }

  @Override
  public void listReferrers(ListReferrersRequest request, StreamObserver<ListReferrersResponse> observer) {
    answer(referrers, request, observer);
  }

  @Override
  public void batchGetImageConfigs(
      BatchGetImageConfigsRequest request, StreamObserver<BatchGetImageConfigsResponse> observer) {
    configs.accept(request, observer);
  }

  @Override
  public void batchResolveManifests(
      BatchResolveManifestsRequest request, StreamObserver<BatchResolveManifestsResponse> observer) {
    resolve.accept(request, observer);
  }

  @Override
  public void batchDeleteManifests(
      BatchDeleteManifestsRequest request, StreamObserver<BatchDeleteManifestsResponse> observer) {
    deletes.accept(request, observer);
  }

  @Override
  public void readBlob(ReadBlobRequest request, StreamObserver<ReadBlobResponse> observer) {
    blob.accept(request, (ServerCallStreamObserver<ReadBlobResponse>) observer);
  }

  @Override
  public void listTagHistory(ListTagHistoryRequest request, StreamObserver<ListTagHistoryResponse> observer) {
    answer(history, request, observer);
  }

  @Override
  public void findTags(FindTagsRequest request, StreamObserver<FindTagsResponse> observer) {
    answer(found, request, observer);
  }

  @Override
  public void watchEvents(WatchEventsRequest request, StreamObserver<WatchEventsResponse> observer) {
    watch.accept(request, (ServerCallStreamObserver<WatchEventsResponse>) observer);
  }

  @Override
  public void streamCatalog(StreamCatalogRequest request, StreamObserver<StreamCatalogResponse> observer) {
    observer.onNext(
        StreamCatalogResponse.newBuilder()
            .addRepositories(Repository.newBuilder().setName("team/app"))
            .addRepositories(Repository.newBuilder().setName("team/web"))
            .build());
  }

  @Override
  public void batchGetManifests(
      BatchGetManifestsRequest request, StreamObserver<BatchGetManifestsResponse> observer) {
    batch.accept(request, (ServerCallStreamObserver<BatchGetManifestsResponse>) observer);
  }

  @Override
  public void close() {
    server.shutdownNow();
  }

  private static <Q, A> void answer(Function<Q, A> method, Q request, StreamObserver<A> observer) {
    A answer;
    try {
      answer = method.apply(request);
    } catch (RuntimeException error) {
      observer.onError(error);
      return;
    }
    if (answer != null) {
      observer.onNext(answer);
      observer.onCompleted();
    }
  }

  private final class Listening implements ServerInterceptor {
    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
      String authorization = headers.get(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER));
      authorizations.add(String.valueOf(authorization));
      lastDeadline = Context.current().getDeadline();
      lastUserAgent = headers.get(Metadata.Key.of("user-agent", Metadata.ASCII_STRING_MARSHALLER));
      return next.startCall(call, headers);
    }
  }
}
