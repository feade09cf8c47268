package portus_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/portus-gateway/portus-gateway/clients/go/portus"
	registryv1 "github.com/portus-gateway/portus-gateway/clients/go/portus/registry/v1"
)

var (
	lost    = refusal(codes.Unavailable, "SHUTTING_DOWN", 0)
	expired = refusal(codes.OutOfRange, "CURSOR_EXPIRED", 0)
	// Ends a watch of a test.
	end = refusal(codes.FailedPrecondition, "INDEX_DISABLED", 0)
	// A call that sends nothing more until it is ended.
	silence = errors.New("silence")
)

func refusal(code codes.Code, reason string, retryDelay time.Duration) error {
	stated := status.New(code, "refused")
	if reason != "" {
		stated, _ = stated.WithDetails(&errdetails.ErrorInfo{Domain: "portus-gateway", Reason: reason})
	}
	if retryDelay > 0 {
		stated, _ = stated.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(retryDelay)})
	}
	return stated.Err()
}

func message(cursor string, tags ...string) *registryv1.WatchEventsResponse {
	answer := &registryv1.WatchEventsResponse{Cursor: cursor, AsOf: &timestamppb.Timestamp{Seconds: 1000}}
	for _, tag := range tags {
		answer.Events = append(answer.Events, &registryv1.Event{Repository: "team/app", Tag: tag})
	}
	return answer
}

// watched is a gateway whose calls of WatchEvents send the steps: messages, and an error as the last one. After the last
// call, each has the error of the last. began has the start of each request, and ended gets a value when a call has ended.
type watched struct {
	gateway
	began []string
	ended chan struct{}
}

func watching(calls ...[]any) *watched {
	w := &watched{ended: make(chan struct{}, 100)}
	w.watch = func(request *registryv1.WatchEventsRequest, stream watchStream) error {
		defer func() { w.ended <- struct{}{} }()
		start := request.GetAfterCursor()
		if request.GetCurrentState() {
			start = "current state"
		}
		w.began = append(w.began, start)
		steps := calls[min(len(w.began), len(calls))-1]
		for _, step := range steps {
			switch step := step.(type) {
			case *registryv1.WatchEventsResponse:
				if err := stream.Send(step); err != nil {
					return err
				}
			case error:
				if step != silence {
					return step
				}
				<-stream.Context().Done()
			}
		}
		return nil
	}
	return w
}

// collect is what a watch gives, until its error.
func collect(
	t *testing.T, w *watched, request *registryv1.WatchEventsRequest, options ...portus.WatchOption,
) ([]string, *portus.Error) {
	t.Helper()
	client := dial(t, w.start(t), portus.Plaintext())
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var updates []string
	for update, err := range client.Watch(ctx, request, options...) {
		if err != nil {
			failure, ok := portus.FromError(err)
			if !ok || ctx.Err() != nil {
				t.Fatal(err)
			}
			return updates, failure
		}
		told := update.Cursor
		if update.ListAgain {
			told = "list again"
		}
		updates = append(updates, told)
	}
	t.Fatal("the watch ended without an error")
	return nil, nil
}

