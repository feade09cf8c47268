import {
  type ChannelOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";

import { PortusError } from "./errors.js";
import {
  BatchGetManifestsRequest,
  type BatchGetManifestsResult,
  CatalogRequest,
  type CatalogResponse,
  type DeepPartial,
  DeleteBlobRequest,
  type DeleteBlobResponse,
  DeleteManifestRequest,
  type DeleteManifestResponse,
  GetManifestRequest,
  type GetManifestResponse,
  GetRegistryInfoRequest,
  type GetRegistryInfoResponse,
  ListTagsRequest,
  type ListTagsResponse,
  RegistryServiceClient,
  type Repository,
  ResolveManifestRequest,
  type ResolveManifestResponse,
  StreamCatalogRequest,
} from "./generated/portus/registry/v1/registry_service.js";
import { serviceConfig } from "./generated/service_config.js";
import type { Security } from "./security.js";

/** How long a call may take, retries included, for which nothing else is said. */
export const DEFAULT_TIMEOUT_MS = 30_000;
/** The same for `streamCatalog` as a whole, and for every 1000 requests of `batchManifests`. */
export const DEFAULT_STREAM_TIMEOUT_MS = 600_000;

/** The largest answer that is taken. A manifest has at most 4 MiB, and comes twice, as it is and parsed. */
export const MAX_MESSAGE_BYTES = 16 << 20;

// The gateway takes no more in one call.
const MAX_BATCH = 1000;

/**
 * The options of grpc-js that the client uses: retries of what only reads, load balancing, message sizes. A proxy
 * in the environment is passed by: it is for the world outside.
 */
export const CHANNEL_OPTIONS: Readonly<ChannelOptions> = {
  "grpc.service_config": JSON.stringify(serviceConfig),
  "grpc.service_config_disable_resolution": 1,
  "grpc.enable_http_proxy": 0,
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
};

export interface ClientOptions {
  /** How long a call may take that has no timeout of its own, in milliseconds. `DEFAULT_TIMEOUT_MS` unless told. */
  timeoutMs?: number;
  /**
   * The same for `streamCatalog` as a whole, and for every 1000 requests of `batchManifests`.
   * `DEFAULT_STREAM_TIMEOUT_MS` unless told.
   */
  streamTimeoutMs?: number;
  /** Further options of grpc-js, which win over the client's own. */
  channelOptions?: ChannelOptions;
}

export interface CallOptions {
  /** How long this call may take, in milliseconds. */
  timeoutMs?: number;
  /** Ends the call when it aborts. */
  signal?: AbortSignal;
  /** Metadata to send with the call. */
  metadata?: Metadata;
}

type UnaryMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: { deadline: number },
  callback: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

type StreamMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: { deadline: number },
) => ClientReadableStream<Response>;

/**
 * Calls a gateway. Make one and keep it; close it when done. Each call ends within its timeout, and rejects with a
 * `PortusError`.
 *
 * Nothing is connected until the first call.
 */
export class PortusClient {
  readonly #client: RegistryServiceClient;
  readonly #timeoutMs: number;
  readonly #streamTimeoutMs: number;

