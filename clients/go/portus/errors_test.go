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
	if text := got.Error(); !strings.Contains(text, "connection refused") || !strings.Contains(text, "TLS or plaintext") {
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
