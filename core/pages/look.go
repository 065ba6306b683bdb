package pages

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"html/template"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// maxLogo is in bytes. The logo travels inside every page.
const maxLogo = 64 << 10

const (
	pngURI = "data:image/png;base64,"
	svgURI = "data:image/svg+xml;base64,"
)

// LogoURI returns the data: URI of an image for tenant.Look, so that a page
// has it without asking anybody. What it holds counts, not what its file is
// called. An SVG image in a page runs no script and fetches nothing (SVG
// Integration, "secure animated mode").
func LogoURI(image []byte) (string, error) {
	kind := pngURI
	switch {
	case len(image) > maxLogo:
		return "", fmt.Errorf("the image has %d bytes; at most %d, since every page carries it", len(image), maxLogo)
	case bytes.HasPrefix(image, []byte("\x89PNG\r\n\x1a\n")):
	case isSVG(image):
		kind = svgURI
	default:
		return "", errors.New("the file holds neither a PNG nor an SVG image")
	}
	return kind + base64.StdEncoding.EncodeToString(image), nil
}

// isSVG tells whether b is XML whose root is an svg element of the SVG
// namespace, without which browsers show nothing.
func isSVG(b []byte) bool {
	root := ""
	for d := xml.NewDecoder(bytes.NewReader(b)); ; {
		token, err := d.Token()
		if start, ok := token.(xml.StartElement); ok && root == "" {
			root = start.Name.Space + " " + start.Name.Local
		}
		if err != nil {
			return errors.Is(err, io.EOF) && root == "http://www.w3.org/2000/svg svg"
		}
	}
}

// Logo is the src of the tenant's logo, empty if it has none.
func (t Tenant) Logo() template.URL {
	if strings.HasPrefix(t.Look.Logo, pngURI) || strings.HasPrefix(t.Look.Logo, svgURI) {
		return template.URL(t.Look.Logo)
	}
	return ""
}

// Support is where the tenant's users get help, empty if that is unknown.
func (t Tenant) Support() template.URL {
	if strings.HasPrefix(t.Look.Support, "https://") || strings.HasPrefix(t.Look.Support, "mailto:") {
		return template.URL(t.Look.Support)
	}
	return ""
}

// Style is the tenant's own style sheet, empty if it has none. Buttons have the
// tenant's very colour, with black or white on it, whichever reads better. For
// text, lines and the focus it is made darker or lighter until it can be read on
// everything in the scheme, so no colour needs to be refused.
func (t Tenant) Style() template.CSS {
	c, ok := parseColor(t.Look.Color)
	if !ok {
		return ""
	}
	on := white
	if contrast(c, black) > contrast(c, white) {
		on = black
	}
	return template.CSS(fmt.Sprintf(":root{--accent:%v;--fill:%v;--on-fill:%v}@media (prefers-color-scheme: dark){:root{--accent:%v}}",
		c.readable(black, lightPage, lightCard), c, on, c.readable(white, darkPage, darkCard)))
}

// rgb is an sRGB colour.
type rgb [3]float64 // 0 to 255

// The colours that text in a tenant's colour stands on, as in style.css.
var (
	lightPage, lightCard = rgb{0xf4, 0xf3, 0xef}, rgb{0xff, 0xff, 0xff}
	darkPage, darkCard   = rgb{0x12, 0x15, 0x17}, rgb{0x1b, 0x1f, 0x22}
	white, black         = rgb{0xff, 0xff, 0xff}, rgb{}
)

var colorForm = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

func parseColor(s string) (c rgb, ok bool) {
	if !colorForm.MatchString(s) {
		return c, false
	}
	for i := range c {
		v, _ := strconv.ParseUint(s[1+2*i:3+2*i], 16, 8)
		c[i] = float64(v)
	}
	return c, true
}

// String is the colour as CSS has it.
func (c rgb) String() string {
	return fmt.Sprintf("#%02x%02x%02x", int(c[0]), int(c[1]), int(c[2]))
}

// readable returns c, mixed with as little of end as it takes to have the
// contrast that WCAG 2.2 SC 1.4.3 wants of text against all of grounds.
func (c rgb) readable(end rgb, grounds ...rgb) rgb {
	const steps = 64
	for i := range steps + 1 {
		var mixed rgb
		for j := range c {
			mixed[j] = math.Round(c[j] + (end[j]-c[j])*float64(i)/steps)
		}
		least := math.Inf(1)
		for _, ground := range grounds {
			least = min(least, contrast(mixed, ground))
		}
		if least >= 4.5 {
			return mixed
		}
	}
	return end // black on light and white on dark are readable
}

// contrast is the contrast ratio of WCAG 2.2, 1 to 21.
func contrast(a, b rgb) float64 {
	la, lb := a.luminance(), b.luminance()
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

// luminance is the relative luminance of WCAG 2.2, 0 to 1.
func (c rgb) luminance() float64 {
	var amount rgb
	for i, v := range c {
		if v /= 255; v <= 0.04045 {
			amount[i] = v / 12.92
		} else {
			amount[i] = math.Pow((v+0.055)/1.055, 2.4)
		}
	}
	return 0.2126*amount[0] + 0.7152*amount[1] + 0.0722*amount[2]
}
