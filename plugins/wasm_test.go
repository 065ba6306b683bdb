package plugins

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/sdk/abi"
)

// Hand-made modules. A part left empty takes its default: alloc answers 16,
// call answers nothing.
type handmade struct {
	marker    string // name of the marker export
	imports   string // import section's items, count first
	functions []function
	alloc     string // code of alloc, without its end
	call      string // code of call, without its end
	memory    string // limits; one page
	table     string // limits of a table
	globals   string // items, count first
	start     int    // function that runs at the start; 0: none
	elements  string // items of the element section, count first
	data      string // at dataAt
	dataMode  string // flags of its segment, and the memory's index; 0: without one
	check     string // result of check; {}
	allocType string // index of its type
	noExports bool
}

// function is a further one, of type 0 () → ().
type function struct{ locals, code string }

const (
	// types: ()→(), (i32)→i32, (i32)→i64
	typeSection = "\x01\x0e\x03\x60\x00\x00\x60\x01\x7f\x01\x7f\x60\x01\x7f\x01\x7e"
)

func vec(items ...string) string {
	return string(binary.AppendUvarint(nil, uint64(len(items)))) + strings.Join(items, "")
}

func sec(id byte, body string) string { return string(appendSized([]byte{id}, []byte(body))) }

func str(s string) string { return string(appendSized(nil, []byte(s))) }

func i32(n int) string { return "\x41" + sleb(int64(n)) }

func i64(n int64) string { return "\x42" + sleb(n) }

func sleb(v int64) string {
	var b []byte
	for {
		low := byte(v & 0x7f)
		v >>= 7
		if v == 0 && low&0x40 == 0 || v == -1 && low&0x40 != 0 {
			return string(append(b, low))
		}
		b = append(b, low|0x80)
	}
}

func (h handmade) bytes() []byte {
	def := func(s, d string) string {
		if s == "" {
			return d
		}
		return s
	}
	types := []string{"\x00", def(h.allocType, "\x01"), "\x02"}
	bodies := []string{str("\x00\x0b"), str("\x00" + def(h.alloc, i32(16)) + "\x0b"), str("\x00" + def(h.call, i64(0)) + "\x0b")}
	for _, f := range h.functions {
		types = append(types, "\x00")
		bodies = append(bodies, str(def(f.locals, "\x00")+f.code+"\x0b"))
	}
	out := wasmHeader + typeSection
	if h.imports != "" {
		out += sec(2, h.imports)
	}
	out += sec(3, vec(types...))
	if h.table != "" {
		out += sec(4, "\x01\x70"+h.table)
	}
	out += sec(5, "\x01"+def(h.memory, "\x00\x01"))
	if h.globals != "" {
		out += sec(6, h.globals)
	}
	if !h.noExports {
		out += sec(7, vec(str("memory")+"\x02\x00", str(def(h.marker, abi.ExportMarker))+"\x00\x00",
			str(abi.ExportAlloc)+"\x00\x01", str(abi.ExportCall)+"\x00\x02"))
	}
	if h.start > 0 {
		out += sec(8, string(binary.AppendUvarint(nil, uint64(h.start))))
	}
	if h.elements != "" {
		out += sec(9, h.elements)
	}
	out += sec(10, vec(bodies...))
	if h.data != "" {
		out += sec(11, "\x01"+def(h.dataMode, "\x00")+i32(dataAt)+"\x0b"+str(h.data))
	}
	return []byte(out)
}

// document is an output document with this head and nothing behind it.
func document(head string) string {
	return string(binary.LittleEndian.AppendUint32(nil, uint32(len(head)))) + head
}

// dataAt is behind the room that alloc answers.
const dataAt = 32 << 10

// packed returns where a document of n bytes lies, as call does.
func packed(at, n int) string { return i64(int64(at)<<32 | int64(n)) }

// answering is a module that answers the same to everything.
func answering(head string) []byte {
	doc := document(head)
	return handmade{data: doc, call: packed(dataAt, len(doc))}.bytes()
}

// manifestOf is a manifest with a schema and hosts.
func manifestOf(name, version, schema string, hosts ...string) string {
	list, _ := json.Marshal(append([]string{}, hosts...))
	return fmt.Sprintf(`{"abi":"1.0","name":%q,"version":%q,"display_name":"Tiny","settings":%s,"hosts":%s,`+
		`"capabilities":{"pkce":false,"refresh":false,"revoke":false,"identity":true},"refresh":{}}`, name, version, schema, list)
}

const anySettings = `{"type":"object","additionalProperties":true}`

// plugin is a whole plugin file: it describes itself, accepts every setting,
// and does h.call on every other operation.
func (h handmade) plugin(manifest string) []byte {
	describe, check := document(`{"result":`+manifest+`}`), document(`{"result":`+cmp.Or(h.check, "{}")+`}`)
	h.data = describe + check + h.data
	if h.call == "" {
		h.call = i64(0)
	}
	// The operation's first letter stands at a fixed place of the input.
	op := i32(16+4+len(`{"abi":"1.0","op":"`)) + "\x2d\x00\x00"
	h.call = op + i32('d') + "\x46\x04\x7e" + packed(dataAt, len(describe)) + "\x05" +
		op + i32('c') + "\x46\x04\x7e" + packed(dataAt+len(describe), len(check)) + "\x05" +
		h.call + "\x0b\x0b"
	return AppendManifest(h.bytes(), []byte(manifest))
}

// extra is where the plugin's own data lies.
func extra(manifest string) int {
	return dataAt + len(document(`{"result":`+manifest+`}`)) + len(document(`{"result":{}}`))
}

// tiny is a module with the three functions; marker names the first one, and
// alloc's type is chosen.
func tiny(marker string, allocType byte) []byte {
	alloc := i32(16)
	if allocType == 0 {
		alloc = "\x01" // no operation
	}
	return handmade{marker: marker, alloc: alloc, allocType: string([]byte{allocType})}.bytes()
}

// importing is a module that wants env.open_socket.
func importing() []byte {
	return handmade{imports: vec(str("env") + str("open_socket") + "\x00\x00")}.bytes()
}

const tinyManifest = `{"abi":"1.0","name":"tiny","version":"1.0.0","display_name":"Tiny","hosts":[],"capabilities":{},"refresh":{}}`
