package plugins

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/sallyport/sallyport/core/upstream"
)

// journal is what is kept of an unfinished conversation. Time and seed belong
// to it, because with them and the answers the provider asks the same again.
// It holds tokens; core seals it.
type journal struct {
	Version int    `json:"v"`
	For     string `json:"for"` // what it answers to: a journal of another credential counts for nothing
	Now     int64  `json:"now"` // milliseconds since 1970 UTC
	Seed    string `json:"seed"`
	Steps   []step `json:"steps"`
}

const journalVersion = 1

// keeper keeps the journal of one refresh. A nil keeper keeps none.
type keeper struct {
	journal upstream.Journal
	subject string
}

func newKeeper(j upstream.Journal, cred *upstream.Credential) *keeper {
	if j == nil {
		return nil
	}
	sum := sha256.Sum256([]byte(cred.RefreshToken.Reveal() + "\x00" + cred.AccessToken.Reveal()))
	return &keeper{j, hex.EncodeToString(sum[:])}
}

// resume takes time, seed and answers from the journal of an earlier attempt
// at the same credential. The answers are handed out one by one, each to the
// very request it was for.
func (c *conversation) resume() {
	if c.keep == nil {
		return
	}
	text := c.keep.journal.Load()
	if len(text) == 0 {
		return
	}
	var j journal
	seed := []byte(nil)
	err := json.Unmarshal(text, &j)
	if err == nil {
		seed, err = hex.DecodeString(j.Seed)
	}
	if err != nil || j.Version != journalVersion || j.For != c.keep.subject || len(seed) != len(c.seed) {
		c.module.cfg.Logger.Warn("a journal is of another credential or cannot be read; starting anew", "plugin", c.name(), "tenant", c.binding.Tenant)
		return
	}
	c.now, c.seed, c.replay = time.UnixMilli(j.Now), [32]byte(seed), j.Steps
}

// save keeps the answers so far, before the provider sees the newest. Those
// before the first request that acts, a discovery above all, are asked for
// again instead: a journal means that the refresh token has been answered for.
// If a process dies without one, the token may be spent.
func (k *keeper) save(ctx context.Context, c *conversation) error {
	if k == nil {
		return nil
	}
	var text []byte
	if slices.ContainsFunc(c.steps, func(s step) bool { return s.acts }) {
		var err error
		text, err = json.Marshal(journal{journalVersion, k.subject, c.now.UnixMilli(), hex.EncodeToString(c.seed[:]), c.steps})
		if err != nil {
			return err
		}
	} else if len(k.journal.Load()) == 0 {
		return nil
	}
	return k.journal.Keep(ctx, text)
}

// takeBack drops the newest answer, which is why the provider gave up, and the
// waits before it: another attempt asks that again and keeps the rest, which
// may hold a token that was rotated.
func (k *keeper) takeBack(ctx context.Context, c *conversation) error {
	if k == nil || len(c.steps) == 0 {
		return nil
	}
	last := len(c.steps) - 1
	for last > 0 && c.steps[last-1].RequestSHA256 == "" {
		last--
	}
	c.steps = c.steps[:last]
	return k.save(ctx, c)
}
