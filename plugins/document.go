package plugins

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sallyport/sallyport/sdk/abi"
)

// maxInput is the size in bytes of the longest input document; an alloc export
// must serve that much.
const maxInput = 1 << 20

// step is a request that was performed and its answer.
type step struct {
	abi.Step
	Body []byte `json:"body"`
	acts bool   // the request did; see acts
}

// encodeInput writes the input document.
func encodeInput(in abi.Input, steps []step) ([]byte, error) {
	in.Steps = make([]abi.Step, len(steps))
	size := 0
	for i, s := range steps {
		in.Steps[i] = s.Step
		size += len(s.Body)
	}
	head, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	doc := make([]byte, 4, 4+len(head)+size)
	binary.LittleEndian.PutUint32(doc, uint32(len(head)))
	doc = append(doc, head...)
	for _, s := range steps {
		doc = append(doc, s.Body...)
	}
	return doc, nil
}

// decodeOutput reads an output document. The returned body is the request's.
func decodeOutput(doc []byte) (out abi.Output, body []byte, err error) {
	if len(doc) < 4 {
		return out, nil, errors.New("its output is shorter than the length of a head")
	}
	n := binary.LittleEndian.Uint32(doc)
	if uint64(n) > uint64(len(doc)-4) {
		return out, nil, fmt.Errorf("its output says that the head has %d bytes, there are %d", n, len(doc)-4)
	}
	if err := json.Unmarshal(doc[4:4+n], &out); err != nil {
		return out, nil, errors.New("the head of its output is not the JSON it should be") // the JSON error could quote it
	}
	if string(out.Result) == "null" {
		out.Result = nil
	}
	members, want := 0, 0
	for _, set := range []bool{out.Request != nil, out.Result != nil, out.Error != nil, out.WaitMS > 0} {
		if set {
			members++
		}
	}
	if out.Request != nil {
		want = out.Request.BodyLen
	}
	body = doc[4+n:]
	switch {
	case members != 1:
		return out, nil, fmt.Errorf("its output has %d of request, result, error and wait_ms; one is needed", members)
	case len(body) != want:
		return out, nil, fmt.Errorf("%d bytes follow the head of its output, body_len says %d", len(body), want)
	}
	return out, body, nil
}

// RequestDigest names a request as a provider asked for it, before client
// authentication is added: hex SHA-256 over
//
//	"sallyport request 1", method, URL, number of headers, each header's name
//	and value, body, number of client_auth directives (0 or 1), its method,
//	id_param, secret_param and audience
//
// where a text is its length as u32 little endian and its bytes, and a number
// is u32 little endian.
func RequestDigest(r *abi.Request, body []byte) string {
	var b []byte
	number := func(n int) { b = binary.LittleEndian.AppendUint32(b, uint32(n)) }
	text := func(s string) { number(len(s)); b = append(b, s...) }
	text("sallyport request 1")
	text(r.Method)
	text(r.URL)
	number(len(r.Headers))
	for _, h := range r.Headers {
		text(h[0])
		text(h[1])
	}
	text(string(body))
	if a := r.ClientAuth; a == nil {
		number(0)
	} else {
		number(1)
		text(a.Method)
		text(a.IDParam)
		text(a.SecretParam)
		text(a.Audience)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
