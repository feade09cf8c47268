package io.portus.client;

import io.grpc.CallCredentials;
import io.grpc.ChannelCredentials;
import io.grpc.CompositeChannelCredentials;
import io.grpc.InsecureChannelCredentials;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.TlsChannelCredentials;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Executor;
import java.util.regex.Pattern;

/** How the connection to a gateway is secured. Files are PEM. */
public final class Security {
  private static final Pattern TOKEN = Pattern.compile("[\\x21-\\x7e]+");

  private Security() {}

  /** No security at all: for loopback, or below a service mesh. */
  public static ChannelCredentials plaintext() {
    return InsecureChannelCredentials.create();
  }

  /** TLS that trusts the authorities of the JVM. */
  public static ChannelCredentials tls() {
    return TlsChannelCredentials.create();
  }

  /** TLS that trusts the authorities in {@code caFile}. */
  public static ChannelCredentials tls(Path caFile) throws IOException {
    return TlsChannelCredentials.newBuilder().trustManager(caFile.toFile()).build();
  }

  /** TLS with a certificate of the caller's own; {@code keyFile} is PKCS #8, not encrypted. */
  public static ChannelCredentials mutualTls(Path certificateFile, Path keyFile, Path caFile) throws IOException {
    return TlsChannelCredentials.newBuilder()
        .keyManager(certificateFile.toFile(), keyFile.toFile())
        .trustManager(caFile.toFile())
        .build();
  }

  /** Sends a bearer token, which is visible ASCII, with every call. Needs TLS. */
  public static ChannelCredentials withToken(ChannelCredentials tls, String token) {
    String checked = checked(token);
    return withSource(tls, () -> checked);
  }

  /** Sends the bearer token that the file has at the time of the call, as Kubernetes renews them. Needs TLS. */
  public static ChannelCredentials withTokenFile(ChannelCredentials tls, Path tokenFile) {
    return withSource(tls, () -> checked(Files.readString(tokenFile).strip()));
  }

  /** grpc-java writes a token that it cannot send into its log. */
  private static String checked(String token) {
    if (!TOKEN.matcher(token).matches()) {
      throw new IllegalArgumentException("the token is empty, or has a character other than visible ASCII");
    }
    return token;
  }

  private static ChannelCredentials withSource(ChannelCredentials tls, TokenSource source) {
    if (tls instanceof InsecureChannelCredentials) {
      throw new IllegalArgumentException("a token needs TLS: anyone on the way could read it");
    }
    return CompositeChannelCredentials.create(tls, new Bearer(source));
  }

  private interface TokenSource {
    String token() throws IOException;
  }

  private static final class Bearer extends CallCredentials {
    private static final Metadata.Key<String> AUTHORIZATION =
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    private final TokenSource source;

    Bearer(TokenSource source) {
      this.source = source;
    }

    @Override
    public void applyRequestMetadata(RequestInfo request, Executor executor, MetadataApplier applier) {
      executor.execute(
          () -> {
            Metadata headers = new Metadata();
            try {
              headers.put(AUTHORIZATION, "Bearer " + source.token());
            } catch (IOException | IllegalArgumentException error) {
              applier.fail(Status.UNAUTHENTICATED.withDescription("cannot read the token").withCause(error));
              return;
            }
            applier.apply(headers);
          });
    }
  }
}
