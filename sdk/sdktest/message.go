package sdktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/sdk/abi"
)

const formType = "application/x-www-form-urlencoded"

// message is what call, request and response sections have in common: lines of
// "name: value", an empty line, a body.
type message struct {
	first   string // the request or status line
	headers []abi.Header
	body    string
}

// parseMessage reads a section; firstLine says whether it starts with one.
func parseMessage(text string, firstLine bool) (message, error) {
	head, body, _ := strings.Cut(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n")
	m := message{body: strings.TrimRight(body, "\n")}
	for i, line := range strings.Split(strings.TrimSpace(head), "\n") {
		if i == 0 && firstLine {
			m.first = line
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if line != "" && !ok {
			return m, fmt.Errorf("line %q is no name and value", line)
		}
		if line != "" {
			m.headers = append(m.headers, abi.Header{strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)})
		}
	}
	return m, nil
}

func (m message) get(name string) string {
	for _, h := range m.headers {
		if h[0] == name {
			return h[1]
		}
	}
	return ""
}

// parseResponse reads what the upstream answered. A form may be spread over
// lines, one pair each.
func parseResponse(text string) (abi.Step, []byte, error) {
	m, err := parseMessage(text, true)
	if err != nil {
		return abi.Step{}, nil, err
	}
	first, _, _ := strings.Cut(m.first, " ")
	status, err := strconv.Atoi(first)
	if err != nil {
		return abi.Step{}, nil, fmt.Errorf("response starts with %q, not with a status", m.first)
	}
	if strings.HasPrefix(m.get("content-type"), formType) {
		m.body = strings.ReplaceAll(m.body, "\n", "")
	}
	return abi.Step{Status: status, Headers: append([]abi.Header{}, m.headers...), BodyLen: len(m.body)}, []byte(m.body), nil
}

// formatRequest writes what the provider asked for, the way a person would:
// JSON indented, a form one pair a line.
func formatRequest(r *abi.Request, body []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", r.Method, r.URL)
	if r.ClientAuth != nil {
		fmt.Fprintf(&b, "auth: %s\n", formatAuth(r.ClientAuth))
	}
	if r.Idempotent {
		b.WriteString("idempotent: true\n")
	}
	if r.MaxAge > 0 {
		fmt.Fprintf(&b, "max_age: %d\n", r.MaxAge)
	}
	kind := ""
	for _, h := range r.Headers {
		fmt.Fprintf(&b, "%s: %s\n", h[0], h[1])
		if h[0] == "content-type" {
			kind = h[1]
		}
	}
	if len(body) > 0 {
		b.WriteString("\n" + pretty(kind, body) + "\n")
	}
	return b.String()
}

// formatAuth writes a directive as its method and what else it says.
func formatAuth(a *abi.ClientAuth) string {
	text := a.Method
	for _, more := range [][2]string{{"id_param", a.IDParam}, {"secret_param", a.SecretParam}, {"audience", a.Audience}} {
		if more[1] != "" {
			text += " " + more[0] + "=" + more[1]
		}
	}
	return text
}

func pretty(kind string, body []byte) string {
	if kind == formType {
		return strings.ReplaceAll(string(body), "&", "\n&")
	}
	return indent(body)
}

// indent lays JSON out over lines and returns everything else as it is.
func indent(text []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, text, "", "  ") != nil {
		return string(text)
	}
	return b.String()
}

// EncodeInput writes an input document.
func EncodeInput(in abi.Input, bodies [][]byte) ([]byte, error) {
	head, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	doc := []byte{byte(len(head)), byte(len(head) >> 8), byte(len(head) >> 16), byte(len(head) >> 24)}
	doc = append(doc, head...)
	for _, body := range bodies {
		doc = append(doc, body...)
	}
	return doc, nil
}

// DecodeOutput reads an output document and checks that it is one: whole, with
// nothing left over, and with exactly one member.
func DecodeOutput(doc []byte) (abi.Output, []byte, error) {
	var out abi.Output
	if len(doc) < 4 {
		return out, nil, errors.New("output document too short")
	}
	size := int(doc[0]) | int(doc[1])<<8 | int(doc[2])<<16 | int(doc[3])<<24
	if size > len(doc)-4 {
		return out, nil, errors.New("head longer than the output document")
	}
	if err := json.Unmarshal(doc[4:4+size], &out); err != nil {
		return out, nil, err
	}
	body := doc[4+size:]
	members, want := 0, 0
	if out.Request != nil {
		members++
		want = out.Request.BodyLen
	}
	for _, set := range []bool{out.Result != nil, out.Error != nil, out.WaitMS != 0} {
		if set {
			members++
		}
	}
	if members != 1 {
		return out, nil, fmt.Errorf("output has %d members, not one", members)
	}
	if want != len(body) {
		return out, nil, fmt.Errorf("output has %d bytes of body, its head says %d", len(body), want)
	}
	return out, body, nil
}
