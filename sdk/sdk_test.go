package sdk_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/sdktest"
	"github.com/sallyport/sallyport/sdk/tree"
)

// fake is a provider whose exchange is whatever a test says.
type fake struct {
	exchange func(c *sdk.Conversation, in sdk.ExchangeInput) (*sdk.Credential, error)
}

func (f fake) Manifest() sdk.Manifest { return sdk.Manifest{Name: "fake", Version: "1"} }

func (f fake) Authorize(*sdk.Conversation, sdk.AuthorizeInput) (string, error) {
	return "https://x", nil
}

func (f fake) Exchange(c *sdk.Conversation, in sdk.ExchangeInput) (*sdk.Credential, error) {
	return f.exchange(c, in)
}

// call runs one operation with answers given so far.
func call(t *testing.T, p sdk.Provider, op, input string, answers ...string) (abi.Output, string) {
	t.Helper()
	in := abi.Input{
		ABI: abi.Version, Op: op, Now: 1_795_348_800_000, Tenant: "octo",
		Settings: abi.Raw(`{"k":"v"}`), Input: abi.Raw(input),
		Client: abi.Client{ID: "id", RedirectURI: "https://gw/cb"}, Steps: []abi.Step{},
	}
	var bodies [][]byte
	for _, answer := range answers {
		in.Steps = append(in.Steps, abi.Step{Status: 200, Headers: []abi.Header{{"x-a", "b"}}, BodyLen: len(answer)})
		bodies = append(bodies, []byte(answer))
	}
	doc, err := sdktest.EncodeInput(in, bodies)
	if err != nil {
		t.Fatal(err)
	}
	out, body, err := sdktest.DecodeOutput(sdk.Run(p, doc))
	if err != nil {
		t.Fatal(err)
	}
	return out, string(body)
}

func TestReplay(t *testing.T) {
	p := fake{func(c *sdk.Conversation, in sdk.ExchangeInput) (*sdk.Credential, error) {
		first, err := c.Do(sdk.PostForm("https://up/1", in.CodeForm()).Auth(sdk.ClientPublic))
		if err != nil {
			return nil, err
		}
		if err := c.Wait(1500 * time.Microsecond); err != nil {
			return nil, err
		}
		second, err := c.Do(sdk.PostJSON("https://up/2", tree.String(string(first.Body))).Bearer("t"))
		if err != nil {
			return nil, err
		}
		return &sdk.Credential{AccessToken: string(second.Body) + second.Header("X-A"), Extra: sdk.Raw(`{"tenant":"` + c.Tenant() + c.Setting("k").Str() + `"}`)}, nil
	}}
	input := `{"query":[["code","a b"]],"code_verifier":"v","future":{"x":1}}`
	out, body := call(t, p, abi.OpExchange, input)
	if r := out.Request; r == nil || r.Method != "POST" || r.URL != "https://up/1" || r.ClientAuth.Method != "none" || r.Idempotent {
		t.Fatalf("first move: %+v", out)
	}
	if want := "grant_type=authorization_code&code=a+b&redirect_uri=https%3A%2F%2Fgw%2Fcb&code_verifier=v"; body != want {
		t.Errorf("first body: %s", body)
	}
	if out, _ = call(t, p, abi.OpExchange, input, "one"); out.WaitMS != 2 {
		t.Fatalf("second move: %+v", out)
	}
	if out, body = call(t, p, abi.OpExchange, input, "one", ""); out.Request == nil || body != `"one"` {
		t.Fatalf("third move: %+v", out)
	}
	out, _ = call(t, p, abi.OpExchange, input, "one", "", "two")
	if got, want := string(out.Result), `{"access_token":"twob","extra":{"tenant":"octov"}}`; got != want {
		t.Errorf("result = %s, want %s", got, want)
	}
}

// TestSuspend has every way in which an author could swallow a suspension.
func TestSuspend(t *testing.T) {
	deferred := 0
	for name, exchange := range map[string]func(c *sdk.Conversation, in sdk.ExchangeInput) (*sdk.Credential, error){
		"recover": func(c *sdk.Conversation, _ sdk.ExchangeInput) (cred *sdk.Credential, err error) {
			defer func() {
				deferred++
				if r := recover(); r != nil {
					t.Errorf("recovered %v", r)
				}
				cred, err = &sdk.Credential{AccessToken: "swallowed"}, nil
			}()
			_, err = c.Do(sdk.Get("https://up/first"))
			return nil, err
		},
		"deferred Do": func(c *sdk.Conversation, _ sdk.ExchangeInput) (*sdk.Credential, error) {
			defer func() {
				_, _ = c.Do(sdk.Get("https://up/second"))
				t.Error("Do returned after the suspension")
			}()
			_, err := c.Do(sdk.Get("https://up/first"))
			return nil, err
		},
		"deferred panic": func(c *sdk.Conversation, _ sdk.ExchangeInput) (*sdk.Credential, error) {
			defer func() { panic("while unwinding") }()
			_, err := c.Do(sdk.Get("https://up/first"))
			return nil, err
		},
	} {
		out, _ := call(t, fake{exchange}, abi.OpExchange, `{}`)
		if out.Request == nil || out.Request.URL != "https://up/first" {
			t.Errorf("%s: %+v, want the first request", name, out)
		}
	}
	if deferred != 1 {
		t.Errorf("the deferred function ran %d times", deferred)
	}
}

