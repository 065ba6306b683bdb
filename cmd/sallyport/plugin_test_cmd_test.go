package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/plugins"
)

// TestTryout: what a sound sandbox never shows is found out all the same.
func TestTryout(t *testing.T) {
	const doc, same = "\x11\x00\x00\x00{\"op\":\"exchange\"}", "\x02\x00\x00\x00{}"
	for name, tt := range map[string]struct {
		used, fresh string
		err         error
		want        string
	}{
		"alike":        {same, same, nil, ""},
		"not alike":    {same, "\x02\x00\x00\x00[]", nil, "came out differently on a used and on a fresh instance"},
		"broke down":   {same, same, errors.New("it trapped"), "broke down: it trapped; it printed:\nlast words"},
		"other length": {same, "\x03\x00\x00\x00{}", nil, "came out differently"},
	} {
		fresh := 0
		c := &tryout{try: func(_ []byte, isFresh bool) (plugins.Trial, error) {
			out := tt.used
			if isFresh {
				fresh++
				out = tt.fresh
			}
			return plugins.Trial{Output: []byte(out), Fuel: 7, Log: []string{"last words"}}, tt.err
		}}
		_, err := c.call([]byte(doc))
		switch {
		case tt.want != "":
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want %q", name, err, tt.want)
			}
			continue
		case err != nil:
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.call([]byte(doc)); err != nil || fresh != 1 || c.runs != 1 || c.fuel != 7 {
			t.Errorf("%s: %v; %d fresh instances, %d runs, %d fuel; the second call is the first again", name, err, fresh, c.runs, c.fuel)
		}
	}
}
