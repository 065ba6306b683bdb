package grant_test

import (
	"fmt"
	"testing"

	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/store/storetest"
)

// Memory is what a Redis costs: a field in the record is a gigabyte to whoever
// has millions of grants.
func TestGrantInRedisIsSmall(t *testing.T) {
	t.Parallel()
	const most = 1024 // bytes beside the upstream's tokens
	server := storetest.StartRedis(t)
	grants := newGrants(t, openRedis(t, server))
	ask := admin(t, server)
	for _, length := range []int{40, 256, 600, 1024, 2048} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			tokens, err := login(t.Context(), grants, "1234567", credential("1234567", length))
			if err != nil {
				t.Fatal(err)
			}
			// A refreshed grant is the one that stays, and the larger one.
			if _, err := grants.Refresh(t.Context(), music, tokens.Refresh, grant.Presented{ClientID: clientID}); err != nil {
				t.Fatal(err)
			}
			key := "sallyport:grant/music/" + tokens.Grant.ID
			memory, err := ask.MemoryUsage(t.Context(), key).Result()
			if err != nil {
				t.Fatal(err)
			}
			value, err := ask.StrLen(t.Context(), key).Result()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("two tokens of %d characters: a value of %d bytes, %d in memory", length, value, memory)
			if beside := value - 2*int64(length); beside > most {
				t.Errorf("the value has %d bytes beside the tokens, want at most %d", beside, most)
			}
			// Redis rounds what it allocates up: values of more than 2 KiB, of tokens
			// beyond 600 characters, to the next half or whole KiB, and less only
			// below.
			if beside := memory - 2*int64(length); value < 2048 && beside > most {
				t.Errorf("%d bytes of memory beside the tokens, want at most %d", beside, most)
			}
		})
	}
}
