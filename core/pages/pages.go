// Package pages makes every HTML byte that Sallyport answers: the consent page,
// the page between consent and login, the connections page and the error page.
// It owns the words, the markup, the style sheet and the security headers that
// belong to them, and the way to the connections page with what it is to say.
//
// It leaves every decision to its callers: what is asked, whether a redirect
// URI is allowed, cookies and the audit line.
//
// Everything shown may have been chosen by an attacker. Text is escaped by
// html/template and freed of characters that hide or reorder (see clean); names
// inside a sentence stand in <bdi>. No page has a script or fetches anything.
package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"
)

//go:embed html/*.html
var htmlFiles embed.FS

// styleSheet is sent inline, byte for byte: its hash is in the policy.
//
//go:embed html/style.css
var styleSheet string

// Pages holds the parsed templates. It is safe for concurrent use.
type Pages struct {
	styleHash string // as the policy names it

	consent, cont, connections, fault *template.Template
}

// New parses the embedded templates. It panics if one of them is broken, which
// only a change to this package can bring about.
func New() *Pages {
	return &Pages{
		styleHash:   styleHash(styleSheet),
		consent:     parse("consent.html"),
		cont:        parse("continue.html"),
		connections: parse("connections.html"),
		fault:       parse("error.html"),
	}
}

// parse returns the common layout filled by one page.
func parse(page string) *template.Template {
	funcs := template.FuncMap{
		"style": func() template.CSS { return template.CSS(styleSheet) },
		"clean": clean,
		"name":  clientName,
		"ascii": ascii,
	}
	return template.Must(template.New("layout.html").Funcs(funcs).
		ParseFS(htmlFiles, "html/layout.html", "html/"+page))
}

// policy is the Content-Security-Policy of a tenant's pages.
func (p *Pages) policy(t Tenant) string {
	// CSP3 §2.3.1: a hash admits that one style sheet and no other.
	styles, images := p.styleHash, ""
	if own := t.Style(); own != "" {
		styles += " " + styleHash(string(own))
	}
	if t.Logo() != "" {
		images = "img-src data:; "
	}
	// form-action covers the redirects that follow a submission too (Chromium
	// enforces that), hence Continue instead of a redirect after the consent.
	// frame-ancestors: RFC 9700 §4.16, no clickjacking on Approve.
	return "default-src 'none'; style-src " + styles + "; " + images + "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
}

func styleHash(sheet string) string {
	sum := sha256.Sum256([]byte(sheet))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// render answers with status and the page that a template makes of data. It is
// whole or not at all: nothing is sent before the template has run to its end.
func (p *Pages) render(w http.ResponseWriter, status int, page *template.Template, t Tenant, data any) {
	var body bytes.Buffer
	if err := page.Execute(&body, data); err != nil {
		// Data is plain structs and the templates are tested; this is a defect.
		http.Error(w, "The page could not be made.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	h.Set("Content-Security-Policy", p.policy(t))
	h.Set("X-Frame-Options", "DENY") // for browsers that know no frame-ancestors
	h.Set("X-Content-Type-Options", "nosniff")
	// The address holds state and code challenge, the page a sealed request:
	// neither leaves by Referer or a cache (RFC 9700 §4.2.4). With no-referrer
	// a browser sends "Origin: null" with the form's POST (Fetch, "Origin"
	// header), so the form's handler cannot compare it with its own origin.
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	// No Cross-Origin-Opener-Policy: clients open the login in a popup and wait
	// for their callback page to talk to window.opener. Any value but unsafe-none
	// on any page in between cuts that tie for good, and framing, the attack that
	// matters here, is already refused.
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // fails when the browser is gone: nobody to tell
}
