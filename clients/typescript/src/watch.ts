import { setTimeout as sleep } from "node:timers/promises";

import { type Metadata, status } from "@grpc/grpc-js";

import { PortusError } from "./errors.js";
import type { Event, WatchEventsRequest, WatchEventsResponse } from "./generated/portus/registry/v1/watch.js";

/** How long a watch tries to go on while no message comes. */
export const DEFAULT_GIVE_UP_AFTER_MS = 600_000;

// A watch without any message for so many heartbeats is broken.
const MISSED_HEARTBEATS = 3;
const DEFAULT_HEARTBEAT_MS = 15_000;

/** The same for all watches. Tests have shorter ones. */
export const watchTimes = {
  firstPauseMs: 100,
  longestPauseMs: 30_000,
  // After a call that lasted so long, pauses begin anew.
  steadyMs: 10_000,
  // With short heartbeats, a watch may still be silent for so long.
  shortestSilenceMs: 10_000,
};

/** A message of a watch: some events, or none in a heartbeat. */
export interface WatchUpdate {
  /** In the order in which the index saw the changes. To receive one twice does no harm. */
  events: Event[];
  /** Where another watch can continue after this update, with `start: { $case: "afterCursor", value: cursor }`. */
  cursor: string;
  /** Every change that the index saw up to this time has been sent. Unset while the current state is listed. */
  asOf?: Date | undefined;
  /** Everything that `currentState` lists has been sent. */
  currentStateComplete: boolean;
  /**
   * Events were lost, because the cursor was too old or is not known any more. Forget what you know: the updates after
   * this one list the current state.
   */
  listAgain: boolean;
}

export interface WatchOptions {
  /** How long to try to go on while no message comes. Default: `DEFAULT_GIVE_UP_AFTER_MS`. `Infinity` is for ever. */
  giveUpAfterMs?: number;
  /** Ends the watch at once when it is aborted. */
  signal?: AbortSignal;
  /** Metadata to send with each call. */
  metadata?: Metadata;
}

type Call = (request: WatchEventsRequest, signal: AbortSignal) => AsyncGenerator<WatchEventsResponse, void, undefined>;

/**
 * The updates of one watch. It ends with an error, or when the caller leaves it.
 *
 * `startTimeoutMs` is for a watch that no gateway has answered yet. `closing` is aborted when the client is closed.
 */
export async function* updatesOf(
  call: Call,
  request: WatchEventsRequest,
  options: WatchOptions,
  startTimeoutMs: number,
  closing: AbortSignal,
): AsyncGenerator<WatchUpdate, void, undefined> {
  const progress = new Progress(request, options.giveUpAfterMs ?? DEFAULT_GIVE_UP_AFTER_MS, startTimeoutMs);
  const end = new AbortController();
  const release = [options.signal, closing].map((signal) => abortTogether(signal, end));
  try {
    for (;;) {
      let pauseMs: number;
      try {
        yield* messagesOf(call, progress, end.signal);
        pauseMs = progress.pauseMs();
      } catch (error) {
        if (end.signal.aborted || !(error instanceof PortusError)) {
          throw error;
        }
        const failed = progress.failed(error);
        pauseMs = failed.pauseMs;
        if (failed.listAgain) {
          yield { events: [], cursor: "", currentStateComplete: false, listAgain: true };
        }
      }
      await pause(pauseMs, end.signal);
    }
  } finally {
    release.forEach((remove) => remove());
  }
}

/** The updates of one call. */
async function* messagesOf(
  call: Call,
  progress: Progress,
  end: AbortSignal,
): AsyncGenerator<WatchUpdate, void, undefined> {
  const silence = new AbortController();
  const release = abortTogether(end, silence);
  const messages = call(progress.nextRequest(), silence.signal);
  const limitMs = progress.longestSilenceMs;
  try {
    for (;;) {
      // How long the caller works on an update does not count.
      const timer = setTimeout(() => silence.abort(), limitMs);
      let next: IteratorResult<WatchEventsResponse, void>;
      try {
        next = await messages.next();
      } finally {
        clearTimeout(timer);
      }
      if (next.done) {
        return;
      }
      yield progress.received(next.value);
    }
  } catch (error) {
    if (silence.signal.aborted && !end.aborted) {
      const message = `the watch received nothing for ${limitMs / 1000} s, not even a heartbeat`;
      throw new PortusError({ code: status.UNAVAILABLE, message, details: [] }, { cause: error });
    }
    throw error;
  } finally {
    release();
    await messages.return();
  }
}

