package portus

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
)

// timeouts of calls whose context has no deadline.
type timeouts struct {
	call   time.Duration
	delete time.Duration
	stream time.Duration
}

func (t timeouts) unary(
	ctx context.Context, method string, request, reply any, connection *grpc.ClientConn,
	invoker grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	if _, set := ctx.Deadline(); !set {
		timeout := t.call
		if strings.Contains(method, "Delete") {
			timeout = t.delete
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return invoker(ctx, method, request, reply, connection, options...)
}

func (t timeouts) streaming(
	ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn, method string,
	streamer grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	// A watch has no end. Keepalive notices a gateway that hangs.
	if _, set := ctx.Deadline(); set || strings.HasSuffix(method, "/WatchEvents") {
		return streamer(ctx, description, connection, method, options...)
	}
	timeout := t.stream
	if strings.Contains(method, "Delete") {
		timeout = max(timeout, t.delete)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	options = append(options, grpc.OnFinish(func(error) { cancel() }))
	stream, err := streamer(ctx, description, connection, method, options...)
	if err != nil {
		cancel()
	}
	return stream, err
}
