package portus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/portus-gateway/portus-gateway/clients/go/portus"
	registryv1 "github.com/portus-gateway/portus-gateway/clients/go/portus/registry/v1"
)

func failure(t *testing.T, code codes.Code, message string, details ...protoadapt.MessageV1) error {
	t.Helper()
	stated, err := status.New(code, message).WithDetails(details...)
	if err != nil {
		t.Fatal(err)
	}
	return stated.Err()
}

func TestRefusalNamesItsReasonAndTheTags(t *testing.T) {
	g := &gateway{refusal: failure(t, codes.FailedPrecondition, "two tags",
		&errdetails.ErrorInfo{Reason: "TAGGED", Domain: "portus-gateway", Metadata: map[string]string{"tags": "2"}},
		&errdetails.ResourceInfo{ResourceType: "manifest", ResourceName: "team/app@sha256:0"},
		&errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{
			{Type: "TAGGED", Subject: "1.0"}, {Type: "OTHER", Subject: "x"}, {Type: "TAGGED", Subject: "latest"},
			{Type: "REFERENCED", Subject: "multi"},
		}},
	)}
	client := dial(t, g.start(t), portus.Plaintext())
	_, err := client.DeleteManifest(context.Background(), &registryv1.DeleteManifestRequest{})
	got, ok := portus.FromError(fmt.Errorf("while cleaning up: %w", err))
	if !ok {
		t.Fatalf("%v has no status", err)
	}
	if got.Code != codes.FailedPrecondition || got.CodeName() != "FAILED_PRECONDITION" || got.Reason != "TAGGED" ||
		got.Domain != "portus-gateway" || got.Metadata["tags"] != "2" || got.ResourceName != "team/app@sha256:0" {
		t.Errorf("got %+v", got)
	}
	if want := []string{"1.0", "latest"}; !slices.Equal(got.Tags, want) {
		t.Errorf("got the tags %v, want %v", got.Tags, want)
	}
	if want := []string{"multi"}; !slices.Equal(got.IndexTags, want) {
		t.Errorf("got the tags of indexes %v, want %v", got.IndexTags, want)
	}
}

func TestErrorsAsFindsTheErrorOfEveryKindOfCall(t *testing.T) {
	denied := failure(t, codes.PermissionDenied, "no", &errdetails.ErrorInfo{Reason: "DENIED"})
	g := &gateway{
		refusal: denied,
		catalog: func(context.Context, *registryv1.CatalogRequest) (*registryv1.CatalogResponse, error) {
			return nil, denied
		},
		batch: func(*registryv1.BatchGetManifestsRequest, batchStream) error { return denied },
	}
	client := dial(t, g.start(t), portus.Plaintext())
	ctx := context.Background()
	for name, call := range map[string]func() error{
		"unary": func() error {
			_, err := client.DeleteManifest(ctx, &registryv1.DeleteManifestRequest{})
			return err
		},
		"pages": func() (last error) {
			for _, last = range client.Repositories(ctx, &registryv1.CatalogRequest{}) {
			}
			return last
		},
		"batch": func() (last error) {
			for _, last = range client.BatchManifests(ctx, []*registryv1.GetManifestRequest{{}}) {
			}
			return last
		},
		"stream": func() error {
			stream, err := client.BatchGetManifests(ctx, &registryv1.BatchGetManifestsRequest{})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
	} {
		err := fmt.Errorf("while cleaning up: %w", call())
		var found *portus.Error
		if !errors.As(err, &found) || found.Reason != "DENIED" || found.Code != codes.PermissionDenied {
			t.Errorf("%s: errors.As finds %v in %v", name, found, err)
		}
		// Programs that know only gRPC find the status and its details.
		if stated := status.Convert(err); stated.Code() != codes.PermissionDenied || len(stated.Details()) != 1 {
			t.Errorf("%s: status.Convert finds %v", name, stated)
		}
	}
}

func TestErrorsAsFindsTheErrorsOfTheClientItself(t *testing.T) {
	g := &gateway{
		tags:  map[string]*registryv1.ListTagsResponse{"": {NextPageToken: ""}, "1": {NextPageToken: "1"}},
		batch: func(*registryv1.BatchGetManifestsRequest, batchStream) error { return nil },
	}
	client := dial(t, g.start(t), portus.Plaintext())
	var pages, batch error
	for _, pages = range client.Tags(context.Background(), &registryv1.ListTagsRequest{PageToken: "1"}) {
	}
	for _, batch = range client.BatchManifests(context.Background(), []*registryv1.GetManifestRequest{{}}) {
	}
	for _, err := range []error{pages, batch} {
		var found *portus.Error
		if !errors.As(err, &found) || found.Code != codes.Internal || status.Code(err) != codes.Internal {
			t.Errorf("got %v, want INTERNAL", err)
		}
	}
}

func TestFieldsAndRetryDelayAreRead(t *testing.T) {
	got, _ := portus.FromError(failure(t, codes.InvalidArgument, "no", &errdetails.BadRequest{
		FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "repository", Description: "is empty"}},
	}, &errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)}))
	if want := []portus.FieldViolation{{Field: "repository", Description: "is empty"}}; !slices.Equal(got.Fields, want) {
		t.Errorf("got the fields %v, want %v", got.Fields, want)
	}
	if got.RetryDelay != 1500*time.Millisecond {
		t.Errorf("got the delay %v, want 1.5s", got.RetryDelay)
	}
}

func TestUnknownDetailIsLeftOut(t *testing.T) {
	stated := status.New(codes.NotFound, "none").Proto()
	stated.Details = []*anypb.Any{{TypeUrl: "type.googleapis.com/from.the.Future", Value: []byte{1}}}
	info, err := anypb.New(&errdetails.ErrorInfo{Reason: "MANIFEST_UNKNOWN"})
	if err != nil {
		t.Fatal(err)
	}
	stated.Details = append(stated.Details, info)
	if got := portus.FromStatus(stated); got.Reason != "MANIFEST_UNKNOWN" || got.Error() != "NOT_FOUND: MANIFEST_UNKNOWN: none" {
		t.Errorf("got %v", got)
	}
}

func TestUnreachableGatewayIsSaidWithWhatToLookAt(t *testing.T) {
	got, _ := portus.FromError(failure(t, codes.Unavailable, "connection refused"))
	if text := got.Error(); !strings.Contains(text, "connection refused") || !strings.Contains(text, "whether the gateway uses TLS") {
		t.Errorf("got %q", text)
	}
}

func TestWhatIsNoErrorOfGRPCHasNoDetails(t *testing.T) {
	for _, err := range []error{nil, errors.New("disk full")} {
		if got, ok := portus.FromError(err); ok {
			t.Errorf("got %v of %v", got, err)
		}
	}
}
