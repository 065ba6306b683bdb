package seal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func ring(t testing.TB, keys ...Key) *Keyring {
	t.Helper()
	r, err := NewKeyring(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	key := NewKey()
	raw, err := base64.RawURLEncoding.DecodeString(key.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"as printed": key.Reveal(), "with a line break": key.Reveal() + "\n",
		"padded": base64.URLEncoding.EncodeToString(raw), "standard": base64.StdEncoding.EncodeToString(raw),
	} {
		got, err := ParseKey(text)
		if err != nil || got.Reveal() != key.Reveal() || got.String() != key.String() {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, text := range map[string]string{
		"a word repeated": strings.Repeat("hunter2", 7)[:43],
		"empty":           "", "short": encode(string(raw[:31])), "long": encode(string(raw) + "x"), "zeros": encode(strings.Repeat("\x00", 32)),
		"a repeated byte": encode(strings.Repeat("k", 32)), "a repeated pattern": encode(strings.Repeat("changeme", 4)),
		"a word padded out": encode("password" + strings.Repeat(" ", 24)), "words": "correct horse battery staple",
		"hex": fmt.Sprintf("%x", raw), "not base64": strings.Repeat("!", 43),
		"a sentence":      encode("correct horse battery staple, 99"),
		"a UUID":          encode("7d444840-9dc0-11d1-b245-5ffdce74"),
		"hex once more":   encode("9f86d081884c7d659a2feaa0c55ad015"),
		"lower case":      "thisisthekeythatisusedbeforeitgetsreplacedx",
		"upper case":      "THISISTHEKEYTHATISUSEDBEFOREITGETSREPLACEDX",
		"to be changed":   "ChangeMe" + key.Reveal()[8:],
		"of the project":  key.Reveal()[:20] + "sallyPort" + key.Reveal()[29:],
		"an example":      "example_" + key.Reveal()[8:],
		"to be filled in": "your-Key" + key.Reveal()[8:],
	} {
		if got, err := ParseKey(text); err == nil {
			t.Errorf("%s: accepted as %v", name, got)
		} else if text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%s: the error holds the key: %v", name, err)
		}
	}
}

// What is published is nobody's secret, so no document shows a key that works.
func TestNoDocumentShowsAKeyThatWorks(t *testing.T) {
	t.Parallel()
	looks := regexp.MustCompile(`(?:^|[^\w+/=-])([\w+/-]{43}=?)(?:$|[^\w+/=-])`)
	read := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == ".venv" || d.Name() == "bin"):
			return fs.SkipDir
		case !slices.Contains([]string{".md", ".yaml", ".yml", ".txtar", ".example"}, filepath.Ext(path)):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		read++
		for _, found := range looks.FindAllStringSubmatch(string(text), -1) {
			_, err := ParseKey(found[1])
			if err == nil && strings.ContainsAny(found[1], "0123456789") && !strings.Contains(path, "testdata") { // transcripts hold tokens of all kinds
				t.Errorf("%s: %s", path, found[1])
			}
		}
		return nil
	})
	if err != nil || read < 20 {
		t.Errorf("%d documents read, %v", read, err)
	}
}

func TestKeyPrintsItsIDOnly(t *testing.T) {
	t.Parallel()
	key := NewKey()
	raw, _ := base64.RawURLEncoding.DecodeString(key.Reveal())
	for _, v := range []any{key, &key, []Key{key}, ring(t, key)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			if s := fmt.Sprintf(verb, v); strings.Contains(s, key.Reveal()) || strings.Contains(s, string(raw)) {
				t.Errorf("%s of %T: %s", verb, v, s)
			}
		}
	}
}

func TestKeyringRefusesNoneAndTwins(t *testing.T) {
	t.Parallel()
	key := NewKey()
	if _, err := NewKeyring(); err == nil {
		t.Error("no key")
	}
	if _, err := NewKeyring(key, NewKey(), key); err == nil {
		t.Error("one key twice")
	}
}

// variants returns purposes that are each different from p, the last ones in
// ways that a careless encoding would miss.
func variants(p Purpose) []Purpose {
	with := func(change func(*Purpose)) Purpose { q := p; change(&q); return q }
	secret := p.Secret.Reveal()
	return []Purpose{
		with(func(q *Purpose) { q.Use += "x" }),
		with(func(q *Purpose) { q.Tenant += "x" }),
		with(func(q *Purpose) { q.Record += "x" }),
		with(func(q *Purpose) { q.Secret = NewSecret(secret + "x") }),
		with(func(q *Purpose) { q.Secret = NewSecret(secret + "\x00") }), // HMAC pads its key with zeros
		with(func(q *Purpose) { q.Use, q.Tenant = q.Use+q.Tenant+"x", "" }),
		with(func(q *Purpose) { q.Tenant += "\x00" }),
		with(func(q *Purpose) { q.Use, q.Tenant, q.Record = q.Tenant+"1", q.Record+"2", q.Use+"3" }),
	}
}

