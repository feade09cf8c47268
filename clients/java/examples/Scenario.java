import io.grpc.ChannelCredentials;
import io.grpc.StatusRuntimeException;
import io.portus.client.Batch;
import io.portus.client.BlobInputStream;
import io.portus.client.ErrorDetails;
import io.portus.client.PortusClient;
import io.portus.client.Security;
import io.portus.client.Timeouts;
import io.portus.client.Watch;
import io.portus.client.WatchUpdate;
import io.portus.registry.v1.BatchDeleteManifestsRequest;
import io.portus.registry.v1.BatchDeleteManifestsResult;
import io.portus.registry.v1.BatchResolveManifestsResult;
import io.portus.registry.v1.CatalogRequest;
import io.portus.registry.v1.DeleteManifestRequest;
import io.portus.registry.v1.DeleteTagRequest;
import io.portus.registry.v1.Descriptor;
import io.portus.registry.v1.Event;
import io.portus.registry.v1.FindTagsRequest;
import io.portus.registry.v1.FoundTag;
import io.portus.registry.v1.GetImageConfigRequest;
import io.portus.registry.v1.GetManifestRequest;
import io.portus.registry.v1.ImageConfig;
import io.portus.registry.v1.ListReferrersRequest;
import io.portus.registry.v1.ListTagHistoryRequest;
import io.portus.registry.v1.ListTagsRequest;
import io.portus.registry.v1.Manifest;
import io.portus.registry.v1.Platform;
import io.portus.registry.v1.ReadBlobRequest;
import io.portus.registry.v1.Referrer;
import io.portus.registry.v1.Repository;
import io.portus.registry.v1.ResolveManifestRequest;
import io.portus.registry.v1.TagDetails;
import io.portus.registry.v1.WatchEventsRequest;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.security.DigestOutputStream;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Stream;

/**
 * Shows how to use the gateway. Lists the catalog with its tags and verifies a manifest. Shows what is in the image, what
 * refers to it, and what the index knows of it. Tries a delete that is refused, and requests a tag that does not exist.
 *
 * <pre>java -cp "target/*:target/dependency/*" examples/Scenario.java ADDRESS REPOSITORY TAG</pre>
 *
 * PORTUS_GATEWAY_CA_FILE turns TLS on, PORTUS_GATEWAY_TOKEN_FILE is a file with a bearer token, and
 * PORTUS_GATEWAY_TIMEOUT is the timeout of each call in seconds.
 */
public final class Scenario {
  public static void main(String[] arguments) throws IOException, GeneralSecurityException {
    if (arguments.length != 3) {
      System.err.println("usage: Scenario ADDRESS REPOSITORY TAG");
      System.exit(2);
    }
    String timeout = System.getenv().getOrDefault("PORTUS_GATEWAY_TIMEOUT", "30");
    Duration time = Duration.ofMillis((long) (1000 * Double.parseDouble(timeout)));
    Timeouts timeouts = new Timeouts(time, time, time);
    try (PortusClient client = PortusClient.connect(arguments[0], credentials(), timeouts)) {
      run(client, arguments[1], arguments[2]);
    } catch (StatusRuntimeException error) {
      System.err.println("scenario: " + ErrorDetails.of(error));
      System.exit(1);
    }
  }

  private static void run(PortusClient client, String repository, String tag) throws GeneralSecurityException {
    System.out.println("catalog");
    for (Repository listed : client.repositories(CatalogRequest.newBuilder().setIncludeTags(true).build())) {
      System.out.printf("  %s: %s%n", listed.getName(), tagsOf(listed));
    }

    GetManifestRequest wanted = GetManifestRequest.newBuilder().setRepository(repository).setTag(tag).build();
    Manifest manifest = client.blocking().getManifest(wanted).getManifest();
    String digest = manifest.getContentDescriptor().getDigest();
    byte[] raw = manifest.getRaw().toByteArray();
    String computed = "sha256:" + HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(raw));
    System.out.printf("manifest %s:%s%n", repository, tag);
    System.out.printf("  media type: %s%n", manifest.getContentDescriptor().getMediaType());
    System.out.printf("  size: %d%n", raw.length);
    System.out.printf("  digest: %s%n", digest);
    System.out.printf("  SHA-256 of the bytes: %s%n", computed);
    if (!computed.equals(digest)) {
      throw new IllegalStateException("the digest of the bytes is not " + digest);
    }

