import { createHash, type Hash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { status } from "@grpc/grpc-js";

import { PortusError } from "./errors.js";
import type { ReadBlobRequest, ReadBlobResponse } from "./generated/portus/registry/v1/registry_service.js";

// How often a download is resumed without that a byte came.
const MAX_IDLE_RESUMES = 3;
// Wait before the first of these, in milliseconds. It doubles each time. The gateway can say another one.
const IDLE_RESUME_DELAY_MS = 200;

type Call = (request: ReadBlobRequest) => AsyncIterable<ReadBlobResponse>;

/**
 * Reads a blob in chunks: `for await (const chunk of reader)`, or `Readable.from(reader)` for a stream of Node. Each
 * iterator reads it again. `PortusClient.readBlob` makes it.
 */
export class BlobReader implements AsyncIterable<Buffer> {
  /** Size of the whole blob in bytes. Unset until the gateway says it, which it does before the first chunk. */
  size?: bigint;
  readonly #call: Call;
  readonly #request: ReadBlobRequest;
  readonly #signal: AbortSignal | undefined;

  constructor(call: Call, request: ReadBlobRequest, signal: AbortSignal | undefined) {
    this.#call = call;
    this.#request = request;
    this.#signal = signal;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    const rest = { ...this.#request };
    const limited = rest.limit > 0n;
    const hash = rest.offset === 0n && !limited ? hashOf(rest.digest) : undefined;
    // Resumptions since the last byte.
    for (let idle = 0; ; idle += 1) {
      let bytes = false;
      try {
        for await (const { chunk, size } of this.#call(rest)) {
          this.size = size ?? this.size;
          if (chunk.length > 0) {
            bytes = true;
            idle = 0;
            hash?.update(chunk);
            rest.offset += BigInt(chunk.length);
            rest.limit -= limited ? BigInt(chunk.length) : 0n;
            yield chunk;
          }
        }
        break;
      } catch (error) {
        if (!(error instanceof PortusError) || !resumable(error, idle, bytes)) {
          throw error;
        }
        const complete = limited ? rest.limit <= 0n : this.size !== undefined && rest.offset >= this.size;
        if (complete) {
          break;
        }
        if (idle > 0) {
          await this.#wait(error.retryDelayMs ?? IDLE_RESUME_DELAY_MS * 2 ** (idle - 1));
        }
      }
    }
    if (hash !== undefined) {
      verify(hash, rest.digest);
    }
  }

  async #wait(delayMs: number): Promise<void> {
    try {
      await sleep(delayMs, undefined, this.#signal === undefined ? {} : { signal: this.#signal });
    } catch {
      // The signal was aborted. The next call is then cancelled at once.
    }
  }
}

/** Whether the rest can be read by another call. `bytes`: whether the call that failed has sent some. */
function resumable(error: PortusError, idle: number, bytes: boolean): boolean {
  switch (error.code) {
    case status.UNAVAILABLE:
      return idle < MAX_IDLE_RESUMES;
    case status.DEADLINE_EXCEEDED:
      return bytes;
    default:
      return false;
  }
}

function verify(hash: Hash, digest: string): void {
  const got = `${digest.slice(0, digest.indexOf(":"))}:${hash.digest("hex")}`;
  if (got !== digest) {
    const message = `the bytes of the blob have the digest ${got}, not ${digest}: discard them`;
    const mismatch = new PortusError({ code: status.DATA_LOSS, message, details: [] });
    mismatch.reason = "DIGEST_MISMATCH";
    throw mismatch;
  }
}

/** Returns undefined for a digest that the gateway refuses. */
function hashOf(digest: string): Hash | undefined {
  const algorithm = digest.slice(0, digest.indexOf(":"));
  return algorithm === "sha256" || algorithm === "sha512" ? createHash(algorithm) : undefined;
}
