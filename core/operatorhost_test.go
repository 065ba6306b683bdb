package core_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sallyport/sallyport/core"
)

func TestOperatorListenerChecksHost(t *testing.T) {
	t.Parallel()
	h := core.OperatorHosts([]string{"metrics.example.com"}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
	}))
	for host, want := range map[string]int{
		"127.0.0.1:9090": http.StatusOK, "[::1]:9090": http.StatusOK, "10.1.2.3": http.StatusOK, "localhost:9090": http.StatusOK,
		"sallyport:9090": http.StatusOK, "sallyport.prod.svc:9090": http.StatusOK, "sallyport.prod.svc.cluster.local": http.StatusOK,
		"a.internal:9090": http.StatusOK, "metrics.example.com:9090": http.StatusOK, "METRICS.example.com.": http.StatusOK, "": http.StatusOK,
		"evil.example:9090": http.StatusMisdirectedRequest, "127.0.0.1.evil.example": http.StatusMisdirectedRequest,
		"localhost.evil.example": http.StatusMisdirectedRequest, "svc.evil.example:9090": http.StatusMisdirectedRequest,
		"xmetrics.example.com": http.StatusMisdirectedRequest, "127.0.0.1.nip.io:9090": http.StatusMisdirectedRequest,
	} {
		for path, want := range map[string]int{"/metrics": want, "/readyz": want, "/healthz": want, "/debug": want, "/forward-auth/tools/x": http.StatusOK} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Host = host
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s with Host %q: %d, want %d", path, host, w.Code, want)
			}
		}
	}
}
