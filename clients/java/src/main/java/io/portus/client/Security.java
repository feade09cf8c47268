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

/** The security of the connection to a gateway. Files are in PEM format. */
public final class Security {
  private static final Pattern TOKEN = Pattern.compile("[\\x21-\\x7e]+");

  private Security() {}

  /** Without any security: for loopback, or within a service mesh. */
  public static ChannelCredentials plaintext() {
    return InsecureChannelCredentials.create();
  }

  /** TLS that trusts the CA certificates of the JVM. */
  public static ChannelCredentials tls() {
    return TlsChannelCredentials.create();
  }

  /** TLS that trusts the CA certificates in {@code caFile}. */
  public static ChannelCredentials tls(Path caFile) throws IOException {
    return TlsChannelCredentials.newBuilder().trustManager(caFile.toFile()).build();
  }

  /**
   * TLS with a client certificate. {@code keyFile} is in PKCS #8, not encrypted. Both files are read for each connection,
   * so they can be renewed.
   */
  public static ChannelCredentials mutualTls(Path certificateFile, Path keyFile, Path caFile) throws IOException {
    return TlsChannelCredentials.newBuilder()
        .keyManager(new RenewableKey(certificateFile, keyFile))
        .trustManager(caFile.toFile())
        .build();
  }

  /** Sends a bearer token of visible ASCII characters with every call. It needs TLS. */
  public static ChannelCredentials withToken(ChannelCredentials tls, String token) {
    String checked = checked(token);
    return withSource(tls, () -> checked);
  }

  /**
   * Sends the bearer token in the file. The file is read for every call, because Kubernetes and others renew such files.
   * It needs TLS.
   */
  public static ChannelCredentials withTokenFile(ChannelCredentials tls, Path tokenFile) {
    return withSource(tls, () -> checked(Files.readString(tokenFile).strip()));
  }

  /** grpc-java itself would write an invalid token to its log. */
  private static String checked(String token) {
    if (!TOKEN.matcher(token).matches()) {
      throw new IllegalArgumentException("the token is empty or has a character that is not visible ASCII");
    }
    return token;
  }

  private static ChannelCredentials withSource(ChannelCredentials tls, TokenSource source) {
    if (tls instanceof InsecureChannelCredentials) {
      throw new IllegalArgumentException("a token needs TLS, because in plaintext others could read it");
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
              applier.fail(Status.UNAUTHENTICATED.withDescription("cannot read the token file").withCause(error));
              return;
            }
            applier.apply(headers);
          });
    }
  }
}
