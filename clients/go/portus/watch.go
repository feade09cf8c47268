package portus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	registryv1 "github.com/portus-gateway/portus-gateway/clients/go/portus/registry/v1"
)

// DefaultGiveUpAfter is how long a watch tries to go on while no message comes.
const DefaultGiveUpAfter = 10 * time.Minute

// A watch without any message for so many heartbeats is broken.
const missedHeartbeats = 3

const defaultHeartbeat = 15 * time.Second

// watchTimes are the same for all watches. Tests have shorter ones.
var watchTimes = struct {
	firstPause, longestPause time.Duration
	// After a call that lasted so long, pauses begin anew.
	steady time.Duration
	// With short heartbeats, a watch may still be silent for so long.
	shortestSilence time.Duration
}{100 * time.Millisecond, 30 * time.Second, 10 * time.Second, 10 * time.Second}

// WatchUpdate is a message of a watch: some events, or none in a heartbeat.
type WatchUpdate struct {
	// Events are in the order in which the index saw the changes. To receive one twice does no harm.
	Events []*registryv1.Event
	// Cursor is where another watch can continue after this update.
	Cursor string
	// AsOf is the time up to which every change that the index saw has been sent. Zero while the current state is listed.
	AsOf time.Time
	// CurrentStateComplete says that everything that current_state lists has been sent.
	CurrentStateComplete bool
	// ListAgain says that events were lost, because the cursor was too old or is not known any more. Forget what you
	// know: the updates after this one list the current state.
	ListAgain bool
}

// WatchOption changes how a watch goes on.
type WatchOption func(*watch)

// GiveUpAfter sets how long a watch tries to go on while no message comes. The default is DefaultGiveUpAfter; 0 is for
// ever.
func GiveUpAfter(duration time.Duration) WatchOption {
	return func(w *watch) {
		w.giveUpAfter = duration
		if duration == 0 {
			w.giveUpAfter = math.MaxInt64
		}
	}
}

// Watch iterates over what changes in the registry, as the gateway's index sees it. It begins where the request says, and
// has no end: leave the loop, or cancel ctx, to end it at once.
//
// It continues by itself at its last cursor when the gateway stops, when the connection is lost, when a limit of the
// gateway is reached, when nothing comes for three heartbeats, and when its credential has expired and there is a newer
// one. If this fails for DefaultGiveUpAfter, the last error ends the iteration. If no gateway has answered yet, the
// client's timeout does. Errors that would come again end it at once, such as PERMISSION_DENIED and INVALID_ARGUMENT.
//
// If the gateway does not have the changes since the cursor any more, an update with ListAgain says so, and the current
// state follows.
func (c *Client) Watch(
	ctx context.Context, request *registryv1.WatchEventsRequest, options ...WatchOption,
) iter.Seq2[*WatchUpdate, error] {
	return func(yield func(*WatchUpdate, error) bool) {
		w := &watch{
			client: c, request: proto.CloneOf(request), giveUpAfter: DefaultGiveUpAfter, startTimeout: c.startTimeout,
		}
		for _, option := range options {
			option(w)
		}
		w.run(ctx, yield)
	}
}

// watch is how far a watch is.
type watch struct {
	client *Client
	// The request of the next call.
	request      *registryv1.WatchEventsRequest
	giveUpAfter  time.Duration
	startTimeout time.Duration
	called       time.Time
	// Calls since the last that lasted.
	failures int
	// When the first call failed after the last message. Zero if none did.
	failingSince time.Time
	hasMessage   bool
	answered     bool
	listsAgain   bool
}

func (w *watch) run(ctx context.Context, yield func(*WatchUpdate, error) bool) {
	for {
		left, err := w.call(ctx, yield)
		if left {
			return
		}
		update, pause, err := w.failed(ctx, err)
		if err != nil {
			yield(nil, err)
			return
		}
		if update != nil && !yield(update, nil) {
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-w.client.closed:
			timer.Stop()
			yield(nil, &Error{Code: codes.Canceled, Message: "the client was closed"})
			return
		case <-ctx.Done():
			timer.Stop()
			yield(nil, typed(status.FromContextError(ctx.Err()).Err()))
			return
		}
	}
}

