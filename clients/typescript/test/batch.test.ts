import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { Any } from "../src/generated/google/protobuf/any.js";
import { ErrorInfo } from "../src/generated/google/rpc/error_details.js";
import { Manifest } from "../src/generated/portus/registry/v1/manifest.js";
import {
  BatchGetImageConfigsResult,
  BatchResolveManifestsResult,
} from "../src/generated/portus/registry/v1/registry_service.js";
import type { BatchGetManifestsResult, GetManifestRequest, RegistryServiceServer } from "../src/index.js";
import { plaintext, PortusClient, PortusError, status } from "../src/index.js";
import { failure, serve } from "./gateway.js";

type Call = Parameters<RegistryServiceServer["batchGetManifests"]>[0];

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) {
    close();
  }
});

async function clientOf(batchGetManifests: (call: Call) => void, streamTimeoutMs = 10_000): Promise<PortusClient> {
  const gateway = await serve({ batchGetManifests });
  const client = new PortusClient(gateway.address, plaintext(), { streamTimeoutMs });
  closing.push(() => client.close(), () => gateway.stop());
  return client;
}

/** Requests for the tags tag-0, tag-1 and so on. */
function requests(count: number): Pick<GetManifestRequest, "repository" | "reference">[] {
  return Array.from({ length: count }, (_, index) => ({
    repository: "team/app",
    reference: { $case: "tag", value: `tag-${index}` },
  }));
}

/** A manifest whose bytes are the tag of the request. */
function answer(call: Call, requestIndex: number): BatchGetManifestsResult {
  const raw = Buffer.from(String(call.request.requests[requestIndex]?.reference?.value));
  return {
    requestIndex,
    outcome: { $case: "manifest", value: Manifest.fromPartial({ raw }) },
  };
}

function answerAll(call: Call): void {
  call.write({ results: call.request.requests.map((_, index) => answer(call, index)) });
  call.end();
}

function said(result: BatchGetManifestsResult): string {
  switch (result.outcome?.$case) {
    case "manifest":
      return result.outcome.value.raw.toString();
    case "status":
      return new PortusError(result.outcome.value).reason;
    case undefined:
      return "nothing";
  }
}

test("results come as they are known, and what fails is one request's own", async () => {
  const info = ErrorInfo.encode(ErrorInfo.create({ reason: "MANIFEST_UNKNOWN" })).finish();
  const details = [Any.create({ typeUrl: "type.googleapis.com/google.rpc.ErrorInfo", value: Buffer.from(info) })];
  const unknown = { code: status.NOT_FOUND, message: "", details };
  const client = await clientOf((call) => {
    call.write({ results: [answer(call, 2), { requestIndex: 0, outcome: { $case: "status", value: unknown } }] });
    call.write({ results: [answer(call, 1)] });
    call.end();
  });
  const got: [number, string][] = [];
  for await (const result of client.batchManifests(requests(3))) {
    got.push([result.requestIndex, said(result)]);
  }
  assert.deepEqual(got, [
    [2, "tag-2"],
    [0, "MANIFEST_UNKNOWN"],
    [1, "tag-1"],
  ]);
});

test("a batch of many takes several calls, each when it is needed", async () => {
  const sizes: number[] = [];
  const client = await clientOf((call) => {
    sizes.push(call.request.requests.length);
    answerAll(call);
  });
  const batch = client.batchManifests(requests(2500));
  const got: BatchGetManifestsResult[] = [];
  for await (const result of batch) {
    if (got.length === 0) {
      assert.deepEqual(sizes, [1000]);
    }
    got.push(result);
  }
  assert.deepEqual(sizes, [1000, 1000, 500]);
  assert.equal(got.length, 2500);
  got.forEach((result, index) => {
    assert.deepEqual([result.requestIndex, said(result)], [index, `tag-${index}`]);
  });
});

test("other batches take several calls too", async () => {
  const gateway = await serve({
    batchResolveManifests: (call) => {
      const results = call.request.requests.map(({ reference }, requestIndex) =>
        BatchResolveManifestsResult.fromPartial({
          requestIndex,
          outcome: { $case: "descriptor", value: { digest: String(reference?.value) } },
        }),
      );
      call.write({ results });
      call.end();
    },
    batchGetImageConfigs: (call) => {
      const results = call.request.requests.map(({ reference }, requestIndex) =>
        BatchGetImageConfigsResult.fromPartial({
          requestIndex,
          outcome: { $case: "imageConfig", value: { author: String(reference?.value) } },
        }),
      );
      call.write({ results });
      call.end();
    },
  });
  const client = new PortusClient(gateway.address, plaintext());
  closing.push(() => client.close(), () => gateway.stop());
  let count = 0;
  for await (const { requestIndex, outcome } of client.batchResolve(requests(1001))) {
    assert.equal(outcome?.$case === "descriptor" && outcome.value.digest, `tag-${requestIndex}`);
    count += 1;
  }
  for await (const { requestIndex, outcome } of client.batchImageConfigs(requests(1001))) {
    assert.equal(outcome?.$case === "imageConfig" && outcome.value.author, `tag-${requestIndex}`);
    count += 1;
  }
  assert.equal(count, 2002);
});

