import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { createServer } from "node:net";
import { afterEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { ErrorInfo, RetryInfo } from "../src/generated/google/rpc/error_details.js";
import { Status } from "../src/generated/google/rpc/status.js";
import { WatchEventsResponse } from "../src/generated/portus/registry/v1/watch.js";
import type { RegistryServiceServer, WatchOptions } from "../src/index.js";
import { plaintext, PortusClient, PortusError, status } from "../src/index.js";
import { watchTimes } from "../src/watch.js";
import { failure, serve } from "./gateway.js";

type Call = Parameters<RegistryServiceServer["watchEvents"]>[0];
type Request = Parameters<PortusClient["watch"]>[0];
/** What a call sends: messages, and an error as the last step. "silence": nothing more until the call is ended. */
type Step = WatchEventsResponse | Error | "silence";

const lost = refusal(status.UNAVAILABLE, "SHUTTING_DOWN");
const expired = refusal(status.OUT_OF_RANGE, "CURSOR_EXPIRED");
const unknown = refusal(status.OUT_OF_RANGE, "CURSOR_UNKNOWN");
/** Ends a watch of a test. */
const end = refusal(status.FAILED_PRECONDITION, "INDEX_DISABLED");
const pausing = refusal(status.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS", 60);
const shortHeartbeat = { heartbeatInterval: { seconds: 0, nanos: 1_000_000 } };
const usual = { ...watchTimes };

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) {
    close();
  }
  Object.assign(watchTimes, usual);
});

function refusal(code: status, reason: string, retrySeconds = 0): Error {
  const details = [];
  if (reason !== "") {
    const info = ErrorInfo.encode(ErrorInfo.fromPartial({ reason, domain: "portus-gateway" })).finish();
    details.push({ typeUrl: "type.googleapis.com/google.rpc.ErrorInfo", value: Buffer.from(info) });
  }
  if (retrySeconds > 0) {
    const seconds = Math.trunc(retrySeconds);
    const retryDelay = { seconds, nanos: (retrySeconds - seconds) * 1e9 };
    const retry = RetryInfo.encode(RetryInfo.fromPartial({ retryDelay })).finish();
    details.push({ typeUrl: "type.googleapis.com/google.rpc.RetryInfo", value: Buffer.from(retry) });
  }
  return failure(code, "refused", Status.encode({ code, message: "refused", details }).finish());
}

function message(cursor: string, ...tags: string[]): WatchEventsResponse {
  const events = tags.map((tag) => ({ repository: "team/app", tag }));
  return WatchEventsResponse.fromPartial({ cursor, asOf: new Date(1_000_000), events });
}

interface Watched {
  client: PortusClient;
  /** Where each call began. */
  began: (string | undefined)[];
  /** Resolves when a call was cancelled. */
  cancelled: Promise<void>;
}

/** A gateway whose calls of WatchEvents send these steps. After the last call, each is like the last. */
async function watched(...calls: Step[][]): Promise<Watched> {
  const began: (string | undefined)[] = [];
  let end = (): void => {};
  const cancelled = new Promise<void>((resolve) => {
    end = resolve;
  });
  const watchEvents = (call: Call): void => {
    call.on("cancelled", end);
    const { start } = call.request;
    began.push(start?.$case === "currentState" ? "current state" : start?.value);
    for (const step of calls[Math.min(began.length, calls.length) - 1] ?? []) {
      if (step === "silence") {
        return;
      }
      if (step instanceof Error) {
        call.emit("error", step);
        return;
      }
      call.write(step);
    }
    call.end();
  };
  const gateway = await serve({ watchEvents });
  const client = new PortusClient(gateway.address, plaintext());
  closing.push(() => client.close(), () => gateway.stop());
  return { client, began, cancelled };
}

