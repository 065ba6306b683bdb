package demo

import (
	"fmt"
	"io"
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Form is the first form of a page, with the values a browser would send.
type Form struct {
	Page    *url.URL // the page it is on
	Action  *url.URL // where it goes
	Method  string   // "GET" or "POST"
	Values  url.Values
	Buttons []Button // in the order of the page; none is pressed yet
}

// Button is a submit button.
type Button struct{ Name, Value string }

// Press submits the form with the button of that name and value: the pair is
// added to Values. It fails if the page has no such button.
func (f *Form) Press(name, value string) error {
	for _, b := range f.Buttons {
		if b.Name == name && b.Value == value {
			f.Values.Set(name, value)
			return nil
		}
	}
	return fmt.Errorf("the form at %s has no button %s=%s, only %v", f.Page.Path, name, value, f.Buttons)
}

// Has reports whether the form has a button of that name.
func (f *Form) Has(name string) bool {
	for _, b := range f.Buttons {
		if b.Name == name {
			return true
		}
	}
	return false
}

// page is what the browser takes from an HTML document.
type page struct {
	refresh *url.URL // of <meta http-equiv="refresh">, nil without one
	form    *Form    // nil without one
	text    string   // what a reader sees, for errors
}

// parsePage reads the document found at base.
func parsePage(base *url.URL, r io.Reader) (*page, error) {
	root, err := html.Parse(r)
	if err != nil {
		return nil, fmt.Errorf("read page %s: %w", base.Path, err)
	}
	p := &page{}
	var words []string
	for n := range root.Descendants() {
		switch {
		case n.Type == html.TextNode && n.Parent.DataAtom != atom.Style && n.Parent.DataAtom != atom.Script:
			words = append(words, strings.Fields(n.Data)...)
		case n.DataAtom == atom.Meta && strings.EqualFold(attr(n, "http-equiv"), "refresh") && p.refresh == nil:
			p.refresh, err = refreshTarget(base, attr(n, "content"))
		case n.DataAtom == atom.Form && p.form == nil:
			p.form, err = parseForm(base, n)
		}
		if err != nil {
			return nil, fmt.Errorf("read page %s: %w", base.Path, err)
		}
	}
	p.text = strings.Join(words, " ")
	return p, nil
}

// refreshTarget reads `0;url=…`. A refresh without a URL reloads the page,
// which leads nowhere, and counts as none.
func refreshTarget(base *url.URL, content string) (*url.URL, error) {
	_, rest, _ := strings.Cut(content, ";")
	key, target, ok := strings.Cut(rest, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(key), "url") {
		return nil, nil
	}
	return base.Parse(strings.Trim(strings.TrimSpace(target), `'"`))
}

func parseForm(base *url.URL, n *html.Node) (*Form, error) {
	action, err := base.Parse(attr(n, "action")) // an empty action is the page itself
	if err != nil {
		return nil, err
	}
	f := &Form{Page: base, Action: action, Method: "GET", Values: url.Values{}}
	if strings.EqualFold(attr(n, "method"), "post") {
		f.Method = "POST"
	}
	for c := range n.Descendants() {
		f.addControl(c)
	}
	return f, nil
}

func (f *Form) addControl(n *html.Node) {
	name, value := attr(n, "name"), attr(n, "value")
	if has(n, "disabled") {
		return
	}
	kind := strings.ToLower(attr(n, "type"))
	switch {
	case n.DataAtom == atom.Button && (kind == "" || kind == "submit"),
		n.DataAtom == atom.Input && kind == "submit":
		f.Buttons = append(f.Buttons, Button{name, value})
	case name == "" || n.DataAtom != atom.Input || kind == "button" || kind == "reset":
	case kind == "checkbox" || kind == "radio":
		if has(n, "checked") {
			if !has(n, "value") {
				value = "on"
			}
			f.Values.Add(name, value)
		}
	default:
		f.Values.Add(name, value)
	}
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}
