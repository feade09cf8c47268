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

// The messages of gRPC do not say that the address or TLS may be wrong.
const UNANSWERED_HINT = "no answer from a gateway: check the address, and whether the gateway uses TLS";

/** An invalid field of the request. */
export interface FieldViolation {
  field: string;
  description: string;
}

/**
 * The error of a call, with its details. An error of gRPC itself, such as an unreachable gateway, has only a code and a
 * message.
 */
export class PortusError extends Error {
  override readonly name = "PortusError";
  /** The status code. Compare it with `status.NOT_FOUND` and the other codes of grpc-js. */
  readonly code: status;
  /** The registry's own code (MANIFEST_UNKNOWN) or one of the gateway's (TAGGED). Empty if the gateway sent none. */
  reason = "";
  /** `portus-gateway` if there is a reason. */
  domain = "";
  /** Facts that belong to the reason. */
  metadata: Readonly<Record<string, string>> = {};
  /** The type and the name of the resource that the call was about. */
  resourceType = "";
  resourceName = "";
  /** The unexpected tags that refused a delete (TAGGED), at most the first 50. `metadata.tags` is their number. */
  readonly tags: string[] = [];
  /** The tags of indexes that contain the manifest and so refused a delete (REFERENCED, TAGGED). */
  readonly indexTags: string[] = [];
  /** The invalid fields of the request (INVALID_FIELD). */
  readonly fields: FieldViolation[] = [];
  /** How long to wait before the next try, in milliseconds. Unset if the gateway does not say. */
  retryDelayMs?: number;

  /** Reads a status: of an error, or within a response, such as `Repository.tagsStatus`. */
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

  /** Converts an error of grpc-js to a `PortusError`. Returns any other error unchanged. */
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
          } else if (violation.type === "REFERENCED") {
            this.indexTags.push(violation.subject);
          }
        }
        break;
      default: // A detail of an unknown type, from a newer gateway.
    }
  }
}

function isServiceError(error: unknown): error is ServiceError & { metadata: Metadata } {
  return error instanceof Error && "code" in error && "details" in error && "metadata" in error;
}