test("a batch of deletes is one call, is never repeated, and has the longer timeout", async () => {
  const left: number[] = [];
  const gateway = await serve({
    batchDeleteManifests: (call) => {
      left.push((Number(call.getDeadline()) - Date.now()) / 1000);
      call.write({ results: [{ requestIndex: 0, outcome: undefined }] });
      call.emit("error", failure(status.UNAVAILABLE, "not now"));
    },
  });
  const request = { repository: "team/app", requests: [{ digest: "sha256:0" }, { digest: "sha256:1" }] };
  for (const [options, wanted] of [
    [{}, 600],
    [{ streamTimeoutMs: 1000 }, 120],
    [{ deleteTimeoutMs: 3_600_000 }, 3600],
  ] as const) {
    const client = new PortusClient(gateway.address, plaintext(), options);
    closing.push(() => client.close());
    const indexes: number[] = [];
    await assert.rejects(
      async () => {
        for await (const { requestIndex } of client.batchDelete(request)) {
          indexes.push(requestIndex);
        }
      },
      { name: "PortusError", code: status.UNAVAILABLE },
    );
    assert.deepEqual(indexes, [0]);
    const seconds = left.pop() ?? 0;
    assert.ok(left.length === 0 && seconds > wanted - 10 && seconds <= wanted + 1, `${seconds}`);
  }
  closing.push(() => gateway.stop());
});

test("a batch of nothing is no call", async () => {
  const client = await clientOf(() => assert.fail("a call for nothing"));
  for await (const _ of client.batchManifests([])) {
    assert.fail("a result for nothing");
  }
});

test("an error ends the batch, and what came before it stands", async () => {
  let calls = 0;
  const client = await clientOf((call) => {
    calls += 1;
    if (calls === 2) {
      call.emit("error", failure(status.PERMISSION_DENIED, "no more"));
    } else {
      answerAll(call);
    }
  });
  let results = 0;
  await assert.rejects(
    async () => {
      for await (const _ of client.batchManifests(requests(2500))) {
        results += 1;
      }
    },
    { name: "PortusError", code: status.PERMISSION_DENIED },
  );
  assert.deepEqual([results, calls], [1000, 2]);
});

test("a batch is retried while the gateway is unavailable", async () => {
  let calls = 0;
  const client = await clientOf((call) => {
    calls += 1;
    if (calls < 3) {
      call.emit("error", failure(status.UNAVAILABLE, "not now"));
    } else {
      answerAll(call);
    }
  });
  let results = 0;
  for await (const _ of client.batchManifests(requests(2))) {
    results += 1;
  }
  assert.deepEqual([results, calls], [2, 3]);
});

test("a reader that leaves a batch ends the call", async () => {
  let end = (): void => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const client = await clientOf((call) => {
    call.on("cancelled", end);
    call.write({ results: [answer(call, 0)] });
  });
  for await (const _ of client.batchManifests(requests(2))) {
    break;
  }
  await ended;
});

test("a batch has the timeout of streams, and one of its own comes first", async () => {
  const stuck = (call: Call): void => void call.write({ results: [answer(call, 0)] });
  for (const [client, options] of [
    [await clientOf(stuck, 300), undefined],
    [await clientOf(stuck, 60_000), { timeoutMs: 300 }],
  ] as const) {
    let results = 0;
    await assert.rejects(
      async () => {
        for await (const _ of client.batchManifests(requests(2), options)) {
          results += 1;
        }
      },
      { name: "PortusError", code: status.DEADLINE_EXCEEDED },
    );
    assert.equal(results, 1);
  }
});

for (const [message, indexes] of [
  [/request 2 comes twice/, [0, 2]],
  [/request -1 comes twice/, [-1]],
  [/request 0 comes twice/, [0, 0]],
  [/1 of 2 requests have no result/, [0]],
  [/2 of 2 requests have no result/, []],
] as const) {
  test(`an answer that does not fit the batch is an error: ${message.source}`, async () => {
    const client = await clientOf((call) => {
      call.write({ results: indexes.map((requestIndex) => ({ requestIndex, outcome: undefined })) });
      call.end();
    });
    await assert.rejects(
      async () => {
        for await (const _ of client.batchManifests(requests(2)));
      },
      { name: "PortusError", code: status.INTERNAL, message },
    );
  });
}