  /** `address` is `host:port`, or anything that gRPC resolves, such as `dns:///host:port`. */
  constructor(address: string, security: Security, options: ClientOptions = {}) {
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#streamTimeoutMs = options.streamTimeoutMs ?? DEFAULT_STREAM_TIMEOUT_MS;
    this.#client = new RegistryServiceClient(address, security.credentials, {
      ...CHANNEL_OPTIONS,
      ...options.channelOptions,
    });
  }

  /**
   * Ends the connection. A TLS handshake that the other side leaves unanswered keeps Node's event loop alive even
   * so: a command ends itself with `process.exit`.
   */
  close(): void {
    this.#client.close();
  }

  getRegistryInfo(options?: CallOptions): Promise<GetRegistryInfoResponse> {
    return this.#unary(this.#client.getRegistryInfo, GetRegistryInfoRequest.fromPartial({}), options);
  }

  /** One page of the catalog. `repositories` iterates over all of them. */
  catalog(request: DeepPartial<CatalogRequest> = {}, options?: CallOptions): Promise<CatalogResponse> {
    return this.#unary(this.#client.catalog, CatalogRequest.fromPartial(request), options);
  }

  /** One page of a repository's tags. `tags` iterates over all of them. */
  listTags(request: DeepPartial<ListTagsRequest>, options?: CallOptions): Promise<ListTagsResponse> {
    return this.#unary(this.#client.listTags, ListTagsRequest.fromPartial(request), options);
  }

  resolveManifest(
    request: DeepPartial<ResolveManifestRequest>,
    options?: CallOptions,
  ): Promise<ResolveManifestResponse> {
    return this.#unary(this.#client.resolveManifest, ResolveManifestRequest.fromPartial(request), options);
  }

  getManifest(request: DeepPartial<GetManifestRequest>, options?: CallOptions): Promise<GetManifestResponse> {
    return this.#unary(this.#client.getManifest, GetManifestRequest.fromPartial(request), options);
  }

  deleteManifest(request: DeepPartial<DeleteManifestRequest>, options?: CallOptions): Promise<DeleteManifestResponse> {
    return this.#unary(this.#client.deleteManifest, DeleteManifestRequest.fromPartial(request), options);
  }

  deleteBlob(request: DeepPartial<DeleteBlobRequest>, options?: CallOptions): Promise<DeleteBlobResponse> {
    return this.#unary(this.#client.deleteBlob, DeleteBlobRequest.fromPartial(request), options);
  }

  /**
   * The catalog, from the request's page on; each page is fetched when it is needed. The options are those of each
   * page. A gateway that repeats a page token is an error, as no end would come.
   */
  repositories(
    request: DeepPartial<CatalogRequest> = {},
    options?: CallOptions,
  ): AsyncGenerator<Repository, void, undefined> {
    return pages(request.pageToken ?? "", async (pageToken) => {
      const page = await this.catalog({ ...request, pageToken }, options);
      return { items: page.repositories, next: page.nextPageToken };
    });
  }

  /** The tags of a repository, as `repositories` for the catalog. */
  tags(request: DeepPartial<ListTagsRequest>, options?: CallOptions): AsyncGenerator<string, void, undefined> {
    return pages(request.pageToken ?? "", async (pageToken) => {
      const page = await this.listTags({ ...request, pageToken }, options);
      return { items: page.tags, next: page.nextPageToken };
    });
  }

  /** The catalog as one stream, each repository as soon as it is known. The timeout is for the whole of it. */
  async *streamCatalog(
    request: DeepPartial<StreamCatalogRequest> = {},
    options?: CallOptions,
  ): AsyncGenerator<Repository, void, undefined> {
    const asked = StreamCatalogRequest.fromPartial(request);
    for await (const answer of this.#stream(this.#client.streamCatalog, asked, options)) {
      if (answer.repository !== undefined) {
        yield answer.repository;
      }
    }
  }

  /**
   * Fetches many manifests, as many as you like: every 1000 of the requests are a call of BatchGetManifests, and the
   * timeout is for each. Results come as the gateway knows them, not in the order of the requests: `requestIndex` is
   * the position of a result's request. What fails is that one's status, which `new PortusError(status)` reads, and
   * ends nothing.
   *
   * An error of a call as a whole ends the iteration; what came before it stands.
   */
  async *batchManifests(
    requests: readonly DeepPartial<GetManifestRequest>[],
    options?: CallOptions,
  ): AsyncGenerator<BatchGetManifestsResult, void, undefined> {
    for (let first = 0; first < requests.length; first += MAX_BATCH) {
      const request = BatchGetManifestsRequest.fromPartial({ requests: requests.slice(first, first + MAX_BATCH) });
      const missing = new Set(request.requests.keys());
      for await (const { results } of this.#stream(this.#client.batchGetManifests, request, options)) {
        for (const { requestIndex, outcome } of results) {
          if (!missing.delete(requestIndex)) {
            throw unfit(`it answers request ${requestIndex}, which was answered already or never made`);
          }
          yield { requestIndex: first + requestIndex, outcome };
        }
      }
      if (missing.size > 0) {
        throw unfit(`it ended without a result for ${missing.size} of ${request.requests.length} requests`);
      }
    }
  }

  async *#stream<Request, Response>(
    method: StreamMethod<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): AsyncGenerator<Response, void, undefined> {
    const stream = method.call(this.#client, request, options.metadata ?? new Metadata(), {
      deadline: deadline(options.timeoutMs ?? this.#streamTimeoutMs),
    });
    const release = cancelOnAbort(stream, options.signal);
    try {
      yield* stream as AsyncIterable<Response>;
    } catch (error) {
      throw PortusError.of(error);
    } finally {
      release();
      stream.cancel();
    }
  }

  #unary<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const call = method.call(
        this.#client,
        request,
        options.metadata ?? new Metadata(),
        { deadline: deadline(options.timeoutMs ?? this.#timeoutMs) },
        (error, response) => {
          release();
          if (error === null) {
            resolve(response);
          } else {
            reject(PortusError.of(error));
          }
        },
      );
      const release = cancelOnAbort(call, options.signal);
    });
  }
}

async function* pages<Item>(
  first: string,
  fetch: (pageToken: string) => Promise<{ items: Item[]; next: string }>,
): AsyncGenerator<Item, void, undefined> {
  const seen = new Set<string>();
  for (let pageToken = first; ; ) {
    seen.add(pageToken);
    const { items, next } = await fetch(pageToken);
    yield* items;
    if (next === "") {
      return;
    }
    if (seen.has(next)) {
      throw internal("the gateway repeats a page token: the listing has no end");
    }
    pageToken = next;
  }
}

function unfit(what: string): PortusError {
  return internal(`the gateway's answer to a batch does not fit: ${what}`);
}

function internal(message: string): PortusError {
  return new PortusError({ code: status.INTERNAL, message, details: [] });
}

// What a timer takes at most: with more, a call would have no end.
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

function deadline(timeoutMs: number): number {
  if (!(timeoutMs > 0 && timeoutMs <= LONGEST_TIMEOUT_MS)) {
    throw new RangeError(`timeoutMs is above 0 and at most ${LONGEST_TIMEOUT_MS}: every call has a deadline`);
  }
  return Date.now() + timeoutMs;
}

function cancelOnAbort(call: { cancel(): void }, signal?: AbortSignal): () => void {
  const cancel = (): void => call.cancel();
  if (signal?.aborted) {
    cancel();
  }
  signal?.addEventListener("abort", cancel, { once: true });
  return () => signal?.removeEventListener("abort", cancel);
}

