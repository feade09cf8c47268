package io.portus.client;

import io.grpc.util.AdvancedTlsX509KeyManager;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.Socket;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.X509ExtendedKeyManager;

/** A client certificate and its key. The files are read for each connection, so they can be renewed. */
final class RenewableKey extends X509ExtendedKeyManager {
  private final AdvancedTlsX509KeyManager current = new AdvancedTlsX509KeyManager();
  private final Path certificateFile;
  private final Path keyFile;

  RenewableKey(Path certificateFile, Path keyFile) throws IOException {
    this.certificateFile = certificateFile;
    this.keyFile = keyFile;
    read();
  }

  private void read() throws IOException {
    try {
      current.updateIdentityCredentials(certificateFile.toFile(), keyFile.toFile());
    } catch (GeneralSecurityException error) {
      throw new IOException(
          "%s and %s are not a certificate and its unencrypted key in PEM format".formatted(certificateFile, keyFile),
          error);
    }
  }

  @Override
  public String chooseEngineClientAlias(String[] keyTypes, Principal[] issuers, SSLEngine engine) {
    try {
      read();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return current.chooseEngineClientAlias(keyTypes, issuers, engine);
  }

  @Override
  public String chooseClientAlias(String[] keyTypes, Principal[] issuers, Socket socket) {
    return current.chooseClientAlias(keyTypes, issuers, socket);
  }

  @Override
  public X509Certificate[] getCertificateChain(String alias) {
    return current.getCertificateChain(alias);
  }

  @Override
  public PrivateKey getPrivateKey(String alias) {
    return current.getPrivateKey(alias);
  }

  @Override
  public String[] getClientAliases(String keyType, Principal[] issuers) {
    return current.getClientAliases(keyType, issuers);
  }

  @Override
  public String[] getServerAliases(String keyType, Principal[] issuers) {
    return current.getServerAliases(keyType, issuers);
  }

  @Override
  public String chooseServerAlias(String keyType, Principal[] issuers, Socket socket) {
    return current.chooseServerAlias(keyType, issuers, socket);
  }
}