func equal(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUpdateHasItsEvents(t *testing.T) {
	w := watching([]any{message("1", "v1", "v2"), &registryv1.WatchEventsResponse{CurrentStateComplete: true}, end})
	client := dial(t, w.start(t), portus.Plaintext())
	var got []string
	for update, err := range client.Watch(context.Background(), &registryv1.WatchEventsRequest{}) {
		if err != nil {
			break
		}
		for _, event := range update.Events {
			got = append(got, event.GetTag())
		}
		got = append(got, fmt.Sprint(update.Cursor, " ", update.AsOf.Unix() == 1000, update.AsOf.IsZero(), update.CurrentStateComplete))
	}
	equal(t, got, []string{"v1", "v2", "1 true false false", " false true true"})
}

func TestWatchGoesOnAtItsLastCursor(t *testing.T) {
	portus.ShortenWatches(t, time.Millisecond, time.Minute)
	// An interruption; the gateway's time limit, which ends a watch well; and another interruption.
	w := watching(
		[]any{message("1"), message("2"), lost}, []any{message("3")},
		[]any{refusal(codes.DeadlineExceeded, "", 0)}, []any{end},
	)
	updates, failure := collect(t, w, &registryv1.WatchEventsRequest{
		Start: &registryv1.WatchEventsRequest_CurrentState{CurrentState: true},
	})
	equal(t, updates, []string{"1", "2", "3"})
	equal(t, w.began, []string{"current state", "2", "3", "3"})
	if failure.Reason != "INDEX_DISABLED" {
		t.Errorf("got %v", failure)
	}
}

func TestLostEventsAreToldOnceAndTheCurrentStateFollows(t *testing.T) {
	portus.ShortenWatches(t, time.Millisecond, time.Minute)
	unknown := refusal(codes.OutOfRange, "CURSOR_UNKNOWN", 0)
	w := watching([]any{expired}, []any{unknown}, []any{message("8"), unknown}, []any{end})
	request := &registryv1.WatchEventsRequest{Start: &registryv1.WatchEventsRequest_AfterCursor{AfterCursor: "1"}}
	updates, _ := collect(t, w, request)
	equal(t, updates, []string{"list again", "8", "list again"})
	equal(t, w.began, []string{"1", "current state", "current state", "current state"})
	if request.GetAfterCursor() != "1" {
		t.Error("the caller's request has changed")
	}
}

func TestErrorThatWouldComeAgainEndsTheWatch(t *testing.T) {
	for _, failure := range []error{
		refusal(codes.PermissionDenied, "POLICY_DENIED", 0), refusal(codes.Unauthenticated, "TOKEN_UNKNOWN", 0),
		refusal(codes.InvalidArgument, "INVALID_FIELD", 0), refusal(codes.OutOfRange, "OTHER", 0),
		refusal(codes.Unimplemented, "", 0), refusal(codes.Internal, "INTERNAL", 0),
	} {
		w := watching([]any{message("1"), failure})
		updates, got := collect(t, w, &registryv1.WatchEventsRequest{})
		equal(t, updates, []string{"1"})
		equal(t, w.began, []string{""})
		if got.Code != status.Code(failure) {
			t.Errorf("got %v, want %v", got, failure)
		}
	}
}

func TestStreamThatAProxyBreaksContinues(t *testing.T) {
	portus.ShortenWatches(t, time.Millisecond, time.Minute)
	for _, code := range []codes.Code{codes.Internal, codes.Unknown} {
		broken := refusal(code, "", 0)
		w := watching([]any{message("1"), broken}, []any{end})
		collect(t, w, &registryv1.WatchEventsRequest{})
		equal(t, w.began, []string{"", "1"})
		// At the beginning, the address may be wrong.
		if _, failure := collect(t, watching([]any{broken}), &registryv1.WatchEventsRequest{}); failure.Code != code {
			t.Errorf("got %v, want %v", failure, code)
		}
	}
}

func TestWatchWhoseCredentialHasExpiredContinuesWithTheNewestOne(t *testing.T) {
	portus.ShortenWatches(t, time.Millisecond, time.Minute)
	old := refusal(codes.Unauthenticated, "CREDENTIAL_INVALID", 0)
	w := watching([]any{message("1"), old}, []any{message("2"), old}, []any{old})
	updates, failure := collect(t, w, &registryv1.WatchEventsRequest{})
	equal(t, updates, []string{"1", "2"})
	// The newest one is not valid either.
	equal(t, w.began, []string{"", "1", "2"})
	if failure.Code != codes.Unauthenticated {
		t.Errorf("got %v", failure)
	}
}

func TestWatchWaitsAsLongAsTheGatewayAsks(t *testing.T) {
	busy := refusal(codes.ResourceExhausted, "TOO_MANY_CALLS", 300*time.Millisecond)
	began := time.Now()
	_, failure := collect(t, watching([]any{busy}, []any{busy}, []any{end}), &registryv1.WatchEventsRequest{})
	if failure.Reason != "INDEX_DISABLED" || time.Since(began) < 600*time.Millisecond {
		t.Errorf("got %v after %v", failure, time.Since(began))
	}
	// Not for longer than it tries.
	busy = refusal(codes.ResourceExhausted, "TOO_MANY_CALLS", time.Hour)
	w := watching([]any{busy})
	if _, failure = collect(t, w, &registryv1.WatchEventsRequest{}); failure.Code != codes.ResourceExhausted {
		t.Errorf("got %v", failure)
	}
	equal(t, w.began, []string{""})
}

func TestWatchGivesUp(t *testing.T) {
	busy := refusal(codes.ResourceExhausted, "TOO_MANY_CALLS", 0)
	w := watching([]any{message("1"), busy}, []any{busy})
	_, failure := collect(t, w, &registryv1.WatchEventsRequest{}, portus.GiveUpAfter(500*time.Millisecond))
	if calls := len(w.began); failure.Code != codes.ResourceExhausted || calls < 2 || calls > 6 {
		t.Errorf("got %v after %d calls", failure, calls)
	}
}

func TestWatchWithoutAnyGatewayFailsLikeACall(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	client := dial(t, listener.Addr().String(), portus.Plaintext(), portus.WithTimeout(300*time.Millisecond))
	for _, err := range client.Watch(context.Background(), &registryv1.WatchEventsRequest{}) {
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "check the address") {
			t.Errorf("got %v", err)
		}
	}
}

