package plugins

import (
	"strings"
	"testing"
)

// TestPaddedTableIndex: linkers pad the index of the one table or memory in
// call_indirect, element and data segments, which is a LEB128 since WebAssembly
// 2.0; another than the first is refused.
func TestPaddedTableIndex(t *testing.T) {
	manifest := manifestOf("tiny", "1.0.0", anySettings)
	for name, tt := range map[string]struct {
		index string
		want  string
	}{
		"plain": {"\x00", ""}, "two bytes": {"\x80\x00", ""}, "five bytes": {"\x80\x80\x80\x80\x00", ""},
		"another": {"\x01", "it names %s 1"}, "another, padded": {"\x81\x80\x80\x80\x00", "it names %s 1"}, "six bytes": {"\x80\x80\x80\x80\x80\x00", "malformed"},
	} {
		for place, c := range map[string]struct {
			of   string
			wasm handmade
		}{
			"call_indirect":   {"table", handmade{table: "\x00\x01", functions: []function{{code: i32(0) + "\x11\x00" + tt.index}}}},
			"element segment": {"table", handmade{table: "\x00\x01", elements: "\x01\x02" + tt.index + i32(0) + "\x0b\x00" + vec("\x00")}},
			"data segment":    {"memory", handmade{dataMode: "\x02" + tt.index}},
		} {
			want := strings.ReplaceAll(tt.want, "%s", c.of)
			s := newShelf(t, map[string][]byte{"tiny.wasm": c.wasm.plugin(manifest)})
			if want == "" && len(s.Faults()) > 0 || want != "" && (len(s.Faults()) == 0 || !strings.Contains(s.fault(), want)) {
				t.Errorf("%s, %s: %v", place, name, s.Faults())
			}
		}
	}
}
