package grant

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
)

// head is the JSON that a stored record begins with. Cred and Journal are how
// many bytes of each follow it, in this order: inside of the JSON they would be
// base64, and a third longer, which is the most of what a grant takes.
type head struct {
	fields

	Cred    int `json:"cred"`
	Journal int `json:"journal,omitempty"`
}

type fields Record // without its methods

// MarshalBinary is how a record is stored.
func (r Record) MarshalBinary() ([]byte, error) {
	b, err := json.Marshal(head{fields: fields(r), Cred: len(r.Credential), Journal: len(r.Journal)})
	return slices.Concat(b, r.Credential, r.Journal), err
}

// UnmarshalBinary reads what MarshalBinary wrote.
func (r *Record) UnmarshalBinary(b []byte) error {
	var h head
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&h); err != nil {
		return err
	}
	b = b[d.InputOffset():]
	if h.Cred < 0 || h.Cred > len(b) || h.Journal != len(b)-h.Cred {
		return errors.New("grant: the record has another length than it says")
	}
	*r = Record(h.fields)
	r.Credential = bytes.Clone(b[:h.Cred])
	if h.Journal > 0 {
		r.Journal = bytes.Clone(b[h.Cred:])
	}
	return nil
}
