import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { afterEach, test } from "node:test";

import {
  CatalogResponse,
  DeleteBlobResponse,
  DeleteManifestResponse,
  DeleteTagResponse,
  GetManifestResponse,
  ListReferrersResponse,
  ListTagsResponse,
  StreamCatalogResponse,
} from "../src/generated/portus/registry/v1/registry_service.js";
import { FindTagsResponse, ListTagHistoryResponse } from "../src/generated/portus/registry/v1/tag_history.js";
import { WatchEventsResponse } from "../src/generated/portus/registry/v1/watch.js";
import type { RegistryServiceServer } from "../src/index.js";
import { CHANNEL_OPTIONS, ListTagsRequest_View, plaintext, PortusClient, PortusError, status, VERSION } from "../src/index.js";
import { failure, serve } from "./gateway.js";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) {
    close();
  }
});

async function clientOf(methods: Partial<RegistryServiceServer>, timeoutMs = 10_000): Promise<PortusClient> {
  const gateway = await serve(methods);
  const client = new PortusClient(gateway.address, plaintext(), { timeoutMs });
  closing.push(() => client.close(), () => gateway.stop());
  return client;
}

function withCode(code: status): (error: unknown) => boolean {
  return (error) => error instanceof PortusError && error.code === code;
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) {
    collected.push(item);
  }
  return collected;
}

test("the service config is the one beside the proto", async (context) => {
  const shipped = await readFile("../../protos/portus/registry/v1/service_config.json", "utf8").catch(() => undefined);
  if (shipped === undefined) {
    context.skip("outside of the repository");
    return;
  }
  assert.deepEqual(JSON.parse(String(CHANNEL_OPTIONS["grpc.service_config"])), JSON.parse(shipped));
});

test("a call without an end is refused", async () => {
  for (const timeoutMs of [0, -1, Number.NaN, Infinity, Number.MAX_SAFE_INTEGER]) {
    const client = await clientOf({}, timeoutMs);
    await assert.rejects(client.getManifest({}), RangeError);
    await assert.rejects(all(client.streamCatalog({}, { timeoutMs })), RangeError);
  }
});

test("a read is retried while the gateway is unavailable", async () => {
  let calls = 0;
  const client = await clientOf({
    getManifest: (_, answer) => {
      calls += 1;
      if (calls < 3) {
        answer(failure(status.UNAVAILABLE, "not now"));
      } else {
        answer(null, GetManifestResponse.fromPartial({}));
      }
    },
  });
  await client.getManifest({ repository: "team/app", reference: { $case: "tag", value: "latest" } });
  assert.equal(calls, 3);
});

test("a delete is never retried", async () => {
  let calls = 0;
  const client = await clientOf({
    deleteManifest: (_, answer) => {
      calls += 1;
      answer(failure(status.UNAVAILABLE, "the outcome is unknown"));
    },
  });
  await assert.rejects(client.deleteManifest({}), withCode(status.UNAVAILABLE));
  assert.equal(calls, 1);
});

test("a call without a timeout has the client's, and one of its own comes first", async () => {
  const client = await clientOf({ getManifest: () => {} }, 60_000);
  await assert.rejects(client.getManifest({}, { timeoutMs: 100 }), withCode(status.DEADLINE_EXCEEDED));
  const hurried = await clientOf({ getManifest: () => {} }, 100);
  await assert.rejects(hurried.getManifest({}), withCode(status.DEADLINE_EXCEEDED));
});

test("a delete has two minutes unless set", async () => {
  const left: number[] = [];
  const methods: Partial<RegistryServiceServer> = {
    deleteTag: (call, answer) => {
      left.push((Number(call.getDeadline()) - Date.now()) / 1000);
      answer(null, DeleteTagResponse.fromPartial({}));
    },
    deleteBlob: (call, answer) => {
      left.push((Number(call.getDeadline()) - Date.now()) / 1000);
      answer(null, DeleteBlobResponse.fromPartial({}));
    },
    deleteManifest: (call, answer) => {
      left.push((Number(call.getDeadline()) - Date.now()) / 1000);
      answer(null, DeleteManifestResponse.fromPartial({}));
    },
  };
  const client = await clientOf(methods, 1_000);
  await client.deleteManifest({});
  await client.deleteTag({});
  await client.deleteBlob({});
  await client.deleteManifest({}, { timeoutMs: 300_000 });
  assert.equal(left.length, 4);
  left.forEach((seconds, index) => {
    const wanted = index < 3 ? 120 : 300;
    assert.ok(seconds > wanted - 10 && seconds <= wanted + 1, `${seconds}`);
  });
});

