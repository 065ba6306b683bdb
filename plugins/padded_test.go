package plugins

import (
	"strings"
	"testing"
)

// TestPaddedTableIndex: linkers pad the table index of call_indirect, which is
// a LEB128 since WebAssembly 2.0; another table than the first is refused.
func TestPaddedTableIndex(t *testing.T) {
	manifest := manifestOf("tiny", "1.0.0", anySettings)
	for name, tt := range map[string]struct {
		index string
		want  string
	}{
		"plain": {"\x00", ""}, "two bytes": {"\x80\x00", ""}, "five bytes": {"\x80\x80\x80\x80\x00", ""},
		"another table": {"\x01", "it names table 1"}, "another table, padded": {"\x81\x80\x80\x80\x00", "it names table 1"}, "six bytes": {"\x80\x80\x80\x80\x80\x00", "malformed"},
	} {
		wasm := handmade{table: "\x00\x01", functions: []function{{code: i32(0) + "\x11\x00" + tt.index}}}.plugin(manifest)
		s := newShelf(t, map[string][]byte{"tiny.wasm": wasm})
		if tt.want == "" && len(s.Faults()) > 0 || tt.want != "" && (len(s.Faults()) == 0 || !strings.Contains(s.fault(), tt.want)) {
			t.Errorf("%s: %v", name, s.Faults())
		}
	}
}
