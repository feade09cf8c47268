/**
 * Shows how to use the gateway. Lists the catalog with its tags and verifies a manifest. Shows what is in the image, what
 * refers to it, and what the index knows of it. Tries a delete that is refused, and requests a tag that does not exist.
 *
 *     node dist/examples/scenario.js ADDRESS REPOSITORY TAG
 *
 * PORTUS_GATEWAY_CA_FILE turns TLS on, PORTUS_GATEWAY_TOKEN_FILE is a file with a bearer token, and
 * PORTUS_GATEWAY_TIMEOUT is the timeout of each call in seconds.
 */
import { createHash } from "node:crypto";
import { argv, env, exit } from "node:process";

import {
  Event_Type,
  type Manifest,
  plaintext,
  type Platform,
  PortusClient,
  PortusError,
  type Repository,
  type Security,
  tls,
} from "../src/index.js";

async function run(client: PortusClient, repository: string, tag: string): Promise<void> {
  console.log("catalog");
  for await (const listed of client.repositories({ includeTags: true })) {
    console.log(`  ${listed.name}: ${tagsOf(listed)}`);
  }

  const { manifest } = await client.getManifest({ repository, reference: { $case: "tag", value: tag } });
  if (manifest?.descriptor === undefined) {
    throw new Error("the response has no manifest");
  }
  const { mediaType, digest } = manifest.descriptor;
  const computed = `sha256:${createHash("sha256").update(manifest.raw).digest("hex")}`;
  console.log(`manifest ${repository}:${tag}`);
  console.log(`  media type: ${mediaType}`);
  console.log(`  size: ${manifest.raw.length}`);
  console.log(`  digest: ${digest}`);
  console.log(`  SHA-256 of the bytes: ${computed}`);
  if (computed !== digest) {
    throw new Error(`the digest of the bytes is not ${digest}`);
  }

  await showContent(client, repository, tag, manifest);
  await showIndex(client, repository, tag, digest);

  for (const validateOnly of [true, false]) {
    console.log(`delete ${repository}@${digest}, expecting the tag ${tag}, validate only: ${validateOnly}`);
    try {
      const deleted = await client.deleteManifest({ repository, digest, expectedTags: [tag], validateOnly });
      console.log(`  deleted, with the tags: ${deleted.deletedTags.join(", ")}`);
    } catch (error) {
      show(error);
    }
  }

  console.log(`manifest ${repository}:no-such-tag`);
  try {
    await client.getManifest({ repository, reference: { $case: "tag", value: "no-such-tag" } });
  } catch (error) {
    show(error);
  }
}

/** Shows what is in the image, the repository's tags, and what refers to the image. */
async function showContent(client: PortusClient, repository: string, tag: string, manifest: Manifest): Promise<void> {
  const { imageConfig } = await client.getImageConfig({ repository, reference: { $case: "tag", value: tag } });
  console.log(`configuration of ${repository}:${tag}`);
  console.log(`  created: ${imageConfig?.created?.toISOString().replace(".000", "")}`);
  console.log(`  platform: ${platformOf(imageConfig?.platform)}`);
  console.log(`  digest: ${imageConfig?.config?.digest}`);

  const layers = manifest.content?.$case === "image" ? manifest.content.value.layers : [];
  for (const { digest } of layers) {
    console.log(`layer ${digest}`);
    const blob = client.readBlob({ repository, digest });
    const hash = createHash("sha256");
    let size = 0;
    for await (const chunk of blob) {
      hash.update(chunk);
      size += chunk.length;
    }
    console.log(`  size: ${size} of ${blob.size}`);
    console.log(`  SHA-256 of the bytes: sha256:${hash.digest("hex")}`);
  }

  console.log(`tags of ${repository}`);
  for await (const details of client.tagDetails({ repository, omitReferrerTags: true })) {
    const { tag, descriptor, totalSize, platforms } = details;
    const platform = platforms.length > 0 ? platformOf(platforms[0]) : "no platform";
    console.log(`  ${tag}: ${descriptor?.digest}, ${totalSize} bytes, ${platform}`);
  }

  const digest = manifest.descriptor?.digest ?? "";
  console.log(`referrers of ${repository}@${digest}`);
  for await (const { descriptor } of client.referrers({ repository, digest })) {
    console.log(`  ${descriptor?.artifactType}: ${descriptor?.digest}`);
  }

  console.log(`digests of ${tag} and no-such-tag`);
  const outcomes: string[] = [];
  const wanted = [tag, "no-such-tag"].map((value) => ({ repository, reference: { $case: "tag" as const, value } }));
  for await (const { requestIndex, outcome } of client.batchResolve(wanted)) {
    outcomes[requestIndex] =
      outcome?.$case === "status" ? new PortusError(outcome.value).reason : (outcome?.value.digest ?? "");
  }
  outcomes.forEach((outcome, index) => console.log(`  ${index}: ${outcome}`));

  console.log(`delete the tag ${tag} of ${repository}, validate only`);
  try {
    const deleted = await client.deleteTag({ repository, tag, expectedDigest: digest, validateOnly: true });
    console.log(`  deleted, it pointed to: ${deleted.digest}`);
  } catch (error) {
    show(error);
  }

  console.log(`batch of deletes in ${repository}, validate only`);
  const deletes = { repository, requests: [{ digest }], validateOnly: true };
  for await (const { requestIndex, outcome } of client.batchDelete(deletes)) {
    const reason = outcome?.$case === "status" ? new PortusError(outcome.value).reason : "";
    console.log(`  ${requestIndex}: ${reason}`);
  }
}

