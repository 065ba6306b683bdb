package pages

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core/tenant"
)

const mark = `<?xml version="1.0"?><!-- ours --><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><path d="M0 0h1v1z"/></svg>`

func pngImage(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestLogoIsWhatItHolds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file []byte
		want string // beginning of the URI, or part of the error
	}{
		"PNG":           {pngImage(t), "data:image/png;base64,iVBORw0KGgo"},
		"SVG":           {[]byte(mark), "data:image/svg+xml;base64,"},
		"HTML":          {[]byte("<!DOCTYPE html><html><script>x</script></html>"), "neither"},
		"XML":           {[]byte(`<html xmlns="http://www.w3.org/1999/xhtml"/>`), "neither"},
		"SVG inside":    {[]byte(`<x><svg xmlns="http://www.w3.org/2000/svg"/></x>`), "neither"},
		"no namespace":  {[]byte(`<svg viewBox="0 0 1 1"/>`), "neither"},
		"broken SVG":    {[]byte(mark[:len(mark)-2]), "neither"},
		"JPEG":          {[]byte("\xff\xd8\xff\xe0"), "neither"},
		"nothing":       {nil, "neither"},
		"too large":     {append(pngImage(t), make([]byte, maxLogo)...), "at most 65536"},
		"as it just is": {append(pngImage(t), make([]byte, maxLogo-len(pngImage(t)))...), "data:image/png"},
	} {
		uri, err := LogoURI(c.file)
		if got := fmt.Sprint(uri, err); !strings.Contains(got, c.want) || (err == nil) == (uri == "") {
			t.Errorf("%s: %.80s, want %s", name, got, c.want)
		}
	}
}

func TestLookIsOnEveryPageAndInItsPolicy(t *testing.T) {
	t.Parallel()
	logo, err := LogoURI([]byte(mark))
	if err != nil {
		t.Fatal(err)
	}
	about := music
	about.ConnectionsURL = "https://mcp.example/music/connections"
	about.Look = tenant.Look{Logo: logo, Color: "#FFCC00", Support: "mailto:help@music.example"}
	plain := music
	q, l := question(), list()
	q.Tenant, l.Tenant = about, about
	p := New()
	for name, answer := range map[string]func(*httptest.ResponseRecorder){
		"consent": func(w *httptest.ResponseRecorder) { p.Consent(w, q) },
		"continue": func(w *httptest.ResponseRecorder) {
			p.Continue(w, Continue{Tenant: about, Target: "https://x.example/", TargetName: "X"})
		},
		"connections": func(w *httptest.ResponseRecorder) { p.Connections(w, l) },
		"error":       func(w *httptest.ResponseRecorder) { p.Error(w, Error{Tenant: about, Status: 400, Title: "No"}) },
	} {
		w := httptest.NewRecorder()
		answer(w)
		all := markup(t, w.Body.String())
		styles := named(all, "style")
		if len(styles) != 2 || !strings.Contains(styles[1].text, "--fill:#ffcc00;--on-fill:#000000") {
			t.Fatalf("%s: styles %v", name, styles)
		}
		policy := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(policy, "style-src "+styleHash(styleSheet)+" "+styleHash(styles[1].text)+"; img-src data:; ") {
			t.Errorf("%s: policy %s", name, policy)
		}
		if img := named(all, "img"); len(img) != 1 || img[0].attrs["src"] != logo || img[0].attrs["alt"] != "" {
			t.Errorf("%s: images %v", name, img)
		}
		links := ""
		for _, a := range named(all, "a") {
			links += a.attrs["href"] + " "
		}
		if !strings.Contains(links, "mailto:help@music.example") || strings.Contains(links, about.ConnectionsURL) == (name == "connections") {
			t.Errorf("%s: links %s", name, links)
		}
	}
	w := httptest.NewRecorder()
	p.Error(w, Error{Tenant: plain, Status: 400, Title: "No"})
	if policy := w.Header().Get("Content-Security-Policy"); strings.Contains(policy, "img-src") || strings.Contains(w.Body.String(), "<footer>") {
		t.Errorf("a tenant without a look has %s\n%s", policy, w.Body)
	}
}

