import { ChannelCredentials } from "@grpc/grpc-js";

type Connector = ReturnType<ChannelCredentials["_createSecureConnector"]>;

/**
 * Credentials that are made again for each connection.
 *
 * grpc-js has certificate providers for this, but they only poll their files, and their timer keeps Node running after
 * the client is closed.
 */
export class RenewableCredentials extends ChannelCredentials {
  readonly #make: () => ChannelCredentials;
  readonly #first: ChannelCredentials;

  /** `make` is called at once too, so that files that cannot be used are an error of the constructor. */
  constructor(make: () => ChannelCredentials) {
    super();
    this.#make = make;
    this.#first = make();
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(...how: Parameters<ChannelCredentials["_createSecureConnector"]>): Connector {
    const first = this.#first._createSecureConnector(...how);
    return {
      // If the files cannot be used, the connection fails, and grpc-js tries again.
      connect: async (socket) => this.#make()._createSecureConnector(...how).connect(socket),
      waitForReady: () => first.waitForReady(),
      getCallCredentials: () => first.getCallCredentials(),
      destroy: () => first.destroy(),
    };
  }
}
