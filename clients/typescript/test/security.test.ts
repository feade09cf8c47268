import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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
const otherCertificateFile = join(folder, "other.pem");
const otherKeyFile = join(folder, "other.key");
if (openssl) {
  for (const [name, certificate, key] of [
    ["localhost", certificateFile, keyFile],
    ["renewed", otherCertificateFile, otherKeyFile],
  ] as const) {
    execFileSync("openssl", [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"],
      ...["-subj", `/CN=${name}`, "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
    ], { stdio: "ignore" });
  }
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

test("a renewed certificate is read for the next connection", options, async () => {
  const renewedCertificate = join(folder, "renewed.pem");
  const renewedKey = join(folder, "renewed.key");
  copyFileSync(certificateFile, renewedCertificate);
  copyFileSync(keyFile, renewedKey);
  const pair = { private_key: readFileSync(keyFile), cert_chain: readFileSync(certificateFile) };
  const seen: string[] = [];
  const gateway = await serve(
    {
      getManifest: (call, answer) => {
        seen.push(String(call.getAuthContext().sslPeerCertificate?.subject.CN));
        answer(null, GetManifestResponse.fromPartial({}));
      },
    },
    // Both certificates are self-signed: the gateway trusts both.
    ServerCredentials.createSsl(Buffer.concat([pair.cert_chain, readFileSync(otherCertificateFile)]), [pair], true),
  );
  const address = gateway.address.replace("127.0.0.1", "localhost");
  const security = mutualTls(renewedCertificate, renewedKey, certificateFile);
  const call = async (): Promise<void> => {
    // A channel of its own, so that it connects.
    const channelOptions = { "grpc.use_local_subchannel_pool": 1 };
    const client = new PortusClient(address, security, { timeoutMs: 10_000, channelOptions });
    try {
      await client.getManifest({});
    } finally {
      client.close();
    }
  };
  try {
    await call();
    copyFileSync(otherCertificateFile, renewedCertificate);
    await assert.rejects(call(), { codeName: "UNAVAILABLE" });
    copyFileSync(otherKeyFile, renewedKey);
    await call();
    rmSync(renewedKey);
    await assert.rejects(call(), { codeName: "UNAVAILABLE" });
  } finally {
    gateway.stop();
  }
  assert.deepEqual(seen, ["localhost", "renewed"]);
});

test("a client certificate that cannot be used is said at once", options, () => {
  assert.throws(() => mutualTls(certificateFile, otherKeyFile, certificateFile), /key values mismatch/);
});

test("files that cannot be read are said at once", () => {
  assert.throws(() => tls(join(folder, "none.pem")), { code: "ENOENT" });
  assert.throws(() => mutualTls(join(folder, "none.pem"), join(folder, "none.pem")), { code: "ENOENT" });
});
