import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";

import { type ChannelCredentials, credentials, Metadata } from "@grpc/grpc-js";

/** How the connection to the gateway is secured: `plaintext()`, `tls(…)` or `mutualTls(…)`. */
export interface Security {
  readonly credentials: ChannelCredentials;
}

/** A bearer token to send with every call, or the file that has it: read for each call, as Kubernetes renews them. */
export type Token = { token: string } | { tokenFile: string };

/** No security at all: for loopback, or below a service mesh. */
export function plaintext(): Security {
  return { credentials: credentials.createInsecure() };
}

/** Trusts the authorities in `caFile` (PEM), or Node's own without it. */
export function tls(caFile?: string, token?: Token): Security {
  return secured(caFile, null, null, token);
}

/** TLS with a certificate of the caller's own. The files are PEM. */
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

/** grpc-js repeats a token that it cannot send in its own complaint. */
function checkedToken(text: string): string {
  if (!/^[\x21-\x7e]+$/.test(text)) {
    throw new TypeError("the token is empty, or has a character other than visible ASCII");
  }
  return text;
}
