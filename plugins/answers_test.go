package plugins

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/sdk/abi"
)

// discoveries returns how often the upstream was asked for its metadata.
func (r *rig) discoveries() (n int) {
	for _, asked := range r.requests() {
		if strings.HasPrefix(asked, "GET /discovery") {
			n++
		}
	}
	return n
}

// The second renewal is one request: the metadata of the first one is fresh.
func TestRenewalWithKnownMetadataIsOneRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.bind(t, "known")
	for range 3 {
		if _, err := refresh(t, p, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.discoveries(); n != 1 {
		t.Errorf("asked for the metadata %d times: %q", n, r.requests())
	}
	r.pass(601 * time.Second) // older than the request allows
	if _, err := refresh(t, p, nil); err != nil || r.discoveries() != 2 {
		t.Errorf("%v, asked %d times", err, r.discoveries())
	}
	if _, err := refresh(t, r.bind(t, "known"), nil); err != nil || r.discoveries() != 2+1 {
		t.Errorf("another tenant: %v, asked %d times", err, r.discoveries())
	}
}

func TestMetadataIsAskedForAgainAfterAFailure(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.bind(t, "known")
	if _, err := refresh(t, p, nil); err != nil {
		t.Fatal(err)
	}
	for path, break1 := range map[string]func(){
		"no answer": func() { r.fail["/token"] = 1 },
		"not there": func() { r.say["/token"] = 404 },
		"broken":    func() { r.say["/token"] = 503 },
	} {
		before := r.discoveries()
		break1()
		if _, err := refresh(t, p, nil); err == nil || r.discoveries() != before {
			t.Fatalf("%s: %v, asked %d times more", path, err, r.discoveries()-before)
		}
		if _, err := refresh(t, p, nil); err != nil || r.discoveries() != before+1 {
			t.Errorf("%s: %v, asked %d times more", path, err, r.discoveries()-before)
		}
	}
}

func TestMetadataIsKeptAsLongAsItIsFresh(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cache string
		after time.Duration
		again bool
	}{
		{"", 599 * time.Second, false},
		{"max-age=60", 59 * time.Second, false},
		{"max-age=60", 60 * time.Second, true},
		{"public, MAX-AGE=\"60\", must-revalidate", 60 * time.Second, true},
		{"no-cache, no-store", 599 * time.Second, false}, // Keycloak says so of everything
		{"max-age=0", 599 * time.Second, false},
		{"max-age=soon", 599 * time.Second, false},
	} {
		r := newRig(t)
		r.cache = tt.cache
		p := r.bind(t, "known")
		if _, err := refresh(t, p, nil); err != nil {
			t.Fatal(err)
		}
		r.pass(tt.after)
		if _, err := refresh(t, p, nil); err != nil || (r.discoveries() == 2) != tt.again {
			t.Errorf("%q after %v: %v, asked %d times", tt.cache, tt.after, err, r.discoveries())
		}
	}
}

func TestOnlyPlainQuestionsAreKept(t *testing.T) {
	t.Parallel()
	plain := abi.Request{Method: "GET", URL: "https://a.example/", MaxAge: 60, Headers: []abi.Header{{"Accept", "application/json"}}}
	if !mayKeep(&plain) {
		t.Error("a plain GET is not kept")
	}
	for name, change := range map[string]func(*abi.Request){
		"no max_age":            func(r *abi.Request) { r.MaxAge = 0 },
		"a negative one":        func(r *abi.Request) { r.MaxAge = -1 },
		"POST":                  func(r *abi.Request) { r.Method = "POST" },
		"a body":                func(r *abi.Request) { r.BodyLen = 1 },
		"client authentication": func(r *abi.Request) { r.ClientAuth = &abi.ClientAuth{Method: abi.AuthNone} },
		"a bearer token":        func(r *abi.Request) { r.Headers = []abi.Header{{"Authorization", "Bearer x"}} },
		"a header of its own":   func(r *abi.Request) { r.Headers = []abi.Header{{"X-Token", "x"}} },
	} {
		r := plain
		if change(&r); mayKeep(&r) {
			t.Errorf("%s: kept", name)
		}
	}
}

func TestFreshnessCountsTheAgeAtArrival(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cache, age string
		want       time.Duration
	}{
		{"max-age=100", "40", time.Minute},
		{"max-age=100", "200", 0},
		{"max-age=100", "-5", 100 * time.Second},
		{"max-age=99999999", "0", 24 * time.Hour},
		{"max-age=99999999999999999999", "0", 24 * time.Hour},
		{"private", "40", 24 * time.Hour},
	} {
		if got := freshness([]abi.Header{{"cache-control", tt.cache}, {"age", tt.age}}); got != tt.want {
			t.Errorf("%q, age %s: %v, want %v", tt.cache, tt.age, got, tt.want)
		}
	}
}
