package io.portus.client;

import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.portus.registry.v1.CatalogRequest;
import io.portus.registry.v1.CatalogResponse;
import io.portus.registry.v1.GetManifestRequest;
import io.portus.registry.v1.ListTagsRequest;
import io.portus.registry.v1.ListTagsResponse;
import io.portus.registry.v1.RegistryServiceGrpc;
import io.portus.registry.v1.Repository;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.Reader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
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

  private PortusClient(ManagedChannel channel) {
    this.channel = channel;
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
    return new PortusClient(configure(Grpc.newChannelBuilder(target, credentials), timeouts).build());
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

  /** The tags of a repository. Works like {@link #repositories}. */
  public Iterable<String> tags(ListTagsRequest request) {
    return () ->
        new Pages<>(
            request.getPageToken(),
            token -> blocking().listTags(request.toBuilder().setPageToken(token).build()),
            ListTagsResponse::getTagsList,
            ListTagsResponse::getNextPageToken);
  }

  /**
   * Fetches any number of manifests. Every 1000 requests are one call of BatchGetManifests with its own deadline.
   * Results come in the order in which the gateway has them; {@code getRequestIndex()} is the position of the request.
   * If a manifest cannot be fetched, its result has a status, which {@link ErrorDetails} reads, and the batch continues.
   *
   * <p>If a call as a whole fails, the iterator throws its error; the results before it are valid.
   *
   * <pre>{@code
   * try (ManifestBatch batch = client.batchManifests(requests)) {
   *   for (BatchGetManifestsResult result : batch) { … }
   * }
   * }</pre>
   */
  public ManifestBatch batchManifests(List<GetManifestRequest> requests) {
    return new ManifestBatch(blocking(), requests);
  }

  /** Closes the connection. Calls that are still running fail. */
  @Override
  public void close() {
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
