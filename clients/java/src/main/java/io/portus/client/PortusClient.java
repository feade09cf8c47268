package io.portus.client;

import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.portus.registry.v1.BatchDeleteManifestsRequest;
import io.portus.registry.v1.BatchDeleteManifestsResponse;
import io.portus.registry.v1.BatchDeleteManifestsResult;
import io.portus.registry.v1.BatchGetImageConfigsRequest;
import io.portus.registry.v1.BatchGetImageConfigsResponse;
import io.portus.registry.v1.BatchGetImageConfigsResult;
import io.portus.registry.v1.BatchGetManifestsRequest;
import io.portus.registry.v1.BatchGetManifestsResponse;
import io.portus.registry.v1.BatchGetManifestsResult;
import io.portus.registry.v1.BatchResolveManifestsRequest;
import io.portus.registry.v1.BatchResolveManifestsResponse;
import io.portus.registry.v1.BatchResolveManifestsResult;
import io.portus.registry.v1.CatalogRequest;
import io.portus.registry.v1.CatalogResponse;
import io.portus.registry.v1.Event;
import io.portus.registry.v1.FindTagsRequest;
import io.portus.registry.v1.FindTagsResponse;
import io.portus.registry.v1.FoundTag;
import io.portus.registry.v1.GetImageConfigRequest;
import io.portus.registry.v1.GetManifestRequest;
import io.portus.registry.v1.ListReferrersRequest;
import io.portus.registry.v1.ListReferrersResponse;
import io.portus.registry.v1.ListTagHistoryRequest;
import io.portus.registry.v1.ListTagHistoryResponse;
import io.portus.registry.v1.ListTagsRequest;
import io.portus.registry.v1.ListTagsResponse;
import io.portus.registry.v1.ReadBlobRequest;
import io.portus.registry.v1.Referrer;
import io.portus.registry.v1.RegistryServiceGrpc;
import io.portus.registry.v1.Repository;
import io.portus.registry.v1.ResolveManifestRequest;
import io.portus.registry.v1.TagDetails;
import io.portus.registry.v1.WatchEventsRequest;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.Reader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/**
 * A client of a gateway. It is safe for concurrent use. Make one and reuse it. Close it when done.
 *
 * <p>It uses the generated stubs. {@link ErrorDetails} reads the exceptions that they throw. Reads that fail with
 * UNAVAILABLE are retried with backoff, deletes never. The first call connects.
 */
public final class PortusClient implements AutoCloseable {
  /**
   * The size of the largest response. A manifest has at most 4 MiB, and a response contains it twice: as bytes and
   * parsed.
   */
  public static final int MAX_MESSAGE_BYTES = 16 << 20;

  // A gateway that hangs is noticed within the sum of the two, not at the call's deadline.
  private static final Duration KEEPALIVE_TIME = Duration.ofSeconds(20);
  private static final Duration KEEPALIVE_TIMEOUT = Duration.ofSeconds(5);

  private final ManagedChannel channel;
  private final Timeouts timeouts;
  // They would connect again.
  private final Set<Watch> watches = ConcurrentHashMap.newKeySet();

  private PortusClient(ManagedChannel channel, Timeouts timeouts) {
    this.channel = channel;
    this.timeouts = timeouts;
  }

  /**
   * A client of the gateway at {@code target}: {@code host:port}, or any name that gRPC resolves, such as {@code
   * dns:///host:port}.
   *
   * @param credentials the security of the connection, from {@link Security}
   */
  public static PortusClient connect(String target, ChannelCredentials credentials) {
    return connect(target, credentials, Timeouts.DEFAULT);
  }

  /** The same as {@link #connect(String, ChannelCredentials)}, with other timeouts. */
  public static PortusClient connect(String target, ChannelCredentials credentials, Timeouts timeouts) {
    if (target.matches("https?://.*")) {
      String scheme = target.substring(0, target.indexOf("//") + 2);
      throw new IllegalArgumentException(
          target + " is not a gateway address: write host:port, without " + scheme);
    }
    return new PortusClient(configure(Grpc.newChannelBuilder(target, credentials), timeouts).build(), timeouts);
  }

  /**
   * Sets the options of this client on your own channel. Proxies of the environment are not used, because they must not
   * get internal calls.
   */
  public static <B extends ManagedChannelBuilder<B>> B configure(
      ManagedChannelBuilder<B> builder, Timeouts timeouts) {
    return builder
        .defaultServiceConfig(serviceConfig())
        .disableServiceConfigLookUp()
        .maxInboundMessageSize(MAX_MESSAGE_BYTES)
        .proxyDetector(address -> null)
        .userAgent("portus-client-java/" + Version.VERSION)
        .keepAliveTime(KEEPALIVE_TIME.toSeconds(), TimeUnit.SECONDS)
        .keepAliveTimeout(KEEPALIVE_TIMEOUT.toSeconds(), TimeUnit.SECONDS)
        .intercept(timeouts.interceptor());
  }