/** What a watch gives until its error. */
async function collect(
  { client }: Watched,
  request?: Request,
  options: WatchOptions & { workMs?: number } = {},
): Promise<{ updates: string[]; error: PortusError }> {
  const updates: string[] = [];
  try {
    for await (const update of client.watch(request, options)) {
      updates.push(update.listAgain ? "list again" : update.cursor);
      await sleep(options.workMs ?? 0);
    }
  } catch (error) {
    assert.ok(error instanceof PortusError, String(error));
    return { updates, error };
  }
  assert.fail("the watch ended without an error");
}

test("an update has its events", async () => {
  const { client } = await watched([
    message("1", "v1", "v2"),
    WatchEventsResponse.fromPartial({ currentStateComplete: true }),
  ]);
  const updates = [];
  for await (const update of client.watch({ prefix: "team/" })) {
    updates.push(update);
    if (updates.length === 2) {
      break;
    }
  }
  const [first, second] = updates;
  assert.deepEqual(first?.events.map(({ tag }) => tag), ["v1", "v2"]);
  assert.equal(first?.cursor, "1");
  assert.equal(first?.asOf?.getTime(), 1_000_000);
  assert.equal(first?.currentStateComplete, false);
  assert.equal(second?.asOf, undefined);
  assert.equal(second?.currentStateComplete, true);
});

test("a watch goes on at its last cursor", async () => {
  watchTimes.firstPauseMs = 1;
  // An interruption; the gateway's time limit, which ends a watch well; and another interruption.
  const gateway = await watched(
    [message("1"), message("2"), lost],
    [message("3")],
    [refusal(status.DEADLINE_EXCEEDED, "")],
    [end],
  );
  const { updates, error } = await collect(gateway, { start: { $case: "currentState", value: true } });
  assert.deepEqual(updates, ["1", "2", "3"]);
  assert.deepEqual(gateway.began, ["current state", "2", "3", "3"]);
  assert.equal(error.reason, "INDEX_DISABLED");
});

test("lost events are told once and the current state follows", async () => {
  watchTimes.firstPauseMs = 1;
  const gateway = await watched([expired], [unknown], [message("8"), unknown], [end]);
  const { updates } = await collect(gateway, { start: { $case: "afterCursor", value: "1" } });
  assert.deepEqual(updates, ["list again", "8", "list again"]);
  assert.deepEqual(gateway.began, ["1", "current state", "current state", "current state"]);
});

for (const [code, reason] of [
  [status.PERMISSION_DENIED, "POLICY_DENIED"],
  [status.UNAUTHENTICATED, "TOKEN_UNKNOWN"],
  [status.INVALID_ARGUMENT, "INVALID_FIELD"],
  [status.OUT_OF_RANGE, "OTHER"],
  [status.UNIMPLEMENTED, ""],
  [status.INTERNAL, "INTERNAL"],
] as const) {
  test(`an error that would come again ends the watch: ${status[code]}`, async () => {
    const gateway = await watched([message("1"), refusal(code, reason)]);
    const { updates, error } = await collect(gateway);
    assert.deepEqual(updates, ["1"]);
    assert.equal(error.code, code);
    assert.equal(gateway.began.length, 1);
  });
}

for (const code of [status.INTERNAL, status.UNKNOWN]) {
  test(`a stream that a proxy breaks continues: ${status[code]}`, async () => {
    watchTimes.firstPauseMs = 1;
    const gateway = await watched([message("1"), refusal(code, "")], [end]);
    await collect(gateway);
    assert.deepEqual(gateway.began, [undefined, "1"]);
    // At the beginning, the address may be wrong.
    const { error } = await collect(await watched([refusal(code, "")]));
    assert.equal(error.code, code);
  });
}

test("a watch whose credential has expired continues with the newest one", async () => {
  watchTimes.firstPauseMs = 1;
  const old = refusal(status.UNAUTHENTICATED, "CREDENTIAL_INVALID");
  const gateway = await watched([message("1"), old], [message("2"), old], [old]);
  const { updates, error } = await collect(gateway);
  assert.deepEqual(updates, ["1", "2"]);
  // The newest one is not valid either.
  assert.deepEqual(gateway.began, [undefined, "1", "2"]);
  assert.equal(error.code, status.UNAUTHENTICATED);
});

