package portus_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/portus-gateway/portus-gateway/clients/go/portus"
	registryv1 "github.com/portus-gateway/portus-gateway/clients/go/portus/registry/v1"
)

type blobStream = grpc.ServerStreamingServer[registryv1.ReadBlobResponse]

type watchStream = grpc.ServerStreamingServer[registryv1.WatchEventsResponse]

type batchStream = grpc.ServerStreamingServer[registryv1.BatchGetManifestsResponse]

// gateway gives the responses that a test sets.
type gateway struct {
	registryv1.UnimplementedRegistryServiceServer
	server  *grpc.Server
	calls   atomic.Int32
	catalog func(context.Context, *registryv1.CatalogRequest) (*registryv1.CatalogResponse, error)
	tags    map[string]*registryv1.ListTagsResponse
	get     func(context.Context) (*registryv1.GetManifestResponse, error)
	batch   func(*registryv1.BatchGetManifestsRequest, batchStream) error
	refusal error
	resolve func(*registryv1.BatchResolveManifestsRequest, grpc.ServerStreamingServer[registryv1.BatchResolveManifestsResponse]) error
	configs func(*registryv1.BatchGetImageConfigsRequest, grpc.ServerStreamingServer[registryv1.BatchGetImageConfigsResponse]) error
	deletes func(*registryv1.BatchDeleteManifestsRequest, grpc.ServerStreamingServer[registryv1.BatchDeleteManifestsResponse]) error
	blob    func(*registryv1.ReadBlobRequest, blobStream) error
	watch   func(*registryv1.WatchEventsRequest, watchStream) error
	// The pages of ListReferrers by their tokens.
	referrers map[string]*registryv1.ListReferrersResponse
	// The requests of ListTags.
	listed []*registryv1.ListTagsRequest
	// Of the last delete: the time left to its deadline, and the user agent.
	left      time.Duration
	userAgent []string
}

func (g *gateway) Catalog(ctx context.Context, request *registryv1.CatalogRequest) (*registryv1.CatalogResponse, error) {
	g.calls.Add(1)
	return g.catalog(ctx, request)
}

func (g *gateway) StreamCatalog(
	_ *registryv1.StreamCatalogRequest, stream grpc.ServerStreamingServer[registryv1.StreamCatalogResponse],
) error {
	if err := stream.Send(&registryv1.StreamCatalogResponse{
		Repositories: []*registryv1.Repository{{Name: "team/app"}, {Name: "team/web"}},
	}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

func (g *gateway) ListTags(_ context.Context, request *registryv1.ListTagsRequest) (*registryv1.ListTagsResponse, error) {
	g.calls.Add(1)
	g.listed = append(g.listed, request)
	page, ok := g.tags[request.GetPageToken()]
	if !ok {
		return nil, status.Error(codes.InvalidArgument, "no such page")
	}
	return page, nil
}

func (g *gateway) GetManifest(ctx context.Context, _ *registryv1.GetManifestRequest) (*registryv1.GetManifestResponse, error) {
	g.calls.Add(1)
	return g.get(ctx)
}

func (g *gateway) BatchGetManifests(request *registryv1.BatchGetManifestsRequest, stream batchStream) error {
	g.calls.Add(1)
	return g.batch(request, stream)
}

func (g *gateway) DeleteManifest(ctx context.Context, _ *registryv1.DeleteManifestRequest) (*registryv1.DeleteManifestResponse, error) {
	g.calls.Add(1)
	deadline, _ := ctx.Deadline()
	g.left = time.Until(deadline)
	sent, _ := metadata.FromIncomingContext(ctx)
	g.userAgent = sent.Get("user-agent")
	return nil, g.refusal
}

func (g *gateway) BatchResolveManifests(
	request *registryv1.BatchResolveManifestsRequest, stream grpc.ServerStreamingServer[registryv1.BatchResolveManifestsResponse],
) error {
	g.calls.Add(1)
	return g.resolve(request, stream)
}

func (g *gateway) BatchGetImageConfigs(
	request *registryv1.BatchGetImageConfigsRequest, stream grpc.ServerStreamingServer[registryv1.BatchGetImageConfigsResponse],
) error {
	g.calls.Add(1)
	return g.configs(request, stream)
}

func (g *gateway) BatchDeleteManifests(
	request *registryv1.BatchDeleteManifestsRequest, stream grpc.ServerStreamingServer[registryv1.BatchDeleteManifestsResponse],
) error {
	g.calls.Add(1)
	deadline, _ := stream.Context().Deadline()
	g.left = time.Until(deadline)
	return g.deletes(request, stream)
}

func (g *gateway) ReadBlob(request *registryv1.ReadBlobRequest, stream blobStream) error {
	g.calls.Add(1)
	return g.blob(request, stream)
}

func (g *gateway) ListReferrers(
	_ context.Context, request *registryv1.ListReferrersRequest,
) (*registryv1.ListReferrersResponse, error) {
	g.calls.Add(1)
	page, ok := g.referrers[request.GetPageToken()]
	if !ok {
		return nil, status.Error(codes.InvalidArgument, "no such page")
	}
	return page, nil
}

func (g *gateway) WatchEvents(
	request *registryv1.WatchEventsRequest, stream grpc.ServerStreamingServer[registryv1.WatchEventsResponse],
) error {
	g.calls.Add(1)
	return g.watch(request, stream)
}

func (g *gateway) ListTagHistory(
	_ context.Context, request *registryv1.ListTagHistoryRequest,
) (*registryv1.ListTagHistoryResponse, error) {
	if request.GetTag() != "latest" {
		return nil, status.Error(codes.InvalidArgument, "the arguments got lost")
	}
	if request.GetPageToken() == "" {
		return &registryv1.ListTagHistoryResponse{Events: []*registryv1.Event{{Digest: "b"}}, NextPageToken: "2"}, nil
	}
	return &registryv1.ListTagHistoryResponse{Events: []*registryv1.Event{{Digest: "a"}}}, nil
}

func (g *gateway) FindTags(_ context.Context, request *registryv1.FindTagsRequest) (*registryv1.FindTagsResponse, error) {
	if request.GetNameContains() != "rc" {
		return nil, status.Error(codes.InvalidArgument, "the arguments got lost")
	}
	if request.GetPageToken() == "" {
		return &registryv1.FindTagsResponse{Tags: []*registryv1.FoundTag{{Tag: "1-rc"}}, NextPageToken: "2"}, nil
	}
	return &registryv1.FindTagsResponse{Tags: []*registryv1.FoundTag{{Tag: "2-rc"}}}, nil
}

func (g *gateway) DeleteTag(ctx context.Context, _ *registryv1.DeleteTagRequest) (*registryv1.DeleteTagResponse, error) {
	g.calls.Add(1)
	deadline, _ := ctx.Deadline()
	g.left = time.Until(deadline)
	return nil, g.refusal
}

// start serves the gateway until the test ends, and returns its address.
func (g *gateway) start(t *testing.T, options ...grpc.ServerOption) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(options...)
	g.server = server
	registryv1.RegisterRegistryServiceServer(server, g)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func dial(t *testing.T, address string, security portus.Security, options ...portus.Option) *portus.Client {
	t.Helper()
	client, err := portus.Dial(address, security, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}
