package config

import (
	"regexp"
	"strconv"
	"time"
)

// Rate is how often something may happen: Events at once, and then as many in
// every Per. The zero Rate, written off, is no limit.
type Rate struct {
	Events int
	Per    time.Duration
}

var rateForm = regexp.MustCompile(`^([1-9][0-9]{0,6})/([smh])$`)

func notRate() problem {
	return problem{"must be a rate such as 60/m, or off", "a number from 1 to 9999999, a slash, and s, m or h"}
}

// parseRate reads a number and /s, /m or /h, or off.
func parseRate(text string) (Rate, *problem) {
	if text == off {
		return Rate{}, nil
	}
	parts := rateForm.FindStringSubmatch(text)
	if parts == nil {
		what := notRate()
		return Rate{}, &what
	}
	events, _ := strconv.Atoi(parts[1]) // seven digits
	return Rate{events, map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[parts[2]]}, nil
}
