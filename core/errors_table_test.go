package core_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// tableOfErrors is upstream.Rules as SPEC.md prints it.
func tableOfErrors() string {
	var b strings.Builder
	b.WriteString("| steps | kinds | client | user reads | log | audit | grant | mended by |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range upstream.Rules() {
		client := "as if nothing had failed"
		if r.Status != 0 {
			client = strings.TrimSpace(fmt.Sprint(r.Status, " ", r.Code))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | `%s` | %s | %s |\n", list(r.Steps), list(r.Kinds), client, r.User, r.Log, r.Audit, r.Grant, r.Mends)
	}
	return b.String()
}

func list[T ~string](all []T) string {
	var words []string
	for _, word := range all {
		words = append(words, "`"+string(word)+"`")
	}
	return strings.Join(words, ", ")
}

// SPEC.md prints the table as the code has it.
func TestSpecHoldsTheTableOfErrors(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), tableOfErrors()) {
		t.Errorf("SPEC.md does not hold this table:\n%s", tableOfErrors())
	}
}

// Each step and kind has one outcome, and where only a login mends a failure the
// client's refresh says so: there is no failure for which refreshes succeed and
// every call fails, unless time or the operator mends it.
func TestEveryStepAndKindHasOneOutcome(t *testing.T) {
	t.Parallel()
	for _, step := range upstream.Steps() {
		for _, kind := range upstream.Kinds() {
			var found []upstream.Outcome
			for _, r := range upstream.Rules() {
				if has(r.Steps, step) && has(r.Kinds, kind) {
					found = append(found, r.Outcome)
				}
			}
			if len(found) != 1 || found[0] != upstream.OutcomeOf(step, &upstream.Error{Kind: kind}) {
				t.Errorf("%s, %s: %d outcomes", step, kind, len(found))
				continue
			}
			o := found[0]
			renews := step == upstream.StepRenewAhead || step == upstream.StepCall || step == upstream.StepExchange
			if renews && (o.Mends == upstream.ByUser) != (o.Grant == upstream.NeedsLogin) {
				t.Errorf("%s, %s: mended by %s, and the grant is %s", step, kind, o.Mends, o.Grant)
			}
			if renews && o.Mends == upstream.ByOperator && o.Log != upstream.Alarm {
				t.Errorf("%s, %s: the operator has to act, and the log says %s", step, kind, o.Log)
			}
		}
	}
}

func has[T comparable](all []T, one T) bool {
	for _, each := range all {
		if each == one {
			return true
		}
	}
	return false
}

// The server does as the table says, for a call whose upstream token has ended:
// the answer, the log, the audit line, the grant and the client's own refresh.
func TestCallsFollowTheTableOfErrors(t *testing.T) {
	t.Parallel()
	for _, kind := range upstream.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			var fault error
			s := coretest.New(t, withServers, func(_ *core.Config, _ []*tenant.Tenant, f *upstreamtest.Fake) {
				f.Life, f.Fail = 10*time.Minute, func() error { return fault }
			})
			tokens := s.Login(t, s.Browser(), "ada")
			fault = &upstream.Error{Kind: kind, Detail: "upstream says x"}
			s.Advance(time.Hour)
			want := upstream.OutcomeOf(upstream.StepCall, fault)
			a := s.Call(t, "music", tokens.Access)
			if a.Status != want.Status || (a.Header.Get("WWW-Authenticate") != "") != (want.Status == 401) || (want.Mends == upstream.ByTime) != (a.Header.Get("Retry-After") != "") {
				t.Errorf("call: %d %v, want %+v", a.Status, a.Header, want)
			}
			if !strings.Contains(s.Audit(), `"action":"`+want.Audit+`"`) || !strings.Contains(s.Audit(), `"reason":"`+string(kind)+": ") || !strings.Contains(s.Audit(), "upstream says x") {
				t.Errorf("audit: %s", s.Audit())
			}
			if !strings.Contains(s.Log(), fmt.Sprintf("[%s]", want.Log)) || !strings.Contains(s.Log(), "upstream says x") {
				t.Errorf("log: %s", s.Log())
			}
			refreshed := refresh(t, s, tokens)
			if gone := refreshed.Status == 400 && refreshed.JSON(t)["error"] == "invalid_grant"; gone != (want.Grant == upstream.NeedsLogin) || !gone && refreshed.Status != 200 {
				t.Errorf("the client's refresh: %d %s, and the grant is %s", refreshed.Status, refreshed.Body, want.Grant)
			}
			grants := 0
			if _, err := s.Core.Grants().Each(t.Context(), s.Core.Tenants().Get("music"), func(e grant.Entry) error {
				if grants++; (e.State == grant.NeedsLogin) != (want.Grant == upstream.NeedsLogin) {
					t.Errorf("the grant is %s, want %s", e.State, want.Grant)
				}
				return nil
			}); err != nil || grants != 1 {
				t.Errorf("%d grants, %v", grants, err)
			}
			exchanged := exchange(t, s, tokens.Access, nil)
			if now := upstream.OutcomeOf(upstream.StepExchange, fault); exchanged.Status != now.Status {
				t.Errorf("exchange: %d %s, want %d", exchanged.Status, exchanged.Body, now.Status)
			}
		})
	}
}
