package sdktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/sdk/abi"
)

// Call makes one call of a provider: input document in, output document out.
// sdk.Run is one, a module in a sandbox another.
type Call func(input []byte) ([]byte, error)

// maxSteps is the host's default limit of requests in a conversation.
const maxSteps = 8

// Replay holds the conversation of one transcript with a provider and returns
// the transcript as it came out: the comment, the call and the responses as
// they were, and everything the provider said as it said it. The provider
// agrees with the transcript if nothing changed. Every call is made twice, and
// an error is returned if the two differ, or if a host would refuse what the
// provider asks for or answers; see package rules.
func Replay(call Call, transcript string) (string, error) {
	comment, sections := parseArchive(transcript)
	if len(sections) == 0 || sections[0].name != "call" {
		return "", errors.New("a transcript begins with a section named call")
	}
	in, host, err := parseCall(call, sections[0].text)
	if err != nil {
		return "", err
	}
	given, err := responses(sections[1:])
	if err != nil {
		return "", err
	}
	said := []section{sections[0]}
	var bodies [][]byte
	for {
		in.StepsLeft = maxSteps - len(in.Steps)
		out, body, err := twice(call, *in, bodies)
		if err != nil {
			return "", err
		}
		said = append(said, describe(out, body))
		if err := host.judge(in, out); err != nil {
			return "", err
		}
		if out.Request == nil && out.WaitMS == 0 {
			break
		}
		if len(in.Steps) == maxSteps {
			return "", fmt.Errorf("more than %d steps", maxSteps)
		}
		step := abi.Step{Headers: []abi.Header{}} // what answers a wait
		body = nil
		if out.Request != nil {
			if len(given) == 0 {
				return formatArchive(comment, append(said, section{name: "response"})), nil
			}
			if step, body, err = parseResponse(given[0].text); err != nil {
				return "", err
			}
			said, given = append(said, given[0]), given[1:]
		}
		in.Steps, bodies = append(in.Steps, step), append(bodies, body)
	}
	return formatArchive(comment, said), nil
}

// withUnused returns what came out of a replay with the responses of the
// transcript at its end that the provider did not ask for, and how many there
// are. They are kept when a transcript is updated: an answer is work, and the
// provider may be what is wrong.
func withUnused(transcript, got string) (string, int) {
	_, before := parseArchive(transcript)
	comment, after := parseArchive(got)
	isOther := func(s section) bool { return s.name != "response" }
	given, used := slices.DeleteFunc(before, isOther), slices.DeleteFunc(slices.Clone(after), isOther)
	if len(given) <= len(used) {
		return got, 0
	}
	unused := given[len(used):]
	return formatArchive(comment, append(after, unused...)), len(unused)
}

// responses returns the answers of a transcript. A section with a name that
// none has is an error: it would be lost.
func responses(sections []section) (given []section, err error) {
	for _, s := range sections {
		switch s.name {
		case "response":
			given = append(given, s)
		case "request", "wait", "result", "error":
		default:
			return nil, fmt.Errorf("unknown section %q; the sections are call, request, response, wait, result and error", s.name)
		}
	}
	return given, nil
}

// twice makes a call two times.
func twice(call Call, in abi.Input, bodies [][]byte) (abi.Output, []byte, error) {
	doc, err := EncodeInput(in, bodies)
	if err != nil {
		return abi.Output{}, nil, err
	}
	first, err := call(bytes.Clone(doc))
	if err != nil {
		return abi.Output{}, nil, err
	}
	first = bytes.Clone(first)
	second, err := call(doc)
	if err != nil {
		return abi.Output{}, nil, err
	}
	if !bytes.Equal(first, second) {
		return abi.Output{}, nil, fmt.Errorf("the same call came out differently:\n%s\n%s", first, second)
	}
	return DecodeOutput(first)
}

// parseCall reads the section that says what is called; what it leaves out has
// a default, and settings have those of the manifest.
func parseCall(call Call, text string) (*abi.Input, *host, error) {
	m, err := parseMessage(text, false)
	if err != nil {
		return nil, nil, err
	}
	h := &host{}
	in := &abi.Input{
		ABI: abi.Version, Seed: strings.Repeat("0", 64), Tenant: "test",
		Now:    time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(),
		Client: abi.Client{ID: "test-client", RedirectURI: "https://test.example/callback"},
		Steps:  []abi.Step{}, Input: abi.Raw("{}"),
	}
	settings := "{}"
	for _, line := range m.headers {
		switch name, value := line[0], line[1]; name {
		case "op":
			in.Op = value
		case "now":
			at, err := time.Parse(time.RFC3339, value)
			if err != nil {
				return nil, nil, err
			}
			in.Now = at.UnixMilli()
		case "tenant":
			in.Tenant = value
		case "seed":
			in.Seed = value
		case "client":
			in.Client.ID, in.Client.RedirectURI, _ = strings.Cut(value, " ")
		case "settings":
			settings = value
		case "private-host":
			h.private = append(h.private, value)
		default:
			return nil, nil, fmt.Errorf("a call has no %q; it has op, now, tenant, seed, client, settings and private-host", name)
		}
	}
	if m.body != "" {
		if !json.Valid([]byte(m.body)) {
			return nil, nil, errors.New("the input of the call is not JSON")
		}
		in.Input = abi.Raw(m.body)
	}
	if in.Settings, err = h.bind(call, settings); err != nil {
		return nil, nil, err
	}
	if in.Op == abi.OpDescribe || in.Op == abi.OpCheck {
		return in, h, nil
	}
	return in, h, h.check(call, in)
}

// describe writes what the provider said as a section.
func describe(out abi.Output, body []byte) section {
	switch {
	case out.Request != nil:
		return section{"request", formatRequest(out.Request, body)}
	case out.WaitMS != 0:
		return section{"wait", (time.Duration(out.WaitMS) * time.Millisecond).String() + "\n"}
	case out.Error != nil:
		text := "kind: " + out.Error.Kind + "\n"
		if out.Error.Message != "" {
			text += "message: " + out.Error.Message + "\n"
		}
		if out.Error.Detail != "" {
			text += "detail: " + out.Error.Detail + "\n"
		}
		if out.Error.RetryAfter != 0 {
			text += fmt.Sprintf("retry_after: %d\n", out.Error.RetryAfter)
		}
		return section{"error", text}
	}
	return section{"result", indent(out.Result) + "\n"}
}
