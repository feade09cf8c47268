import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";

import { type ChannelCredentials, credentials, Metadata } from "@grpc/grpc-js";

/** The security of the connection: `plaintext()`, `tls(…)` or `mutualTls(…)`. */
export interface Security {
  readonly credentials: ChannelCredentials;
}

/**
 * A bearer token that is sent with every call, or a file with the token. The file is read for every call, because
 * Kubernetes and others renew such files.
 */
export type Token = { token: string } | { tokenFile: string };

/** Without any security: for loopback, or within a service mesh. */
export function plaintext(): Security {
  return { credentials: credentials.createInsecure() };
}

/** Trusts the CA certificates in `caFile` (PEM), or those of Node without it. */
export function tls(caFile?: string, token?: Token): Security {
  return secured(caFile, null, null, token);
}

/** TLS with a client certificate (PEM). The files are read once: make a new client after they are renewed. */
export function mutualTls(certificateFile: string, keyFile: string, caFile?: string, token?: Token): Security {
  return secured(caFile, readFileSync(keyFile), readFileSync(certificateFile), token);
}

function secured(caFile: string | undefined, key: Buffer | null, certificate: Buffer | null, token?: Token): Security {
  const authorities = caFile === undefined ? null : readFileSync(caFile);
  const channel = credentials.createSsl(authorities, key, certificate);
  return { credentials: token === undefined ? channel : credentials.combineChannelCredentials(channel, bearer(token)) };
}

function bearer(token: Token): ReturnType<typeof credentials.createFromMetadataGenerator> {
  const current = async (): Promise<string> =>
    "token" in token ? token.token : (await readFile(token.tokenFile, "utf8")).trim();
  return credentials.createFromMetadataGenerator((_, callback) => {
    current()
      .then((value) => {
        const metadata = new Metadata();
        metadata.set("authorization", `Bearer ${checkedToken(value)}`);
        return metadata;
      })
      .then(
        (metadata) => callback(null, metadata),
        (error: Error) => callback(error),
      );
  });
}

/** The error message of grpc-js itself would contain the token. */
function checkedToken(text: string): string {
  if (!/^[\x21-\x7e]+$/.test(text)) {
    throw new TypeError("the token is empty or has a character that is not visible ASCII");
  }
  return text;
}
