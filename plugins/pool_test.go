package plugins

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/plugins/wasi"
	"github.com/sallyport/sallyport/sdk/abi"
)

func TestNothingOutlivesACall(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Instances = 1 })
	p := r.bind(t, "count")
	for range 3 {
		if _, err := exchange(t, p); err == nil || !strings.HasSuffix(err.Error(), ": 1") {
			t.Fatalf("the module remembers an earlier call: %v", err)
		}
	}
	i, err := r.module.pool.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.module.pool.give(t.Context(), i, false)
	if now := i.state(); !i.clean.equal(now) {
		t.Error("an idle instance is not as it was at first")
	}
	if strings.Contains(string(i.state().memory), "the-verifier-123") {
		t.Error("a secret is in the memory of an idle instance")
	}
}

func TestPooledInstanceIsUsedAgain(t *testing.T) {
	r := newRig(t)
	p := r.bind(t, "happy")
	first := r.module.pool.idle[0]
	if _, err := exchange(t, p); err != nil {
		t.Fatal(err)
	}
	if idle := r.module.pool.idle; len(idle) != 1 || idle[0] != first {
		t.Errorf("%d idle instances; want the one there was", len(idle))
	}
}

func TestGrownInstanceIsDiscarded(t *testing.T) {
	r := newRig(t)
	p := r.bind(t, "grow")
	first := r.module.pool.idle[0]
	for range circuitFaults + 1 { // which is no fault, and opens no circuit
		if _, err := exchange(t, p); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range r.module.pool.idle {
		if i == first || i.mod.Memory().Size() != uint32(len(i.clean.memory)) {
			t.Error("an instance whose memory grew is still used")
		}
	}
}

func TestBrokenInstanceIsDiscarded(t *testing.T) {
	for _, mode := range []string{"panic", "exit", "loop", "out-of-range"} {
		r := newRig(t)
		p := r.bind(t, mode)
		first := r.module.pool.idle[0]
		if _, err := exchange(t, p); upstream.KindOf(err) != upstream.Bug {
			t.Errorf("%s: got %v", mode, err)
		}
		if len(r.module.pool.idle) != 0 || !first.mod.IsClosed() {
			t.Errorf("%s: the instance that broke down is still used", mode)
		}
	}
}

func TestInstancesAreBounded(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Instances = 2 })
	p := r.bind(t, "happy")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := exchange(t, p); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(r.module.pool.idle); n < 1 || n > 2 {
		t.Errorf("%d instances, want at most 2", n)
	}
	if a := r.module.pool.idle; len(a) == 2 && a[0].clean != a[1].clean {
		t.Error("instances do not share their snapshot")
	}
}

// tinyModule is a module in a pool, without a host.
func tinyModule(t *testing.T, wasm []byte) *Module {
	t.Helper()
	m, err := openModule(t.Context(), Config{}.withDefaults(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.destroy(context.Background()) })
	return m
}

func (p *pool) list() []*instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.idle)
}

func TestIdleInstancesAreFreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := tinyModule(t, answering(`{"result":{}}`))
		a, err := m.pool.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b, err := m.pool.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m.pool.give(t.Context(), a, false)
		time.Sleep(m.cfg.Limits.Idle / 2)
		m.pool.give(t.Context(), b, false)
		time.Sleep(m.cfg.Limits.Idle/2 + time.Second)
		synctest.Wait()
		if idle := m.pool.list(); len(idle) != 1 || idle[0] != b || !a.mod.IsClosed() || b.mod.IsClosed() {
			t.Fatalf("%d idle, want the one used last", len(idle))
		}
		time.Sleep(m.cfg.Limits.Idle)
		synctest.Wait()
		if len(m.pool.list()) != 0 || !b.mod.IsClosed() {
			t.Error("the last one is still there")
		}
	})
}

func TestSameInputSameFuel(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Instances = 1 })
	doc, err := encodeInput(abi.Input{
		Op: abi.OpExchange, Now: 1, Settings: abi.Raw(`{"mode":"happy","base":"https://a.example"}`), Input: abi.Raw(`{"query":[["code","x"]]}`),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var want int64
	for n := range 1000 {
		_, spent, err := r.module.run(t.Context(), doc, wasi.NewSystem(time.Unix(1, 0), [32]byte{}, wasi.NewLog(1)))
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			want = spent
		}
		if spent != want || spent <= 0 {
			t.Fatalf("run %d spent %d, the first %d", n, spent, want)
		}
	}
	i, err := r.module.instantiate() // and an instance nobody used
	if err != nil {
		t.Fatal(err)
	}
	defer i.close(t.Context())
	if _, spent, _ := i.run(doc, wasi.NewSystem(time.Unix(1, 0), [32]byte{}, wasi.NewLog(1)), initFuel); spent != want {
		t.Errorf("a fresh instance spent %d, a pooled one %d", spent, want)
	}
}

