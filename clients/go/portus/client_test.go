package portus_test

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/portus-gateway/portus-gateway/clients/go/portus"
	registryv1 "github.com/portus-gateway/portus-gateway/clients/go/portus/registry/v1"
)

func TestServiceConfigIsTheOneBesideTheProto(t *testing.T) {
	shipped, err := os.ReadFile("../../../protos/portus/registry/v1/service_config.json")
	if err != nil {
		t.Skip("outside of the repository:", err)
	}
	if string(shipped) != portus.ServiceConfig {
		t.Error("service_config.json differs from protos/: run clients/generate go")
	}
}

func TestReadIsRetriedWhileTheGatewayIsUnavailable(t *testing.T) {
	g := &gateway{}
	g.get = func(context.Context) (*registryv1.GetManifestResponse, error) {
		if g.calls.Load() < 3 {
			return nil, status.Error(codes.Unavailable, "not now")
		}
		return &registryv1.GetManifestResponse{}, nil
	}
	client := dial(t, g.start(t), portus.Plaintext())
	if _, err := client.GetManifest(context.Background(), &registryv1.GetManifestRequest{}); err != nil {
		t.Fatal(err)
	}
	if calls := g.calls.Load(); calls != 3 {
		t.Errorf("%d calls, want 3", calls)
	}
}

func TestDeleteIsNeverRetried(t *testing.T) {
	g := &gateway{refusal: status.Error(codes.Unavailable, "the outcome is unknown")}
	client := dial(t, g.start(t), portus.Plaintext())
	_, err := client.DeleteManifest(context.Background(), &registryv1.DeleteManifestRequest{})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want UNAVAILABLE", err)
	}
	if calls := g.calls.Load(); calls != 1 {
		t.Errorf("%d calls, want 1", calls)
	}
}