func TestLookTakesNothingElse(t *testing.T) {
	t.Parallel()
	for _, look := range []tenant.Look{
		{Logo: "https://elsewhere.example/logo.png", Color: "red", Support: "javascript:alert(1)"},
		{Logo: "data:text/html;base64,AAAA", Color: "#fff", Support: "http://help.example"},
		{Logo: "javascript:alert(1)", Color: "#0d5c58;}body{display:none", Support: "data:text/html,x"},
	} {
		about := music
		about.Look = look
		if got := about.Logo(); got != "" {
			t.Errorf("logo %s", got)
		}
		if got := about.Style(); got != "" {
			t.Errorf("style %s", got)
		}
		if got := about.Support(); got != "" {
			t.Errorf("support %s", got)
		}
	}
	about := music
	about.Look.Logo = svgURI + base64.StdEncoding.EncodeToString([]byte(mark)) + `" onerror="alert(1)`
	w := httptest.NewRecorder()
	New().Error(w, Error{Tenant: about, Status: 400, Title: "No"})
	if img := named(markup(t, w.Body.String()), "img"); len(img) != 1 || img[0].attrs["onerror"] != "" {
		t.Errorf("the logo breaks out: %v", img)
	}
}

var property = regexp.MustCompile(`--([a-z-]+):(#[0-9a-f]{6})`)

// TestEveryColourIsMadeReadable draws colours and computes, with the test's own
// luminance, what is read on what.
func TestEveryColourIsMadeReadable(t *testing.T) {
	t.Parallel()
	colours := []string{"#000000", "#ffffff", "#ffff00", "#0000ff", "#808080", "#767676", "#ff0000"}
	for range 2000 {
		colours = append(colours, fmt.Sprintf("#%06x", rand.N(1<<24)))
	}
	light, dark, _ := strings.Cut(styleSheet, "@media (prefers-color-scheme: dark)")
	for _, c := range colours {
		about := music
		about.Look.Color = c
		own := property.FindAllStringSubmatch(string(about.Style()), -1)
		if len(own) != 4 {
			t.Fatalf("%s: %s", c, about.Style())
		}
		css := func(i int) string { return "--own: " + own[i][2] + ";" }
		for _, pair := range []struct {
			what      string
			front, on float64
		}{
			{"text on the light page", luminance(t, css(0), "own"), luminance(t, light, "page")},
			{"text on the light card", luminance(t, css(0), "own"), luminance(t, light, "card")},
			{"text on the dark page", luminance(t, css(3), "own"), luminance(t, dark, "page")},
			{"text on the dark card", luminance(t, css(3), "own"), luminance(t, dark, "card")},
			{"text on a button", luminance(t, css(2), "own"), luminance(t, css(1), "own")},
		} {
			if ratio := (max(pair.front, pair.on) + 0.05) / (min(pair.front, pair.on) + 0.05); ratio < 4.5 {
				t.Errorf("%s: %s has contrast %.2f", c, pair.what, ratio)
			}
		}
		if own[1][2] != c {
			t.Errorf("%s: the button is %s", c, own[1][2])
		}
	}
	about := music
	about.Look.Color = "#0d5c58" // ours: readable on light as it is
	if own := property.FindAllStringSubmatch(string(about.Style()), -1); own[0][2] != "#0d5c58" || own[2][2] != "#ffffff" {
		t.Errorf("a colour that needs no help became %v", own)
	}
}

func TestGroundsAreThoseOfTheStyleSheet(t *testing.T) {
	t.Parallel()
	light, dark, _ := strings.Cut(styleSheet, "@media (prefers-color-scheme: dark)")
	for css, want := range map[string][2]rgb{light: {lightPage, lightCard}, dark: {darkPage, darkCard}} {
		for i, name := range []string{"page", "card"} {
			if !strings.Contains(css, fmt.Sprintf("--%s: %v;", name, want[i])) {
				t.Errorf("--%s is not %v", name, want[i])
			}
		}
	}
}
