package grant_test

import (
	"bytes"
	"testing"

	"github.com/sallyport/sallyport/core/grant"
)

func TestRecordIsReadAsItWasStored(t *testing.T) {
	t.Parallel()
	for what, r := range map[string]grant.Record{
		"nothing":                   {},
		"a credential":              {Subject: "42", Credential: []byte("{\"}\n")},
		"a credential, and answers": {Subject: "42", Credential: []byte{0, 1}, Journal: []byte(" {}")},
	} {
		stored, err := r.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var back grant.Record
		if err := back.UnmarshalBinary(stored); err != nil || back.Subject != r.Subject ||
			!bytes.Equal(back.Credential, r.Credential) || !bytes.Equal(back.Journal, r.Journal) || (back.Journal == nil) != (r.Journal == nil) {
			t.Errorf("%s: %+v, %v", what, back, err)
		}
		for what, damaged := range map[string][]byte{
			"cut off":  stored[:len(stored)-1],
			"longer":   append(bytes.Clone(stored), 0),
			"negative": append([]byte(`{"cred":-1,"journal":2}`), 0),
			"too much": append([]byte(`{"cred":2,"journal":-1}`), 0),
			"empty":    nil,
		} {
			if back.UnmarshalBinary(damaged) == nil {
				t.Errorf("%s is read", what)
			}
		}
	}
}
