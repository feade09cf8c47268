package io.portus.client;

/** The version of this client. {@code make version} sets it. */
final class Version {
  static final String VERSION = "0.1.0";

  private Version() {}
}
