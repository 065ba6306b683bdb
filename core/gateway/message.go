package gateway

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// message is what policy looks at in one JSON-RPC message.
type message struct {
	method string          // empty: a response
	tool   string          // of tools/call
	id     json.RawMessage // as it was sent; nil: a notification
}

// toolsCall is the one method whose parameters policy looks into.
const toolsCall = "tools/call"

// Codes of JSON-RPC errors.
const (
	codeParse          = -32700 // JSON-RPC 2.0 §5.1
	codeRefused        = -32000 // JSON-RPC 2.0 §5.1, the server's own
	codeHeaderMismatch = -32020 // MCP 2026-07-28
)

// parse reads a body: one message or a batch (MCP 2025-03-26). Policy and
// backend must read the same out of it, so whatever two parsers may take
// differently is an error here: a name that stands twice, a name in other
// letters, something behind the end, bytes that are not UTF-8 (RFC 8259 §8.1),
// which some readers drop.
func parse(body []byte) ([]message, error) {
	if !utf8.Valid(body) {
		return nil, errAmbiguous
	}
	d := json.NewDecoder(bytes.NewReader(body))
	var all []message
	if t := bytes.TrimLeft(body, " \t\r\n"); len(t) > 0 && t[0] == '[' {
		_, _ = d.Token()
		for d.More() {
			m, err := parseMessage(d)
			if err != nil {
				return nil, err
			}
			all = append(all, m)
		}
		if _, err := d.Token(); err != nil || len(all) == 0 {
			return nil, errNoMessage
		}
	} else {
		m, err := parseMessage(d)
		if err != nil {
			return nil, err
		}
		all = []message{m}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errNoMessage
	}
	return all, nil
}

var (
	errNoMessage = errors.New("the body is no JSON-RPC message")
	errAmbiguous = errors.New("the body can be read in two ways")
	errNoTool    = errors.New("tools/call must name its tool: params is an object with a name (MCP, Calling Tools)")
)

func parseMessage(d *json.Decoder) (message, error) {
	var m message
	var name string
	var nameErr error
	err := members(d, []string{"id", "method", "params"}, func(key string) error {
		switch key {
		case "id":
			return d.Decode(&m.id)
		case "method":
			return d.Decode(&m.method)
		}
		name, nameErr = paramsName(d)
		if errors.Is(nameErr, errAmbiguous) {
			return nil // what it means depends on the method, which may come later
		}
		return nameErr
	})
	if err == nil && (unclear(m.method) || m.method != toolsCall && strings.EqualFold(m.method, toolsCall)) {
		return m, errAmbiguous
	}
	if err == nil && m.method == toolsCall {
		if m.tool, err = name, nameErr; err == nil && name == "" {
			err = errNoTool // a lenient backend may find one in params of another form
		} else if err == nil && unclear(name) {
			err = errAmbiguous
		}
	}
	return m, err
}

// unclear reports whether some readers take a name for another one: they end it at
// a NUL, drop what they cannot decode or show, or cut spaces.
func unclear(name string) bool {
	return name != strings.TrimSpace(name) || strings.ContainsFunc(name, func(r rune) bool {
		return r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
	})
}

// paramsName reads the parameters of a message and returns the name in them.
func paramsName(d *json.Decoder) (name string, err error) {
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return "", err
	}
	if raw[0] != '{' {
		return "", nil
	}
	inner := json.NewDecoder(bytes.NewReader(raw))
	err = members(inner, []string{"name"}, func(string) error {
		if inner.Decode(&name) != nil {
			return errAmbiguous // a lenient backend may make a name of it
		}
		return nil
	})
	return name, err
}

// members calls read for each member of the object that comes next whose name
// is among names, and passes over the others.
func members(d *json.Decoder, names []string, read func(key string) error) error {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errNoMessage
	}
	seen := 0
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return errNoMessage
		}
		key, _ := t.(string)
		which := -1
		for i, name := range names {
			if strings.EqualFold(key, name) { // as encoding/json and others match
				which = i
			}
		}
		if which < 0 {
			var skipped json.RawMessage
			if d.Decode(&skipped) != nil {
				return errNoMessage
			}
			continue
		}
		if key != names[which] || seen&(1<<which) != 0 {
			return errAmbiguous
		}
		seen |= 1 << which
		if err := read(key); errors.Is(err, errAmbiguous) {
			return err
		} else if err != nil {
			return errNoMessage
		}
	}
	if _, err := d.Token(); err != nil {
		return errNoMessage
	}
	return nil
}

// plainJSON tells whether a request's body is JSON in UTF-8 as it stands: a
// body in another encoding says other things to a backend than to us.
func plainJSON(h http.Header) bool {
	mediaType, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset, given := params["charset"]
	return err == nil && len(h["Content-Type"]) == 1 && mediaType == "application/json" &&
		(!given || strings.EqualFold(charset, "utf-8")) && len(h["Content-Encoding"]) == 0
}

// agree holds the headers that mirror a message (MCP 2026-07-28, Standard
// Request Headers) against it. Whether they are there, and what stands in
// Mcp-Param-*, is the backend's to check.
func agree(h http.Header, messages []message) error {
	check := func(header, member, value string, decode bool) error {
		for _, sent := range h.Values(header) {
			if decode {
				sent = decodeValue(sent)
			}
			if len(messages) != 1 || sent != value {
				return fmt.Errorf("the header %s is not the body's %s", header, member)
			}
		}
		return nil
	}
	m := messages[0]
	if err := check("Mcp-Method", "method", m.method, false); err != nil || m.method != toolsCall {
		return err
	}
	return check("Mcp-Name", "params.name", m.tool, true)
}

// decodeValue undoes the encoding of values that no header can hold
// (Value Encoding). What is not well-formed stays as it is and is equal to
// nothing.
func decodeValue(sent string) string {
	inner, begins := strings.CutPrefix(sent, "=?base64?")
	inner, ends := strings.CutSuffix(inner, "?=")
	if plain, err := base64.StdEncoding.DecodeString(inner); begins && ends && err == nil {
		return string(plain)
	}
	return sent
}