func TestPurposesAreDisjoint(t *testing.T) {
	t.Parallel()
	r := ring(t, NewKey())
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	word := func() string {
		b := make([]byte, random.IntN(70))
		for i := range b {
			b[i] = "ab/\x00\xff"[random.IntN(5)]
		}
		return string(b)
	}
	for range 200 {
		p := Purpose{Use: word(), Tenant: word(), Record: word(), Secret: NewSecret(word())}
		sealed := r.Seal(p, []byte("plain"))
		if got, err := r.Open(p, sealed); err != nil || string(got) != "plain" {
			t.Fatalf("seed %d: %q, %v", seed, got, err)
		}
		mac, err := r.MAC(p, sealed)
		if err != nil {
			t.Fatal(err)
		}
		for i, other := range variants(p) {
			if _, err := r.Open(other, sealed); !errors.Is(err, ErrOpen) {
				t.Errorf("seed %d: variant %d of %q opens", seed, i, p.info())
			}
			if m, err := r.MAC(other, sealed); err != nil || bytes.Equal(m, mac) {
				t.Errorf("seed %d: variant %d of %q has the same MAC, %v", seed, i, p.info(), err)
			}
		}
	}
}

func TestAnyByteChangedFailsToOpen(t *testing.T) {
	t.Parallel()
	r := ring(t, NewKey(), NewKey())
	p := Purpose{Use: "access", Tenant: "music"}
	sealed := r.Seal(p, []byte("forty bytes of a token that is very short"))
	for i := range sealed {
		for _, flip := range []byte{1, 0x80, 0xff} {
			changed := bytes.Clone(sealed)
			changed[i] ^= flip
			if _, err := r.Open(p, changed); !errors.Is(err, ErrOpen) {
				t.Errorf("byte %d changed by %x: %v", i, flip, err)
			}
		}
		if _, err := r.Open(p, sealed[:i]); !errors.Is(err, ErrOpen) {
			t.Errorf("cut to %d: %v", i, err)
		}
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	before, after := NewKey(), NewKey()
	p := Purpose{Use: "grant", Tenant: "music", Record: "1"}
	old, both, done := ring(t, before), ring(t, after, before), ring(t, after)
	sealed := old.Seal(p, []byte("x"))
	mac, err := old.MAC(p, sealed)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := both.Open(p, sealed); err != nil || string(got) != "x" {
		t.Errorf("with both keys: %q, %v", got, err)
	}
	if !old.Newest(sealed) || both.Newest(sealed) || done.Newest(sealed) || !both.Newest(both.Seal(p, nil)) || both.Newest(nil) {
		t.Error("what is sealed with the newest key is taken for old, or the reverse")
	}
	if m, err := both.MAC(p, sealed); err != nil || !bytes.Equal(m, mac) {
		t.Errorf("the MAC changed with the ring: %v", err)
	}
	if _, err := done.Open(p, both.Seal(p, []byte("x"))); err != nil {
		t.Errorf("the newest key does not seal: %v", err)
	}
	if _, err := done.Open(p, sealed); !errors.Is(err, ErrOpen) {
		t.Errorf("sealed with a lost key: %v", err)
	}
	if _, err := done.MAC(p, sealed); !errors.Is(err, ErrOpen) {
		t.Errorf("MAC with a lost key: %v", err)
	}
	if _, err := done.MAC(p, nil); !errors.Is(err, ErrOpen) {
		t.Errorf("MAC of nothing: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	r := ring(f, NewKey())
	p := Purpose{Use: "access", Tenant: "music"}
	sealed := r.Seal(p, []byte("plain"))
	for _, seed := range [][]byte{sealed, nil, sealed[:4], sealed[:Overhead], append(bytes.Clone(sealed), 0), make([]byte, Overhead)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := r.Open(p, b)
		if same := bytes.Equal(b, sealed); same != (err == nil) || (same && string(got) != "plain") || (!same && !errors.Is(err, ErrOpen)) {
			t.Errorf("%x: %q, %v", b, got, err)
		}
		_, _ = r.MAC(p, b)
	})
}

func BenchmarkToken(b *testing.B) {
	r := ring(b, NewKey())
	p := Purpose{Use: "access", Tenant: "music"}
	plain := make([]byte, 40)
	sealed := r.Seal(p, plain)
	b.Run("seal", func(b *testing.B) {
		for b.Loop() {
			r.Seal(p, plain)
		}
	})
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if _, err := r.Open(p, sealed); err != nil {
				b.Fatal(err)
			}
		}
	})
}
