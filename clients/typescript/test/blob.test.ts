import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { afterEach, test } from "node:test";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";

import { ReadBlobResponse } from "../src/generated/portus/registry/v1/registry_service.js";
import { type BlobReader, type CallOptions, plaintext, PortusClient, PortusError, status } from "../src/index.js";
import type { ReadBlobRequest, RegistryServiceServer } from "../src/index.js";
import { failure, serve } from "./gateway.js";

type Call = Parameters<RegistryServiceServer["readBlob"]>[0];

const content = Buffer.from("0123456789".repeat(1000));
const size = BigInt(content.length);
const digest = digestOf(content);

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) {
    close();
  }
});

function digestOf(bytes: Buffer, algorithm = "sha256"): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

async function readerOf(
  readBlob: (call: Call) => void,
  request: Partial<ReadBlobRequest> = { digest },
  options?: CallOptions,
): Promise<BlobReader> {
  const gateway = await serve({ readBlob });
  const client = new PortusClient(gateway.address, plaintext(), { streamTimeoutMs: 20_000 });
  closing.push(() => client.close(), () => gateway.stop());
  return client.readBlob(request, options);
}

/**
 * Sends the content in chunks of 1000 bytes. Call n ends with UNAVAILABLE after breaks[n] chunks. Notes the offset and
 * the limit of each call.
 */
function sending(asked: [number, number][], ...breaks: number[]): (call: Call) => void {
  return (call) => {
    const most = breaks[asked.length] ?? Infinity;
    const [offset, limit] = [Number(call.request.offset), Number(call.request.limit)];
    asked.push([offset, limit]);
    call.write(ReadBlobResponse.fromPartial({ size }));
    const rest = content.subarray(offset, limit > 0 ? offset + limit : undefined);
    let chunks = 0;
    for (let start = 0; start < rest.length && chunks < most; start += 1000) {
      call.write(ReadBlobResponse.fromPartial({ chunk: rest.subarray(start, start + 1000) }));
      chunks += 1;
    }
    if (chunks === most) {
      call.emit("error", failure(status.UNAVAILABLE, "the gateway stops"));
    } else {
      call.end();
    }
  };
}

test("a blob is read and verified, and can be read again", async () => {
  for (const algorithm of ["sha256", "sha512"]) {
    const reader = await readerOf(sending([]), { digest: digestOf(content, algorithm) });
    assert.equal(reader.size, undefined);
    for (let time = 0; time < 2; time += 1) {
      assert.deepEqual(await buffer(reader), content);
    }
    assert.equal(reader.size, size);
    assert.deepEqual(await buffer(Readable.from(reader)), content);
  }
});

test("wrong bytes are DATA_LOSS instead of the end", async () => {
  const reader = await readerOf(sending([]), { digest: digestOf(Buffer.from("other")) });
  await assert.rejects(buffer(reader), { name: "PortusError", code: status.DATA_LOSS, reason: "DIGEST_MISMATCH" });
});

for (const [when, breaks, calls] of [
  ["twice", [3, 2], [[0, 0], [3000, 0], [5000, 0]]],
  ["without any byte between", [3, 0, 0], [[0, 0], [3000, 0], [3000, 0], [3000, 0]]],
  ["after the last byte", [10], [[0, 0]]],
] as [string, number[], [number, number][]][]) {
  test(`a download that breaks goes on where it was: ${when}`, async () => {
    const asked: [number, number][] = [];
    const reader = await readerOf(sending(asked, ...breaks));
    assert.deepEqual(await buffer(reader), content);
    assert.deepEqual(asked, calls);
  });
}

test("a download of a part that breaks stays within its limit", async () => {
  const asked: [number, number][] = [];
  // The second break comes after the last byte of the part.
  const reader = await readerOf(sending(asked, 1, 2), { digest, offset: 10n, limit: 3000n });
  assert.deepEqual(await buffer(reader), content.subarray(10, 3010));
  assert.deepEqual(asked, [[10, 3000], [1010, 2000]]);
});

test("a download that breaks without progress is given up", async () => {
  const asked: [number, number][] = [];
  const reader = await readerOf(sending(asked, 3, 0, 0, 0, 0, 0));
  await assert.rejects(buffer(reader), { code: status.UNAVAILABLE });
  assert.equal(asked.length, 4);
});

test("a download goes on after the timeout of its call while bytes come", async () => {
  let calls = 0;
  const reader = await readerOf(
    (call) => {
      calls += 1;
      const offset = Number(call.request.offset);
      call.write(ReadBlobResponse.fromPartial({ chunk: content.subarray(offset, calls < 3 ? offset + 1000 : undefined) }));
      if (calls === 3) {
        call.end();
      }
    },
    { digest },
    { timeoutMs: 300 },
  );
  assert.deepEqual(await buffer(reader), content);
  const stuck = await readerOf(() => {}, { digest }, { timeoutMs: 300 });
  await assert.rejects(buffer(stuck), { code: status.DEADLINE_EXCEEDED });
});

test("another error ends the download", async () => {
  let calls = 0;
  const reader = await readerOf((call) => {
    calls += 1;
    call.write(ReadBlobResponse.fromPartial({ chunk: content.subarray(0, 10) }));
    call.emit("error", failure(status.PERMISSION_DENIED, "no more"));
  });
  await assert.rejects(buffer(reader), { code: status.PERMISSION_DENIED });
  assert.equal(calls, 1);
});

test("a reader that is left, or aborted, ends the call", async () => {
  for (const aborted of [false, true]) {
    let end = (): void => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const abort = new AbortController();
    const reader = await readerOf(
      (call) => {
        call.on("cancelled", end);
        call.write(ReadBlobResponse.fromPartial({ chunk: content.subarray(0, 10) }));
      },
      { digest },
      { signal: abort.signal },
    );
    try {
      for await (const _ of reader) {
        if (!aborted) {
          break;
        }
        abort.abort();
      }
      assert.ok(!aborted);
    } catch (error) {
      assert.ok(error instanceof PortusError && error.code === status.CANCELLED, String(error));
    }
    await ended;
  }
});
