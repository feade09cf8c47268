package portus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"google.golang.org/grpc"
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
	return inCalls(requests, func(chunk []*registryv1.GetManifestRequest) iter.Seq2[*registryv1.BatchGetManifestsResult, error] {
		return results(ctx, len(chunk), func(ctx context.Context) (grpc.ServerStreamingClient[registryv1.BatchGetManifestsResponse], error) {
			return c.BatchGetManifests(ctx, &registryv1.BatchGetManifestsRequest{Requests: chunk})
		}, (*registryv1.BatchGetManifestsResponse).GetResults, manifestIndex)
	}, manifestIndex)
}

// BatchImageConfigs fetches the configurations of any number of images, as BatchManifests fetches manifests.
func (c *Client) BatchImageConfigs(
	ctx context.Context, requests []*registryv1.GetImageConfigRequest,
) iter.Seq2[*registryv1.BatchGetImageConfigsResult, error] {
	return inCalls(requests, func(chunk []*registryv1.GetImageConfigRequest) iter.Seq2[*registryv1.BatchGetImageConfigsResult, error] {
		return results(ctx, len(chunk), func(ctx context.Context) (grpc.ServerStreamingClient[registryv1.BatchGetImageConfigsResponse], error) {
			return c.BatchGetImageConfigs(ctx, &registryv1.BatchGetImageConfigsRequest{Requests: chunk})
		}, (*registryv1.BatchGetImageConfigsResponse).GetResults, imageConfigIndex)
	}, imageConfigIndex)
}

// BatchResolve resolves any number of tags and digests to descriptors, as BatchManifests fetches manifests.
func (c *Client) BatchResolve(
	ctx context.Context, requests []*registryv1.ResolveManifestRequest,
) iter.Seq2[*registryv1.BatchResolveManifestsResult, error] {
	return inCalls(requests, func(chunk []*registryv1.ResolveManifestRequest) iter.Seq2[*registryv1.BatchResolveManifestsResult, error] {
		return results(ctx, len(chunk), func(ctx context.Context) (grpc.ServerStreamingClient[registryv1.BatchResolveManifestsResponse], error) {
			return c.BatchResolveManifests(ctx, &registryv1.BatchResolveManifestsRequest{Requests: chunk})
		}, (*registryv1.BatchResolveManifestsResponse).GetResults, descriptorIndex)
	}, descriptorIndex)
}

// BatchDelete deletes up to 1000 manifests of one repository in one call of BatchDeleteManifests, because the gateway
// judges them as a whole. Each result has what was deleted, or a Status: that manifest was not deleted, and the batch
// continues.
//
// An error ends the iteration. The manifests without a result may or may not be deleted then. A call that began is not
// repeated; a second range over the same iterator is a second call. If ctx has no deadline, the call has the client's stream timeout, or its timeout of deletes if that is longer.
func (c *Client) BatchDelete(
	ctx context.Context, request *registryv1.BatchDeleteManifestsRequest,
) iter.Seq2[*registryv1.BatchDeleteManifestsResult, error] {
	return results(ctx, len(request.GetRequests()), func(ctx context.Context) (grpc.ServerStreamingClient[registryv1.BatchDeleteManifestsResponse], error) {
		return c.BatchDeleteManifests(ctx, request)
	}, (*registryv1.BatchDeleteManifestsResponse).GetResults, deletionIndex)
}

func manifestIndex(result *registryv1.BatchGetManifestsResult) *int32 { return &result.RequestIndex }
func imageConfigIndex(result *registryv1.BatchGetImageConfigsResult) *int32 {
	return &result.RequestIndex
}
func descriptorIndex(result *registryv1.BatchResolveManifestsResult) *int32 {
	return &result.RequestIndex
}
func deletionIndex(result *registryv1.BatchDeleteManifestsResult) *int32 { return &result.RequestIndex }

// inCalls makes a call for every 1000 requests, when its results are needed. index is the field of a result that has the
// position of its request, first in the call and then in requests.
func inCalls[Request, Result any](
	requests []Request, call func(chunk []Request) iter.Seq2[*Result, error], index func(*Result) *int32,
) iter.Seq2[*Result, error] {
	return func(yield func(*Result, error) bool) {
		var first int32
		for chunk := range slices.Chunk(requests, maxBatch) {
			for result, err := range call(chunk) {
				if err != nil {
					yield(nil, err)
					return
				}
				*index(result) += first
				if !yield(result, nil) {
					return
				}
			}
			first += int32(len(chunk))
		}
	}
}

// results makes one call. It yields one result for each of the requests, or an error at the end.
func results[Response, Result any](
	ctx context.Context, requests int,
	call func(context.Context) (grpc.ServerStreamingClient[Response], error),
	resultsOf func(*Response) []*Result, index func(*Result) *int32,
) iter.Seq2[*Result, error] {
	return func(yield func(*Result, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := call(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		answered := make([]bool, requests)
		missing := requests
		for {
			response, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for _, result := range resultsOf(response) {
				index := int(*index(result))
				if index < 0 || index >= requests || answered[index] {
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
			yield(nil, invalidBatch("%d of %d requests have no result", missing, requests))
		}
	}
}

func invalidBatch(format string, arguments ...any) error {
	message := "the gateway's response to a batch is invalid: " + fmt.Sprintf(format, arguments...)
	return &Error{Code: codes.Internal, Message: message}
}
