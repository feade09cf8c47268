import { type Metadata, type ServiceError, status } from "@grpc/grpc-js";

import {
  BadRequest,
  ErrorInfo,
  PreconditionFailure,
  ResourceInfo,
  RetryInfo,
} from "./generated/google/rpc/error_details.js";
import { Status } from "./generated/google/rpc/status.js";

const DETAILS_KEY = "grpc-status-details-bin";

// What gRPC says of a wrong address, or of TLS that meets plaintext, leads few people to the cause.
const UNANSWERED_HINT = "no gateway answered: is the address right, and TLS or plaintext as the gateway expects?";

/** What is wrong with a field of the request. */
export interface FieldViolation {
  field: string;
  description: string;
}

/**
 * What a call rejects with, its details read. An error that gRPC itself made, such as an unreachable gateway, has a
 * code and a message alone.
 */
export class PortusError extends Error {
  override readonly name = "PortusError";
  /** The status code: compare it with `status.NOT_FOUND` and the like of grpc-js. */
  readonly code: status;
  /** The registry's own code (MANIFEST_UNKNOWN) or one of the gateway's (TAGGED). Empty where there is none. */
  reason = "";
  /** `portus-gateway` where there is a reason. */
  domain = "";
  /** The facts that go with the reason. */
  metadata: Readonly<Record<string, string>> = {};
  /** What kind of thing the call was about, and its name. */
  resourceType = "";
  resourceName = "";
  /** The tags for whose sake a delete was refused (TAGGED): the first 50; `metadata.tags` is their number. */
  readonly tags: string[] = [];
  /** The fields of the request that are not valid (INVALID_FIELD). */
  readonly fields: FieldViolation[] = [];
  /** How long to wait before the next try, in milliseconds. Unset where nothing was said. */
  retryDelayMs?: number;

  /** Reads the details of a status: of an error, or of one inside an answer, such as `Repository.tagsStatus`. */
  constructor(stated: Status, options?: ErrorOptions) {
    super(stated.message, options);
    this.code = stated.code;
    for (const detail of stated.details) {
      this.#read(detail.typeUrl.slice(detail.typeUrl.lastIndexOf("/") + 1), detail.value);
    }
  }

  /** The code's name: FAILED_PRECONDITION. */
  get codeName(): string {
    return status[this.code] ?? String(this.code);
  }

  /** The error of grpc-js as a `PortusError`; any other is left as it is. */
  static of(error: unknown): unknown {
    if (!isServiceError(error)) {
      return error;
    }
    const [packed] = error.metadata.get(DETAILS_KEY);
    const details = Buffer.isBuffer(packed) ? Status.decode(packed).details : [];
    const unanswered = error.code === status.UNAVAILABLE && details.length === 0;
    const message = unanswered ? `${error.details} (${UNANSWERED_HINT})` : error.details;
    return new PortusError({ code: error.code, message, details }, { cause: error });
  }

  #read(type: string, value: Uint8Array): void {
    switch (type) {
      case "google.rpc.ErrorInfo": {
        const info = ErrorInfo.decode(value);
        this.reason = info.reason;
        this.domain = info.domain;
        this.metadata = info.metadata;
        break;
      }
      case "google.rpc.ResourceInfo": {
        const resource = ResourceInfo.decode(value);
        this.resourceType = resource.resourceType;
        this.resourceName = resource.resourceName;
        break;
      }
      case "google.rpc.RetryInfo": {
        const delay = RetryInfo.decode(value).retryDelay;
        if (delay !== undefined) {
          this.retryDelayMs = Number(delay.seconds) * 1000 + delay.nanos / 1e6;
        }
        break;
      }
      case "google.rpc.BadRequest":
        for (const { field, description } of BadRequest.decode(value).fieldViolations) {
          this.fields.push({ field, description });
        }
        break;
      case "google.rpc.PreconditionFailure":
        for (const violation of PreconditionFailure.decode(value).violations) {
          if (violation.type === "TAGGED") {
            this.tags.push(violation.subject);
          }
        }
        break;
      default: // A detail of a newer gateway, unknown here.
    }
  }
}

function isServiceError(error: unknown): error is ServiceError & { metadata: Metadata } {
  return error instanceof Error && "code" in error && "details" in error && "metadata" in error;
}
