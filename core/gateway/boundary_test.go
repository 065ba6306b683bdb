package gateway

import (
	"strings"
	"testing"
)

// FuzzBoundary compares what boundary knows of a stream that came in two parts
// with what the whole text says.
func FuzzBoundary(f *testing.F) {
	for _, seed := range []string{"", "data: 1\n\n", ":c\r\n\r\ndata: x\r\n", "\r\n\r", "a\r\r\n\n:", "event: x\n\n: y\n"} {
		f.Add(seed, 3)
	}
	f.Fuzz(func(t *testing.T, text string, cut int) {
		cut = min(max(cut, 0), len(text))
		var b boundary
		b.add([]byte(text[:cut]))
		b.add([]byte(text[cut:]))

		lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n")
		last, inEvent := lines[len(lines)-1], false
		for _, line := range lines[:len(lines)-1] {
			inEvent = line != "" && (inEvent || !strings.HasPrefix(line, ":"))
		}
		if want := last == "" && !inEvent; b.between() != want {
			t.Errorf("%q, cut at %d: between events %v, want %v", text, cut, b.between(), want)
		}
	})
}
