import { Metadata, Server, ServerCredentials, type ServiceError, status } from "@grpc/grpc-js";

import { RegistryServiceService } from "../src/generated/portus/registry/v1/registry_service.js";
import type { RegistryServiceServer } from "../src/index.js";

export interface Gateway {
  address: string;
  stop(): void;
}

/** Serves the methods that a test sets. Others are UNIMPLEMENTED. */
export async function serve(
  methods: Partial<RegistryServiceServer>,
  credentials = ServerCredentials.createInsecure(),
): Promise<Gateway> {
  const server = new Server();
  server.addService(RegistryServiceService, methods as RegistryServiceServer);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
  });
  return { address: `127.0.0.1:${port}`, stop: () => server.forceShutdown() };
}

/** An error of a server, with its packed details. */
export function failure(code: status, details: string, packed?: Uint8Array): ServiceError {
  const metadata = new Metadata();
  if (packed !== undefined) {
    metadata.set("grpc-status-details-bin", Buffer.from(packed));
  }
  return Object.assign(new Error(details), { code, details, metadata });
}