// call makes one call. It returns true if the caller left the loop, or else the error of the call, which is nil if the
// gateway ended it well.
func (w *watch) call(ctx context.Context, yield func(*WatchUpdate, error) bool) (bool, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.called = time.Now()
	limit := w.longestSilence()
	var silent atomic.Bool
	timer := time.AfterFunc(limit, func() {
		silent.Store(true)
		cancel()
	})
	defer timer.Stop()
	stream, err := w.client.WatchEvents(ctx, w.request)
	for err == nil {
		var message *registryv1.WatchEventsResponse
		if message, err = stream.Recv(); err != nil {
			break
		}
		// How long the caller works on an update does not count.
		if !timer.Stop() {
			break
		}
		if !yield(w.received(message), nil) {
			return true, nil
		}
		timer.Reset(limit)
	}
	switch {
	case errors.Is(err, io.EOF):
		return false, nil
	case silent.Load():
		return false, &Error{
			Code:    codes.Unavailable,
			Message: fmt.Sprintf("the watch received nothing for %v, not even a heartbeat", limit),
		}
	default:
		return false, err
	}
}

func (w *watch) longestSilence() time.Duration {
	interval := defaultHeartbeat
	if w.request.GetHeartbeatInterval() != nil {
		interval = w.request.GetHeartbeatInterval().AsDuration()
	}
	return max(missedHeartbeats*interval, watchTimes.shortestSilence)
}

func (w *watch) received(message *registryv1.WatchEventsResponse) *WatchUpdate {
	w.request.Start = &registryv1.WatchEventsRequest_AfterCursor{AfterCursor: message.GetCursor()}
	w.failingSince = time.Time{}
	w.hasMessage, w.answered, w.listsAgain = true, true, false
	update := &WatchUpdate{
		Events:               message.GetEvents(),
		Cursor:               message.GetCursor(),
		CurrentStateComplete: message.GetCurrentStateComplete(),
	}
	if message.GetAsOf() != nil {
		update.AsOf = message.GetAsOf().AsTime()
	}
	return update
}

// failed returns what the caller has to know after a call, and the pause before the next one; or the error that ends the
// watch. err is nil if the gateway ended the call well.
func (w *watch) failed(ctx context.Context, err error) (*WatchUpdate, time.Duration, error) {
	if err == nil {
		return nil, w.pause(), nil
	}
	failure, ok := FromError(err)
	if !ok || ctx.Err() != nil {
		return nil, 0, err
	}
	w.answered = w.answered || failure.Reason != ""
	lost := failure.Code == codes.OutOfRange && (failure.Reason == "CURSOR_EXPIRED" || failure.Reason == "CURSOR_UNKNOWN")
	if !lost && !w.passing(failure) {
		return nil, 0, err
	}
	pause := w.pause() + failure.RetryDelay
	now := time.Now()
	if w.failingSince.IsZero() {
		w.failingSince = now
	}
	patience := w.giveUpAfter
	if !w.answered {
		patience = min(patience, w.startTimeout)
	}
	if now.Sub(w.failingSince)+pause > patience {
		return nil, 0, err
	}
	if !lost {
		return nil, pause, nil
	}
	w.request.Start = &registryv1.WatchEventsRequest_CurrentState{CurrentState: true}
	told := w.listsAgain
	w.listsAgain = true
	if told {
		return nil, pause, nil
	}
	return &WatchUpdate{ListAgain: true}, pause, nil
}

// passing says whether a watch goes on after an error.
func (w *watch) passing(failure *Error) bool {
	switch failure.Code {
	case codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded:
		return true
	case codes.Internal, codes.Unknown:
		// Without a reason, these come from a proxy or from HTTP/2, when a stream breaks.
		return w.hasMessage && failure.Reason == ""
	case codes.Unauthenticated:
		// The credential has expired during the watch, or was replaced: the next call has the newest one.
		return failure.Reason == "CREDENTIAL_INVALID" && w.hasMessage && w.failingSince.IsZero()
	default:
		return false
	}
}

func (w *watch) pause() time.Duration {
	if time.Since(w.called) >= watchTimes.steady {
		w.failures = 0
	}
	pause := min(watchTimes.longestPause, watchTimes.firstPause<<min(w.failures, 16))
	w.failures++
	// Spread, so that many clients do not come back at the same time.
	return time.Duration(float64(pause) * (0.5 + rand.Float64()/2))
}