/** Shows what the gateway's index knows of the image, if it has one. */
async function showIndex(client: PortusClient, repository: string, tag: string, digest: string): Promise<void> {
  console.log(`tags on ${digest}`);
  try {
    for await (const found of client.foundTags({ wanted: { $case: "digest", value: digest } })) {
      console.log(`  ${found.repository}:${found.tag}`);
    }
  } catch (error) {
    show(error);
  }

  console.log(`history of ${repository}:${tag}`);
  try {
    for await (const event of client.tagHistory({ repository, tag })) {
      console.log(`  ${Event_Type[event.type]}: ${event.digest}`);
    }
  } catch (error) {
    show(error);
  }

  console.log(`current state of ${repository}`);
  try {
    const start = { $case: "currentState", value: true } as const;
    for await (const { events, currentStateComplete } of client.watch({ repositories: [repository], start })) {
      for (const event of events) {
        console.log(`  ${Event_Type[event.type]}: ${event.tag || event.repository}`);
      }
      if (currentStateComplete) {
        break;
      }
    }
  } catch (error) {
    show(error);
  }
}

function platformOf(platform: Platform | undefined): string {
  return `${platform?.os}/${platform?.architecture}`;
}

function tagsOf(repository: Repository): string {
  if (repository.tagsStatus !== undefined) {
    return `tags unknown, ${new PortusError(repository.tagsStatus).reason}`;
  }
  return repository.tags.join(", ") || "no tags";
}

/** Prints an error of the gateway, and throws any other again. */
function show(error: unknown): void {
  if (!(error instanceof PortusError) || error.reason === "") {
    throw error;
  }
  console.log(`  code: ${error.codeName}`);
  console.log(`  reason: ${error.reason}`);
  if (error.resourceName !== "") {
    console.log(`  ${error.resourceType}: ${error.resourceName}`);
  }
  if (error.tags.length > 0) {
    console.log(`  tags: ${error.tags.join(", ")}`);
  }
  if (error.retryDelayMs !== undefined) {
    console.log(`  retry after: ${error.retryDelayMs / 1000} s`);
  }
}

function security(): Security {
  const caFile = env["PORTUS_GATEWAY_CA_FILE"];
  const tokenFile = env["PORTUS_GATEWAY_TOKEN_FILE"];
  return caFile ? tls(caFile, tokenFile ? { tokenFile } : undefined) : plaintext();
}

const [address, repository, tag] = argv.slice(2);
if (address === undefined || repository === undefined || tag === undefined) {
  console.error("usage: scenario ADDRESS REPOSITORY TAG");
  exit(2);
}
const timeoutMs = 1000 * Number(env["PORTUS_GATEWAY_TIMEOUT"] ?? "30");
const client = new PortusClient(address, security(), {
  timeoutMs,
  deleteTimeoutMs: timeoutMs,
  streamTimeoutMs: timeoutMs,
});
try {
  await run(client, repository, tag);
} catch (error) {
  if (!(error instanceof PortusError)) {
    throw error;
  }
  console.error(`scenario: ${error.codeName}: ${error.reason && `${error.reason}: `}${error.message}`);
  exit(1);
} finally {
  client.close();
}
