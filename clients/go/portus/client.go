// Package portus calls a portus-gateway: typed access to a Docker Distribution (OCI) registry.
//
// Dial connects with what every caller needs: retries of reads, load balancing, message sizes, a deadline. The
// generated client is in portus/registry/v1 and can be used without this package.
package portus

import (
	"context"
	_ "embed" // for the service config
	"time"

	"google.golang.org/grpc"

	registryv1 "github.com/portus-gateway/portus-gateway/clients/go/portus/registry/v1"
)

// How long a call may take, retries included, whose context has no deadline.
const (
	DefaultTimeout       = 30 * time.Second
	DefaultStreamTimeout = 10 * time.Minute
)

// MaxMessageBytes is the largest answer that is taken. A manifest has at most 4 MiB, and comes twice, as it is and parsed;
// gRPC takes 4 MiB unless told.
const MaxMessageBytes = 16 << 20

// ServiceConfig is gRPC's service config for the gateway, as JSON: UNAVAILABLE is retried with backoff for whatever
// only reads, never for a delete, and calls are spread over all addresses of the gateway.
//
//go:embed service_config.json
var ServiceConfig string

// Client calls the gateway. Its methods are those of the generated client, and iterators over what comes in pages or
// in batches.
// It is safe for concurrent use; make one and keep it.
type Client struct {
	registryv1.RegistryServiceClient
	connection *grpc.ClientConn
}

// NewClient makes a client of a connection that the caller made, with DialOptions or without. Close leaves that
// connection alone.
func NewClient(connection grpc.ClientConnInterface) *Client {
	return &Client{RegistryServiceClient: registryv1.NewRegistryServiceClient(connection)}
}

// Dial makes a client of the gateway at target: `host:port`, or anything that gRPC resolves, such as
// `dns:///host:port`. It does not connect yet: the first call does. Close the client when done.
func Dial(target string, security Security, options ...Option) (*Client, error) {
	settings := settings{timeout: DefaultTimeout, streamTimeout: DefaultStreamTimeout}
	for _, option := range options {
		option(&settings)
	}
	secured, err := security.dialOptions(settings.token)
	if err != nil {
		return nil, err
	}
	dialOptions := append(DialOptions(settings.timeout, settings.streamTimeout), secured...)
	connection, err := grpc.NewClient(target, append(dialOptions, settings.dialOptions...)...)
	if err != nil {
		return nil, err
	}
	client := NewClient(connection)
	client.connection = connection
	return client, nil
}

// Close ends the connection that Dial made, and the calls on it.
func (c *Client) Close() error {
	if c.connection == nil {
		return nil
	}
	return c.connection.Close()
}

// DialOptions are the options that Dial uses, but for the security, for those who call grpc.NewClient themselves.
// A proxy in the environment is passed by: it is for the world outside.
func DialOptions(timeout, streamTimeout time.Duration) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultServiceConfig(ServiceConfig),
		grpc.WithDisableServiceConfig(), // no other from the DNS
		grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessageBytes)),
		grpc.WithChainUnaryInterceptor(unaryDeadline(timeout)),
		grpc.WithChainStreamInterceptor(streamDeadline(streamTimeout)),
	}
}

// Option changes what Dial does.
type Option func(*settings)

type settings struct {
	timeout       time.Duration
	streamTimeout time.Duration
	token         tokenSource
	dialOptions   []grpc.DialOption
}

// WithTimeout sets how long a call may take whose context has no deadline, in place of DefaultTimeout.
func WithTimeout(timeout time.Duration) Option {
	return func(s *settings) { s.timeout = timeout }
}

// WithStreamTimeout does the same for StreamCatalog and BatchGetManifests as a whole, in place of
// DefaultStreamTimeout.
func WithStreamTimeout(timeout time.Duration) Option {
	return func(s *settings) { s.streamTimeout = timeout }
}

// WithDialOptions adds options of gRPC's own, such as interceptors.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(s *settings) { s.dialOptions = append(s.dialOptions, options...) }
}

func unaryDeadline(timeout time.Duration) grpc.UnaryClientInterceptor {
	return func(
		ctx context.Context, method string, request, reply any, connection *grpc.ClientConn,
		invoker grpc.UnaryInvoker, options ...grpc.CallOption,
	) error {
		if _, set := ctx.Deadline(); !set {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		return invoker(ctx, method, request, reply, connection, options...)
	}
}

func streamDeadline(timeout time.Duration) grpc.StreamClientInterceptor {
	return func(
		ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn, method string,
		streamer grpc.Streamer, options ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		if _, set := ctx.Deadline(); set {
			return streamer(ctx, description, connection, method, options...)
		}
		ctx, cancel := context.WithTimeout(ctx, timeout)
		options = append(options, grpc.OnFinish(func(error) { cancel() }))
		stream, err := streamer(ctx, description, connection, method, options...)
		if err != nil {
			cancel()
		}
		return stream, err
	}
}
