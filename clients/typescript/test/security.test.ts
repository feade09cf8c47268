import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { env } from "node:process";
import { after, test } from "node:test";

import { ServerCredentials } from "@grpc/grpc-js";

import { GetManifestResponse } from "../src/generated/portus/registry/v1/registry_service.js";
import { mutualTls, PortusClient, type Security, tls } from "../src/index.js";
import { serve } from "./gateway.js";

const folder = mkdtempSync(join(tmpdir(), "portus-"));
after(() => rmSync(folder, { recursive: true }));
const certificateFile = join(folder, "certificate.pem");
const keyFile = join(folder, "key.pem");
const tokenFile = join(folder, "token");
const openssl = env["CI"] === "true" || spawnSync("openssl", ["version"]).error === undefined;
const options = { skip: openssl ? false : "openssl is not installed" };
if (openssl) {
  execFileSync("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"],
    ...["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", keyFile, "-out", certificateFile],
  ], { stdio: "ignore" });
}

/** Calls a gateway with TLS twice. Returns the authorizations that it received. */
async function authorizations(security: Security, between: () => void, checkClients = false): Promise<string[]> {
  const pair = { private_key: readFileSync(keyFile), cert_chain: readFileSync(certificateFile) };
  const seen: string[] = [];
  const gateway = await serve(
    {
      getManifest: (call, answer) => {
        seen.push(call.metadata.get("authorization").join());
        answer(null, GetManifestResponse.fromPartial({}));
      },
    },
    ServerCredentials.createSsl(readFileSync(certificateFile), [pair], checkClients),
  );
  const client = new PortusClient(gateway.address.replace("127.0.0.1", "localhost"), security, { timeoutMs: 10_000 });
  try {
    await client.getManifest({});
    between();
    await client.getManifest({});
  } finally {
    client.close();
    gateway.stop();
  }
  return seen;
}

test("the token's file is read for each call", options, async () => {
  writeFileSync(tokenFile, "first\n");
  const seen = await authorizations(tls(certificateFile, { tokenFile }), () => writeFileSync(tokenFile, "second\n"));
  assert.deepEqual(seen, ["Bearer first", "Bearer second"]);
});

test("a token that cannot be sent is refused, and not repeated", options, async () => {
  for (const token of ["hunter2\n", "hünter2", "", "hunter2 x"]) {
    await assert.rejects(
      authorizations(tls(certificateFile, { token }), () => {}),
      (error: Error) => /visible ASCII/.test(error.message) && !error.message.includes("nter2"),
    );
  }
});

test("mutual TLS shows the certificate, and the token goes with it", options, async () => {
  const security = mutualTls(certificateFile, keyFile, certificateFile, { token: "t" });
  assert.deepEqual(await authorizations(security, () => {}, true), ["Bearer t", "Bearer t"]);
  await assert.rejects(authorizations(tls(certificateFile), () => {}, true), { codeName: "UNAVAILABLE" });
});

test("files that cannot be read are said at once", () => {
  assert.throws(() => tls(join(folder, "none.pem")), { code: "ENOENT" });
  assert.throws(() => mutualTls(join(folder, "none.pem"), join(folder, "none.pem")), { code: "ENOENT" });
});
