import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";

import { type ChannelCredentials, credentials, Metadata } from "@grpc/grpc-js";

import { RenewableCredentials } from "./renewable_credentials.js";

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
  return secured(credentials.createSsl(read(caFile)), token);
}

/**
 * TLS with a client certificate (PEM). Its two files are read for each connection, so a renewed certificate is used
 * without a restart.
 */
export function mutualTls(certificateFile: string, keyFile: string, caFile?: string, token?: Token): Security {
  const authorities = read(caFile);
  return secured(
    new RenewableCredentials(() =>
      credentials.createSsl(authorities, readFileSync(keyFile), readFileSync(certificateFile)),
    ),
    token,
  );
}

function read(file: string | undefined): Buffer | null {
  return file === undefined ? null : readFileSync(file);
}

function secured(channel: ChannelCredentials, token: Token | undefined): Security {
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