func TestProviderFaults(t *testing.T) {
	for _, tt := range []struct {
		name     string
		exchange func(c *sdk.Conversation, in sdk.ExchangeInput) (*sdk.Credential, error)
		kind     string
		detail   string
	}{
		{"panic", func(*sdk.Conversation, sdk.ExchangeInput) (*sdk.Credential, error) {
			var none []int
			return nil, errors.New(strings.Repeat("x", none[3])) //nolint:govet // the panic is the point
		}, abi.KindBug, "panic: runtime error: index out of range"},
		{"foreign panic", func(*sdk.Conversation, sdk.ExchangeInput) (*sdk.Credential, error) {
			panic(42)
		}, abi.KindBug, "panic: a value that is no text"},
		{"other goroutine", func(c *sdk.Conversation, _ sdk.ExchangeInput) (*sdk.Credential, error) {
			failed := make(chan error)
			go func() {
				defer close(failed) // should Do end the goroutine
				_, err := c.Do(sdk.Get("https://up/"))
				failed <- err
			}()
			return nil, <-failed
		}, abi.KindBug, "sdk: Do or Wait called outside the goroutine of the operation; call them where the operation was called, one after the other"},
		{"plain error", func(*sdk.Conversation, sdk.ExchangeInput) (*sdk.Credential, error) {
			return nil, errors.New("oops")
		}, abi.KindBug, "oops"},
		{"wrapped error", func(*sdk.Conversation, sdk.ExchangeInput) (*sdk.Credential, error) {
			return nil, errors.Join(errors.New("x"), sdk.RateLimited(1500*time.Millisecond, "m", "d"))
		}, abi.KindRateLimited, "d"},
		{"no request", func(c *sdk.Conversation, _ sdk.ExchangeInput) (*sdk.Credential, error) {
			_, err := c.Do(nil)
			return nil, err
		}, abi.KindBug, "sdk: Do called without a request"},
		{"nothing", func(*sdk.Conversation, sdk.ExchangeInput) (*sdk.Credential, error) {
			return nil, nil
		}, abi.KindBug, "a credential without an access token"},
		{"bad extra", func(*sdk.Conversation, sdk.ExchangeInput) (*sdk.Credential, error) {
			return &sdk.Credential{AccessToken: "t", Extra: sdk.Raw("[]")}, nil
		}, abi.KindBug, "extra is no JSON object"},
	} {
		out, _ := call(t, fake{tt.exchange}, abi.OpExchange, `{}`)
		if out.Error == nil || out.Error.Kind != tt.kind || !strings.HasPrefix(out.Error.Detail, tt.detail) {
			t.Errorf("%s: %+v, want %s: %s", tt.name, out.Error, tt.kind, tt.detail)
		}
		if tt.kind == abi.KindRateLimited && out.Error.RetryAfter != 2 {
			t.Errorf("retry_after = %d, want 1.5 rounded up", out.Error.RetryAfter)
		}
	}
}

func TestRetryAfterIsReadAsItIsSent(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		after, reset string
		want         int
	}{
		{"7", "", 7},
		{"0.3", "", 1},
		{"64.57", "", 65},
		{"1.2e1", "", 12},
		{"Sun, 22 Nov 2026 12:01:30 GMT", "", 90},
		{"", "1795348803.4", 4},
		{"soon", "1795348860", 60},
		{"soon", "", 0},
		{"-1.5", "", 0},
		{"1e99", "", 0},
	} {
		r := sdk.Response{Status: 429, Headers: []abi.Header{{"retry-after", tt.after}, {"x-ratelimit-reset", tt.reset}}}
		var e *sdk.Error
		if !errors.As(r.Overload(now), &e) || e.RetryAfter != tt.want {
			t.Errorf("%q, %q: %+v, want %d", tt.after, tt.reset, e, tt.want)
		}
	}
}

type promising struct{ fake }

func (promising) Manifest() sdk.Manifest {
	return sdk.Manifest{Name: "p", Version: "1", Capabilities: sdk.Capabilities{Refresh: true}}
}

