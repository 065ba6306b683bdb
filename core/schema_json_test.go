package core_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"testing"
)

// member is one of a JSON object's, which Go's maps would reorder.
type member struct {
	name  string
	value json.RawMessage
}

func of(name string, value any) member {
	b := &bytes.Buffer{}
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		panic(err)
	}
	return member{name, b.Bytes()}
}

// membersOf reads an object and lets f replace the members of it and of the
// objects in it.
func membersOf(t *testing.T, raw json.RawMessage, f func(member) json.RawMessage) []member {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	found := []member{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		m := member{name: fmt.Sprint(name)}
		if err := d.Decode(&m.value); err != nil {
			t.Fatal(err)
		}
		switch m.value[0] {
		case '{':
			m.value = object(membersOf(t, m.value, f))
		case '[':
			var each []json.RawMessage
			if err := json.Unmarshal(m.value, &each); err != nil {
				t.Fatal(err)
			}
			for i, e := range each {
				if e[0] == '{' {
					each[i] = object(membersOf(t, e, f))
				}
			}
			m.value = of("", each).value
		}
		m.value = f(m)
		found = append(found, m)
	}
	return found
}

// changes is what became another, null for what went.
func changes(was, is []member) (changed []member) {
	in := func(members []member, name string) json.RawMessage {
		for _, m := range members {
			if m.name == name {
				return m.value
			}
		}
		return json.RawMessage("null")
	}
	for _, m := range was {
		if string(in(is, m.name)) == "null" {
			changed = append(changed, member{m.name, json.RawMessage("null")})
		}
	}
	for _, m := range is {
		if !bytes.Equal(bytes.TrimSpace(in(was, m.name)), bytes.TrimSpace(m.value)) {
			changed = append(changed, m)
		}
	}
	return changed
}

func object(members []member) json.RawMessage {
	var b bytes.Buffer
	b.WriteString("{")
	for i, m := range members {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, "%q:%s", m.name, m.value)
	}
	b.WriteString("}")
	return b.Bytes()
}

func indented(t *testing.T, members []member) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, object(members), "", "  "); err != nil {
		t.Fatalf("%v: %s", err, object(members))
	}
	// Short lists on one line.
	return regexp.MustCompile(`\[\s+("[^"\n]*")\s+\]`).ReplaceAllString(b.String(), "[$1]")
}
