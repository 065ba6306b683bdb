package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// guard resolves, checks and connects in one go: the address that was checked
// is the address that is dialled, so a name that resolves differently the next
// moment (DNS rebinding) gains nothing.
type guard struct {
	private map[string]bool
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (g *guard) dialContext(ctx context.Context, network, hostport string) (net.Conn, error) {
	addrs, last := g.addresses(ctx, hostport)
	_, port, _ := net.SplitHostPort(hostport)
	for _, addr := range addrs {
		conn, err := g.dialOne(ctx, network, net.JoinHostPort(addr.String(), port))
		if err == nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		last = err
	}
	return nil, last
}

// addresses resolves the host of hostport and returns the addresses that may be
// asked, at least one, or an error.
func (g *guard) addresses(ctx context.Context, hostport string) (allowed []netip.Addr, err error) {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	addrs := make([]netip.Addr, 0, 1)
	if addr, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, addr)
	} else if addrs, err = g.resolve(ctx, host); err != nil {
		return nil, err
	}
	err = &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	for _, addr := range slices.Backward(addrs) {
		if why := specialUse(addr); why != "" && !g.private[hostport] {
			err = addressError(hostport, addr, why) // the first one, at the end
			continue
		}
		allowed = append(allowed, addr)
	}
	if len(allowed) > 0 {
		slices.Reverse(allowed)
		return allowed, nil
	}
	return nil, err
}

func (g *guard) dialOne(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, dialTimeout, errors.New("no answer from this address"))
	defer cancel()
	return g.dial(ctx, network, addr)
}

func addressError(hostport string, addr netip.Addr, why string) error {
	return fmt.Errorf("%w: %s is at %s, %s; if that is meant, list %s among the operator's private hosts",
		ErrAddressNotAllowed, hostport, addr, why, hostport)
}

type block struct {
	prefix netip.Prefix
	why    string
}

// specialBlocks are the special-purpose registries of RFC 6890 as IANA keeps
// them, plus multicast. What embeds an IPv4 address and is routed to it by
// somebody else (6to4, Teredo) is refused whole. A network's own NAT64 prefix
// (RFC 6052 §2.2) looks like any address; only that network can guard what is
// behind it.
var specialBlocks = []block{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network (RFC 1122)"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private use (RFC 1918)"},
	{netip.MustParsePrefix("100.64.0.0/10"), "shared address space (RFC 6598)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback (RFC 1122)"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link local (RFC 3927)"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private use (RFC 1918)"},
	{netip.MustParsePrefix("192.0.0.0/24"), "protocol assignments (RFC 6890)"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("192.31.196.0/24"), "AS112 (RFC 7535)"},
	{netip.MustParsePrefix("192.52.193.0/24"), "AMT (RFC 7450)"},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relay (RFC 7526)"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private use (RFC 1918)"},
	{netip.MustParsePrefix("192.175.48.0/24"), "AS112 (RFC 7534)"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking (RFC 2544)"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast (RFC 5771)"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved or broadcast (RFC 1112)"},

	{netip.MustParsePrefix("::/96"), "unspecified, loopback or IPv4-compatible (RFC 4291)"},
	{netip.MustParsePrefix("::ffff:0:0:0/96"), "IPv4-translated (RFC 2765)"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "local NAT64 (RFC 8215)"},
	{netip.MustParsePrefix("100::/64"), "discard only (RFC 6666)"},
	{netip.MustParsePrefix("100:0:0:1::/64"), "dummy prefix (RFC 9780)"},
	{netip.MustParsePrefix("2001::/23"), "protocol assignments and Teredo (RFC 2928, RFC 4380)"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation (RFC 3849)"},
	{netip.MustParsePrefix("2002::/16"), "6to4 (RFC 3056)"},
	{netip.MustParsePrefix("2620:4f:8000::/48"), "AS112 (RFC 7534)"},
	{netip.MustParsePrefix("3fff::/20"), "documentation (RFC 9637)"},
	{netip.MustParsePrefix("5f00::/16"), "segment routing (RFC 9602)"},
	{netip.MustParsePrefix("fc00::/7"), "unique local (RFC 4193)"},
	{netip.MustParsePrefix("fe80::/10"), "link local (RFC 4291)"},
	{netip.MustParsePrefix("fec0::/10"), "site local (RFC 3879)"},
	{netip.MustParsePrefix("ff00::/8"), "multicast (RFC 4291)"},
}

var (
	nat64  = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052 §2.1
	global = netip.MustParsePrefix("2000::/3")     // all of IPv6 that is given out (RFC 4291 §2.4)
)

// specialUse says why addr is none of the public internet, or nothing. An
// IPv4-mapped address and one behind the well-known NAT64 prefix are judged by
// the IPv4 address they lead to.
func specialUse(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if nat64.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	for _, s := range specialBlocks {
		if s.prefix.Contains(addr) {
			return s.why
		}
	}
	if addr.Is6() && !global.Contains(addr) {
		return "not given out to anybody (RFC 4291)"
	}
	return ""
}

// oddAddress reports whether host is an IPv4 address in a form that a resolver
// or a proxy may understand and netip does not (inet_aton(3): 127.1, 0x7f.0.0.1,
// 2130706433, 0177.0.0.1): its last label is a number. No name in the DNS ends
// in one (RFC 3696 §2).
func oddAddress(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return false
	}
	host = strings.TrimRight(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	if hex, ok := strings.CutPrefix(strings.ToLower(last), "0x"); ok {
		return !strings.ContainsFunc(hex, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) })
	}
	return last != "" && !strings.ContainsFunc(last, func(r rune) bool { return r < '0' || r > '9' })
}
