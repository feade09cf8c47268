package portus_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/portus-gateway/portus-gateway/clients/go/portus"
	registryv1 "github.com/portus-gateway/portus-gateway/clients/go/portus/registry/v1"
)

func TestBatchComesAsItIsKnownAndWhatFailsIsOneRequestsOwn(t *testing.T) {
	information, err := anypb.New(&errdetails.ErrorInfo{Reason: "MANIFEST_UNKNOWN", Domain: "portus-gateway"})
	if err != nil {
		t.Fatal(err)
	}
	unknown := &statuspb.Status{Code: int32(codes.NotFound), Details: []*anypb.Any{information}}
	g := &gateway{batch: func(request *registryv1.BatchGetManifestsRequest, stream batchStream) error {
		failed := &registryv1.BatchGetManifestsResult{
			RequestIndex: 0, Outcome: &registryv1.BatchGetManifestsResult_Status{Status: unknown},
		}
		if err := send(stream, answer(request, 2), failed); err != nil {
			return err
		}
		return send(stream, answer(request, 1))
	}}
	client := dial(t, g.start(t), portus.Plaintext())
	var got []string
	for result, err := range client.BatchManifests(context.Background(), requests(3)) {
		if err != nil {
			t.Fatal(err)
		}
		outcome := string(result.GetManifest().GetRaw())
		if result.GetStatus() != nil {
			outcome = portus.FromStatus(result.GetStatus()).Reason
		}
		got = append(got, fmt.Sprint(result.GetRequestIndex(), " ", outcome))
	}
	if want := []string{"2 tag-2", "0 MANIFEST_UNKNOWN", "1 tag-1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBatchOfManyTakesSeveralCalls(t *testing.T) {
	var sizes []int
	g := &gateway{batch: func(request *registryv1.BatchGetManifestsRequest, stream batchStream) error {
		sizes = append(sizes, len(request.GetRequests()))
		return answerAll(request, stream)
	}}
	client := dial(t, g.start(t), portus.Plaintext())
	batch := client.BatchManifests(context.Background(), requests(2500))
	if g.calls.Load() != 0 {
		t.Error("called before it was ranged over")
	}
	next := 0
	for result, err := range batch {
		if err != nil {
			t.Fatal(err)
		}
		if got := string(result.GetManifest().GetRaw()); int(result.GetRequestIndex()) != next || got != fmt.Sprint("tag-", next) {
			t.Fatalf("request %d was answered with %s, want request %d", result.GetRequestIndex(), got, next)
		}
		next++
	}
	if want := []int{1000, 1000, 500}; next != 2500 || !slices.Equal(sizes, want) {
		t.Errorf("%d results, calls of %v, want 2500 and calls of %v", next, sizes, want)
	}
}

func TestBatchOfNothingIsNoCall(t *testing.T) {
	g := &gateway{}
	client := dial(t, g.start(t), portus.Plaintext())
	for range client.BatchManifests(context.Background(), nil) {
		t.Error("a result for nothing")
	}
	if calls := g.calls.Load(); calls != 0 {
		t.Errorf("%d calls, want none", calls)
	}
}

func TestOtherBatchesTakeSeveralCallsToo(t *testing.T) {
	g := &gateway{
		resolve: func(request *registryv1.BatchResolveManifestsRequest, stream grpc.ServerStreamingServer[registryv1.BatchResolveManifestsResponse]) error {
			for index, asked := range request.GetRequests() {
				found := &registryv1.Descriptor{Digest: asked.GetTag()}
				if err := stream.Send(&registryv1.BatchResolveManifestsResponse{Results: []*registryv1.BatchResolveManifestsResult{{
					RequestIndex: int32(index), Outcome: &registryv1.BatchResolveManifestsResult_Descriptor_{Descriptor_: found},
				}}}); err != nil {
					return err
				}
			}
			return nil
		},
		configs: func(request *registryv1.BatchGetImageConfigsRequest, stream grpc.ServerStreamingServer[registryv1.BatchGetImageConfigsResponse]) error {
			for index, asked := range request.GetRequests() {
				found := &registryv1.ImageConfig{Author: asked.GetTag()}
				if err := stream.Send(&registryv1.BatchGetImageConfigsResponse{Results: []*registryv1.BatchGetImageConfigsResult{{
					RequestIndex: int32(index), Outcome: &registryv1.BatchGetImageConfigsResult_ImageConfig{ImageConfig: found},
				}}}); err != nil {
					return err
				}
			}
			return nil
		},
	}
	client := dial(t, g.start(t), portus.Plaintext())
	var references []*registryv1.ResolveManifestRequest
	var configs []*registryv1.GetImageConfigRequest
	for index := range 1001 {
		tag := fmt.Sprint("tag-", index)
		references = append(references, &registryv1.ResolveManifestRequest{Reference: &registryv1.ResolveManifestRequest_Tag{Tag: tag}})
		configs = append(configs, &registryv1.GetImageConfigRequest{Reference: &registryv1.GetImageConfigRequest_Tag{Tag: tag}})
	}
	count := 0
	for result, err := range client.BatchResolve(context.Background(), references) {
		if want := fmt.Sprint("tag-", result.GetRequestIndex()); err != nil || result.GetDescriptor_().GetDigest() != want {
			t.Fatalf("got %v and %v, want %s", result, err, want)
		}
		count++
	}
	for result, err := range client.BatchImageConfigs(context.Background(), configs) {
		if want := fmt.Sprint("tag-", result.GetRequestIndex()); err != nil || result.GetImageConfig().GetAuthor() != want {
			t.Fatalf("got %v and %v, want %s", result, err, want)
		}
		count++
	}
	if calls := g.calls.Load(); count != 2002 || calls != 4 {
		t.Errorf("%d results of %d calls, want 2002 of 4", count, calls)
	}
}

func TestBatchOfDeletesIsOneCallAndIsNeverRepeated(t *testing.T) {
	g := &gateway{deletes: func(request *registryv1.BatchDeleteManifestsRequest, stream grpc.ServerStreamingServer[registryv1.BatchDeleteManifestsResponse]) error {
		deleted := &registryv1.DeleteManifestResponse{Digest: request.GetRequests()[0].GetDigest()}
		if err := stream.Send(&registryv1.BatchDeleteManifestsResponse{Results: []*registryv1.BatchDeleteManifestsResult{{
			Outcome: &registryv1.BatchDeleteManifestsResult_Deleted{Deleted: deleted},
		}}}); err != nil {
			return err
		}
		return status.Error(codes.Unavailable, "not now")
	}}
	client := dial(t, g.start(t), portus.Plaintext())
	request := &registryv1.BatchDeleteManifestsRequest{Repository: "team/app"}
	for index := range 2 {
		request.Requests = append(request.Requests, &registryv1.DeleteManifestRequest{Digest: fmt.Sprint("sha256:", index)})
	}
	var deleted []string
	var last error
	for result, err := range client.BatchDelete(context.Background(), request) {
		deleted, last = append(deleted, result.GetDeleted().GetDigest()), err
	}
	if want := []string{"sha256:0", ""}; !slices.Equal(deleted, want) || status.Code(last) != codes.Unavailable {
		t.Errorf("got %v and %v, want one deleted manifest and UNAVAILABLE", deleted, last)
	}
	if calls := g.calls.Load(); calls != 1 {
		t.Errorf("%d calls, want 1", calls)
	}
}

func TestErrorEndsTheBatchAndWhatCameBeforeItStands(t *testing.T) {
	g := &gateway{}
	g.batch = func(request *registryv1.BatchGetManifestsRequest, stream batchStream) error {
		if g.calls.Load() == 2 {
			return status.Error(codes.PermissionDenied, "no more")
		}
		return answerAll(request, stream)
	}
	client := dial(t, g.start(t), portus.Plaintext())
	results := 0
	var last error
	for result, err := range client.BatchManifests(context.Background(), requests(2500)) {
		if result != nil {
			results++
		}
		last = err
	}
	if calls := g.calls.Load(); results != 1000 || calls != 2 || status.Code(last) != codes.PermissionDenied {
		t.Errorf("%d results of %d calls and %v, want 1000 of 2 and PERMISSION_DENIED", results, calls, last)
	}
}

func TestBatchIsRetriedWhileTheGatewayIsUnavailable(t *testing.T) {
	g := &gateway{}
	g.batch = func(request *registryv1.BatchGetManifestsRequest, stream batchStream) error {
		if g.calls.Load() < 3 {
			return status.Error(codes.Unavailable, "not now")
		}
		return answerAll(request, stream)
	}
	client := dial(t, g.start(t), portus.Plaintext())
	for _, err := range client.BatchManifests(context.Background(), requests(2)) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if calls := g.calls.Load(); calls != 3 {
		t.Errorf("%d calls, want 3", calls)
	}
}

func TestBatchEndsWithItsReader(t *testing.T) {
	ended := make(chan struct{})
	g := &gateway{batch: func(request *registryv1.BatchGetManifestsRequest, stream batchStream) error {
		defer close(ended)
		return answerOne(request, stream)
	}}
	client := dial(t, g.start(t), portus.Plaintext())
	for _, err := range client.BatchManifests(context.Background(), requests(2)) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the call goes on")
	}
}