/** How far a watch is. */
class Progress {
  // The request of the next call.
  #request: WatchEventsRequest;
  readonly #giveUpAfterMs: number;
  readonly #startTimeoutMs: number;
  #calledAt = 0;
  // Calls since the last that lasted.
  #failures = 0;
  // When the first call failed after the last message.
  #failingSince: number | undefined;
  #hasMessage = false;
  #isAnswered = false;
  #listsAgain = false;

  constructor(request: WatchEventsRequest, giveUpAfterMs: number, startTimeoutMs: number) {
    this.#request = request;
    this.#giveUpAfterMs = giveUpAfterMs;
    this.#startTimeoutMs = startTimeoutMs;
  }

  get longestSilenceMs(): number {
    const { heartbeatInterval } = this.#request;
    const intervalMs =
      heartbeatInterval === undefined
        ? DEFAULT_HEARTBEAT_MS
        : Number(heartbeatInterval.seconds) * 1000 + heartbeatInterval.nanos / 1e6;
    return Math.max(MISSED_HEARTBEATS * intervalMs, watchTimes.shortestSilenceMs);
  }

  /** The request of the call that is made now. */
  nextRequest(): WatchEventsRequest {
    this.#calledAt = performance.now();
    return this.#request;
  }

  received(message: WatchEventsResponse): WatchUpdate {
    this.#request = { ...this.#request, start: { $case: "afterCursor", value: message.cursor } };
    this.#failingSince = undefined;
    this.#hasMessage = this.#isAnswered = true;
    this.#listsAgain = false;
    return { ...message, listAgain: false };
  }

  /** What follows after a call that failed. Throws the error if it would come again, or has come for too long. */
  failed(error: PortusError): { listAgain: boolean; pauseMs: number } {
    this.#isAnswered ||= error.reason !== "";
    const isLost = error.code === status.OUT_OF_RANGE && ["CURSOR_EXPIRED", "CURSOR_UNKNOWN"].includes(error.reason);
    if (!isLost && !this.#isPassing(error)) {
      throw error;
    }
    const pauseMs = this.pauseMs() + (error.retryDelayMs ?? 0);
    const now = performance.now();
    this.#failingSince ??= now;
    const patienceMs = this.#isAnswered ? this.#giveUpAfterMs : Math.min(this.#giveUpAfterMs, this.#startTimeoutMs);
    if (now - this.#failingSince + pauseMs > patienceMs) {
      throw error;
    }
    if (!isLost) {
      return { listAgain: false, pauseMs };
    }
    this.#request = { ...this.#request, start: { $case: "currentState", value: true } };
    const listAgain = !this.#listsAgain;
    this.#listsAgain = true;
    return { listAgain, pauseMs };
  }

  /** How long to wait before the next call. */
  pauseMs(): number {
    if (performance.now() - this.#calledAt >= watchTimes.steadyMs) {
      this.#failures = 0;
    }
    const pauseMs = Math.min(watchTimes.longestPauseMs, watchTimes.firstPauseMs * 2 ** Math.min(this.#failures, 16));
    this.#failures += 1;
    // Spread, so that many clients do not come back at the same time.
    return pauseMs * (0.5 + Math.random() / 2);
  }

  /** Whether the watch goes on after the error. */
  #isPassing(error: PortusError): boolean {
    switch (error.code) {
      case status.UNAVAILABLE:
      case status.RESOURCE_EXHAUSTED:
      case status.DEADLINE_EXCEEDED:
        return true;
      case status.INTERNAL:
      case status.UNKNOWN:
        // Without a reason, these come from a proxy or from HTTP/2, when a stream breaks.
        return this.#hasMessage && error.reason === "";
      case status.UNAUTHENTICATED:
        // The credential has expired during the watch, or was replaced: the next call has the newest one.
        return error.reason === "CREDENTIAL_INVALID" && this.#hasMessage && this.#failingSince === undefined;
      default:
        return false;
    }
  }
}

async function pause(durationMs: number, end: AbortSignal): Promise<void> {
  try {
    await sleep(durationMs, undefined, { signal: end });
  } catch (error) {
    const message = "the watch was ended: its signal was aborted, or the client was closed";
    throw new PortusError({ code: status.CANCELLED, message, details: [] }, { cause: error });
  }
}

/** Aborts `controller` when `signal` is aborted. The result ends this. */
function abortTogether(signal: AbortSignal | undefined, controller: AbortController): () => void {
  const abort = (): void => controller.abort();
  if (signal?.aborted) {
    abort();
  }
  signal?.addEventListener("abort", abort, { once: true });
  return () => signal?.removeEventListener("abort", abort);
}