func TestCircuit(t *testing.T) {
	r := newRig(t)
	broken, other := r.bind(t, "panic"), r.bind(t, "happy") // of one tenant at one upstream
	breakDown := func(times int) {
		for range times {
			if _, err := exchange(t, broken); upstream.KindOf(err) != upstream.Bug {
				t.Fatalf("got %v", err)
			}
		}
	}
	works := func() bool {
		_, err := exchange(t, other)
		if err != nil && (upstream.KindOf(err) != upstream.Unavailable || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "it rests after")) {
			t.Fatalf("got %v", err)
		}
		return err == nil
	}
	breakDown(circuitFaults - 1)
	r.pass(circuitWindow + time.Second)
	breakDown(circuitFaults - 1)
	if !works() {
		t.Fatal("faults long past count")
	}
	breakDown(1)
	if works() || !strings.Contains(r.log.String(), "plugin resting") {
		t.Fatal("the circuit is not open")
	}
	r.pass(circuitRest)
	breakDown(1)
	if works() {
		t.Fatal("a try that failed closed it")
	}
	r.pass(circuitRest)
	if first, second := works(), works(); !first || !second || !strings.Contains(r.log.String(), "plugin recalled") {
		t.Fatal("a try that succeeded did not close it")
	}
	breakDown(circuitFaults - 1)
	if !works() {
		t.Error("faults from before the rest count")
	}
}

func TestOneTriesWhileTheCircuitIsOpen(t *testing.T) {
	var c circuit
	at := time.Unix(0, 0)
	for range circuitFaults {
		c.fault(at, "x")
	}
	at = at.Add(circuitRest)
	if tries, err := c.enter(at); !tries || err != nil {
		t.Fatal(tries, err)
	}
	if _, err := c.enter(at); upstream.KindOf(err) != upstream.Unavailable || err == nil {
		t.Error("two try at once")
	}
	c.leave() // without a run
	if tries, err := c.enter(at); !tries || err != nil {
		t.Errorf("nobody may try again: %v", err)
	}
}

// bindAs binds the probe for a tenant of its own.
func (r *rig) bindAs(t *testing.T, tenant, mode string) upstream.Provider {
	t.Helper()
	b := r.binding(mode)
	b.Tenant = tenant
	p, err := r.host.Bind(t.Context(), "probe", b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (r *rig) breakDown(t *testing.T, p upstream.Provider, times int) {
	t.Helper()
	for range times {
		if _, err := exchange(t, p); upstream.KindOf(err) != upstream.Bug {
			t.Fatalf("got %v", err)
		}
	}
}

func TestOneTenantsUpstreamClosesThePluginToThatTenantAlone(t *testing.T) {
	r := newRig(t)
	bad, good := r.bindAs(t, "bad", "buggy"), r.bindAs(t, "good", "happy")
	r.breakDown(t, bad, circuitFaults)
	if _, err := exchange(t, bad); upstream.KindOf(err) != upstream.Unavailable {
		t.Errorf("the tenant with the faults: %v", err)
	}
	if _, err := exchange(t, good); err != nil {
		t.Errorf("another tenant: %v", err)
	}
	if log := r.log.String(); !strings.Contains(log, "plugin resting") || !strings.Contains(log, "tenant=bad") {
		t.Errorf("log: %s", log)
	}
	// A try in which the first run goes well and the second breaks down closes
	// nothing.
	r.pass(circuitRest)
	r.breakDown(t, bad, 1)
	if _, err := exchange(t, bad); upstream.KindOf(err) != upstream.Unavailable {
		t.Errorf("after a try that broke down: %v", err)
	}
	// A second tenant with faults does not close the plugin to one that works.
	r.breakDown(t, r.bindAs(t, "worse", "buggy"), circuitFaults)
	if _, err := exchange(t, good); err != nil {
		t.Errorf("another tenant, with two in trouble: %v", err)
	}
	// A bind by an operator is not refused by it.
	r.bindAs(t, "bad", "happy")
}

func TestFaultsAtSeveralTenantsAndSuccessAtNoneCloseThePlugin(t *testing.T) {
	r := newRig(t)
	first, second, third := r.bindAs(t, "first", "buggy"), r.bindAs(t, "second", "buggy"), r.bindAs(t, "third", "happy")
	r.breakDown(t, first, circuitFaults)
	r.breakDown(t, second, circuitFaults)
	if _, err := exchange(t, third); upstream.KindOf(err) != upstream.Unavailable {
		t.Errorf("a third tenant: %v", err)
	}
	r.pass(circuitRest)
	if _, err := exchange(t, third); err != nil {
		t.Errorf("a third tenant after the rest: %v", err)
	}
	if _, err := exchange(t, third); err != nil {
		t.Errorf("the plugin did not come back: %v", err)
	}
	if _, err := exchange(t, second); upstream.KindOf(err) != upstream.Bug {
		t.Errorf("a tenant with faults has its own try: %v", err)
	}
	if _, err := exchange(t, first); upstream.KindOf(err) != upstream.Bug {
		t.Errorf("a tenant with faults has its own try: %v", err)
	}
}

func TestCircuitIsPerUpstream(t *testing.T) {
	one := &provider{binding: Binding{Tenant: "octo"}, named: upstreamName{answered: "one"}}
	two := &provider{binding: Binding{Tenant: "octo"}, named: upstreamName{answered: "two"}}
	if one.circuitKey() == two.circuitKey() {
		t.Error("two upstreams of a tenant have one circuit")
	}
	var c circuits
	now := time.Unix(0, 0)
	for range circuitFaults {
		c.fault(circuitKey{"octo", "one"}, now, "x")
	}
	if _, err := c.enter(circuitKey{"octo", "one"}, now); err == nil {
		t.Error("the circuit is closed")
	}
	if _, err := c.enter(circuitKey{"octo", "two"}, now); err != nil {
		t.Errorf("another upstream of the tenant: %v", err)
	}
	for i := range 2 * maxCircuits {
		c.fault(circuitKey{"t", strconv.Itoa(i)}, now.Add(2*time.Duration(i)*circuitWindow), "x")
	}
	if len(c.tenants) > maxCircuits {
		t.Errorf("%d circuits are kept", len(c.tenants))
	}
}