func TestCallWithoutDeadlineHasTheClients(t *testing.T) {
	g := &gateway{get: func(ctx context.Context) (*registryv1.GetManifestResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	client := dial(t, g.start(t), portus.Plaintext(), portus.WithTimeout(200*time.Millisecond))
	_, err := client.GetManifest(context.Background(), &registryv1.GetManifestRequest{})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v, want DEADLINE_EXCEEDED", err)
	}
}

func TestDeleteHasTwoMinutesUnlessSet(t *testing.T) {
	g := &gateway{refusal: status.Error(codes.NotFound, "none")}
	address := g.start(t)
	for _, test := range []struct {
		options []portus.Option
		want    time.Duration
	}{
		{nil, 120 * time.Second},
		{[]portus.Option{portus.WithTimeout(time.Second)}, 120 * time.Second},
		{[]portus.Option{portus.WithDeleteTimeout(5 * time.Minute)}, 5 * time.Minute},
	} {
		client := dial(t, address, portus.Plaintext(), test.options...)
		for name, call := range map[string]func(){
			"DeleteManifest": func() { client.DeleteManifest(context.Background(), &registryv1.DeleteManifestRequest{}) },
			"DeleteTag":      func() { client.DeleteTag(context.Background(), &registryv1.DeleteTagRequest{}) },
		} {
			call()
			if g.left > test.want || g.left < test.want-10*time.Second {
				t.Errorf("%s: the gateway had %v, want %v", name, g.left, test.want)
			}
		}
	}
}

func TestBatchOfDeletesHasTheLongerTimeout(t *testing.T) {
	g := &gateway{deletes: func(*registryv1.BatchDeleteManifestsRequest, grpc.ServerStreamingServer[registryv1.BatchDeleteManifestsResponse]) error {
		return nil
	}}
	address := g.start(t)
	for _, test := range []struct {
		options []portus.Option
		want    time.Duration
	}{
		{nil, 10 * time.Minute},
		{[]portus.Option{portus.WithStreamTimeout(time.Second)}, 120 * time.Second},
		{[]portus.Option{portus.WithDeleteTimeout(time.Hour)}, time.Hour},
	} {
		client := dial(t, address, portus.Plaintext(), test.options...)
		for range client.BatchDelete(context.Background(), &registryv1.BatchDeleteManifestsRequest{}) {
		}
		if g.left > test.want || g.left < test.want-10*time.Second {
			t.Errorf("the gateway had %v, want %v", g.left, test.want)
		}
	}
}

func TestUserAgentNamesTheClientAndItsVersion(t *testing.T) {
	g := &gateway{refusal: status.Error(codes.NotFound, "none")}
	client := dial(t, g.start(t), portus.Plaintext())
	client.DeleteManifest(context.Background(), &registryv1.DeleteManifestRequest{})
	want := "portus-client-go/" + portus.Version + " "
	if len(g.userAgent) != 1 || !strings.HasPrefix(g.userAgent[0], want) {
		t.Errorf("got the user agent %q, want it to begin with %q", g.userAgent, want)
	}
}

func TestOwnConnectionHasTheOptionsOfTheClient(t *testing.T) {
	g := &gateway{refusal: status.Error(codes.NotFound, "none")}
	options := append(portus.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	connection, err := grpc.NewClient(g.start(t), options...)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_, err = portus.NewClient(connection).DeleteManifest(context.Background(), &registryv1.DeleteManifestRequest{})
	var failure *portus.Error
	if !errors.As(err, &failure) || g.left < 110*time.Second {
		t.Errorf("got %v with %v to the deadline", err, g.left)
	}
}

func TestStreamWithoutDeadlineHasTheClients(t *testing.T) {
	client := dial(t, (&gateway{}).start(t), portus.Plaintext(), portus.WithStreamTimeout(300*time.Millisecond))
	stream, err := client.StreamCatalog(context.Background(), &registryv1.StreamCatalogRequest{})
	if err != nil {
		t.Fatal(err)
	}
	message, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if repositories := message.GetRepositories(); len(repositories) != 2 || repositories[1].GetName() != "team/web" {
		t.Errorf("got %v, want two repositories", repositories)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.DeadlineExceeded || errors.Is(err, io.EOF) {
		t.Errorf("got %v, want DEADLINE_EXCEEDED", err)
	}
}

func TestWatchHasNoDeadlineUnlessSet(t *testing.T) {
	limited := make(chan bool, 1)
	g := &gateway{watch: func(_ *registryv1.WatchEventsRequest, stream watchStream) error {
		_, set := stream.Context().Deadline()
		limited <- set
		return nil
	}}
	client := dial(t, g.start(t), portus.Plaintext(), portus.WithStreamTimeout(300*time.Millisecond))
	soon, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, ctx := range []context.Context{context.Background(), soon} {
		stream, err := client.WatchEvents(ctx, &registryv1.WatchEventsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if got, want := <-limited, ctx == soon; got != want {
			t.Errorf("the gateway was given a deadline: %t, want %t", got, want)
		}
	}
}

func TestDeadlineOfTheContextComesFirst(t *testing.T) {
	g := &gateway{}
	var left time.Duration
	g.get = func(ctx context.Context) (*registryv1.GetManifestResponse, error) {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return &registryv1.GetManifestResponse{}, nil
	}
	client := dial(t, g.start(t), portus.Plaintext(), portus.WithTimeout(time.Second))
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if _, err := client.GetManifest(ctx, &registryv1.GetManifestRequest{}); err != nil {
		t.Fatal(err)
	}
	if left < 59*time.Minute {
		t.Errorf("the gateway was given %v, want an hour", left)
	}
}

func TestAnswerAboveFourMebibytesIsTaken(t *testing.T) {
	raw := make([]byte, 5<<20)
	g := &gateway{get: func(context.Context) (*registryv1.GetManifestResponse, error) {
		return &registryv1.GetManifestResponse{Manifest: &registryv1.Manifest{Raw: raw}}, nil
	}}
	client := dial(t, g.start(t), portus.Plaintext())
	answer, err := client.GetManifest(context.Background(), &registryv1.GetManifestRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(answer.GetManifest().GetRaw()); got != len(raw) {
		t.Errorf("%d bytes, want %d", got, len(raw))
	}
}

func TestIterationGoesOnOverShortAndEmptyPages(t *testing.T) {
	g := &gateway{tags: map[string]*registryv1.ListTagsResponse{
		"":  {Tags: []string{"a", "b"}, NextPageToken: "2"},
		"2": {NextPageToken: "3"},
		"3": {Tags: []string{"c"}},
	}}
	client := dial(t, g.start(t), portus.Plaintext())
	tags := client.Tags(context.Background(), &registryv1.ListTagsRequest{Repository: "team/app"})
	for range 2 { // an iterator can be used again
		var listed []string
		for tag, err := range tags {
			if err != nil {
				t.Fatal(err)
			}
			listed = append(listed, tag)
		}
		if want := []string{"a", "b", "c"}; !slices.Equal(listed, want) {
			t.Errorf("got %v, want %v", listed, want)
		}
	}
}

func TestTagDetailsAreFullUnlessSet(t *testing.T) {
	g := &gateway{tags: map[string]*registryv1.ListTagsResponse{
		"":  {Tags: []string{"new"}, Details: []*registryv1.TagDetails{{Tag: "new"}}, NextPageToken: "2"},
		"2": {Tags: []string{"old"}, Details: []*registryv1.TagDetails{{Tag: "old"}}},
	}}
	client := dial(t, g.start(t), portus.Plaintext())
	for _, asked := range []struct {
		view, want registryv1.ListTagsRequest_View
	}{
		{registryv1.ListTagsRequest_NAMES, registryv1.ListTagsRequest_FULL},
		{registryv1.ListTagsRequest_DESCRIPTORS, registryv1.ListTagsRequest_DESCRIPTORS},
	} {
		g.listed = nil
		request := &registryv1.ListTagsRequest{Repository: "team/app", View: asked.view, OrderBy: "created desc", Digest: "sha256:1"}
		var listed []string
		for details, err := range client.TagDetails(context.Background(), request) {
			if err != nil {
				t.Fatal(err)
			}
			listed = append(listed, details.GetTag())
		}
		if want := []string{"new", "old"}; !slices.Equal(listed, want) {
			t.Errorf("got %v, want %v", listed, want)
		}
		for _, page := range g.listed {
			if page.GetView() != asked.want || page.GetOrderBy() != "created desc" || page.GetDigest() != "sha256:1" {
				t.Errorf("a page was asked for with %v, want %v and the other arguments", page, asked.want)
			}
		}
	}
}

func TestReferrersComeFromAllPages(t *testing.T) {
	g := &gateway{referrers: map[string]*registryv1.ListReferrersResponse{
		"":  {Referrers: []*registryv1.Referrer{{Tag: "a"}}, NextPageToken: "2"},
		"2": {NextPageToken: "3"},
		"3": {Referrers: []*registryv1.Referrer{{Tag: "b"}}},
	}}
	client := dial(t, g.start(t), portus.Plaintext())
	var listed []string
	for referrer, err := range client.Referrers(context.Background(), &registryv1.ListReferrersRequest{}) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, referrer.GetTag())
	}
	if want := []string{"a", "b"}; !slices.Equal(listed, want) {
		t.Errorf("got %v, want %v", listed, want)
	}
}

func TestHistoryAndFoundTagsComeFromAllPages(t *testing.T) {
	client := dial(t, (&gateway{}).start(t), portus.Plaintext())
	var listed []string
	for event, err := range client.TagHistory(context.Background(), &registryv1.ListTagHistoryRequest{Tag: "latest"}) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, event.GetDigest())
	}
	wanted := &registryv1.FindTagsRequest{Wanted: &registryv1.FindTagsRequest_NameContains{NameContains: "rc"}}
	for found, err := range client.FoundTags(context.Background(), wanted) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, found.GetTag())
	}
	if want := []string{"b", "a", "1-rc", "2-rc"}; !slices.Equal(listed, want) {
		t.Errorf("got %v, want %v", listed, want)
	}
}