func TestSilenceIsAnInterruption(t *testing.T) {
	portus.ShortenWatches(t, time.Millisecond, 200*time.Millisecond)
	w := watching([]any{message("1"), silence}, []any{silence}, []any{message("2"), end})
	request := &registryv1.WatchEventsRequest{HeartbeatInterval: durationpb.New(time.Millisecond)}
	updates, _ := collect(t, w, request)
	equal(t, updates, []string{"1", "2"})
	equal(t, w.began, []string{"", "1", "1"})
}

func TestCallerThatTakesItsTimeIsNotSilence(t *testing.T) {
	portus.ShortenWatches(t, time.Millisecond, 200*time.Millisecond)
	w := watching([]any{message("1"), message("2"), end})
	client := dial(t, w.start(t), portus.Plaintext())
	request := &registryv1.WatchEventsRequest{HeartbeatInterval: durationpb.New(time.Millisecond)}
	for range client.Watch(context.Background(), request) {
		time.Sleep(300 * time.Millisecond)
	}
	equal(t, w.began, []string{""})
}

func TestEndOfAWatchLeavesNothingBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	w := watching([]any{message("1"), silence}, []any{message("2"), silence})
	address := w.start(t)
	client := dial(t, address, portus.Plaintext())
	for range client.Watch(context.Background(), &registryv1.WatchEventsRequest{}) {
		break
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for update, err := range client.Watch(ctx, &registryv1.WatchEventsRequest{}) {
		if update == nil && status.Code(err) != codes.Canceled {
			t.Errorf("got %v, want CANCELLED", err)
		}
		cancel()
	}
	for range 2 {
		select {
		case <-w.ended:
		case <-time.After(10 * time.Second):
			t.Fatal("the call goes on")
		}
	}
	client.Close()
	w.server.Stop()
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, want %d", runtime.NumGoroutine(), before)
		}
	}
}

func TestEndDuringAPauseIsAtOnce(t *testing.T) {
	pausing := []any{message("1"), refusal(codes.ResourceExhausted, "TOO_MANY_CALLS", time.Minute)}
	for _, closing := range []bool{false, true} {
		w := watching(pausing)
		client := dial(t, w.start(t), portus.Plaintext())
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		began := time.Now()
		for update, err := range client.Watch(ctx, &registryv1.WatchEventsRequest{}) {
			if update == nil && status.Code(err) != codes.Canceled {
				t.Errorf("got %v, want CANCELLED", err)
			}
			time.AfterFunc(100*time.Millisecond, func() {
				if closing {
					client.Close()
				} else {
					cancel()
				}
			})
		}
		if time.Since(began) > 10*time.Second {
			t.Error("the watch went on")
		}
	}
}

func TestPausesGrowAndAMessageAloneDoesNotShortenThem(t *testing.T) {
	portus.ShortenWatches(t, 10*time.Millisecond, time.Minute)
	calls := slices.Repeat([][]any{{message("1")}}, 6)
	began := time.Now()
	collect(t, watching(append(calls, []any{end})...), &registryv1.WatchEventsRequest{})
	// 10, 20, 40, 80, 160, 320 ms, each at least the half.
	if waited := time.Since(began); waited < 300*time.Millisecond {
		t.Errorf("six calls took only %v", waited)
	}
}
