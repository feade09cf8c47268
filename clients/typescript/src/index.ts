/** A client of portus-gateway, which gives typed access to a Docker Distribution (OCI) registry. */

export { Metadata, status } from "@grpc/grpc-js";

export { BlobReader } from "./blob.js";
export * from "./client.js";
export * from "./errors.js";
export * from "./security.js";
export * from "./version.js";
export { DEFAULT_GIVE_UP_AFTER_MS, type WatchOptions, type WatchUpdate } from "./watch.js";

export type { Status } from "./generated/google/rpc/status.js";
export type { ImageConfig, ImageHistory } from "./generated/portus/registry/v1/image_config.js";
export type { Descriptor, Image, Index, Manifest, Platform } from "./generated/portus/registry/v1/manifest.js";
export { type Referrer, Referrer_Source } from "./generated/portus/registry/v1/referrer.js";
export {
  type BatchDeleteManifestsRequest,
  type BatchDeleteManifestsResult,
  type BatchGetImageConfigsResult,
  type BatchGetManifestsResult,
  type BatchResolveManifestsResult,
  type CatalogRequest,
  type CatalogResponse,
  type DeleteBlobRequest,
  type DeleteBlobResponse,
  type DeleteManifestRequest,
  type DeleteManifestResponse,
  type DeleteTagRequest,
  type DeleteTagResponse,
  type GetImageConfigRequest,
  type GetImageConfigResponse,
  type GetManifestRequest,
  type GetManifestResponse,
  type GetRegistryInfoResponse,
  type Limits,
  type ListReferrersRequest,
  type ListReferrersResponse,
  type ListTagsRequest,
  ListTagsRequest_View,
  type ListTagsResponse,
  type ReadBlobRequest,
  RegistryServiceClient,
  type RegistryServiceServer,
  RegistryServiceService,
  type Repository,
  type ResolveManifestRequest,
  type ResolveManifestResponse,
  type StreamCatalogRequest,
} from "./generated/portus/registry/v1/registry_service.js";
export type { TagDetails } from "./generated/portus/registry/v1/tag_details.js";
export type {
  FindTagsRequest,
  FindTagsResponse,
  FoundTag,
  ListTagHistoryRequest,
  ListTagHistoryResponse,
} from "./generated/portus/registry/v1/tag_history.js";
export {
  type Event,
  Event_Type,
  type WatchEventsRequest,
  type WatchEventsResponse,
} from "./generated/portus/registry/v1/watch.js";
