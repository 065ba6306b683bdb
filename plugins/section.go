package plugins

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// wasmHeader is the magic number and version of a core module; a component has
// another version.
const wasmHeader = "\x00asm\x01\x00\x00\x00"

const customSection = 0

// section is one section of a module: all of it from its id on, the name if it
// is a custom one, and its contents.
type section struct {
	id       byte
	name     string
	all      []byte
	contents []byte
}

// sections splits a module without looking into any section but the names of
// custom ones.
func sections(wasm []byte) ([]section, error) {
	if !bytes.HasPrefix(wasm, []byte(wasmHeader)) {
		return nil, errors.New("this is no core WebAssembly module; build one with: sallyport plugin build")
	}
	var out []section
	for rest := wasm[len(wasmHeader):]; len(rest) > 0; {
		body, after, err := sized(rest[1:])
		if err != nil {
			return nil, fmt.Errorf("the file is cut off or damaged at byte %d: %w; copy or build it again", len(wasm)-len(rest), err)
		}
		s := section{id: rest[0], contents: body, all: rest[:len(rest)-len(after)]}
		if s.id == customSection {
			name, contents, err := sized(body)
			if err != nil || !utf8.Valid(name) {
				return nil, fmt.Errorf("the custom section at byte %d has no proper name; build it again", len(wasm)-len(rest))
			}
			s.name, s.contents = string(name), contents
		}
		out = append(out, s)
		rest = after
	}
	return out, nil
}

// sized reads a length (u32, LEB128) and so many bytes.
func sized(b []byte) (body, rest []byte, err error) {
	n, k := binary.Uvarint(b[:min(len(b), 5)])
	if k <= 0 || n > uint64(len(b)-k) {
		return nil, nil, errors.New("a section is longer than the file")
	}
	return b[k : k+int(n)], b[k+int(n):], nil
}

func appendSized(b, body []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(body))), body...)
}

// withoutSection returns a copy of wasm without custom sections of that name.
func withoutSection(wasm []byte, name string) []byte {
	all, err := sections(wasm)
	if err != nil {
		return slices.Clone(wasm)
	}
	out := []byte(wasmHeader)
	for _, s := range all {
		if s.id != customSection || s.name != name {
			out = append(out, s.all...)
		}
	}
	return out
}
