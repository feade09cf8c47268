// Package portus is a client of portus-gateway, which gives typed access to a Docker Distribution (OCI) registry.
//
// Dial sets up what every caller needs: retries of reads, load balancing, message sizes, deadlines, keepalive. The
// generated client in portus/registry/v1 can be used without this package.
package portus

import (
	_ "embed" // for the service config
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	registryv1 "github.com/portus-gateway/portus-gateway/clients/go/portus/registry/v1"
)

// Maximum duration of a call whose context has no deadline. It includes retries.
const (
	DefaultTimeout = 30 * time.Second
	// DefaultDeleteTimeout is longer, because a registry needs about 2 ms for each tag of the deleted digest.
	DefaultDeleteTimeout = 120 * time.Second
	// DefaultStreamTimeout is for StreamCatalog as a whole, for every 1000 requests of a batch, and for ReadBlob. The reader
	// of OpenBlob goes on after it.
	DefaultStreamTimeout = 10 * time.Minute
)

// MaxMessageBytes is the size of the largest response. A manifest has at most 4 MiB, and a response contains it twice:
// as bytes and parsed. The default of gRPC is 4 MiB.
const MaxMessageBytes = 16 << 20

// A gateway that hangs is noticed within the sum of the two, not at the call's deadline.
const (
	keepaliveTime    = 20 * time.Second
	keepaliveTimeout = 5 * time.Second
)

// ServiceConfig is the gRPC service config for the gateway, as JSON. Reads that fail with UNAVAILABLE are retried with
// backoff, deletes never. Calls are spread over all addresses of the gateway.
//
//go:embed service_config.json
var ServiceConfig string

// Client calls the gateway. It has the methods of the generated client, and iterators over pages and batches.
// It is safe for concurrent use. Make one and reuse it.
type Client struct {
	registryv1.RegistryServiceClient
	connection *grpc.ClientConn
	// Closed by Close. nil for a connection of the caller.
	closed chan struct{}
	close  func()
	// How long a watch waits for a gateway at the beginning.
	startTimeout time.Duration
}

// NewClient makes a client that uses your own connection, made with or without DialOptions. Close does not close that
// connection.
func NewClient(connection grpc.ClientConnInterface) *Client {
	return &Client{
		RegistryServiceClient: registryv1.NewRegistryServiceClient(connection),
		startTimeout:          DefaultTimeout,
	}
}

// Dial makes a client of the gateway at target: `host:port`, or any name that gRPC resolves, such as
// `dns:///host:port`. The first call connects. Close the client when done.
//
// A call that fails returns an *Error, which errors.As finds.
func Dial(target string, security Security, options ...Option) (*Client, error) {
	if scheme, _, found := strings.Cut(target, "://"); found && (scheme == "http" || scheme == "https") {
		return nil, fmt.Errorf("portus: %q is not a gateway address: write host:port, without %s://", target, scheme)
	}
	settings := newSettings(options)
	secured, err := security.dialOptions(settings.token)
	if err != nil {
		return nil, err
	}
	dialOptions := append(settings.common(), secured...)
	connection, err := grpc.NewClient(target, append(dialOptions, settings.dialOptions...)...)
	if err != nil {
		return nil, err
	}
	client := NewClient(connection)
	client.connection = connection
	client.closed = make(chan struct{})
	client.close = sync.OnceFunc(func() { close(client.closed) })
	client.startTimeout = settings.timeouts.call
	return client, nil
}

// Close closes the connection that Dial made. Calls that are still running fail.
func (c *Client) Close() error {
	if c.connection == nil {
		return nil
	}
	c.close()
	return c.connection.Close()
}

// DialOptions returns the options that Dial uses, without security and token, for programs that call grpc.NewClient
// themselves. Proxies of the environment are not used, because they must not get internal calls.
func DialOptions(options ...Option) []grpc.DialOption {
	settings := newSettings(options)
	return append(settings.common(), settings.dialOptions...)
}

// Option changes what Dial does.
type Option func(*settings)

type settings struct {
	timeouts    timeouts
	token       tokenSource
	dialOptions []grpc.DialOption
}

func newSettings(options []Option) settings {
	settings := settings{
		timeouts: timeouts{call: DefaultTimeout, delete: DefaultDeleteTimeout, stream: DefaultStreamTimeout},
	}
	for _, option := range options {
		option(&settings)
	}
	return settings
}

func (s settings) common() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultServiceConfig(ServiceConfig),
		grpc.WithDisableServiceConfig(), // ignore a service config in the DNS
		grpc.WithNoProxy(),
		grpc.WithUserAgent("portus-client-go/" + Version),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessageBytes)),
		grpc.WithChainUnaryInterceptor(unaryErrors, s.timeouts.unary),
		grpc.WithChainStreamInterceptor(streamErrors, s.timeouts.streaming),
	}
}

// WithTimeout sets the maximum duration of a call whose context has no deadline. The default is DefaultTimeout.
func WithTimeout(timeout time.Duration) Option {
	return func(s *settings) { s.timeouts.call = timeout }
}

// WithDeleteTimeout does the same for deletes. The default is DefaultDeleteTimeout. When it expires, the manifest may
// or may not be deleted.
func WithDeleteTimeout(timeout time.Duration) Option {
	return func(s *settings) { s.timeouts.delete = timeout }
}

// WithStreamTimeout does the same for StreamCatalog as a whole, for each call of a batch, and for ReadBlob. The default is
// DefaultStreamTimeout.
func WithStreamTimeout(timeout time.Duration) Option {
	return func(s *settings) { s.timeouts.stream = timeout }
}

// WithDialOptions adds options of gRPC, such as interceptors.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(s *settings) { s.dialOptions = append(s.dialOptions, options...) }
}
