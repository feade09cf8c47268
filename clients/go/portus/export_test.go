package portus

import (
	"testing"
	"time"
)

// ShortenWatches makes the pauses and the silence of watches short, until the test ends.
func ShortenWatches(t *testing.T, firstPause, shortestSilence time.Duration) {
	before := watchTimes
	watchTimes.firstPause, watchTimes.shortestSilence = firstPause, shortestSilence
	t.Cleanup(func() { watchTimes = before })
}