test("the user agent names the client and its version", async () => {
  let seen = "";
  const client = await clientOf({
    getManifest: (call, answer) => {
      seen = call.metadata.get("user-agent").join();
      answer(null, GetManifestResponse.fromPartial({}));
    },
  });
  await client.getManifest({});
  assert.ok(seen.startsWith(`portus-client-node/${VERSION} `), seen);
});

test("a stream ends with its timeout, what came before it stands", async () => {
  const client = await clientOf({
    streamCatalog: (call) => {
      call.write(StreamCatalogResponse.fromPartial({ repositories: [{ name: "team/app" }, { name: "team/web" }] }));
    },
  });
  const names: string[] = [];
  await assert.rejects(async () => {
    for await (const repository of client.streamCatalog({}, { timeoutMs: 300 })) {
      names.push(repository.name);
    }
  }, withCode(status.DEADLINE_EXCEEDED));
  assert.deepEqual(names, ["team/app", "team/web"]);
});

test("a watch has no timeout unless set", async () => {
  const deadlines: (Date | number)[] = [];
  const client = await clientOf({
    watchEvents: (call) => {
      deadlines.push(call.getDeadline());
      call.write(WatchEventsResponse.fromPartial({ cursor: "1" }));
    },
  });
  for (const options of [{}, { timeoutMs: 20_000 }]) {
    for await (const { cursor } of client.watchEvents({ prefix: "team/" }, options)) {
      assert.equal(cursor, "1");
      break;
    }
  }
  assert.equal(deadlines[0], Infinity);
  assert.ok(Number(deadlines[1]) - Date.now() <= 20_000);
  await assert.rejects(all(client.watchEvents({}, { timeoutMs: Infinity })), RangeError);
});

test("a reader that leaves a stream ends the call", async () => {
  const { promise: cancelled, resolve } = withResolvers();
  const client = await clientOf({
    streamCatalog: (call) => {
      call.on("cancelled", resolve);
      call.write(StreamCatalogResponse.fromPartial({ repositories: [{ name: "team/app" }, { name: "team/web" }] }));
    },
  });
  for await (const _ of client.streamCatalog()) {
    break;
  }
  await cancelled;
});

test("an abort ends the call", async () => {
  const abort = new AbortController();
  const client = await clientOf({ getManifest: () => abort.abort() });
  await assert.rejects(client.getManifest({}, { signal: abort.signal }), withCode(status.CANCELLED));
  await assert.rejects(client.getManifest({}, { signal: abort.signal }), withCode(status.CANCELLED));
});

test("an answer above 4 MiB is taken", async () => {
  const raw = Buffer.alloc(5 << 20);
  const client = await clientOf({
    getManifest: (_, answer) => answer(null, GetManifestResponse.fromPartial({ manifest: { raw } })),
  });
  assert.equal((await client.getManifest({})).manifest?.raw.length, raw.length);
});

test("iteration goes on over short and empty pages, with the request's other arguments", async () => {
  const pages: Record<string, { tags: string[]; nextPageToken: string }> = {
    "": { tags: ["a", "b"], nextPageToken: "2" },
    "2": { tags: [], nextPageToken: "3" },
    "3": { tags: ["c"], nextPageToken: "" },
  };
  const asked: string[] = [];
  const client = await clientOf({
    listTags: ({ request }, answer) => {
      asked.push(request.repository);
      answer(null, ListTagsResponse.fromPartial(pages[request.pageToken] ?? {}));
    },
  });
  assert.deepEqual(await all(client.tags({ repository: "team/app" })), ["a", "b", "c"]);
  assert.deepEqual(asked, ["team/app", "team/app", "team/app"]);
});

