package seal

import "testing"

func TestTagsAreOfOneKeyPurposeAndMessage(t *testing.T) {
	t.Parallel()
	old, newer := NewKey(), NewKey()
	ring := func(keys ...Key) *Keyring {
		r, err := NewKeyring(keys...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	p := Purpose{Use: "a", Tenant: "t"}
	tag := ring(old).Tag(p, []byte("m"))
	if len(tag) != TagSize {
		t.Errorf("%d bytes", len(tag))
	}
	for what, c := range map[string]struct {
		ring    *Keyring
		purpose Purpose
		message string
		tag     []byte
		want    bool
	}{
		"the same":         {ring(old), p, "m", tag, true},
		"after a rotation": {ring(newer, old), p, "m", tag, true},
		"the key is gone":  {ring(newer), p, "m", tag, false},
		"another tenant":   {ring(old), Purpose{Use: "a", Tenant: "u"}, "m", tag, false},
		"another use":      {ring(old), Purpose{Use: "b", Tenant: "t"}, "m", tag, false},
		"another message":  {ring(old), p, "n", tag, false},
		"cut off":          {ring(old), p, "m", tag[:len(tag)-1], false},
		"longer":           {ring(old), p, "m", append(tag[:len(tag):len(tag)], 0), false},
		"nothing":          {ring(old), p, "m", nil, false},
	} {
		if got := c.ring.CheckTag(c.purpose, []byte(c.message), c.tag); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}