  /** The channel, for your own stubs. */
  public ManagedChannel channel() {
    return channel;
  }

  /** A stub whose calls wait for the response. */
  public RegistryServiceGrpc.RegistryServiceBlockingStub blocking() {
    return RegistryServiceGrpc.newBlockingStub(channel);
  }

  /** A stub whose calls return a future. */
  public RegistryServiceGrpc.RegistryServiceFutureStub futures() {
    return RegistryServiceGrpc.newFutureStub(channel);
  }

  /**
   * The catalog, beginning at the request's page. Each page is fetched when it is needed and has its own deadline. The
   * iterator throws the errors of the calls. It throws INTERNAL if a page token comes twice, because the listing would
   * have no end.
   */
  public Iterable<Repository> repositories(CatalogRequest request) {
    return () ->
        new Pages<>(
            request.getPageToken(),
            token -> blocking().catalog(request.toBuilder().setPageToken(token).build()),
            CatalogResponse::getRepositoriesList,
            CatalogResponse::getNextPageToken);
  }

  /**
   * The tags of a repository. Works like {@link #repositories}. The request can choose tags by the digest that they point
   * to, and their order.
   */
  public Iterable<String> tags(ListTagsRequest request) {
    return () ->
        new Pages<>(
            request.getPageToken(),
            token -> blocking().listTags(request.toBuilder().setPageToken(token).build()),
            ListTagsResponse::getTagsList,
            ListTagsResponse::getNextPageToken);
  }

  /**
   * What is known of each tag: what it points to (view DESCRIPTORS), and with the view FULL also when its image was
   * built, its size and its platforms. The view is FULL if it is not set. A tag of which something could not be found out
   * has a status, and the listing continues.
   */
  public Iterable<TagDetails> tagDetails(ListTagsRequest request) {
    ListTagsRequest.View view =
        request.getView() == ListTagsRequest.View.NAMES ? ListTagsRequest.View.FULL : request.getView();
    return () ->
        new Pages<>(
            request.getPageToken(),
            token -> blocking().listTags(request.toBuilder().setView(view).setPageToken(token).build()),
            ListTagsResponse::getDetailsList,
            ListTagsResponse::getNextPageToken);
  }

  /**
   * What refers to a manifest: signatures, attestations, SBOMs and other artifacts. Works like {@link #repositories}.
   */
  public Iterable<Referrer> referrers(ListReferrersRequest request) {
    return () ->
        new Pages<>(
            request.getPageToken(),
            token -> blocking().listReferrers(request.toBuilder().setPageToken(token).build()),
            ListReferrersResponse::getReferrersList,
            ListReferrersResponse::getNextPageToken);
  }

  /**
   * What happened to a tag, the latest event first, as the gateway's index saw it. Works like {@link #repositories}.
   */
  public Iterable<Event> tagHistory(ListTagHistoryRequest request) {
    return () ->
        new Pages<>(
            request.getPageToken(),
            token -> blocking().listTagHistory(request.toBuilder().setPageToken(token).build()),
            ListTagHistoryResponse::getEventsList,
            ListTagHistoryResponse::getNextPageToken);
  }

  /**
   * The tags of all repositories that FindTags finds in the gateway's index. Works like {@link #repositories}.
   */
  public Iterable<FoundTag> foundTags(FindTagsRequest request) {
    return () ->
        new Pages<>(
            request.getPageToken(),
            token -> blocking().findTags(request.toBuilder().setPageToken(token).build()),
            FindTagsResponse::getTagsList,
            FindTagsResponse::getNextPageToken);
  }

  /**
   * Fetches any number of manifests. Every 1000 requests are one call of BatchGetManifests with its own deadline.
   * Results come in the order in which the gateway has them; {@code getRequestIndex()} is the position of the request.
   * If a manifest cannot be fetched, its result has a status, which {@link ErrorDetails} reads, and the batch continues.
   *
   * <p>If a call as a whole fails, the iterator throws its error; the results before it are valid.
   *
   * <pre>{@code
   * try (Batch<BatchGetManifestsResult> batch = client.batchManifests(requests)) {
   *   for (BatchGetManifestsResult result : batch) { … }
   * }
   * }</pre>
   */
  public Batch<BatchGetManifestsResult> batchManifests(List<GetManifestRequest> requests) {
    List<GetManifestRequest> all = List.copyOf(requests);
    return Batch.ofReads(
        all.size(),
        (first, end) ->
            Batch.results(
                blocking()
                    .batchGetManifests(
                        BatchGetManifestsRequest.newBuilder().addAllRequests(all.subList(first, end)).build()),
                BatchGetManifestsResponse::getResultsList),
        BatchGetManifestsResult::getRequestIndex,
        (result, index) -> result.toBuilder().setRequestIndex(index).build());
  }