test("details of tags are full unless set, in the order and of the digest that were asked for", async () => {
  for (const [view, wanted] of [
    [undefined, ListTagsRequest_View.FULL],
    [ListTagsRequest_View.NAMES, ListTagsRequest_View.FULL],
    [ListTagsRequest_View.DESCRIPTORS, ListTagsRequest_View.DESCRIPTORS],
  ] as const) {
    const client = await clientOf({
      listTags: ({ request }, answer) => {
        assert.deepEqual([request.view, request.orderBy, request.digest], [wanted, "created desc", "sha256:1"]);
        const last = request.pageToken === "2";
        const details = [{ tag: last ? "old" : "new" }];
        answer(null, ListTagsResponse.fromPartial({ details, nextPageToken: last ? "" : "2" }));
      },
    });
    const request = { repository: "team/app", orderBy: "created desc", digest: "sha256:1", ...(view === undefined ? {} : { view }) };
    assert.deepEqual((await all(client.tagDetails(request))).map(({ tag }) => tag), ["new", "old"]);
  }
});

test("referrers come from all pages", async () => {
  const client = await clientOf({
    listReferrers: ({ request }, answer) => {
      assert.equal(request.artifactType, "application/spdx+json");
      const last = request.pageToken === "2";
      answer(
        null,
        ListReferrersResponse.fromPartial({ referrers: [{ tag: last ? "b" : "a" }], nextPageToken: last ? "" : "2" }),
      );
    },
  });
  const referrers = await all(client.referrers({ digest: "sha256:1", artifactType: "application/spdx+json" }));
  assert.deepEqual(referrers.map(({ tag }) => tag), ["a", "b"]);
});

test("history and found tags come from all pages", async () => {
  const client = await clientOf({
    listTagHistory: ({ request }, answer) => {
      const last = request.pageToken === "2";
      const events = [{ tag: request.tag, digest: last ? "a" : "b" }];
      answer(null, ListTagHistoryResponse.fromPartial({ events, nextPageToken: last ? "" : "2" }));
    },
    findTags: ({ request }, answer) => {
      const last = request.pageToken === "2";
      const tags = [{ tag: `${last ? 2 : 1}-${request.wanted?.value}` }];
      answer(null, FindTagsResponse.fromPartial({ tags, nextPageToken: last ? "" : "2" }));
    },
  });
  const events = await all(client.tagHistory({ repository: "team/app", tag: "latest" }));
  assert.deepEqual(events.map(({ tag, digest }) => [tag, digest]), [["latest", "b"], ["latest", "a"]]);
  const found = await all(client.foundTags({ wanted: { $case: "nameContains", value: "rc" } }));
  assert.deepEqual(found.map(({ tag }) => tag), ["1-rc", "2-rc"]);
});

test("iteration fetches no page ahead, and an error ends it", async () => {
  let calls = 0;
  const client = await clientOf({
    catalog: (_, answer) => {
      calls += 1;
      if (calls === 1) {
        answer(null, CatalogResponse.fromPartial({ repositories: [{ name: "one" }], nextPageToken: "2" }));
      } else {
        answer(failure(status.DATA_LOSS, "garbage"));
      }
    },
  });
  const iterator = client.repositories({ includeTags: true });
  assert.equal((await iterator.next()).value?.name, "one");
  assert.equal(calls, 1);
  await assert.rejects(iterator.next(), withCode(status.DATA_LOSS));
});

for (const [when, pages, calls] of [
  ["at once", { "1": "1" }, 1],
  ["later", { "1": "2", "2": "3", "3": "2" }, 3],
] as const) {
  test(`a page token that is repeated ${when} ends the iteration`, async () => {
    const asked: string[] = [];
    const client = await clientOf({
      listTags: ({ request: { pageToken } }, answer) => {
        asked.push(pageToken);
        // An endless iteration would make the test hang.
        const nextPageToken = asked.length > 10 ? "" : (pages as Record<string, string>)[pageToken];
        const tags = pageToken === "1" ? ["a"] : [];
        answer(null, ListTagsResponse.fromPartial({ tags, nextPageToken: nextPageToken ?? "" }));
      },
    });
    const listed: string[] = [];
    await assert.rejects(
      async () => {
        for await (const tag of client.tags({ pageToken: "1" })) {
          listed.push(tag);
        }
      },
      { name: "PortusError", code: status.INTERNAL, message: /repeats a page token/ },
    );
    assert.deepEqual(listed, ["a"]);
    assert.equal(asked.length, calls);
  });
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

test("an address is no URL", () => {
  for (const scheme of ["http://", "https://"]) {
    const message = new RegExp(`write host:port, without ${scheme}$`);
    assert.throws(() => new PortusClient(`${scheme}localhost:50051`, plaintext()), { name: "TypeError", message });
  }
});
