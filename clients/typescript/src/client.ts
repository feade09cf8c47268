import {
  type ChannelOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";

import { BlobReader } from "./blob.js";
import { PortusError } from "./errors.js";
import {
  BatchDeleteManifestsRequest,
  type BatchDeleteManifestsResult,
  BatchGetImageConfigsRequest,
  type BatchGetImageConfigsResult,
  BatchGetManifestsRequest,
  type BatchGetManifestsResult,
  BatchResolveManifestsRequest,
  type BatchResolveManifestsResult,
  CatalogRequest,
  type CatalogResponse,
  type DeepPartial,
  DeleteBlobRequest,
  type DeleteBlobResponse,
  DeleteManifestRequest,
  type DeleteManifestResponse,
  DeleteTagRequest,
  type DeleteTagResponse,
  GetImageConfigRequest,
  type GetImageConfigResponse,
  GetManifestRequest,
  type GetManifestResponse,
  GetRegistryInfoRequest,
  type GetRegistryInfoResponse,
  ListReferrersRequest,
  type ListReferrersResponse,
  ListTagsRequest,
  ListTagsRequest_View,
  type ListTagsResponse,
  ReadBlobRequest,
  RegistryServiceClient,
  type Repository,
  ResolveManifestRequest,
  type ResolveManifestResponse,
  StreamCatalogRequest,
} from "./generated/portus/registry/v1/registry_service.js";
import type { Referrer } from "./generated/portus/registry/v1/referrer.js";
import type { TagDetails } from "./generated/portus/registry/v1/tag_details.js";
import {
  FindTagsRequest,
  type FindTagsResponse,
  type FoundTag,
  ListTagHistoryRequest,
  type ListTagHistoryResponse,
} from "./generated/portus/registry/v1/tag_history.js";
import { type Event, WatchEventsRequest, type WatchEventsResponse } from "./generated/portus/registry/v1/watch.js";
import { serviceConfig } from "./generated/service_config.js";
import type { Security } from "./security.js";
import { VERSION } from "./version.js";
import { updatesOf, type WatchOptions, type WatchUpdate } from "./watch.js";

/** Maximum duration of a call, retries included. */
export const DEFAULT_TIMEOUT_MS = 30_000;
/** The same for a delete. A registry needs about 2 ms for each tag of the deleted digest. */
export const DEFAULT_DELETE_TIMEOUT_MS = 120_000;
/** The same for `streamCatalog` as a whole, for every 1000 requests of a batch, and for each call of `readBlob`. */
export const DEFAULT_STREAM_TIMEOUT_MS = 600_000;

/**
 * Size of the largest response. A manifest has at most 4 MiB, and a response contains it twice: as bytes and parsed.
 */
export const MAX_MESSAGE_BYTES = 16 << 20;

// The gateway's limit for one call.
const MAX_BATCH = 1000;

/**
 * The options of grpc-js that the client uses: retries of reads, load balancing, message sizes, keepalive. Proxies of
 * the environment are not used, because they must not get internal calls.
 */
export const CHANNEL_OPTIONS: Readonly<ChannelOptions> = {
  "grpc.service_config": JSON.stringify(serviceConfig),
  "grpc.service_config_disable_resolution": 1,
  "grpc.enable_http_proxy": 0,
  "grpc.primary_user_agent": `portus-client-node/${VERSION}`,
  // A gateway that hangs is noticed within the sum of the two, not at the call's deadline.
  "grpc.keepalive_time_ms": 20_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
};

export interface ClientOptions {
  /** Maximum duration of a call, in milliseconds. Each call can set its own. Default: `DEFAULT_TIMEOUT_MS`. */
  timeoutMs?: number;
  /**
   * The same for deletes. Default: `DEFAULT_DELETE_TIMEOUT_MS`. When it expires, the manifest may or may not be deleted.
   */
  deleteTimeoutMs?: number;
  /**
   * The same for `streamCatalog` as a whole, for every 1000 requests of a batch, and for each call of `readBlob`.
   * Default: `DEFAULT_STREAM_TIMEOUT_MS`.
   */
  streamTimeoutMs?: number;
  /** More options of grpc-js. They override those of the client. */
  channelOptions?: ChannelOptions;
}

export interface CallOptions {
  /** Maximum duration of this call, in milliseconds. */
  timeoutMs?: number;
  /** Cancels the call when it is aborted. */
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

interface Batch {
  requests: unknown[];
}

interface BatchResult {
  requestIndex: number;
}

/**
 * A client of a gateway. Make one and reuse it. Close it when done. Each call ends within its timeout. If it fails, it
 * rejects with a `PortusError`.
 *
 * The first call connects.
 */
export class PortusClient {
  readonly #client: RegistryServiceClient;
  readonly #timeoutMs: number;
  readonly #deleteTimeoutMs: number;
  readonly #streamTimeoutMs: number;
  // Ends the watches, which would connect again.
  readonly #closing = new AbortController();

  /** `address` is `host:port`, or any name that gRPC resolves, such as `dns:///host:port`. */
  constructor(address: string, security: Security, options: ClientOptions = {}) {
    const [scheme] = /^https?:\/\//.exec(address) ?? [];
    if (scheme !== undefined) {
      throw new TypeError(`${address} is not a gateway address: write host:port, without ${scheme}`);
    }
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#deleteTimeoutMs = options.deleteTimeoutMs ?? DEFAULT_DELETE_TIMEOUT_MS;
    this.#streamTimeoutMs = options.streamTimeoutMs ?? DEFAULT_STREAM_TIMEOUT_MS;
    this.#client = new RegistryServiceClient(address, security.credentials, {
      ...CHANNEL_OPTIONS,
      ...options.channelOptions,
    });
  }

  /**
   * Closes the connection. If a TLS handshake is never answered, it still keeps Node's event loop alive. A command
   * must then end with `process.exit`.
   */
  close(): void {
    this.#closing.abort();
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

  getImageConfig(request: DeepPartial<GetImageConfigRequest>, options?: CallOptions): Promise<GetImageConfigResponse> {
    return this.#unary(this.#client.getImageConfig, GetImageConfigRequest.fromPartial(request), options);
  }

  /** One page of what refers to a manifest. `referrers` iterates over all of them. */
  listReferrers(request: DeepPartial<ListReferrersRequest>, options?: CallOptions): Promise<ListReferrersResponse> {
    return this.#unary(this.#client.listReferrers, ListReferrersRequest.fromPartial(request), options);
  }

  /** One page of what happened to a tag. `tagHistory` iterates over all of them. */
  listTagHistory(request: DeepPartial<ListTagHistoryRequest>, options?: CallOptions): Promise<ListTagHistoryResponse> {
    return this.#unary(this.#client.listTagHistory, ListTagHistoryRequest.fromPartial(request), options);
  }

  /** One page of the tags that are found. `foundTags` iterates over all of them. */
  findTags(request: DeepPartial<FindTagsRequest>, options?: CallOptions): Promise<FindTagsResponse> {
    return this.#unary(this.#client.findTags, FindTagsRequest.fromPartial(request), options);
  }

  deleteManifest(request: DeepPartial<DeleteManifestRequest>, options?: CallOptions): Promise<DeleteManifestResponse> {
    return this.#unary(this.#client.deleteManifest, DeleteManifestRequest.fromPartial(request), this.#ofDelete(options));
  }

  deleteTag(request: DeepPartial<DeleteTagRequest>, options?: CallOptions): Promise<DeleteTagResponse> {
    return this.#unary(this.#client.deleteTag, DeleteTagRequest.fromPartial(request), this.#ofDelete(options));
  }

  deleteBlob(request: DeepPartial<DeleteBlobRequest>, options?: CallOptions): Promise<DeleteBlobResponse> {
    return this.#unary(this.#client.deleteBlob, DeleteBlobRequest.fromPartial(request), this.#ofDelete(options));
  }

  /**
   * The catalog, beginning at the request's page. Each page is fetched when it is needed, with these options. A page
   * token that comes twice is an error, because the listing would have no end.
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

  /**
   * The tags of a repository. Works like `repositories`. The request can choose tags by the digest that they point to,
   * and their order.
   */
  tags(request: DeepPartial<ListTagsRequest>, options?: CallOptions): AsyncGenerator<string, void, undefined> {
    return pages(request.pageToken ?? "", async (pageToken) => {
      const page = await this.listTags({ ...request, pageToken }, options);
      return { items: page.tags, next: page.nextPageToken };
    });
  }

  /**
   * What is known of each tag: what it points to (view `DESCRIPTORS`), and with the view `FULL` also when its image was
   * built, its size and its platforms. The view is `FULL` if it is not set. A tag of which something could not be found
   * out has a `status`, and the listing continues.
   */
  tagDetails(
    request: DeepPartial<ListTagsRequest>,
    options?: CallOptions,
  ): AsyncGenerator<TagDetails, void, undefined> {
    return pages(request.pageToken ?? "", async (pageToken) => {
      const view = request.view || ListTagsRequest_View.FULL;
      const page = await this.listTags({ ...request, pageToken, view }, options);
      return { items: page.details, next: page.nextPageToken };
    });
  }

  /** What refers to a manifest: signatures, attestations, SBOMs and other artifacts. Works like `repositories`. */
  referrers(
    request: DeepPartial<ListReferrersRequest>,
    options?: CallOptions,
  ): AsyncGenerator<Referrer, void, undefined> {
    return pages(request.pageToken ?? "", async (pageToken) => {
      const page = await this.listReferrers({ ...request, pageToken }, options);
      return { items: page.referrers, next: page.nextPageToken };
    });
  }

  /**
   * What happened to a tag, the latest event first, as the gateway's index saw it. Works like `repositories`.
   */
  tagHistory(
    request: DeepPartial<ListTagHistoryRequest>,
    options?: CallOptions,
  ): AsyncGenerator<Event, void, undefined> {
    return pages(request.pageToken ?? "", async (pageToken) => {
      const page = await this.listTagHistory({ ...request, pageToken }, options);
      return { items: page.events, next: page.nextPageToken };
    });
  }

  /** The tags of all repositories that `findTags` finds in the gateway's index. Works like `repositories`. */
  foundTags(
    request: DeepPartial<FindTagsRequest>,
    options?: CallOptions,
  ): AsyncGenerator<FoundTag, void, undefined> {
    return pages(request.pageToken ?? "", async (pageToken) => {
      const page = await this.findTags({ ...request, pageToken }, options);
      return { items: page.tags, next: page.nextPageToken };
    });
  }

  /**
   * Reads a blob: a layer, a configuration, an SBOM. The iteration ends without an error only if the bytes have the
   * digest. Otherwise it throws a `PortusError` with the code DATA_LOSS, and what was read must be discarded.
   *
   * If the connection breaks, or the gateway stops, it goes on where it was, as long as bytes come. With `offset` or
   * `limit`, only this part is read. Its digest cannot be verified. The timeout is for each call; the reader goes on
   * after it if bytes have come. `signal` ends the whole.
   */
  readBlob(request: DeepPartial<ReadBlobRequest>, options?: CallOptions): BlobReader {
    const call = (rest: ReadBlobRequest) => this.#stream(this.#client.readBlob, rest, options);
    return new BlobReader(call, ReadBlobRequest.fromPartial(request), options?.signal);
  }

  /**
   * What changes in the registry, as the gateway's index sees it. It begins where the request says, and has no end: leave
   * the loop, or abort `signal`, to end it at once.
   *
   * It continues by itself at its last cursor when the gateway stops, when the connection is lost, when a limit of the
   * gateway is reached, and when nothing comes for three heartbeats. If this fails for `giveUpAfterMs`, the last error is
   * thrown; if no gateway has answered yet, after the client's timeout. Errors that would come again are thrown at once,
   * such as PERMISSION_DENIED and INVALID_ARGUMENT.
   *
   * If the gateway does not have the changes since the cursor any more, an update with `listAgain` says so, and the
   * current state follows.
   */
  watch(
    request: DeepPartial<WatchEventsRequest> = {},
    options: WatchOptions = {},
  ): AsyncGenerator<WatchUpdate, void, undefined> {
    const { metadata } = options;
    const call = (next: WatchEventsRequest, signal: AbortSignal) =>
      this.#stream(this.#client.watchEvents, next, { ...(metadata && { metadata }), signal }, Infinity);
    return updatesOf(call, WatchEventsRequest.fromPartial(request), options, this.#timeoutMs, this.#closing.signal);
  }

  /**
   * One call of WatchEvents, which ends when it is interrupted; `watch` continues by itself. There is no timeout unless
   * you set one.
   */
  watchEvents(
    request: DeepPartial<WatchEventsRequest> = {},
    options?: CallOptions,
  ): AsyncGenerator<WatchEventsResponse, void, undefined> {
    return this.#stream(this.#client.watchEvents, WatchEventsRequest.fromPartial(request), options, Infinity);
  }

  /** The catalog as one stream, each repository as soon as it is known. The timeout is for the whole stream. */
  async *streamCatalog(
    request: DeepPartial<StreamCatalogRequest> = {},
    options?: CallOptions,
  ): AsyncGenerator<Repository, void, undefined> {
    const asked = StreamCatalogRequest.fromPartial(request);
    for await (const answer of this.#stream(this.#client.streamCatalog, asked, options)) {
      yield* answer.repositories;
    }
  }

  /**
   * Fetches any number of manifests. Every 1000 requests are one call of BatchGetManifests, and the timeout is for each
   * call. Results come in the order in which the gateway has them; `requestIndex` is the position of the request. If a
   * manifest cannot be fetched, its outcome is a status, which `new PortusError(status)` reads, and the batch continues.
   *
   * If a call as a whole fails, its error ends the iteration; the results before it are valid.
   */
  batchManifests(
    requests: readonly DeepPartial<GetManifestRequest>[],
    options?: CallOptions,
  ): AsyncGenerator<BatchGetManifestsResult, void, undefined> {
    const message = (chunk: DeepPartial<GetManifestRequest>[]) =>
      BatchGetManifestsRequest.fromPartial({ requests: chunk });
    return this.#batch(requests, options, this.#client.batchGetManifests, message);
  }

  /** Fetches the configurations of any number of images. Works like `batchManifests`. */
  batchImageConfigs(
    requests: readonly DeepPartial<GetImageConfigRequest>[],
    options?: CallOptions,
  ): AsyncGenerator<BatchGetImageConfigsResult, void, undefined> {
    const message = (chunk: DeepPartial<GetImageConfigRequest>[]) =>
      BatchGetImageConfigsRequest.fromPartial({ requests: chunk });
    return this.#batch(requests, options, this.#client.batchGetImageConfigs, message);
  }

  /** Resolves any number of tags and digests to descriptors. Works like `batchManifests`. */
  batchResolve(
    requests: readonly DeepPartial<ResolveManifestRequest>[],
    options?: CallOptions,
  ): AsyncGenerator<BatchResolveManifestsResult, void, undefined> {
    const message = (chunk: DeepPartial<ResolveManifestRequest>[]) =>
      BatchResolveManifestsRequest.fromPartial({ requests: chunk });
    return this.#batch(requests, options, this.#client.batchResolveManifests, message);
  }

  /**
   * Deletes up to 1000 manifests of one repository in one call, because the gateway judges them as a whole. An outcome
   * is what was deleted, or a status: that manifest was not deleted, and the batch continues.
   *
   * An error ends the iteration. The manifests without a result may or may not be deleted then. A call that began is not
   * repeated. Its timeout is that of streams, or that of deletes if it is longer.
   */
  batchDelete(
    request: DeepPartial<BatchDeleteManifestsRequest>,
    options?: CallOptions,
  ): AsyncGenerator<BatchDeleteManifestsResult, void, undefined> {
    const timeoutMs = options?.timeoutMs ?? Math.max(this.#streamTimeoutMs, this.#deleteTimeoutMs);
    const asked = BatchDeleteManifestsRequest.fromPartial(request);
    return this.#results(this.#client.batchDeleteManifests, asked, { ...options, timeoutMs });
  }

  /** Makes a call for every 1000 requests, when its results are needed. */
  async *#batch<Item, Request extends Batch, Result extends BatchResult>(
    requests: readonly Item[],
    options: CallOptions | undefined,
    method: StreamMethod<Request, { results: Result[] }>,
    message: (chunk: Item[]) => Request,
  ): AsyncGenerator<Result, void, undefined> {
    for (let first = 0; first < requests.length; first += MAX_BATCH) {
      const request = message(requests.slice(first, first + MAX_BATCH));
      for await (const result of this.#results(method, request, options)) {
        yield { ...result, requestIndex: first + result.requestIndex };
      }
    }
  }

  /** Makes one call. Yields one result for each of its requests. */
  async *#results<Request extends Batch, Result extends BatchResult>(
    method: StreamMethod<Request, { results: Result[] }>,
    request: Request,
    options: CallOptions | undefined,
  ): AsyncGenerator<Result, void, undefined> {
    const missing = new Set(request.requests.keys());
    for await (const { results } of this.#stream(method, request, options)) {
      for (const result of results) {
        if (!missing.delete(result.requestIndex)) {
          throw invalidBatch(`the result for request ${result.requestIndex} comes twice or was not requested`);
        }
        yield result;
      }
    }
    if (missing.size > 0) {
      throw invalidBatch(`${missing.size} of ${request.requests.length} requests have no result`);
    }
  }

  #ofDelete(options?: CallOptions): CallOptions {
    return { ...options, timeoutMs: options?.timeoutMs ?? this.#deleteTimeoutMs };
  }

  async *#stream<Request, Response>(
    method: StreamMethod<Request, Response>,
    request: Request,
    options: CallOptions = {},
    defaultTimeoutMs = this.#streamTimeoutMs,
  ): AsyncGenerator<Response, void, undefined> {
    const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
    const stream = method.call(this.#client, request, options.metadata ?? new Metadata(), {
      // Only a watch has no end. Keepalive notices a gateway that hangs.
      deadline: options.timeoutMs === undefined && timeoutMs === Infinity ? Infinity : deadline(timeoutMs),
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
      throw internal("the gateway repeats a page token, so the listing has no end");
    }
    pageToken = next;
  }
}

function invalidBatch(problem: string): PortusError {
  return internal(`the gateway's response to a batch is invalid: ${problem}`);
}

function internal(message: string): PortusError {
  return new PortusError({ code: status.INTERNAL, message, details: [] });
}

// The limit of timers. A call with a longer timeout would never end.
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

function deadline(timeoutMs: number): number {
  if (!(timeoutMs > 0 && timeoutMs <= LONGEST_TIMEOUT_MS)) {
    throw new RangeError(`a timeout must be above 0 and at most ${LONGEST_TIMEOUT_MS} ms: every call has a deadline`);
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

