import io.grpc.ChannelCredentials;
import io.grpc.StatusRuntimeException;
import io.portus.client.ErrorDetails;
import io.portus.client.PortusClient;
import io.portus.client.Security;
import io.portus.client.Timeouts;
import io.portus.registry.v1.CatalogRequest;
import io.portus.registry.v1.DeleteManifestRequest;
import io.portus.registry.v1.GetManifestRequest;
import io.portus.registry.v1.Manifest;
import io.portus.registry.v1.Repository;
import java.io.IOException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.HexFormat;

/**
 * Shows how to use the gateway: lists the catalog with its tags, verifies a manifest, tries a delete that is refused, and
 * requests a tag that does not exist.
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
