// Package sdktest replays recorded conversations against a provider, natively.
// It owns the form of a transcript and the documents as a host would write
// them; it leaves running a compiled module to the host, which may use Replay.
//
// A transcript is a txtar archive: a comment that says what happens, then the
// sections call, request, response … and result or error.
//
//	The user connects.
//	-- call --
//	op: exchange
//	now: 2026-11-22T12:00:00Z
//	settings: {"base_url": "https://up.example"}
//
//	{"query": [["code", "c0de"]]}
//	-- request --
//	POST https://up.example/token
//	auth: post
//	content-type: application/x-www-form-urlencoded
//
//	grant_type=authorization_code
//	&code=c0de
//	-- response --
//	200
//	content-type: application/json
//
//	{"access_token": "at", "sub": "u1"}
//	-- result --
//	{
//	  "access_token": "at"
//	}
//
// A call may also say tenant, client ("client: ID REDIRECT_URI"), seed and
// private-host (host:port that may be asked over http); whatever is missing has
// a default. The call and the responses are written by hand.
// With SDKTEST_UPDATE=1 in the environment, the rest is written by the
// provider: read it before you keep it.
package sdktest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/sdk"
)

// Run replays every transcript that matches pattern as a subtest and fails
// where the provider says something else than the transcript.
func Run(t *testing.T, p sdk.Provider, pattern string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcript matches %s", pattern)
	}
	if err := unusedMethods(p); err != nil {
		t.Error(err)
	}
	broken, heavy, err := Imports(".") // go test runs in the folder of the package
	if err != nil {
		t.Error(err)
	}
	for _, what := range broken {
		t.Error(what)
	}
	for _, what := range heavy {
		t.Log(what)
	}
	call := func(input []byte) ([]byte, error) { return sdk.Run(p, input), nil }
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.ReplaceAll(string(data), "\r\n", "\n")
			got, err := Replay(call, want)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if got == want {
				return
			}
			kept, unused := withUnused(want, got)
			if os.Getenv("SDKTEST_UPDATE") != "" {
				if err := os.WriteFile(file, []byte(kept), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if unused > 0 {
				t.Fatalf("%s: the provider makes fewer requests than the transcript answers: %d of its responses are unused. They are kept at the end; take them out if the provider is right (- expected, + said):\n%s",
					file, unused, Diff(want, got))
			}
			if strings.HasSuffix(got, "-- response --\n") {
				t.Fatalf("%s: the provider asks for more than the transcript answers:\n%s", file, Diff(want, got))
			}
			if os.Getenv("SDKTEST_UPDATE") == "" {
				t.Fatalf("%s (- expected, + said):\n%s", file, Diff(want, got))
			}
		})
	}
}

// Diff returns the lines of a and b, with - before those only in a and +
// before those only in b.
func Diff(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	// common[i][j] is how many lines x[i:] and y[j:] have in common, in order.
	common := make([][]int, len(x)+1)
	for i := range common {
		common[i] = make([]int, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out strings.Builder
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			out.WriteString("  " + x[i] + "\n")
			i, j = i+1, j+1
		case j == len(y) || i < len(x) && common[i+1][j] >= common[i][j+1]:
			out.WriteString("- " + x[i] + "\n")
			i++
		default:
			out.WriteString("+ " + y[j] + "\n")
			j++
		}
	}
	return out.String()
}
