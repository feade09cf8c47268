package portus

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	registryv1 "github.com/portus-gateway/portus-gateway/clients/go/portus/registry/v1"
)

// The gateway takes no more in one call.
const maxBatch = 1000

// BatchManifests fetches many manifests, as many as you like: every 1000 of the requests are a call of
// BatchGetManifests. Results come as the gateway knows them, not in the order of the requests: RequestIndex is the
// position of a result's request. What fails is that one's Status, which FromStatus reads, and ends nothing.
//
// An error of a call as a whole ends the iteration; what came before it stands. Leaving the loop ends the call. The
// deadline of ctx bounds all calls together; without one each has the client's stream timeout.
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

// batch is one call. Each of its requests is answered once, or an error comes last.
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
					yield(nil, unfit("it answers request %d, which was answered already or never made", index))
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
			yield(nil, unfit("it ended without a result for %d of %d requests", missing, len(requests)))
		}
	}
}

func unfit(format string, arguments ...any) error {
	return status.Errorf(codes.Internal, "the gateway's answer to a batch does not fit: "+format, arguments...)
}
