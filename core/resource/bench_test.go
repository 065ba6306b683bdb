package resource_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// BenchmarkMiddleware is what a request costs whose token and upstream token
// are remembered.
func BenchmarkMiddleware(b *testing.B) {
	w := newWorld(b, nil)
	token := w.Login(b, w.Browser(), "ada").Access
	clock := w.Now() // stands still: nothing expires
	w.cfg.Now = func() time.Time { return clock }
	served := 0
	h := newGate(b, w.cfg).Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, ownURL, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	rec := httptest.NewRecorder() // nothing is written to it
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(rec, r)
	}
	if served < b.N {
		b.Fatalf("%d of %d were let through: %d %s", served, b.N, rec.Code, rec.Body)
	}
}
