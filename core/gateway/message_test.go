package gateway

import (
	"encoding/json"
	"testing"
)

// FuzzParse holds parse against encoding/json, which takes the last of two
// members and matches names in any letters: whatever parse accepts, a reader
// of that kind understands the same way.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look","arguments":{"name":"delete"}}}`,
		`{"method":"ping","method":"tools/call"}`, `{"METHOD":"tools/call","method":"ping"}`, `{"m\u0065thod":"ping"}`,
		`[{"method":"ping"},{"method":"tools/call","params":{"name":"a","Name":"b"}}]`, `[]`, `[[]]`, ` {"id":null,"method":"x"} `,
		`{"method":"ping"}{"method":"tools/call"}`, `{"params":[1],"method":"tools/call"}`, "\ufeff{}", `{"method":"tools/call","params":{"name":1}}`,
		`{"a":{"method":"tools/call"},"method":"ping"}`, `{"method":"\ud800"}`, `{`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		messages, err := parse(body)
		if err != nil {
			return
		}
		type lax struct {
			Method string
			Params json.RawMessage
		}
		var all []lax
		if json.Unmarshal(body, &all) != nil {
			all = make([]lax, 1)
			if err := json.Unmarshal(body, &all[0]); err != nil {
				t.Fatalf("%q: accepted, and %v", body, err)
			}
		}
		if len(all) != len(messages) || len(all) == 0 {
			t.Fatalf("%q: %d messages, want %d", body, len(messages), len(all))
		}
		for i, m := range messages {
			var params struct{ Name string }
			_ = json.Unmarshal(all[i].Params, &params)
			if m.method != all[i].Method || m.method == toolsCall && m.tool != params.Name {
				t.Errorf("%q: %+v, others read %+v %+v", body, m, all[i].Method, params)
			}
		}
	})
}
