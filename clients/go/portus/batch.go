package portus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"google.golang.org/grpc/codes"

	registryv1 "github.com/portus-gateway/portus-gateway/clients/go/portus/registry/v1"
)

// The gateway's limit for one call.
const maxBatch = 1000

// BatchManifests fetches any number of manifests. Every 1000 requests are one call of BatchGetManifests. Results come
// in the order in which the gateway has them; RequestIndex is the position of the request. If a manifest cannot be
// fetched, its result has a Status, which FromStatus reads, and the batch continues.
//
// If a call as a whole fails, its error ends the iteration; the results before it are valid. Leaving the loop ends the
// call. The deadline of ctx is for all calls together. Without one, each call has the client's stream timeout.
func (c *Client) BatchManifests(
	ctx context.Context, requests []*registryv1.GetManifestRequest,
) iter.Seq2[*registryv1.BatchGetManifestsResult, error] {
	return func(yield func(*registryv1.BatchGetManifestsResult, error) bool) {
		var first int32
		for chunk := range slices.Chunk(requests, maxBatch) {
			for result, err := range c.batch(ctx, chunk) {
				if err != nil {
					yield(nil, err)
					return
				}
				result.RequestIndex += first
				if !yield(result, nil) {
					return
				}
			}
			first += int32(len(chunk))
		}
	}
}

// batch makes one call. It yields one result for each request, or an error at the end.
func (c *Client) batch(
	ctx context.Context, requests []*registryv1.GetManifestRequest,
) iter.Seq2[*registryv1.BatchGetManifestsResult, error] {
	return func(yield func(*registryv1.BatchGetManifestsResult, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := c.BatchGetManifests(ctx, &registryv1.BatchGetManifestsRequest{Requests: requests})
		if err != nil {
			yield(nil, err)
			return
		}
		answered := make([]bool, len(requests))
		missing := len(requests)
		for {
			response, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for _, result := range response.GetResults() {
				index := int(result.GetRequestIndex())
				if index < 0 || index >= len(requests) || answered[index] {
					yield(nil, invalidBatch("the result for request %d comes twice or was not requested", index))
					return
				}
				answered[index] = true
				missing--
				if !yield(result, nil) {
					return
				}
			}
		}
		if missing > 0 {
			yield(nil, invalidBatch("%d of %d requests have no result", missing, len(requests)))
		}
	}
}

func invalidBatch(format string, arguments ...any) error {
	message := "the gateway's response to a batch is invalid: " + fmt.Sprintf(format, arguments...)
	return &Error{Code: codes.Internal, Message: message}
}
