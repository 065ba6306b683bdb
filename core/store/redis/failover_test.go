package redis

import (
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/store/storetest"
)

// A primary is killed while its keys change. The driver finds the replica that
// takes over, and what everybody was told stays true.
func TestFailoverUnderContention(t *testing.T) {
	const soon = time.Second // a machine under load must not take a busy server for dead
	for _, p := range storetest.Programs(t, venv) {
		t.Run(p.Name+"/sentinel", func(t *testing.T) {
			t.Parallel()
			g := p.StartSentinels(t, "main", "", soon)
			storetest.Failover(t, mustOpen(t, "redis+sentinel://"+g.Sentinels[0].Addr+"/main"), g.Servers[0].Stop)
		})
		t.Run(p.Name+"/cluster", func(t *testing.T) {
			t.Parallel()
			nodes := p.StartCluster(t, soon)
			storetest.Failover(t, mustOpen(t, "redis+cluster://"+nodes[0].Addr+","+nodes[1].Addr), nodes[0].Stop)
		})
	}
}
