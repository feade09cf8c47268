// Command scenario shows how to use the gateway: it lists the catalog with its tags and verifies a
// manifest. It shows what is in the image, what refers to it, and what the index knows of it. It tries a delete that is
// refused, and requests a tag that does not exist.
//
//	scenario ADDRESS REPOSITORY TAG
//
// PORTUS_GATEWAY_CA_FILE turns TLS on, PORTUS_GATEWAY_TOKEN_FILE is a file with a bearer token, and
// PORTUS_GATEWAY_TIMEOUT is the timeout of each call in seconds.
package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/portus-gateway/portus-gateway/clients/go/portus"
	registryv1 "github.com/portus-gateway/portus-gateway/clients/go/portus/registry/v1"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: scenario ADDRESS REPOSITORY TAG")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "scenario:", err)
		os.Exit(1)
	}
}

func run(address, repository, tag string) error {
	client, err := dial(address)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx := context.Background()

	fmt.Println("catalog")
	for listed, err := range client.Repositories(ctx, &registryv1.CatalogRequest{IncludeTags: true}) {
		if err != nil {
			return err
		}
		fmt.Printf("  %s: %s\n", listed.GetName(), tagsOf(listed))
	}

	answer, err := client.GetManifest(ctx, &registryv1.GetManifestRequest{
		Repository: repository,
		Reference:  &registryv1.GetManifestRequest_Tag{Tag: tag},
	})
	if err != nil {
		return err
	}
	manifest := answer.GetManifest()
	digest := manifest.GetDescriptor_().GetDigest()
	computed := fmt.Sprintf("sha256:%x", sha256.Sum256(manifest.GetRaw()))
	fmt.Printf("manifest %s:%s\n", repository, tag)
	fmt.Printf("  media type: %s\n", manifest.GetDescriptor_().GetMediaType())
	fmt.Printf("  size: %d\n", len(manifest.GetRaw()))
	fmt.Printf("  digest: %s\n", digest)
	fmt.Printf("  SHA-256 of the bytes: %s\n", computed)
	if computed != digest {
		return fmt.Errorf("the digest of the bytes is not %s", digest)
	}

	if err := content(ctx, client, repository, tag, manifest); err != nil {
		return err
	}
	if err := indexed(ctx, client, repository, tag, digest); err != nil {
		return err
	}

	for _, validateOnly := range []bool{true, false} {
		fmt.Printf("delete %s@%s, expecting the tag %s, validate only: %t\n", repository, digest, tag, validateOnly)
		deleted, err := client.DeleteManifest(ctx, &registryv1.DeleteManifestRequest{
			Repository:   repository,
			Digest:       digest,
			ExpectedTags: []string{tag},
			ValidateOnly: validateOnly,
		})
		if err == nil {
			fmt.Printf("  deleted, with the tags: %s\n", strings.Join(deleted.GetDeletedTags(), ", "))
			continue
		}
		if err := show(err); err != nil {
			return err
		}
	}

	fmt.Printf("manifest %s:no-such-tag\n", repository)
	_, err = client.GetManifest(ctx, &registryv1.GetManifestRequest{
		Repository: repository,
		Reference:  &registryv1.GetManifestRequest_Tag{Tag: "no-such-tag"},
	})
	return show(err)
}

// content shows what is in the image, the repository's tags, and what refers to the image.
func content(ctx context.Context, client *portus.Client, repository, tag string, manifest *registryv1.Manifest) error {
	answer, err := client.GetImageConfig(ctx, &registryv1.GetImageConfigRequest{
		Repository: repository,
		Reference:  &registryv1.GetImageConfigRequest_Tag{Tag: tag},
	})
	if err != nil {
		return err
	}
	config := answer.GetImageConfig()
	fmt.Printf("configuration of %s:%s\n", repository, tag)
	fmt.Printf("  created: %s\n", config.GetCreated().AsTime().Format(time.RFC3339))
	fmt.Printf("  platform: %s\n", platform(config.GetPlatform()))
	fmt.Printf("  digest: %s\n", config.GetConfig().GetDigest())

	for _, layer := range manifest.GetImage().GetLayers() {
		fmt.Printf("layer %s\n", layer.GetDigest())
		blob, err := client.OpenBlob(ctx, &registryv1.ReadBlobRequest{Repository: repository, Digest: layer.GetDigest()})
		if err != nil {
			return err
		}
		hash := sha256.New()
		size, err := io.Copy(hash, blob)
		blob.Close()
		if err != nil {
			return err
		}
		fmt.Printf("  size: %d of %d\n", size, blob.Size())
		fmt.Printf("  SHA-256 of the bytes: sha256:%x\n", hash.Sum(nil))
	}

	fmt.Printf("tags of %s\n", repository)
	for details, err := range client.TagDetails(ctx, &registryv1.ListTagsRequest{Repository: repository, OmitReferrerTags: true}) {
		if err != nil {
			return err
		}
		platforms := "no platform"
		if len(details.GetPlatforms()) > 0 {
			platforms = platform(details.GetPlatforms()[0])
		}
		fmt.Printf("  %s: %s, %d bytes, %s\n", details.GetTag(), details.GetDescriptor_().GetDigest(), details.GetTotalSize(), platforms)
	}

	digest := manifest.GetDescriptor_().GetDigest()
	fmt.Printf("referrers of %s@%s\n", repository, digest)
	for referrer, err := range client.Referrers(ctx, &registryv1.ListReferrersRequest{Repository: repository, Digest: digest}) {
		if err != nil {
			return err
		}
		fmt.Printf("  %s: %s\n", referrer.GetDescriptor_().GetArtifactType(), referrer.GetDescriptor_().GetDigest())
	}

	fmt.Printf("digests of %s and no-such-tag\n", tag)
	outcomes := make([]string, 2)
	for result, err := range client.BatchResolve(ctx, []*registryv1.ResolveManifestRequest{
		{Repository: repository, Reference: &registryv1.ResolveManifestRequest_Tag{Tag: tag}},
		{Repository: repository, Reference: &registryv1.ResolveManifestRequest_Tag{Tag: "no-such-tag"}},
	}) {
		if err != nil {
			return err
		}
		outcomes[result.GetRequestIndex()] = result.GetDescriptor_().GetDigest()
		if result.GetStatus() != nil {
			outcomes[result.GetRequestIndex()] = portus.FromStatus(result.GetStatus()).Reason
		}
	}
	for index, outcome := range outcomes {
		fmt.Printf("  %d: %s\n", index, outcome)
	}

	fmt.Printf("delete the tag %s of %s, validate only\n", tag, repository)
	deleted, err := client.DeleteTag(ctx, &registryv1.DeleteTagRequest{
		Repository: repository, Tag: tag, ExpectedDigest: digest, ValidateOnly: true,
	})
	if err == nil {
		fmt.Printf("  deleted, it pointed to: %s\n", deleted.GetDigest())
	} else if err := show(err); err != nil {
		return err
	}

	fmt.Printf("batch of deletes in %s, validate only\n", repository)
	deletes := &registryv1.BatchDeleteManifestsRequest{
		Repository:   repository,
		Requests:     []*registryv1.DeleteManifestRequest{{Digest: digest}},
		ValidateOnly: true,
	}
	for result, err := range client.BatchDelete(ctx, deletes) {
		if err != nil {
			return err
		}
		fmt.Printf("  %d: %s\n", result.GetRequestIndex(), portus.FromStatus(result.GetStatus()).Reason)
	}
	return nil
}

