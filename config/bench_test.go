package config

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkLoad reads files of many tenants, all of them different.
func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("tenants=%d", n), func(b *testing.B) {
			var text strings.Builder
			text.WriteString("server: { url: 'https://mcp.example.com/{tenant}' }\nkeys: [\"${env:SERVER_KEY}\"]\ntenants:\n")
			for i := range n {
				fmt.Fprintf(&text, "  t%d:\n    name: Tenant %d\n    provider: github\n    settings: { host: git%d.example.com }\n    client_id: id%d\n    client_secret: ${env:SECRET}\n    scopes: [read:user, repo]\n    backend: http://127.0.0.1:9000/%d\n    lifetimes: { access: 1h }\n", i, i, i, i, i)
			}
			opts := Options{Files: []string{write(b, "a.yaml", text.String())}, Environ: []string{"SERVER_KEY=k", "SECRET=s"}}
			b.SetBytes(int64(text.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if c := mustLoad(b, opts); len(c.Tenants) != n {
					b.Fatalf("%d tenants", len(c.Tenants))
				}
			}
		})
	}
}