func TestBatchWithoutDeadlineHasTheClients(t *testing.T) {
	g := &gateway{batch: answerOne}
	client := dial(t, g.start(t), portus.Plaintext(), portus.WithStreamTimeout(300*time.Millisecond))
	var got []codes.Code
	for _, err := range client.BatchManifests(context.Background(), requests(2)) {
		got = append(got, status.Code(err))
	}
	if want := []codes.Code{codes.OK, codes.DeadlineExceeded}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAnswerThatDoesNotFitTheBatchIsAnError(t *testing.T) {
	for said, indexes := range map[string][]int32{
		"request 2 comes twice":          {0, 2},
		"request -1 comes twice":         {-1},
		"request 0 comes twice":          {0, 0},
		"1 of 2 requests have no result": {0},
		"2 of 2 requests have no result": {},
	} {
		t.Run(said, func(t *testing.T) {
			g := &gateway{batch: func(_ *registryv1.BatchGetManifestsRequest, stream batchStream) error {
				var results []*registryv1.BatchGetManifestsResult
				for _, index := range indexes {
					results = append(results, &registryv1.BatchGetManifestsResult{RequestIndex: index})
				}
				return send(stream, results...)
			}}
			client := dial(t, g.start(t), portus.Plaintext())
			var last error
			for _, err := range client.BatchManifests(context.Background(), requests(2)) {
				last = err
			}
			if status.Code(last) != codes.Internal || !strings.Contains(last.Error(), said) {
				t.Errorf("got %v, want INTERNAL: %s", last, said)
			}
		})
	}
}

// requests are for the tags tag-0, tag-1 and so on.
func requests(count int) []*registryv1.GetManifestRequest {
	var made []*registryv1.GetManifestRequest
	for index := range count {
		tag := &registryv1.GetManifestRequest_Tag{Tag: fmt.Sprint("tag-", index)}
		made = append(made, &registryv1.GetManifestRequest{Repository: "team/app", Reference: tag})
	}
	return made
}

// answer is a manifest whose bytes are the tag of the request.
func answer(request *registryv1.BatchGetManifestsRequest, index int) *registryv1.BatchGetManifestsResult {
	return &registryv1.BatchGetManifestsResult{
		RequestIndex: int32(index),
		Outcome: &registryv1.BatchGetManifestsResult_Manifest{
			Manifest: &registryv1.Manifest{Raw: []byte(request.GetRequests()[index].GetTag())},
		},
	}
}

func answerAll(request *registryv1.BatchGetManifestsRequest, stream batchStream) error {
	for index := range request.GetRequests() {
		if err := send(stream, answer(request, index)); err != nil {
			return err
		}
	}
	return nil
}

// answerOne answers only the first request.
func answerOne(request *registryv1.BatchGetManifestsRequest, stream batchStream) error {
	if err := send(stream, answer(request, 0)); err != nil {
		return err
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

func send(stream batchStream, results ...*registryv1.BatchGetManifestsResult) error {
	return stream.Send(&registryv1.BatchGetManifestsResponse{Results: results})
}
