package pages

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestContrast computes WCAG 2.2 contrast for the pairs of colours that meet.
func TestContrast(t *testing.T) {
	light, dark, ok := strings.Cut(styleSheet, "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("there is no dark scheme")
	}
	pairs := []struct {
		front, back string
		least       float64
	}{
		{"text", "page", 4.5}, {"text", "card", 4.5}, {"soft", "card", 4.5}, {"soft", "page", 4.5},
		{"accent", "page", 4.5}, {"accent", "card", 4.5}, {"on-fill", "accent", 4.5},
		{"warn", "warn-tint", 4.5}, {"text", "warn-tint", 4.5},
		{"edge", "card", 3}, // the outline of a button, SC 1.4.11
	}
	for scheme, css := range map[string]string{"light": light, "dark": dark} {
		for _, p := range pairs {
			a, b := luminance(t, css, p.front), luminance(t, css, p.back)
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < p.least {
				t.Errorf("%s: %s on %s has contrast %.2f, want %.1f", scheme, p.front, p.back, ratio, p.least)
			}
		}
	}
}

var colour = regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`)

// luminance is the relative luminance, 0 to 1, of a custom property.
func luminance(t *testing.T, css, name string) float64 {
	t.Helper()
	for _, m := range colour.FindAllStringSubmatch(css, -1) {
		if m[1] != name {
			continue
		}
		rgb, err := strconv.ParseUint(m[2], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		linear := func(shift int) float64 {
			c := float64(rgb>>shift&0xff) / 255
			if c <= 0.04045 {
				return c / 12.92
			}
			return math.Pow((c+0.055)/1.055, 2.4)
		}
		return 0.2126*linear(16) + 0.7152*linear(8) + 0.0722*linear(0)
	}
	t.Fatalf("no colour %q", name)
	return 0
}

func TestStyleFetchesNothingAndStaysInItsElement(t *testing.T) {
	// \r would be normalised by the browser and break the hash.
	for _, s := range []string{"url(", "@import", "</", "\r"} {
		if strings.Contains(styleSheet, s) {
			t.Errorf("the style sheet contains %q", s)
		}
	}
	if !strings.Contains(styleSheet, ":focus-visible") {
		t.Error("keyboard focus is not shown")
	}
}
