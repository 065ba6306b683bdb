package sdktest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/abi"
)

// maxAnswer is the host's default limit of an answer in bytes.
const maxAnswer = 256 << 10

// Recorder holds conversations with a live upstream, natively, to get a
// transcript of how it really answers.
type Recorder struct {
	Client       *http.Client // performs the requests; redirects are not followed
	ClientSecret string       // for the client authentication that a request asks for; private_key_jwt is not supported
}

// keptHeaders are the headers of an answer that a provider may look at. The
// others (dates, cookies, traces) change from run to run.
var keptHeaders = []string{"content-type", "location", "retry-after", "www-authenticate", "x-oauth-scopes", "x-ratelimit-remaining", "x-ratelimit-reset"}

// Record makes the call that a transcript begins with (its comment and its
// section call, with a real code or token in it, and the client's identifier
// in "client:") and returns the whole transcript. Secrets are replaced by
// names that stay the same from run to run, ID tokens lose their signature,
// and what comes out is known to replay. Names, addresses and whatever else
// the upstream told stay in: read it before you keep it.
func (r Recorder) Record(ctx context.Context, p sdk.Provider, opening string) (string, error) {
	call := func(input []byte) ([]byte, error) { return sdk.Run(p, input), nil }
	comment, sections := parseArchive(opening)
	if len(sections) != 1 || sections[0].name != "call" {
		return "", errors.New("the opening of a transcript is a comment and one section named call")
	}
	in, host, err := parseCall(call, sections[0].text)
	if err != nil {
		return "", err
	}
	hide := newRedactor()
	if err := hide.add(append(secretsIn(in.Input), secret{"client_secret", r.ClientSecret})); err != nil {
		return "", err // before a code is spent
	}
	var bodies [][]byte
	for {
		in.StepsLeft = maxSteps - len(in.Steps)
		out, body, err := twice(call, *in, bodies)
		if err != nil {
			return "", err
		}
		sections = append(sections, describe(out, body))
		if err := host.judge(in, out); err != nil {
			return "", err // before a code is spent
		}
		if err := hide.add(secretsIn(out.Result)); err != nil {
			return "", err
		}
		if out.Request == nil && out.WaitMS == 0 {
			return redacted(call, hide.text(formatArchive(comment, sections)))
		}
		if len(in.Steps) == maxSteps {
			return "", fmt.Errorf("more than %d steps", maxSteps)
		}
		step, answer, err := r.perform(ctx, in.Client.ID, out, body)
		if err != nil {
			return "", err
		}
		if out.Request != nil {
			sections = append(sections, section{"response", formatResponse(step, answer)})
			if err := hide.add(secretsIn(answer)); err != nil {
				return "", err
			}
		}
		in.Steps, bodies = append(in.Steps, step), append(bodies, answer)
	}
}

// redacted returns a transcript without secrets once it is known to replay.
func redacted(call Call, transcript string) (string, error) {
	got, err := Replay(call, transcript)
	if err != nil {
		return "", fmt.Errorf("the recorded transcript does not replay: %w", err)
	}
	if got != transcript {
		return "", fmt.Errorf("the recorded transcript does not replay:\n%s", Diff(transcript, got))
	}
	return transcript, nil
}

// perform does what the host would: waits, or sends a request with the client
// authentication that it asks for.
func (r Recorder) perform(ctx context.Context, clientID string, out abi.Output, body []byte) (abi.Step, []byte, error) {
	step := abi.Step{Headers: []abi.Header{}}
	if out.Request == nil {
		timer := time.NewTimer(time.Duration(out.WaitMS) * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
			return step, nil, nil
		case <-ctx.Done():
			return step, nil, ctx.Err()
		}
	}
	req, err := r.build(ctx, clientID, out.Request, body)
	if err != nil {
		return step, nil, err
	}
	client := *r.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		return step, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return step, nil, err
	case len(answer) > maxAnswer:
		return step, nil, fmt.Errorf("%s answers with more than %d bytes", req.URL.Host, maxAnswer)
	case !utf8.Valid(answer):
		return step, nil, fmt.Errorf("%s answers with something that is no text", req.URL.Host)
	}
	step.Status, step.BodyLen = resp.StatusCode, len(answer)
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		if lower := strings.ToLower(name); slices.Contains(keptHeaders, lower) {
			step.Headers = append(step.Headers, abi.Header{lower, resp.Header.Get(name)})
		}
	}
	return step, answer, nil
}

func (r Recorder) build(ctx context.Context, clientID string, asked *abi.Request, body []byte) (*http.Request, error) {
	header := http.Header{}
	for _, h := range asked.Headers {
		header.Add(h[0], h[1])
	}
	if asked.ClientAuth != nil {
		var err error
		if body, err = r.authenticate(asked.ClientAuth, clientID, header, body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, asked.Method, asked.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = header
	return req, nil
}

// authenticate carries out a client_auth directive as ABI.md has it.
func (r Recorder) authenticate(a *abi.ClientAuth, id string, header http.Header, body []byte) ([]byte, error) {
	req := http.Request{Header: header}
	params := url.Values{cmp.Or(a.IDParam, "client_id"): {id}}
	switch a.Method {
	case abi.AuthBasic:
		req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(r.ClientSecret)) // RFC 6749 §2.3.1
		return body, nil
	case abi.AuthBasicSecret:
		req.SetBasicAuth(r.ClientSecret, "")
		return body, nil
	case abi.AuthPost:
		params.Set(cmp.Or(a.SecretParam, "client_secret"), r.ClientSecret)
	case abi.AuthNone:
	default:
		return nil, fmt.Errorf("client authentication by %s cannot be recorded", a.Method)
	}
	if kind, _, _ := mime.ParseMediaType(header.Get("Content-Type")); kind != "application/json" {
		header.Set("Content-Type", formType)
		return []byte(strings.Trim(string(body)+"&"+params.Encode(), "&")), nil
	}
	object := map[string]any{}
	if err := json.Unmarshal(body, &object); err != nil {
		return nil, fmt.Errorf("client authentication in a body that is no JSON object: %w", err)
	}
	for name := range params {
		object[name] = params.Get(name)
	}
	return json.Marshal(object)
}

// formatResponse is the reverse of parseResponse.
func formatResponse(step abi.Step, body []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", step.Status)
	for _, h := range step.Headers {
		fmt.Fprintf(&b, "%s: %s\n", h[0], h[1])
	}
	if len(body) > 0 {
		b.WriteString("\n" + strings.TrimRight(string(body), "\n") + "\n")
	}
	return b.String()
}
