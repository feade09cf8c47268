package portus

import (
	"context"
	"iter"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	registryv1 "github.com/portus-gateway/portus-gateway/clients/go/portus/registry/v1"
)

// Repositories iterates over the catalog, beginning at the request's page. It fetches each page when it is needed. An
// error ends the iteration. A page token that comes twice is an error, because the listing would have no end. The
// deadline of ctx is for all pages together. Without one, each page has the client's timeout.
func (c *Client) Repositories(
	ctx context.Context, request *registryv1.CatalogRequest,
) iter.Seq2[*registryv1.Repository, error] {
	return pages(request.GetPageToken(), func(token string) ([]*registryv1.Repository, string, error) {
		page := proto.CloneOf(request)
		page.PageToken = token
		response, err := c.Catalog(ctx, page)
		return response.GetRepositories(), response.GetNextPageToken(), err
	})
}

// Tags iterates over the tags of a repository, as Repositories does over the catalog. The request can choose tags by the
// digest that they point to, and their order.
func (c *Client) Tags(ctx context.Context, request *registryv1.ListTagsRequest) iter.Seq2[string, error] {
	return pages(request.GetPageToken(), func(token string) ([]string, string, error) {
		page := proto.CloneOf(request)
		page.PageToken = token
		response, err := c.ListTags(ctx, page)
		return response.GetTags(), response.GetNextPageToken(), err
	})
}

// TagDetails iterates over what is known of each tag: what it points to (view DESCRIPTORS), and with the view FULL also
// when its image was built, its size and its platforms. The view of the request is FULL if it is not set. A tag of which
// something could not be found out has a Status, and the listing continues.
func (c *Client) TagDetails(
	ctx context.Context, request *registryv1.ListTagsRequest,
) iter.Seq2[*registryv1.TagDetails, error] {
	return pages(request.GetPageToken(), func(token string) ([]*registryv1.TagDetails, string, error) {
		page := proto.CloneOf(request)
		page.PageToken = token
		if page.View == registryv1.ListTagsRequest_NAMES {
			page.View = registryv1.ListTagsRequest_FULL
		}
		response, err := c.ListTags(ctx, page)
		return response.GetDetails(), response.GetNextPageToken(), err
	})
}

// Referrers iterates over what refers to a manifest: signatures, attestations, SBOMs and other artifacts. It works like
// Repositories.
func (c *Client) Referrers(
	ctx context.Context, request *registryv1.ListReferrersRequest,
) iter.Seq2[*registryv1.Referrer, error] {
	return pages(request.GetPageToken(), func(token string) ([]*registryv1.Referrer, string, error) {
		page := proto.CloneOf(request)
		page.PageToken = token
		response, err := c.ListReferrers(ctx, page)
		return response.GetReferrers(), response.GetNextPageToken(), err
	})
}

// TagHistory iterates over what happened to a tag, the latest event first, as the gateway's index saw it. It works like
// Repositories.
func (c *Client) TagHistory(
	ctx context.Context, request *registryv1.ListTagHistoryRequest,
) iter.Seq2[*registryv1.Event, error] {
	return pages(request.GetPageToken(), func(token string) ([]*registryv1.Event, string, error) {
		page := proto.CloneOf(request)
		page.PageToken = token
		response, err := c.ListTagHistory(ctx, page)
		return response.GetEvents(), response.GetNextPageToken(), err
	})
}

// FoundTags iterates over the tags of all repositories that FindTags finds in the gateway's index. It works like
// Repositories.
func (c *Client) FoundTags(
	ctx context.Context, request *registryv1.FindTagsRequest,
) iter.Seq2[*registryv1.FoundTag, error] {
	return pages(request.GetPageToken(), func(token string) ([]*registryv1.FoundTag, string, error) {
		page := proto.CloneOf(request)
		page.PageToken = token
		response, err := c.FindTags(ctx, page)
		return response.GetTags(), response.GetNextPageToken(), err
	})
}

func pages[Item any](token string, fetch func(token string) ([]Item, string, error)) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		var none Item
		// A caller can range over the iterator again, from the start.
		seen := map[string]bool{}
		for token := token; ; {
			seen[token] = true
			items, next, err := fetch(token)
			if err != nil {
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			if seen[next] {
				yield(none, &Error{
					Code:    codes.Internal,
					Message: "the gateway repeats a page token, so the listing has no end",
				})
				return
			}
			token = next
		}
	}
}
