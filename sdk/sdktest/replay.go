package sdktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
// an error is returned if the two differ.
func Replay(call Call, transcript string) (string, error) {
	comment, sections := parseArchive(transcript)
	if len(sections) == 0 || sections[0].name != "call" {
		return "", errors.New("a transcript begins with a section named call")
	}
	in, err := parseCall(call, sections[0].text)
	if err != nil {
		return "", err
	}
	var given []section
	for _, s := range sections[1:] {
		if s.name == "response" {
			given = append(given, s)
		}
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
func parseCall(call Call, text string) (*abi.Input, error) {
	m, err := parseMessage(text, false)
	if err != nil {
		return nil, err
	}
	in := &abi.Input{
		ABI: abi.Version, Seed: strings.Repeat("0", 64), Tenant: "test",
		Now:    time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(),
		Client: abi.Client{ID: "test-client", RedirectURI: "https://test.example/callback"},
		Steps:  []abi.Step{}, Input: abi.Raw("{}"),
	}
	settings := "{}"
	for _, h := range m.headers {
		switch h[0] {
		case "op":
			in.Op = h[1]
		case "now":
			at, err := time.Parse(time.RFC3339, h[1])
			if err != nil {
				return nil, err
			}
			in.Now = at.UnixMilli()
		case "tenant":
			in.Tenant = h[1]
		case "client":
			in.Client.ID, in.Client.RedirectURI, _ = strings.Cut(h[1], " ")
		case "settings":
			settings = h[1]
		default:
			return nil, fmt.Errorf("a call has no %q", h[0])
		}
	}
	if m.body != "" {
		if !json.Valid([]byte(m.body)) {
			return nil, errors.New("the input of the call is no JSON")
		}
		in.Input = abi.Raw(m.body)
	}
	in.Settings, err = withDefaults(call, settings)
	return in, err
}

// withDefaults fills settings in from the schema in the manifest, as the host
// does.
func withDefaults(call Call, settings string) (abi.Raw, error) {
	values := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(settings), &values); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	out, _, err := twice(call, abi.Input{ABI: abi.Version, Op: abi.OpDescribe, Steps: []abi.Step{}}, nil)
	if err != nil {
		return nil, fmt.Errorf("describe: %w", err)
	}
	if out.Error != nil {
		return nil, fmt.Errorf("describe: %s", out.Error.Detail)
	}
	var manifest struct {
		Settings struct {
			Properties map[string]struct {
				Default json.RawMessage `json:"default"`
			} `json:"properties"`
		} `json:"settings"`
	}
	if err := json.Unmarshal(out.Result, &manifest); err != nil {
		return nil, fmt.Errorf("describe: %w", err)
	}
	for name, property := range manifest.Settings.Properties {
		if _, given := values[name]; !given && property.Default != nil {
			values[name] = property.Default
		}
	}
	return json.Marshal(values)
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