func TestIterationFetchesNoPageAheadAndEndsWithItsReader(t *testing.T) {
	g := &gateway{tags: map[string]*registryv1.ListTagsResponse{"": {Tags: []string{"a", "b"}, NextPageToken: "2"}}}
	client := dial(t, g.start(t), portus.Plaintext())
	for range client.Tags(context.Background(), &registryv1.ListTagsRequest{}) {
		break
	}
	if calls := g.calls.Load(); calls != 1 {
		t.Errorf("%d calls, want 1", calls)
	}
}

func TestPageTokenThatIsRepeatedEndsTheIteration(t *testing.T) {
	for name, pages := range map[string]map[string]*registryv1.ListTagsResponse{
		"at once": {
			"1": {Tags: []string{"a"}, NextPageToken: "1"},
		},
		"later": {
			"1": {Tags: []string{"a"}, NextPageToken: "2"},
			"2": {NextPageToken: "3"},
			"3": {NextPageToken: "2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := &gateway{tags: pages}
			client := dial(t, g.start(t), portus.Plaintext())
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			var listed []string
			var last error
			for tag, err := range client.Tags(ctx, &registryv1.ListTagsRequest{PageToken: "1"}) {
				listed, last = append(listed, tag), err
			}
			if want := []string{"a", ""}; !slices.Equal(listed, want) {
				t.Errorf("got %v, want %v", listed, want)
			}
			failure, ok := portus.FromError(last)
			if !ok || failure.Code != codes.Internal || !strings.Contains(failure.Message, "repeats a page token") {
				t.Errorf("got %v, want INTERNAL for the token", last)
			}
			if calls := int(g.calls.Load()); calls != len(pages) {
				t.Errorf("%d calls, want %d", calls, len(pages))
			}
		})
	}
}

func TestErrorEndsTheIteration(t *testing.T) {
	g := &gateway{catalog: func(_ context.Context, request *registryv1.CatalogRequest) (*registryv1.CatalogResponse, error) {
		if !request.GetIncludeTags() {
			return nil, status.Error(codes.InvalidArgument, "the arguments got lost")
		}
		if request.GetPageToken() != "" {
			return nil, status.Error(codes.DataLoss, "garbage")
		}
		return &registryv1.CatalogResponse{Repositories: []*registryv1.Repository{{Name: "one"}}, NextPageToken: "2"}, nil
	}}
	client := dial(t, g.start(t), portus.Plaintext())
	var names []string
	var last error
	for repository, err := range client.Repositories(context.Background(), &registryv1.CatalogRequest{IncludeTags: true}) {
		names, last = append(names, repository.GetName()), err
	}
	if want := []string{"one", ""}; !slices.Equal(names, want) || status.Code(last) != codes.DataLoss {
		t.Errorf("got %v and %v, want one repository and DATA_LOSS", names, last)
	}
}
