package remote

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func from(peer string, forwarded ...string) *http.Request {
	return &http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": forwarded}}
}

func proxies(networks ...string) Proxies {
	p := Loopback()
	for _, n := range networks {
		p = append(p, netip.MustParsePrefix(n))
	}
	return p
}

func TestSender(t *testing.T) {
	t.Parallel()
	inside := proxies("10.0.0.0/8", "fd00::/8")
	for _, c := range []struct {
		what    string
		trusted Proxies
		r       *http.Request
		want    string
	}{
		{"no proxy", inside, from("203.0.113.7:4711"), "203.0.113.7"},
		{"a stranger says what it likes", inside, from("203.0.113.7:4711", "198.51.100.1"), "203.0.113.7"},
		{"a proxy", inside, from("127.0.0.1:4711", "203.0.113.7"), "203.0.113.7"},
		{"a proxy that says nothing", inside, from("127.0.0.1:4711"), "127.0.0.1"},
		{"behind the proxy's entry is the sender's own", inside, from("10.1.1.1:1", "127.0.0.1, 10.9.9.9, 203.0.113.7"), "203.0.113.7"},
		{"two proxies", inside, from("10.1.1.1:1", "198.51.100.1, 203.0.113.7, 10.2.2.2"), "203.0.113.7"},
		{"two lines", inside, from("10.1.1.1:1", "198.51.100.1", "203.0.113.7", "10.2.2.2"), "203.0.113.7"},
		{"a line that begins where another ends", inside, from("10.1.1.1:1", "203.0.113.7", "10.2.2.2,"), "203.0.113.7"},
		{"nobody but proxies", inside, from("10.1.1.1:1", "10.3.3.3, 10.2.2.2"), "10.3.3.3"},
		{"an untrusted proxy is the sender", inside, from("10.1.1.1:1", "203.0.113.7, 198.51.100.1"), "198.51.100.1"},
		{"nobody is trusted", nil, from("127.0.0.1:1", "203.0.113.7"), "127.0.0.1"},
		{"garbage before the proxy's entry", inside, from("10.1.1.1:1", "\x00;drop, 203.0.113.7"), "203.0.113.7"},
		{"garbage by the proxy", inside, from("10.1.1.1:1", "203.0.113.7, unknown"), "10.1.1.1"},
		{"garbage between", inside, from("10.1.1.1:1", "203.0.113.7, _hidden, 10.2.2.2"), "10.2.2.2"},
		{"empty entries", inside, from("10.1.1.1:1", " , 203.0.113.7,, ", ""), "203.0.113.7"},
		{"a port", inside, from("10.1.1.1:1", "203.0.113.7:4711"), "203.0.113.7"},
		{"IPv6", inside, from("[::1]:1", "2001:db8::7"), "2001:db8::7"},
		{"IPv6 in brackets", inside, from("[fd00::1]:1", "[2001:db8::7]"), "2001:db8::7"},
		{"IPv6 with a port", inside, from("[fd00::1]:1", "[2001:db8::7]:4711"), "2001:db8::7"},
		{"IPv6 with a zone", inside, from("[fe80::1%eth0]:1"), "fe80::1"},
		{"IPv4 written as IPv6", inside, from("[::ffff:10.1.1.1]:1", "::ffff:203.0.113.7"), "203.0.113.7"},
		{"no address at all", inside, from("@"), "invalid IP"},
		{"no address at all, and a claim", inside, from("", "203.0.113.7"), "invalid IP"},
	} {
		if got := c.trusted.Addr(c.r).String(); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"203.0.113.7": "203.0.113.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::": "2001:db8:1:2::/64",
	} {
		if got := Network(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if Network(netip.Addr{}) == "" {
		t.Error("no address has an empty name")
	}
}

// FuzzSender: whatever a sender writes into the header, what its proxy appends
// is its address; and no header makes a stranger anybody else.
func FuzzSender(f *testing.F) {
	for _, seed := range []string{
		"", "10.0.0.1", "198.51.100.1, 10.0.0.1", "unknown", ",,,", "[::1]:80", "::ffff:10.0.0.1", "fe80::1%eth0", "10.0.0.1\r\n", "1.2.3.4:x",
		"[", "]", "[[::1]]", "%", "127.0.0.1,127.0.0.1", strings.Repeat("10.0.0.1,", 20),
	} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		p := proxies("10.0.0.0/8")
		if got := p.Addr(from("203.0.113.7:1", one, two)).String(); got != "203.0.113.7" {
			t.Errorf("a stranger became %s", got)
		}
		for _, header := range [][]string{{one, two + ", 203.0.113.7"}, {one, two, "203.0.113.7"}, {one, "203.0.113.7,10.0.0.2"}} {
			if got := p.Addr(from("10.0.0.1:1", header...)).String(); got != "203.0.113.7" {
				t.Errorf("%q: %s", header, got)
			}
		}
		if got := p.Addr(from("10.0.0.1:1", one, two)); !got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Errorf("%q, %q: %s", one, two, got)
		}
		p.Addr(from(one, two))
	})
}

func BenchmarkAddr(b *testing.B) {
	p := proxies("10.0.0.0/8")
	for _, c := range []struct {
		name string
		r    *http.Request
	}{{"direct", from("203.0.113.7:4711")}, {"behind two proxies", from("10.1.1.1:1", "198.51.100.1, 203.0.113.7, 10.2.2.2")}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Network(p.Addr(c.r))
			}
		})
	}
}
