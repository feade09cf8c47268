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

/**
 * Calls a gateway. It is safe for concurrent use: make one and keep it, close it when done.
 *
 * <p>The calls are those of the generated stubs; what they throw is read by {@link ErrorDetails}. UNAVAILABLE is
 * retried with backoff for whatever only reads, never for a delete. Nothing is connected until the first call.
 */
public final class PortusClient implements AutoCloseable {
  /** How long a call may take, retries included, for which nothing else is said. */
  public static final Duration DEFAULT_TIMEOUT = Duration.ofSeconds(30);

  /** The same for StreamCatalog as a whole, and for BatchGetManifests. */
  public static final Duration DEFAULT_STREAM_TIMEOUT = Duration.ofMinutes(10);

  /**
   * The largest answer that is taken. A manifest has at most 4 MiB, and comes twice, as it is and parsed.
   */
  public static final int MAX_MESSAGE_BYTES = 16 << 20;

  private final ManagedChannel channel;

  private PortusClient(ManagedChannel channel) {
    this.channel = channel;
  }

  /**
   * A client of the gateway at {@code target}: {@code host:port}, or anything that gRPC resolves, such as {@code
   * dns:///host:port}.
   *
   * @param credentials how the connection is secured: see {@link Security}
   */
  public static PortusClient connect(String target, ChannelCredentials credentials) {
    return connect(target, credentials, DEFAULT_TIMEOUT, DEFAULT_STREAM_TIMEOUT);
  }

  /** As {@link #connect(String, ChannelCredentials)}, with other times for calls without a deadline of their own. */
  public static PortusClient connect(
      String target, ChannelCredentials credentials, Duration timeout, Duration streamTimeout) {
    return new PortusClient(configure(Grpc.newChannelBuilder(target, credentials), timeout, streamTimeout).build());
  }

  /**
   * Gives a channel what {@code connect} gives its own: for those who build one themselves. A proxy in the
   * environment is passed by: it is for the world outside.
   */
  public static <B extends ManagedChannelBuilder<B>> B configure(
      ManagedChannelBuilder<B> builder, Duration timeout, Duration streamTimeout) {
    return builder
        .defaultServiceConfig(serviceConfig())
        .disableServiceConfigLookUp()
        .maxInboundMessageSize(MAX_MESSAGE_BYTES)
        .proxyDetector(address -> null)
        .intercept(new DefaultDeadline(timeout, streamTimeout));
  }

  /** The channel, for stubs with options of their own. */
  public ManagedChannel channel() {
    return channel;
  }

  /** Calls that wait for their answer. */
  public RegistryServiceGrpc.RegistryServiceBlockingStub blocking() {
    return RegistryServiceGrpc.newBlockingStub(channel);
  }

  /** Calls that answer with a future. */
  public RegistryServiceGrpc.RegistryServiceFutureStub futures() {
    return RegistryServiceGrpc.newFutureStub(channel);
  }

  /**
   * The catalog, from the request's page on; each page is fetched when it is needed, each with a deadline of its
   * own. The iterator throws what the call throws, and INTERNAL where the gateway repeats a page token, as no end
   * would come.
   */
  public Iterable<Repository> repositories(CatalogRequest request) {
    return () ->
        new Pages<>(
            request.getPageToken(),
            token -> blocking().catalog(request.toBuilder().setPageToken(token).build()),
            CatalogResponse::getRepositoriesList,
            CatalogResponse::getNextPageToken);
  }

  /** The tags of a repository, as {@link #repositories} for the catalog. */
  public Iterable<String> tags(ListTagsRequest request) {
    return () ->
        new Pages<>(
            request.getPageToken(),
            token -> blocking().listTags(request.toBuilder().setPageToken(token).build()),
            ListTagsResponse::getTagsList,
            ListTagsResponse::getNextPageToken);
  }

  /**
   * Fetches many manifests, as many as you like: every 1000 of the requests are a call of BatchGetManifests, each with
   * a deadline of its own. Results come as the gateway knows them, not in the order of the requests: {@code
   * getRequestIndex()} is the position of a result's request. What fails is that one's status, which {@link
   * ErrorDetails} reads, and ends nothing.
   *
   * <p>The iterator throws what a call as a whole throws; what came before it stands.
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

  /** Ends the connection, and the calls on it. */
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