func TestOperations(t *testing.T) {
	p := fake{}
	if out, _ := call(t, p, abi.OpDescribe, ``); !strings.Contains(string(out.Result), `"hosts":[]`) {
		t.Errorf("describe: %s", out.Result)
	}
	if out, _ := call(t, p, abi.OpCheck, ``); string(out.Result) != "{}" {
		t.Errorf("check without a Checker: %+v", out)
	}
	for _, op := range []string{abi.OpRefresh, abi.OpRevoke, "device", ""} {
		if out, _ := call(t, p, op, `{}`); out.Error == nil || out.Error.Kind != abi.KindBug {
			t.Errorf("%s: %+v, want a bug", op, out)
		}
	}
	if out, _ := call(t, promising{}, abi.OpDescribe, ``); out.Error == nil || out.Error.Kind != abi.KindBug {
		t.Errorf("a manifest that promises too much: %+v", out)
	}
}

func TestForm(t *testing.T) {
	f, err := sdk.ParseForm("a=1&b=%C3%A9+x&&c&a=2")
	if err != nil || f.Get("a") != "1" || f.Get("b") != "é x" || f.Get("none") != "" || len(f) != 4 {
		t.Fatalf("ParseForm = %q, %v", f, err)
	}
	f.Set("a", "3")
	f.Set("d", "~*/?")
	if got, want := f.Encode(), "a=3&b=%C3%A9+x&c=&d=~%2A%2F%3F"; got != want {
		t.Errorf("Encode = %s, want %s", got, want)
	}
	for _, bad := range []string{"a=%", "a=%f", "%zz=1"} {
		if _, err := sdk.ParseForm(bad); err == nil {
			t.Errorf("ParseForm(%q) accepted", bad)
		}
	}
	for url, want := range map[string]string{
		"https://x/a": "https://x/a?k=v", "https://x/a?": "https://x/a?k=v", "https://x/a?b=c#d": "https://x/a?b=c&k=v",
	} {
		if got := sdk.AddQuery(url, sdk.Form{{"k", "v"}}); got != want {
			t.Errorf("AddQuery(%s) = %s, want %s", url, got, want)
		}
	}
	if got := sdk.PathEscape("a b/c"); got != "a%20b%2Fc" {
		t.Errorf("PathEscape = %s", got)
	}
}

func TestParseTime(t *testing.T) {
	for _, text := range []string{
		"2026-11-22T12:01:30Z", "2026-02-28T23:59:59.123456+05:30", "1999-12-31t00:00:00-08:00", "0001-01-01T00:00:00Z",
		"Sun, 22 Nov 2026 12:01:30 GMT", "Tue, 29 Feb 2028 00:00:00 GMT",
	} {
		layout := time.RFC3339
		if strings.HasSuffix(text, "GMT") {
			layout = "Mon, 02 Jan 2006 15:04:05 GMT"
		}
		want, err := time.Parse(layout, strings.ToUpper(text[:11])+text[11:])
		if err != nil {
			want, err = time.Parse(layout, text)
		}
		if got, ok := sdk.ParseTime(text); err != nil || !ok || got.Unix() != want.Unix() {
			t.Errorf("ParseTime(%s) = %v, %v, want %v (%v)", text, got, ok, want, err)
		}
	}
	for _, text := range []string{"", "17", "2026-11-22", "2026-13-22T12:00:00Z", "2026-11-22T12:00:00", "2026-11-22T12:00:00+5", "2026-11-22T24:00:00Z", "Sun, 22 NovX2026 12:01:30 GMT", "Sun, 22 ovD 2026 12:01:30 GMT"} {
		if got, ok := sdk.ParseTime(text); ok {
			t.Errorf("ParseTime(%q) = %v", text, got)
		}
	}
}

// FuzzRun feeds documents that no host would write: the answer is always a
// document, and a faulty input is the provider's fault at worst.
func FuzzRun(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x02\x00\x00\x00{}"))
	f.Add([]byte("\xff\xff\xff\xff{}"))
	f.Add([]byte("\x4b\x00\x00\x00" + `{"op":"exchange","now":1e300,"steps":[{"status":200,"body_len":1000000000}]}`))
	f.Add([]byte("\x5d\x00\x00\x00" + `{"op":"exchange","input":{"query":[["a"],["code","c"],3]},"steps":[{"body_len":2},{"body_len":-1}]}xx`))
	p := fake{func(c *sdk.Conversation, in sdk.ExchangeInput) (*sdk.Credential, error) {
		if _, err := in.Code(); err != nil {
			return nil, err
		}
		resp, err := c.Do(sdk.PostForm("https://up/", in.CodeForm()))
		if err != nil {
			return nil, err
		}
		if err := resp.Overload(c.Now()); err != nil {
			return nil, err
		}
		v, err := resp.JSON()
		return &sdk.Credential{AccessToken: v.Get("t").Text()}, err
	}}
	f.Fuzz(func(t *testing.T, doc []byte) {
		if _, _, err := sdktest.DecodeOutput(sdk.Run(p, doc)); err != nil {
			t.Fatal(err)
		}
	})
}