// indexed shows what the gateway's index knows of the image, if it has one.
func indexed(ctx context.Context, client *portus.Client, repository, tag, digest string) error {
	fmt.Printf("tags on %s\n", digest)
	found := &registryv1.FindTagsRequest{Wanted: &registryv1.FindTagsRequest_Digest{Digest: digest}}
	for tag, err := range client.FoundTags(ctx, found) {
		if err != nil {
			if err := show(err); err != nil {
				return err
			}
			break
		}
		fmt.Printf("  %s:%s\n", tag.GetRepository(), tag.GetTag())
	}

	fmt.Printf("history of %s:%s\n", repository, tag)
	history := &registryv1.ListTagHistoryRequest{Repository: repository, Tag: tag}
	for event, err := range client.TagHistory(ctx, history) {
		if err != nil {
			if err := show(err); err != nil {
				return err
			}
			break
		}
		fmt.Printf("  %s: %s\n", event.GetType(), event.GetDigest())
	}

	fmt.Printf("current state of %s\n", repository)
	for update, err := range client.Watch(ctx, &registryv1.WatchEventsRequest{
		Repositories: []string{repository},
		Start:        &registryv1.WatchEventsRequest_CurrentState{CurrentState: true},
	}) {
		if err != nil {
			return show(err)
		}
		for _, event := range update.Events {
			fmt.Printf("  %s: %s\n", event.GetType(), cmp.Or(event.GetTag(), event.GetRepository()))
		}
		if update.CurrentStateComplete {
			break
		}
	}
	return nil
}

func platform(platform *registryv1.Platform) string {
	return platform.GetOs() + "/" + platform.GetArchitecture()
}

func dial(address string) (*portus.Client, error) {
	security := portus.Plaintext()
	if caFile := os.Getenv("PORTUS_GATEWAY_CA_FILE"); caFile != "" {
		security = portus.TLS(caFile)
	}
	var options []portus.Option
	if tokenFile := os.Getenv("PORTUS_GATEWAY_TOKEN_FILE"); tokenFile != "" {
		options = append(options, portus.WithTokenFile(tokenFile))
	}
	if text := os.Getenv("PORTUS_GATEWAY_TIMEOUT"); text != "" {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		timeout := time.Duration(seconds * float64(time.Second))
		options = append(options, portus.WithTimeout(timeout), portus.WithDeleteTimeout(timeout),
			portus.WithStreamTimeout(timeout))
	}
	return portus.Dial(address, security, options...)
}

func tagsOf(repository *registryv1.Repository) string {
	if repository.GetTagsStatus() != nil {
		return "tags unknown, " + portus.FromStatus(repository.GetTagsStatus()).Reason
	}
	if len(repository.GetTags()) == 0 {
		return "no tags"
	}
	return strings.Join(repository.GetTags(), ", ")
}

// show prints an error of the gateway, and returns any other.
func show(err error) error {
	var failure *portus.Error
	if !errors.As(err, &failure) || failure.Reason == "" {
		return err
	}
	fmt.Printf("  code: %s\n  reason: %s\n", failure.CodeName(), failure.Reason)
	if failure.ResourceName != "" {
		fmt.Printf("  %s: %s\n", failure.ResourceType, failure.ResourceName)
	}
	if len(failure.Tags) > 0 {
		fmt.Printf("  tags: %s\n", strings.Join(failure.Tags, ", "))
	}
	if failure.RetryDelay > 0 {
		fmt.Printf("  retry after: %g s\n", failure.RetryDelay.Seconds())
	}
	return nil
}
