package credential

import (
	"context"
	"time"

	"github.com/go-chi/chi/v5/middleware"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// revokeTime bounds one revocation at the upstream: somebody waits for it.
const revokeTime = 10 * time.Second

// Revoke ends the credential of a grant that was deleted at the upstream too,
// if the provider can. It is tried once: nobody has the credential after that.
// A failure is audited and no more, because our own side of the grant has
// ended whatever the upstream says. A caller that gives up does not stop it.
func (k *Keeper) Revoke(ctx context.Context, t *tenant.Tenant, l *grant.Live) {
	if !t.Provider.Describe().CanRevoke {
		return
	}
	failed := audit.Event{Action: audit.UpstreamRevokeFailed, Tenant: t.Name, Client: l.Record.ClientHash, Grant: l.ID, Subject: l.Record.Subject, Upstream: l.Record.Upstream}
	if l.Credential == nil {
		failed.Reason = "unreadable"
		if _, ours := t.Owner(l.Record.Mark, l.Record.Created); !ours {
			failed.Reason = string(grant.OtherUpstream)
		}
		k.audit.Record(ctx, failed)
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTime)
	defer cancel()
	if err := t.Provider.Revoke(bounded, l.Credential); err != nil {
		failed.Reason = reasonOf(upstream.KindOf(err), explain(l, err))
		k.audit.Record(ctx, failed)
		outcome := upstream.OutcomeOf(upstream.StepRevoke, err)
		k.log.Write(level(outcome.Log), "the upstream credential was not revoked", []any{"tenant", t.Name, "kind", string(upstream.KindOf(err))},
			"grant", l.ID, "error", failed.Reason, "request", middleware.GetReqID(ctx))
	}
}
