package io.portus.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.grpc.ChannelCredentials;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsServerCredentials;
import io.portus.registry.v1.GetManifestRequest;
import io.portus.registry.v1.GetManifestResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.Key;
import java.security.KeyStore;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(30)
class SecurityTest {
  @TempDir static Path folder;
  private static Path certificateFile;
  private static Path keyFile;

  /** Makes a certificate for 127.0.0.1 with the JDK's own keytool. */
  @BeforeAll
  static void makeCertificate() throws IOException, InterruptedException, GeneralSecurityException {
    Path store = folder.resolve("store.p12");
    String keytool = Path.of(System.getProperty("java.home"), "bin", "keytool").toString();
    String password = "for-this-test";
    Process process =
        new ProcessBuilder(
                keytool, "-genkeypair", "-alias", "gateway", "-keyalg", "EC", "-dname", "CN=gateway", "-ext",
                "san=ip:127.0.0.1", "-storepass", password, "-keystore", store.toString())
            .redirectErrorStream(true)
            .start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), said);
    KeyStore keys = KeyStore.getInstance(store.toFile(), password.toCharArray());
    Key key = keys.getKey("gateway", password.toCharArray());
    certificateFile = pem("certificate.pem", "CERTIFICATE", keys.getCertificate("gateway").getEncoded());
    keyFile = pem("key.pem", "PRIVATE KEY", key.getEncoded());
  }

  @Test
  void tokenFileIsReadForEachCall() throws IOException {
    Path tokenFile = folder.resolve("token");
    try (Gateway gateway = gateway(TlsServerCredentials.ClientAuth.NONE);
        PortusClient client =
            PortusClient.connect(
                gateway.address(), Security.withTokenFile(Security.tls(certificateFile), tokenFile))) {
      for (String token : List.of("first", "second")) {
        Files.writeString(tokenFile, token + "\n");
        call(client);
      }
      assertEquals(List.of("Bearer first", "Bearer second"), gateway.authorizations);
    }
  }

  @Test
  void tokenThatCannotBeSentIsRefusedAndNotRepeated() throws IOException {
    Path tokenFile = folder.resolve("bad-token");
    for (String token : List.of("", "hunter2\nx", "h\u00fcnter2", "hunter2 x")) {
      var error =
          assertThrows(
              IllegalArgumentException.class, () -> Security.withToken(Security.tls(certificateFile), token));
      assertFalse(error.getMessage().contains("nter2"));
      Files.writeString(tokenFile, token);
      try (Gateway gateway = gateway(TlsServerCredentials.ClientAuth.NONE);
          PortusClient client =
              PortusClient.connect(
                  gateway.address(), Security.withTokenFile(Security.tls(certificateFile), tokenFile))) {
        var refused = assertThrows(StatusRuntimeException.class, () -> call(client));
        assertEquals(Status.Code.UNAUTHENTICATED, refused.getStatus().getCode());
        assertFalse(refused.getMessage().contains("nter2"));
        assertEquals(List.of(), gateway.authorizations);
      }
    }
  }

  @Test
  void mutualTlsShowsTheCertificate() throws IOException {
    ChannelCredentials credentials = Security.mutualTls(certificateFile, keyFile, certificateFile);
    try (Gateway gateway = gateway(TlsServerCredentials.ClientAuth.REQUIRE);
        PortusClient client = PortusClient.connect(gateway.address(), Security.withToken(credentials, "t"))) {
      call(client);
      assertEquals(List.of("Bearer t"), gateway.authorizations);
    }
  }

  @Test
  void renewedCertificateIsReadForTheNextConnection() throws IOException {
    Path certificate = Files.copy(certificateFile, folder.resolve("renewed.pem"));
    Path key = Files.copy(keyFile, folder.resolve("renewed.key"));
    ChannelCredentials credentials = Security.mutualTls(certificate, key, certificateFile);
    try (Gateway gateway = gateway(TlsServerCredentials.ClientAuth.REQUIRE)) {
      for (String name : List.of("certificate", "key")) {
        Path file = name.equals("key") ? key : certificate;
        String content = Files.readString(file);
        Files.writeString(file, "nothing of use");
        try (PortusClient client = PortusClient.connect(gateway.address(), credentials)) {
          var refused = assertThrows(StatusRuntimeException.class, () -> call(client));
          assertEquals(Status.Code.UNAVAILABLE, refused.getStatus().getCode());
        }
        Files.writeString(file, content);
        try (PortusClient client = PortusClient.connect(gateway.address(), credentials)) {
          call(client);
        }
      }
    }
  }

  @Test
  void unusableClientCertificateIsRefusedAtOnce() throws IOException {
    Path junk = Files.writeString(folder.resolve("junk.pem"), "nothing of use");
    assertThrows(IOException.class, () -> Security.mutualTls(junk, keyFile, certificateFile));
    assertThrows(IOException.class, () -> Security.mutualTls(certificateFile, junk, certificateFile));
    assertThrows(
        IOException.class, () -> Security.mutualTls(folder.resolve("gone.pem"), keyFile, certificateFile));
  }

  @Test
  void tokenOverPlaintextIsRefused() {
    var error =
        assertThrows(
            IllegalArgumentException.class, () -> Security.withToken(Security.plaintext(), "secret"));
    assertFalse(error.getMessage().contains("secret"));
  }

  private static Gateway gateway(TlsServerCredentials.ClientAuth clients) throws IOException {
    Gateway gateway =
        new Gateway(
            TlsServerCredentials.newBuilder()
                .keyManager(certificateFile.toFile(), keyFile.toFile())
                .trustManager(certificateFile.toFile())
                .clientAuth(clients)
                .build());
    gateway.manifest = request -> GetManifestResponse.getDefaultInstance();
    return gateway;
  }

  private static void call(PortusClient client) {
    client.blocking().withDeadlineAfter(20, TimeUnit.SECONDS).getManifest(GetManifestRequest.getDefaultInstance());
  }

  private static Path pem(String name, String label, byte[] content) throws IOException {
    String text = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(content);
    return Files.writeString(
        folder.resolve(name), "-----BEGIN %s-----%n%s%n-----END %s-----%n".formatted(label, text, label));
  }
}
