package tree_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/sdk/tree"
)

func parse(t *testing.T, text string) tree.Value {
	t.Helper()
	v, err := tree.Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	return v
}

func TestPointer(t *testing.T) {
	v := parse(t, ` { "a" : [ 10 , {"b":"x", "b":"y"}, [] ] , "" : 1, "m~n" : 2, "o/p":3, "\u0071":4, "n":null } `)
	for pointer, want := range map[string]string{
		"/a/0": "10", "/a/1/b": `"y"`, "/a/2": "[]", "/": "1", "/m~0n": "2", "/o~1p": "3", "/q": "4", "/n": "null",
		"/a/00": "", "/a/-": "", "/a/3": "", "/a/99999999999999999999": "", "/a/0/x": "", "/zz": "", "a": "", "/a/1/b/c": "",
	} {
		got := v.Pointer(pointer)
		text := string(got.Bytes())
		if got.Kind() == tree.KindMissing {
			text = ""
		}
		if text != want {
			t.Errorf("Pointer(%q) = %s, want %s", pointer, text, want)
		}
	}
	if v.Pointer("").Kind() != tree.KindObject {
		t.Error("the empty pointer is not the whole value")
	}
}

func TestAccessors(t *testing.T) {
	v := parse(t, `{"s":"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud83dx","n":583231,"big":9007199254740993,"min":-9223372036854775808,"max":9223372036854775807,"over":9223372036854775808,"p":-0.0036e6,"zero":0e99999999999,"q":100e-2,"f":3.6e3,"g":1.5,"h":1e99,"t":true,"z":null,"l":["a",1,"b"]}`)
	if got, want := v.Get("s").Str(), "a\"\\/\b\f\n\r\té😀\ufffdx"; got != want {
		t.Errorf("Str = %q, want %q", got, want)
	}
	for name, want := range map[string]int64{"n": 583231, "big": 9007199254740993, "f": 3600, "min": -1 << 63, "max": 1<<63 - 1, "p": -3600, "zero": 0, "q": 1} {
		if got, ok := v.Get(name).Int(); !ok || got != want {
			t.Errorf("%s: Int = %d, %v, want %d", name, got, ok, want)
		}
	}
	for _, name := range []string{"g", "h", "over", "s", "t", "z", "none"} {
		if got, ok := v.Get(name).Int(); ok {
			t.Errorf("%s: Int = %d, %v, want no number", name, got, ok)
		}
	}
	if got := v.Get("n").Text(); got != "583231" {
		t.Errorf("Text of a number = %q", got)
	}
	if !v.Get("t").Bool() || v.Get("s").Bool() || v.Get("z").Exists() || v.Get("none").Exists() {
		t.Error("Bool or Exists is wrong")
	}
	if got := v.Get("l").Strings(); !reflect.DeepEqual(got, []string{"a", "b"}) {
		t.Errorf("Strings = %q", got)
	}
	if m := v.Members(); len(m) != 15 || m[0].Name != "s" || m[14].Name != "l" {
		t.Errorf("Members = %v", m)
	}
}

