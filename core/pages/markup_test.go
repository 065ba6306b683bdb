package pages

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// element is one start tag with the text of everything inside it.
type element struct {
	name  string
	attrs map[string]string
	text  string
}

// markup parses a page. The pages are well-formed enough for the XML decoder in
// its HTML mode, which fails on tags that do not nest.
func markup(t *testing.T, page string) []element {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var all []element
	var open []int
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("markup: %v\n%s", err, page)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := element{name: token.Name.Local, attrs: map[string]string{}}
			for _, a := range token.Attr {
				if _, twice := e.attrs[a.Name.Local]; twice {
					t.Errorf("<%s> has %s twice", e.name, a.Name.Local)
				}
				e.attrs[a.Name.Local] = a.Value
			}
			open = append(open, len(all))
			all = append(all, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			for _, i := range open {
				all[i].text += string(token)
			}
		}
	}
}

// named returns the elements with that tag.
func named(all []element, name string) []element {
	var found []element
	for _, e := range all {
		if e.name == name {
			found = append(found, e)
		}
	}
	return found
}

// words returns the text of the only element with that tag, spaces collapsed.
func words(t *testing.T, all []element, name string) string {
	t.Helper()
	found := named(all, name)
	if len(found) != 1 {
		t.Fatalf("page has %d <%s>, want 1", len(found), name)
	}
	return strings.Join(strings.Fields(found[0].text), " ")
}

// tags returns the tags in document order.
func tags(all []element) string {
	var b strings.Builder
	for _, e := range all {
		b.WriteString(e.name + " ")
	}
	return b.String()
}

func TestMarkupIsCleanAndAccessible(t *testing.T) {
	known := " html head meta title style body header footer svg path bdi main h1 h2 p section " +
		"span code ul li dl dt dd time details summary strong div form input button a "
	for name, page := range samples(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := markup(t, page.Body.String())
			for _, once := range []string{"html", "title", "style", "main", "h1"} {
				if words(t, all, once) == "" {
					t.Errorf("<%s> is empty", once)
				}
			}
			if lang := all[0].attrs["lang"]; lang != "en" {
				t.Errorf("lang = %q", lang)
			}
			ids := map[string]bool{}
			for _, e := range all {
				if !strings.Contains(known, " "+e.name+" ") {
					t.Errorf("unexpected <%s>", e.name)
				}
				for attr := range e.attrs {
					if attr == "style" || attr == "src" || strings.HasPrefix(attr, "on") {
						t.Errorf("<%s> has the attribute %s", e.name, attr)
					}
				}
				if id := e.attrs["id"]; id != "" {
					if ids[id] {
						t.Errorf("id %q twice", id)
					}
					ids[id] = true
				}
			}
			for _, e := range all {
				for label := range strings.FieldsSeq(e.attrs["aria-labelledby"]) {
					if !ids[label] {
						t.Errorf("<%s> is labelled by %q, which is nowhere", e.name, label)
					}
				}
			}
			for _, s := range named(all, "section") {
				if s.attrs["aria-labelledby"] == "" {
					t.Error("a section has no label")
				}
			}
		})
	}
}
