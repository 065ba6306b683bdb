package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
)

// Formats. Every record has a member "format" at its beginning. A record
// without one is of format 1: releases that did not know formats wrote it, and
// write it still beside or after this one, because they drop members that they
// do not know. So a format is raised only where an older release must not touch
// the record, and the release that raises it goes on writing the old one.

// firstFormat is the format of records without a number.
const firstFormat = 1

// retryNewer is what a client is told to wait: until the older process is gone.
const retryNewer = time.Minute

// NewerError says that a record was written by a newer release, which this one
// neither rewrites nor deletes.
type NewerError struct {
	Kind          string
	Format, Known int // of the record, and the newest that this release knows
}

// Error is for the log.
func (e *NewerError) Error() string {
	return fmt.Sprintf("store: a %s record has format %d, written by a newer release; this one knows formats up to %d: run the newer release", e.Kind, e.Format, e.Known)
}

// Unwrap returns what a client is told: 503, never that its token is invalid.
func (e *NewerError) Unwrap() error {
	return &oauth.Error{
		Code: oauth.TemporarilyUnavailable, Status: http.StatusServiceUnavailable, RetryAfter: retryNewer,
		Description: fmt.Sprintf("this login is stored in format %d of a newer server version, and this server knows formats up to %d; try again shortly", e.Format, e.Known),
	}
}

// withFormat puts the format in front of the other members of an object.
func withFormat(plain []byte, format int) ([]byte, error) {
	rest, ok := bytes.CutPrefix(plain, []byte("{"))
	if !ok {
		return nil, fmt.Errorf("a record begins with a JSON object, not with %.1q", plain)
	}
	out := make([]byte, 0, len(plain)+len(`"format":1,`))
	out = append(append(out, `{"format":`...), strconv.Itoa(format)...)
	if !bytes.HasPrefix(rest, []byte("}")) {
		out = append(out, ',')
	}
	return append(out, rest...), nil
}

// CheckFormat returns a *NewerError for a record that a newer release wrote, in a
// format that this one does not know. A record that the keys do not open is not
// judged.
func CheckFormat(ring *seal.Keyring, r Record) error {
	names := strings.Split(r.Key, "/")
	at := seal.Purpose{Use: names[0], Record: names[len(names)-1]}
	switch len(names) {
	case 2:
	case 3:
		at.Tenant = names[1]
	default:
		return nil
	}
	plain, err := ring.Open(at, r.Value)
	if err != nil {
		return nil //nolint:nilerr // what cannot be read is not judged
	}
	return checkFormat(at.Use, plain, firstFormat)
}

// checkFormat returns a *NewerError for a record that this release does not
// know.
func (c *Collection[T]) checkFormat(plain []byte) error { return checkFormat(c.kind, plain, c.format) }

func checkFormat(kind string, plain []byte, known int) error {
	var head struct {
		Format int `json:"format"`
	}
	// Decode reads the object and not what may follow it.
	if err := json.NewDecoder(bytes.NewReader(plain)).Decode(&head); err != nil || head.Format <= known {
		return nil //nolint:nilerr // decoding the record itself will say so
	}
	return &NewerError{Kind: kind, Format: head.Format, Known: known}
}
