package core

import (
	"net/http"
	"net/netip"
)

// sender is the address that a request comes from, in the form of RemoteAddr.
// Its port is lost at the first proxy.
func (s *Server) sender(r *http.Request) string {
	addr := s.cfg.TrustedProxies.Addr(r)
	if s.cfg.TrustedProxies.Ignores(r) && (addr.IsPrivate() || addr.IsLoopback()) {
		s.unnamedProxy.Do(func() {
			s.cfg.Log.Warn("X-Forwarded-For is not believed: its sender looks like a proxy and is none of the trusted ones; all its clients count as one",
				"address", addr)
		})
	}
	return netip.AddrPortFrom(addr, 0).String()
}
