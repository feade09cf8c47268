import assert from "node:assert/strict";
import { test } from "node:test";

import {
  BadRequest,
  ErrorInfo,
  PreconditionFailure,
  ResourceInfo,
  RetryInfo,
} from "../src/generated/google/rpc/error_details.js";
import { Status } from "../src/generated/google/rpc/status.js";
import { PortusError, status } from "../src/index.js";
import { failure } from "./gateway.js";

function detail(name: string, value: Uint8Array): { typeUrl: string; value: Buffer } {
  return { typeUrl: `type.googleapis.com/google.rpc.${name}`, value: Buffer.from(value) };
}

function read(code: status, details: { typeUrl: string; value: Buffer }[]): PortusError {
  const packed = Status.encode({ code, message: "no", details }).finish();
  const error = PortusError.of(failure(code, "no", packed));
  assert.ok(error instanceof PortusError);
  return error;
}

test("a refusal names its reason, its resource and the tags", () => {
  const info = ErrorInfo.fromPartial({ reason: "TAGGED", domain: "portus-gateway", metadata: { tags: "2" } });
  const resource = ResourceInfo.fromPartial({ resourceType: "manifest", resourceName: "team/app" });
  const refusal = PreconditionFailure.fromPartial({
    violations: [
      { type: "TAGGED", subject: "1.0" },
      { type: "OTHER", subject: "x" },
      { type: "TAGGED", subject: "latest" },
      { type: "REFERENCED", subject: "multi" },
    ],
  });
  const error = read(status.FAILED_PRECONDITION, [
    detail("ErrorInfo", ErrorInfo.encode(info).finish()),
    detail("ResourceInfo", ResourceInfo.encode(resource).finish()),
    detail("PreconditionFailure", PreconditionFailure.encode(refusal).finish()),
  ]);
  assert.equal(error.codeName, "FAILED_PRECONDITION");
  assert.equal(error.message, "no");
  assert.equal(error.reason, "TAGGED");
  assert.equal(error.domain, "portus-gateway");
  assert.deepEqual(error.metadata, { tags: "2" });
  assert.equal(`${error.resourceType} ${error.resourceName}`, "manifest team/app");
  assert.deepEqual(error.tags, ["1.0", "latest"]);
  assert.deepEqual(error.indexTags, ["multi"]);
});

test("fields and the retry delay are read", () => {
  const request = BadRequest.fromPartial({ fieldViolations: [{ field: "repository", description: "is empty" }] });
  const retry = RetryInfo.fromPartial({ retryDelay: { seconds: 1, nanos: 500_000_000 } });
  const error = read(status.INVALID_ARGUMENT, [
    detail("BadRequest", BadRequest.encode(request).finish()),
    detail("RetryInfo", RetryInfo.encode(retry).finish()),
  ]);
  assert.deepEqual(error.fields, [{ field: "repository", description: "is empty" }]);
  assert.equal(error.retryDelayMs, 1500);
});

test("an unknown detail is left out", () => {
  const info = ErrorInfo.fromPartial({ reason: "MANIFEST_UNKNOWN" });
  const error = read(status.NOT_FOUND, [
    { typeUrl: "type.googleapis.com/from.the.Future", value: Buffer.from([255]) },
    detail("ErrorInfo", ErrorInfo.encode(info).finish()),
  ]);
  assert.equal(error.reason, "MANIFEST_UNKNOWN");
});

test("an error of gRPC itself has a code and a message alone; any other error stays what it is", () => {
  const error = PortusError.of(failure(status.UNAVAILABLE, "connection refused"));
  assert.ok(error instanceof PortusError);
  assert.equal(error.codeName, "UNAVAILABLE");
  assert.match(error.message, /^connection refused .*whether the gateway uses TLS/);
  assert.equal(error.reason, "");
  assert.equal(error.retryDelayMs, undefined);
  const other = new TypeError("mine");
  assert.equal(PortusError.of(other), other);
});
