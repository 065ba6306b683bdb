package plugins

import (
	"context"
	"slices"
	"sync"
	"time"
)

// pool keeps the instances of one module: at most so many at once, and each
// for one run at a time. No instance is held between runs, however slow the
// network is.
type pool struct {
	create func() (*instance, error)
	slots  chan struct{} // one for each instance that runs
	keep   time.Duration // how long an idle instance is kept

	mu     sync.Mutex
	idle   []*instance // the last used last
	closed bool
}

func newPool(limits Limits, create func() (*instance, error)) *pool {
	return &pool{create: create, slots: make(chan struct{}, limits.Instances), keep: limits.Idle}
}

// take returns a clean instance, waiting for a free one until ctx ends.
func (p *pool) take(ctx context.Context) (*instance, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		<-p.slots
		return nil, errClosed
	}
	if n := len(p.idle); n > 0 {
		i := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		i.expiry.Stop()
		return i, nil
	}
	p.mu.Unlock()
	i, err := p.create()
	if err != nil {
		<-p.slots
	}
	return i, err
}

// give takes an instance back after a run. One that broke down or cannot be
// made clean is closed.
func (p *pool) give(ctx context.Context, i *instance, broken bool) {
	defer func() { <-p.slots }()
	if broken || !i.reset() {
		i.close(ctx)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		i.close(ctx)
		return
	}
	p.idle = append(p.idle, i)
	i.expiry = time.AfterFunc(p.keep, func() { p.expire(context.WithoutCancel(ctx), i) })
}

// expire closes an instance that is still idle.
func (p *pool) expire(ctx context.Context, i *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := slices.Index(p.idle, i)
	if at < 0 {
		return
	}
	p.idle = slices.Delete(p.idle, at, at+1)
	i.close(ctx)
}

// close closes the idle instances and makes no more.
func (p *pool) close(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, i := range p.idle {
		i.expiry.Stop()
		i.close(ctx)
	}
	p.idle = nil
}