func TestNumbersAreRoundedDown(t *testing.T) {
	for text, want := range map[string]int64{
		`1796081896.172277`: 1796081896, `1.796081896172277e9`: 1796081896, `3600`: 3600, `0.5`: 0, `-0.5`: -1, `-3600.0`: -3600,
		`1e-9999999`: 0, `0.00e5`: 0, `123e-2`: 1, `0.0123e4`: 123, `9223372036854775807.9`: 1<<63 - 1, `-9223372036854775808`: -1 << 63,
		`"1796081896.5"`: 1796081896, `" 3600 "`: 3600, `"36e2"`: 3600, `"-1"`: -1,
	} {
		if got, ok := parse(t, text).Floor(); !ok || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{`9223372036854775808`, `-9223372036854775808.1`, `1e400`, `"tomorrow"`, `""`, `"0x10"`, `"1 2"`, `"\"1\""`, `null`, `true`, `[1]`, `{}`} {
		if got, ok := parse(t, text).Floor(); ok {
			t.Errorf("%s: %d, which an int64 does not hold or which is not a number", text, got)
		}
	}
}

// TestWrongTypes asks every question of every kind of value: none may panic.
func TestWrongTypes(t *testing.T) {
	for _, text := range []string{`null`, `true`, `1`, `"s"`, `[]`, `{}`, `[[1]]`, `{"a":{}}`} {
		v := parse(t, text)
		for _, v := range []tree.Value{v, {}} {
			v.Str()
			v.Text()
			v.Int()
			v.Floor()
			_ = v.Bool()
			v.Strings()
			if v.Get("x").Kind() != tree.KindMissing || v.Pointer("/x/0").Kind() != tree.KindMissing {
				t.Errorf("%s has an x", text)
			}
			if v.Kind() != tree.KindArray && v.Array() != nil || v.Kind() != tree.KindObject && v.Members() != nil {
				t.Errorf("%s has children of the wrong type", text)
			}
		}
	}
}

func TestDepth(t *testing.T) {
	nest := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	if _, err := tree.Parse(nest(tree.MaxDepth)); err != nil {
		t.Errorf("depth %d: %v", tree.MaxDepth, err)
	}
	_, err := tree.Parse(nest(tree.MaxDepth + 1))
	if syntax, ok := errors.AsType[*tree.SyntaxError](err); !ok || syntax.Offset != tree.MaxDepth {
		t.Errorf("depth %d: %v", tree.MaxDepth+1, err)
	}
}

func TestBuild(t *testing.T) {
	var inner, o tree.Object
	inner.Set("k", tree.Strings([]string{"x", "<&>\u2028"}))
	o.Set("s", tree.String("a\"\\\n\x01\xff é"))
	o.Set("n", tree.Int(-5))
	o.Set("b", tree.Bool(false))
	o.Set("o", inner.Value())
	o.Set("none", tree.Value{})
	var got any
	if err := json.Unmarshal(o.Value().Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"s": "a\"\\\n\x01\ufffd é", "n": -5.0, "b": false, "none": nil,
		"o": map[string]any{"k": []any{"x", "<&>\u2028"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	var empty tree.Object
	if got := string(empty.Value().Bytes()); got != "{}" {
		t.Errorf("an empty object is %s", got)
	}
}

// FuzzParse holds Parse against encoding/json: the same texts are accepted,
// but for depth, and mean the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		``, `null`, ` [1, -0.5e+3 ,"a"] `, `{"a":{"b":[true,false]},"a":2}`, `"\ud83d\ude00 \udc00\ud800 \u12"`,
		`01`, `-`, `1.`, `1e`, `[1,]`, `{"a"}`, `{"a":1,}`, "\"\x80\"", "\"\x1f\"", `tru`, `nullx`, `[[]`, `{"\u0061":"\/"}`, `"\`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := tree.Parse(data)
		if want := json.Valid(data) && depth(data) <= tree.MaxDepth; (err == nil) != want {
			t.Fatalf("Parse: %v, encoding/json: %v", err, want)
		}
		if err != nil {
			return
		}
		want := decode(t, data)
		if got := decode(t, v.Bytes()); !reflect.DeepEqual(got, want) {
			t.Fatalf("as it is: got %#v, want %#v", got, want)
		}
		if got := decode(t, rebuild(v).Bytes()); !reflect.DeepEqual(got, want) {
			t.Fatalf("rebuilt: got %#v, want %#v", got, want)
		}
	})
}

// rebuild writes v anew through every accessor and constructor.
func rebuild(v tree.Value) tree.Value {
	switch v.Kind() {
	case tree.KindString:
		return tree.String(v.Str())
	case tree.KindBool:
		return tree.Bool(v.Bool())
	case tree.KindArray:
		items := v.Array()
		for i := range items {
			items[i] = rebuild(items[i])
		}
		return tree.Array(items...)
	case tree.KindObject:
		var o tree.Object
		seen := map[string]bool{}
		for _, m := range v.Members() {
			if !seen[m.Name] {
				seen[m.Name] = true
				o.Set(m.Name, rebuild(v.Get(m.Name)))
			}
		}
		return o.Value()
	}
	return v
}

func decode(t *testing.T, data []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("encoding/json: %v", err)
	}
	return v
}

// depth returns how deep data nests, not counting brackets inside strings.
func depth(data []byte) int {
	depth, deepest, inString := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			depth++
			deepest = max(deepest, depth)
		case c == ']' || c == '}':
			depth--
		}
	}
	return deepest
}

func BenchmarkUser(b *testing.B) {
	user := []byte(`{"login":"octocat","id":583231,` + strings.Repeat(`"some_url":"https://api.github.com/users/octocat/x",`, 30) + `"name":"The Octocat","email":null}`)
	b.SetBytes(int64(len(user)))
	for b.Loop() {
		v, err := tree.Parse(user)
		if err != nil || v.Pointer("/id").Text() != "583231" || v.Pointer("/name").Str() == "" {
			b.Fatal(err)
		}
	}
}
