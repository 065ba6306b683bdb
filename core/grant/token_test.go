package grant

import (
	"strings"
	"testing"
	"time"
)

func TestTokenOpensForItsUseAndTenantOnly(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	want := token{generation: 7, expires: h.clock.now().Add(time.Hour)}
	copy(want.grant[:], "a grant's own id")
	copy(want.secret[:], "a grant's secret")
	for _, use := range []Use{Code, Access, Refresh} {
		text := h.mint(use, "music", want)
		if len(text) != 118 || !strings.HasPrefix(text, use.prefix()) || strings.ContainsAny(text, "+/=.") {
			t.Errorf("%s: %q", use, text)
		}
		if got, err := h.open(use, "music", text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", use, got, err)
		}
		for _, other := range []Use{Code, Access, Refresh} {
			if other == use {
				continue
			}
			for _, disguise := range []string{text, other.prefix() + strings.TrimPrefix(text, use.prefix())} {
				if _, err := h.open(other, "music", disguise); ReasonOf(err) != BadToken {
					t.Errorf("%s as %s: %v", use, other, err)
				}
			}
		}
		if _, err := h.open(use, "octo", text); ReasonOf(err) != BadToken {
			t.Errorf("%s at another tenant: %v", use, err)
		}
		if h.mint(use, "music", want) == text {
			t.Errorf("%s: the same token twice", use)
		}
	}
}

func TestTokenWithAnyCharacterChangedIsBad(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	text := h.mint(Access, "music", token{expires: h.clock.now().Add(time.Hour)})
	for i := range text {
		changed := []byte(text)
		changed[i] = 'A'
		if text[i] == 'A' {
			changed[i] = 'B'
		}
		if _, err := h.open(Access, "music", string(changed)); ReasonOf(err) != BadToken {
			t.Errorf("character %d changed: %v", i, err)
		}
	}
	for name, bad := range map[string]string{
		"empty": "", "prefix alone": "sp_at_", "cut": text[:len(text)-1], "longer": text + "AAAA",
		"padded": text + "=", "line break": text + "\n", "huge": "sp_at_" + strings.Repeat("A", 1<<16),
	} {
		if _, err := h.open(Access, "music", bad); ReasonOf(err) != BadToken {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTokenEndsAtItsSecond(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	text := h.mint(Access, "music", token{expires: h.clock.now().Add(time.Minute)})
	h.clock.advance(59 * time.Second)
	if _, err := h.open(Access, "music", text); err != nil {
		t.Errorf("a second before: %v", err)
	}
	h.clock.advance(time.Second)
	if _, err := h.open(Access, "music", text); ReasonOf(err) != Expired {
		t.Errorf("at the second: %v", err)
	}
}

func FuzzOpenToken(f *testing.F) {
	h := newHarness(f)
	real := h.mint(Access, "music", token{expires: h.clock.now().Add(time.Hour)})
	for _, seed := range []string{real, "", "sp_at_", "sp_rt_" + real[6:], real[:50], real + "A", "sp_at_\x00\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, use := range []Use{Code, Access, Refresh} {
			if _, err := h.open(use, "music", text); (err == nil) != (use == Access && text == real) {
				t.Errorf("%q as %s: %v", text, use, err)
			}
		}
	})
}
