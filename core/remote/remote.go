// Package remote says where a request comes from: the address of its sender,
// also when proxies stand between. It owns reading X-Forwarded-For; it leaves
// what an address is good for to its callers. An address is never a proof of
// who somebody is, and nothing else that a proxy says (scheme, host) is looked
// at anywhere: those come from the configuration.
package remote

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks whose hosts tell the truth about whom they speak
// for.
type Proxies []netip.Prefix

// Loopback trusts programs on this machine.
func Loopback() Proxies {
	return Proxies{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// Trust tells whether addr is a proxy's.
func (p Proxies) Trust(addr netip.Addr) bool {
	return slices.ContainsFunc(p, func(network netip.Prefix) bool { return network.Contains(addr) })
}

// Addr returns the sender's address, without a zone and never an IPv4 address
// in IPv6 clothes. It is the zero Addr if the connection has none.
//
// Each proxy appends whom it was asked by to X-Forwarded-For. So the header is
// read from its end, for as long as the one who wrote it is trusted: the first
// address that is no proxy's is the sender, and whatever stands before it was
// the sender's to write. An entry that is no address ends the reading too: then
// the proxy that reported it counts as the sender.
func (p Proxies) Addr(r *http.Request) netip.Addr {
	addr, _ := parse(r.RemoteAddr)
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more && p.Trust(addr); {
			comma := strings.LastIndexByte(rest, ',')
			entry := strings.TrimSpace(rest[comma+1:])
			rest, more = rest[:max(comma, 0)], comma >= 0
			if entry == "" { // RFC 9110 §5.6.1: an empty element is none
				continue
			}
			before, ok := parse(entry)
			if !ok {
				return addr
			}
			addr = before
		}
	}
	return addr
}

// Ignores tells whether r has an X-Forwarded-For that is not read, because it
// is no proxy's.
func (p Proxies) Ignores(r *http.Request) bool {
	if len(r.Header["X-Forwarded-For"]) == 0 {
		return false
	}
	peer, _ := parse(r.RemoteAddr)
	return !p.Trust(peer)
}

// parse reads an address with or without a port: some proxies append one.
func parse(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		var both netip.AddrPort
		if both, err = netip.ParseAddrPort(text); err != nil {
			return netip.Addr{}, false
		}
		addr = both.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

// Network is what counts as one sender: an IPv4 address, or the /64 that an
// IPv6 host can pick its addresses from.
func Network(addr netip.Addr) string {
	if addr.Is6() {
		prefix, _ := addr.Prefix(64) // fails for more bits than there are
		return prefix.String()
	}
	return addr.String()
}

// Wider returns the networks around Network that one operator of a network can
// have to itself, the narrower one first: the /56 and /48 of an IPv6 address,
// and the /24 of an IPv4 address.
func Wider(addr netip.Addr) (networks []string) {
	sizes := []int{24}
	if addr.Is6() {
		sizes = []int{56, 48}
	}
	for _, bits := range sizes {
		if prefix, err := addr.Prefix(bits); err == nil && addr.IsValid() {
			networks = append(networks, prefix.String())
		}
	}
	return networks
}

type senderKey struct{}

// NewContext returns a context that carries the address of a request's sender,
// for what a request causes far from it.
func NewContext(ctx context.Context, sender netip.Addr) context.Context {
	return context.WithValue(ctx, senderKey{}, sender)
}

// FromContext returns the address that NewContext put in, or the zero Addr.
func FromContext(ctx context.Context) netip.Addr {
	sender, _ := ctx.Value(senderKey{}).(netip.Addr)
	return sender
}
