package sdktest_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/oauth2"
	"github.com/sallyport/sallyport/sdk/sdktest"
	"github.com/sallyport/sallyport/sdk/tree"
)

const transcript = `A comment
of two lines.
-- call --
op: refresh
tenant: octo
client: id https://gw/cb
settings: {"path": "token"}

{"credential": {"access_token": "a", "refresh_token": "r"}}
-- request --
POST https://up.test/token
auth: post
content-type: application/x-www-form-urlencoded
accept: application/json

grant_type=refresh_token
&refresh_token=r
-- response --
200 OK
Content-Type: application/x-www-form-urlencoded

access_token=new
&scope=a+b
-- result --
{
  "access_token": "new",
  "refresh_token": "r",
  "scopes": [
    "a",
    "b"
  ]
}
`

func provider() *oauth2.Provider {
	return &oauth2.Provider{
		Info: sdk.Manifest{Name: "p", Version: "1", Hosts: []string{"{settings.host}"}, Capabilities: sdk.Capabilities{Refresh: true}, Settings: sdk.Raw(`{"properties": {"host": {"default": "up.test"}, "path": {"default": "x"}}}`)},
		Config: oauth2.Config{
			AuthorizeURL: "https://{settings.host}/authorize",
			TokenURL:     "https://{settings.host}/{settings.path}",
		},
	}
}

func native(p sdk.Provider) sdktest.Call {
	return func(input []byte) ([]byte, error) { return sdk.Run(p, input), nil }
}

func TestReplayAgrees(t *testing.T) {
	got, err := sdktest.Replay(native(provider()), transcript)
	if err != nil || got != transcript {
		t.Fatalf("%v\n%s", err, sdktest.Diff(transcript, got))
	}
}

// TestReplayDiffers changes the transcript in every part that the provider
// says: the replay must come out as the provider has it.
func TestReplayDiffers(t *testing.T) {
	for _, tt := range []struct{ old, new string }{
		{"auth: post", "auth: basic"},
		{"&refresh_token=r\n", "&refresh_token=other\n"},
		{`  "access_token": "new",`, `  "access_token": "old",`},
		{"-- result --", "-- response --\n500\n-- result --"},
	} {
		wrong := strings.Replace(transcript, tt.old, tt.new, 1)
		got, err := sdktest.Replay(native(provider()), wrong)
		if err != nil || got != transcript {
			t.Errorf("%s: %v\n%s", tt.new, err, sdktest.Diff(transcript, got))
		}
		if diff := sdktest.Diff(wrong, got); !strings.Contains(diff, "\n- ") {
			t.Errorf("%s: the difference does not show:\n%s", tt.new, diff)
		}
	}
}

func TestReplayRunsOut(t *testing.T) {
	short, _, _ := strings.Cut(transcript, "-- response --")
	got, err := sdktest.Replay(native(provider()), short)
	if err != nil || got != short+"-- response --\n" {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestReplayRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no call":    "-- request --\n",
		"odd header": "-- call --\nop: check\nverb: x\n",
		"no header":  "-- call --\nop check\n",
		"no JSON":    "-- call --\nop: check\n\n{\n",
		"settings":   "-- call --\nop: check\nsettings: []\n",
		"no time":    "-- call --\nop: check\nnow: noon\n",
		"no status":  strings.Replace(transcript, "200 OK", "OK", 1),
	} {
		if got, err := sdktest.Replay(native(provider()), text); err == nil {
			t.Errorf("%s: accepted:\n%s", name, got)
		}
	}
}

// fickle asks for something else in every call.
type fickle struct {
	oauth2.Provider
	calls int
}

func (f *fickle) Refresh(c *sdk.Conversation, _ sdk.RefreshInput) (*sdk.Credential, error) {
	f.calls++
	_, err := c.Do(sdk.PostJSON("https://up.test/", tree.Int(int64(f.calls))))
	return nil, err
}

func TestReplayFickle(t *testing.T) {
	got, err := sdktest.Replay(native(&fickle{Provider: *provider()}), transcript)
	if err == nil || !strings.Contains(err.Error(), "differently") {
		t.Errorf("%v\n%s", err, got)
	}
}

// endless waits for ever.
type endless struct{ oauth2.Provider }

func (endless) Refresh(c *sdk.Conversation, _ sdk.RefreshInput) (*sdk.Credential, error) {
	for {
		if err := c.Wait(1e9); err != nil {
			return nil, err
		}
	}
}

func TestReplayEndless(t *testing.T) {
	if got, err := sdktest.Replay(native(&endless{*provider()}), transcript); err == nil {
		t.Errorf("an endless conversation ended:\n%s", got)
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/refresh.txtar", []byte(transcript), 0o644); err != nil {
		t.Fatal(err)
	}
	sdktest.Run(t, provider(), dir+"/*.txtar")
}

func TestDecodeOutput(t *testing.T) {
	doc := func(head, body string) []byte {
		return append([]byte{byte(len(head)), 0, 0, 0}, head+body...)
	}
	if out, body, err := sdktest.DecodeOutput(doc(`{"request":{"method":"GET","url":"u","body_len":2}}`, "ab")); err != nil || out.Request.Method != "GET" || string(body) != "ab" {
		t.Errorf("%+v, %q, %v", out, body, err)
	}
	for i, bad := range [][]byte{
		nil, {1, 0, 0, 0}, doc(`{`, ""), doc(`{}`, ""), doc(`{"result":{}}`, "x"), doc(`{"result":{},"wait_ms":1}`, ""),
		doc(`{"request":{"body_len":3}}`, "ab"),
	} {
		if _, _, err := sdktest.DecodeOutput(bad); err == nil {
			t.Errorf("document %d accepted", i)
		}
	}
}

func ExampleDiff() {
	fmt.Print(sdktest.Diff("a\nb", "a\nc"))
	// Output:
	//   a
	// - b
	// + c
}