  /** Fetches the configurations of any number of images. Works like {@link #batchManifests}. */
  public Batch<BatchGetImageConfigsResult> batchImageConfigs(List<GetImageConfigRequest> requests) {
    List<GetImageConfigRequest> all = List.copyOf(requests);
    return Batch.ofReads(
        all.size(),
        (first, end) ->
            Batch.results(
                blocking()
                    .batchGetImageConfigs(
                        BatchGetImageConfigsRequest.newBuilder().addAllRequests(all.subList(first, end)).build()),
                BatchGetImageConfigsResponse::getResultsList),
        BatchGetImageConfigsResult::getRequestIndex,
        (result, index) -> result.toBuilder().setRequestIndex(index).build());
  }

  /** Resolves any number of tags and digests to descriptors. Works like {@link #batchManifests}. */
  public Batch<BatchResolveManifestsResult> batchResolve(List<ResolveManifestRequest> requests) {
    List<ResolveManifestRequest> all = List.copyOf(requests);
    return Batch.ofReads(
        all.size(),
        (first, end) ->
            Batch.results(
                blocking()
                    .batchResolveManifests(
                        BatchResolveManifestsRequest.newBuilder().addAllRequests(all.subList(first, end)).build()),
                BatchResolveManifestsResponse::getResultsList),
        BatchResolveManifestsResult::getRequestIndex,
        (result, index) -> result.toBuilder().setRequestIndex(index).build());
  }

  /**
   * Deletes up to 1000 manifests of one repository in one call, because the gateway judges them as a whole. Each result
   * has what was deleted, or a status: that manifest was not deleted, and the batch continues.
   *
   * <p>If the iterator throws an error, the manifests without a result may or may not be deleted. A call is never made
   * again, so there is one iterator. The call has the timeout of streams, or that of deletes if it is longer.
   */
  public Batch<BatchDeleteManifestsResult> batchDelete(BatchDeleteManifestsRequest request) {
    return Batch.ofDeletes(
        request.getRequestsCount(),
        (first, end) ->
            Batch.results(blocking().batchDeleteManifests(request), BatchDeleteManifestsResponse::getResultsList),
        BatchDeleteManifestsResult::getRequestIndex);
  }

  /**
   * Begins to read a blob: a layer, a configuration, an SBOM. If the connection breaks, or the gateway stops, the stream
   * goes on where it was, as long as bytes come. With an offset or a limit, only this part is read, and its digest cannot
   * be verified.
   *
   * <p>The timeout of streams is for each call; the stream goes on after it if bytes have come.
   *
   * @throws io.grpc.StatusRuntimeException if the blob does not exist, or the call fails before its first byte
   */
  public BlobInputStream openBlob(ReadBlobRequest request) {
    return new BlobInputStream(blocking(), request);
  }

  /**
   * What changes in the registry, as the gateway's index sees it, from where the request says. {@link Watch} describes how
   * it goes on after an interruption. Close it.
   *
   * <pre>{@code
   * try (Watch watch = client.watch(WatchEventsRequest.newBuilder().setCurrentState(true).build())) {
   *   for (WatchUpdate update : watch) { … }
   * }
   * }</pre>
   */
  public Watch watch(WatchEventsRequest request) {
    return watch(request, Watch.DEFAULT_GIVE_UP_AFTER);
  }

  /** The same as {@link #watch(WatchEventsRequest)}. It tries for so long to go on while no message comes. */
  public Watch watch(WatchEventsRequest request, Duration giveUpAfter) {
    Watch watch =
        new Watch(channel, request, giveUpAfter, timeouts.call(), WatchProgress.Times.DEFAULT, watches::remove);
    watches.add(watch);
    return watch;
  }

  /** Closes the connection. Watches end. Calls that are still running fail. */
  @Override
  public void close() {
    List.copyOf(watches).forEach(Watch::close);
    channel.shutdownNow();
  }

  static Map<String, ?> serviceConfig() {
    try (InputStream stream = PortusClient.class.getResourceAsStream("service_config.json");
        Reader reader = new InputStreamReader(stream, StandardCharsets.UTF_8)) {
      return new Gson().fromJson(reader, new TypeToken<Map<String, Object>>() {}.getType());
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }
}