test("a watch waits as long as the gateway asks, but not for longer than it tries", async () => {
  const busy = refusal(status.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS", 0.3);
  const began = performance.now();
  assert.equal((await collect(await watched([busy], [busy], [end]))).error.reason, "INDEX_DISABLED");
  assert.ok(performance.now() - began > 590);
  const gateway = await watched([refusal(status.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS", 3600)]);
  assert.equal((await collect(gateway)).error.code, status.RESOURCE_EXHAUSTED);
  assert.equal(gateway.began.length, 1);
});

test("a watch gives up", async () => {
  const busy = refusal(status.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS");
  const gateway = await watched([message("1"), busy], [busy]);
  const { error } = await collect(gateway, {}, { giveUpAfterMs: 500 });
  assert.equal(error.code, status.RESOURCE_EXHAUSTED);
  assert.ok(gateway.began.length >= 2 && gateway.began.length <= 6, String(gateway.began.length));
});

test("a watch without any gateway fails like a call", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const bound = server.address();
  assert.ok(bound !== null && typeof bound === "object");
  await new Promise((resolve) => server.close(resolve));
  const client = new PortusClient(`127.0.0.1:${bound.port}`, plaintext(), { timeoutMs: 300 });
  closing.push(() => client.close());
  await assert.rejects(client.watch().next(), { code: status.UNAVAILABLE, message: /check the address/ });
});

test("silence is an interruption", async () => {
  Object.assign(watchTimes, { firstPauseMs: 1, shortestSilenceMs: 200 });
  const gateway = await watched([message("1"), "silence"], ["silence"], [message("2"), end]);
  const { updates } = await collect(gateway, shortHeartbeat);
  assert.deepEqual(updates, ["1", "2"]);
  assert.deepEqual(gateway.began, [undefined, "1", "1"]);
  await gateway.cancelled;
});

test("a caller that takes its time is not silence", async () => {
  Object.assign(watchTimes, { firstPauseMs: 1, shortestSilenceMs: 200 });
  const gateway = await watched([message("1"), message("2"), end]);
  const { updates } = await collect(gateway, shortHeartbeat, { workMs: 300 });
  assert.deepEqual(updates, ["1", "2"]);
  assert.equal(gateway.began.length, 1);
});

test("a loop that is left ends the call and leaves no timer and no listener behind", async () => {
  const gateway = await watched([message("1"), "silence"]);
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const before = timers();
  const { signal } = new AbortController();
  for await (const _ of gateway.client.watch({}, { signal })) {
    break;
  }
  await gateway.cancelled;
  assert.deepEqual(getEventListeners(signal, "abort"), []);
  assert.ok(timers() <= before + 1, "only keepalive has a timer");
});

for (const [when, last] of [["it waits for a message", "silence"], ["it pauses", pausing]] as const) {
  for (const how of ["abort", "close"]) {
    test(`${how} ends a watch at once while ${when}`, async () => {
      const gateway = await watched([message("1"), last]);
      const abort = new AbortController();
      const updates = gateway.client.watch({}, { signal: abort.signal });
      await updates.next();
      const following = updates.next();
      await sleep(50);
      if (how === "abort") {
        abort.abort();
      } else {
        gateway.client.close();
      }
      await assert.rejects(following, { name: "PortusError", code: status.CANCELLED });
      assert.equal((await updates.next()).done, true);
    });
  }
}

test("a signal that is already aborted", async () => {
  const gateway = await watched([message("1"), "silence"]);
  const { error } = await collect(gateway, {}, { signal: AbortSignal.abort() });
  assert.equal(error.code, status.CANCELLED);
});

test("pauses grow, and a message alone does not shorten them", async () => {
  watchTimes.firstPauseMs = 10;
  const once: Step[] = [message("1")];
  const gateway = await watched(once, once, once, once, once, once, [end]);
  const began = performance.now();
  await collect(gateway);
  // 10, 20, 40, 80, 160, 320 ms, each at least the half.
  assert.ok(performance.now() - began > 300);
});