    showContent(client, repository, tag, manifest);
    showIndex(client, repository, tag, digest);

    for (boolean validateOnly : new boolean[] {true, false}) {
      System.out.printf(
          "delete %s@%s, expecting the tag %s, validate only: %b%n", repository, digest, tag, validateOnly);
      DeleteManifestRequest deletion =
          DeleteManifestRequest.newBuilder()
              .setRepository(repository)
              .setDigest(digest)
              .addExpectedTags(tag)
              .setValidateOnly(validateOnly)
              .build();
      try {
        var deleted = client.blocking().deleteManifest(deletion);
        System.out.printf("  deleted, with the tags: %s%n", String.join(", ", deleted.getDeletedTagsList()));
      } catch (StatusRuntimeException error) {
        show(error);
      }
    }

    System.out.printf("manifest %s:no-such-tag%n", repository);
    try {
      client.blocking().getManifest(wanted.toBuilder().setTag("no-such-tag").build());
    } catch (StatusRuntimeException error) {
      show(error);
    }
  }

  /** Shows what is in the image, the repository's tags, and what refers to the image. */
  private static void showContent(PortusClient client, String repository, String tag, Manifest manifest)
      throws GeneralSecurityException {
    ImageConfig config =
        client
            .blocking()
            .getImageConfig(GetImageConfigRequest.newBuilder().setRepository(repository).setTag(tag).build())
            .getImageConfig();
    System.out.printf("configuration of %s:%s%n", repository, tag);
    System.out.printf("  created: %s%n", Instant.ofEpochSecond(config.getCreated().getSeconds()));
    System.out.printf("  platform: %s%n", platform(config.getPlatform()));
    System.out.printf("  digest: %s%n", config.getConfig().getDigest());

    for (Descriptor layer : manifest.getImage().getLayersList()) {
      System.out.printf("layer %s%n", layer.getDigest());
      MessageDigest hash = MessageDigest.getInstance("SHA-256");
      ReadBlobRequest wanted =
          ReadBlobRequest.newBuilder().setRepository(repository).setDigest(layer.getDigest()).build();
      try (BlobInputStream blob = client.openBlob(wanted);
          DigestOutputStream hashed = new DigestOutputStream(OutputStream.nullOutputStream(), hash)) {
        long size = blob.transferTo(hashed);
        System.out.printf("  size: %d of %d%n", size, blob.size().orElseThrow());
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
      System.out.printf("  SHA-256 of the bytes: sha256:%s%n", HexFormat.of().formatHex(hash.digest()));
    }

    System.out.printf("tags of %s%n", repository);
    ListTagsRequest tags = ListTagsRequest.newBuilder().setRepository(repository).setOmitReferrerTags(true).build();
    for (TagDetails details : client.tagDetails(tags)) {
      String platform = details.getPlatformsCount() == 0 ? "no platform" : platform(details.getPlatforms(0));
      System.out.printf(
          "  %s: %s, %d bytes, %s%n",
          details.getTag(), details.getContentDescriptor().getDigest(), details.getTotalSize(), platform);
    }

    String digest = manifest.getContentDescriptor().getDigest();
    System.out.printf("referrers of %s@%s%n", repository, digest);
    ListReferrersRequest referrers =
        ListReferrersRequest.newBuilder().setRepository(repository).setDigest(digest).build();
    for (Referrer referrer : client.referrers(referrers)) {
      Descriptor descriptor = referrer.getContentDescriptor();
      System.out.printf("  %s: %s%n", descriptor.getArtifactType(), descriptor.getDigest());
    }

    System.out.printf("digests of %s and no-such-tag%n", tag);
    String[] outcomes = new String[2];
    List<ResolveManifestRequest> references =
        Stream.of(tag, "no-such-tag")
            .map(each -> ResolveManifestRequest.newBuilder().setRepository(repository).setTag(each).build())
            .toList();
    try (Batch<BatchResolveManifestsResult> batch = client.batchResolve(references)) {
      for (BatchResolveManifestsResult result : batch) {
        outcomes[result.getRequestIndex()] =
            result.hasStatus()
                ? ErrorDetails.of(result.getStatus()).reason()
                : result.getContentDescriptor().getDigest();
      }
    }
    for (int index = 0; index < outcomes.length; index++) {
      System.out.printf("  %d: %s%n", index, outcomes[index]);
    }

    System.out.printf("delete the tag %s of %s, validate only%n", tag, repository);
    DeleteTagRequest tagDeletion =
        DeleteTagRequest.newBuilder()
            .setRepository(repository)
            .setTag(tag)
            .setExpectedDigest(digest)
            .setValidateOnly(true)
            .build();
    try {
      System.out.printf("  deleted, it pointed to: %s%n", client.blocking().deleteTag(tagDeletion).getDigest());
    } catch (StatusRuntimeException error) {
      show(error);
    }

    System.out.printf("batch of deletes in %s, validate only%n", repository);
    BatchDeleteManifestsRequest deletes =
        BatchDeleteManifestsRequest.newBuilder()
            .setRepository(repository)
            .addRequests(DeleteManifestRequest.newBuilder().setDigest(digest))
            .setValidateOnly(true)
            .build();
    try (Batch<BatchDeleteManifestsResult> batch = client.batchDelete(deletes)) {
      for (BatchDeleteManifestsResult result : batch) {
        System.out.printf("  %d: %s%n", result.getRequestIndex(), ErrorDetails.of(result.getStatus()).reason());
      }
    }
  }

  /** Shows what the gateway's index knows of the image, if it has one. */
  private static void showIndex(PortusClient client, String repository, String tag, String digest) {
    System.out.printf("tags on %s%n", digest);
    try {
      for (FoundTag found : client.foundTags(FindTagsRequest.newBuilder().setDigest(digest).build())) {
        System.out.printf("  %s:%s%n", found.getRepository(), found.getTag());
      }
    } catch (StatusRuntimeException error) {
      show(error);
    }

    System.out.printf("history of %s:%s%n", repository, tag);
    try {
      for (Event event :
          client.tagHistory(ListTagHistoryRequest.newBuilder().setRepository(repository).setTag(tag).build())) {
        System.out.printf("  %s: %s%n", event.getType(), event.getDigest());
      }
    } catch (StatusRuntimeException error) {
      show(error);
    }

    System.out.printf("current state of %s%n", repository);
    WatchEventsRequest all =
        WatchEventsRequest.newBuilder().addRepositories(repository).setCurrentState(true).build();
    try (Watch watch = client.watch(all)) {
      for (WatchUpdate update : watch) {
        for (Event event : update.events()) {
          System.out.printf(
              "  %s: %s%n", event.getType(), event.getTag().isEmpty() ? event.getRepository() : event.getTag());
        }
        if (update.currentStateComplete()) {
          break;
        }
      }
    } catch (StatusRuntimeException error) {
      show(error);
    }
  }

  private static String platform(Platform platform) {
    return platform.getOs() + "/" + platform.getArchitecture();
  }

  private static String tagsOf(Repository repository) {
    if (repository.hasTagsStatus()) {
      return "tags unknown, " + ErrorDetails.of(repository.getTagsStatus()).reason();
    }
    return repository.getTagsCount() == 0 ? "no tags" : String.join(", ", repository.getTagsList());
  }

  /** Prints an error of the gateway, and throws any other again. */
  private static void show(StatusRuntimeException error) {
    ErrorDetails details = ErrorDetails.of(error);
    if (details.reason().isEmpty()) {
      throw error;
    }
    System.out.printf("  code: %s%n  reason: %s%n", details.code(), details.reason());
    if (!details.resourceName().isEmpty()) {
      System.out.printf("  %s: %s%n", details.resourceType(), details.resourceName());
    }
    if (!details.tags().isEmpty()) {
      System.out.printf("  tags: %s%n", String.join(", ", details.tags()));
    }
    details.retryDelay().ifPresent(delay -> System.out.printf("  retry after: %s s%n", delay.toMillis() / 1000.0));
  }

  private static ChannelCredentials credentials() throws IOException {
    String caFile = System.getenv("PORTUS_GATEWAY_CA_FILE");
    String tokenFile = System.getenv("PORTUS_GATEWAY_TOKEN_FILE");
    if (caFile == null) {
      return Security.plaintext();
    }
    ChannelCredentials tls = Security.tls(Path.of(caFile));
    return tokenFile == null ? tls : Security.withTokenFile(tls, Path.of(tokenFile));
  }
}
